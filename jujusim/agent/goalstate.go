package agent

import (
	"time"

	"github.com/charmed-go/charms/jujusim/model"
)

type goalStatus struct {
	Status string `json:"status" yaml:"status"`
	Since  string `json:"since,omitempty" yaml:"since,omitempty"`
}

type goalState struct {
	Units     map[string]goalStatus            `json:"units" yaml:"units"`
	Relations map[string]map[string]goalStatus `json:"relations" yaml:"relations"`
}

func (a *Agent) goalState() *tool {
	t := &tool{purpose: "Print the status of the charm's peers and related units."}
	out := t.output("yaml", "json")
	t.run = func(c *call) error {
		goal := goalState{
			Units:     a.goalUnits(a.application(), nil, ""),
			Relations: make(map[string]map[string]goalStatus),
		}
		own := model.ApplicationOf(a.x.Unit)
		for _, r := range a.m.Relations {
			local, ok := r.Local(own)
			if !ok || r.Peer() {
				continue
			}
			remote, _ := r.Remote(own)
			side := goal.Relations[local.Name]
			if side == nil {
				side = make(map[string]goalStatus)
				goal.Relations[local.Name] = side
			}
			status := goalStatus{Status: r.Status, Since: goalTime(a.x.Now())}
			if status.Status == "" {
				status.Status = "joined"
			}
			side[r.Seen(own, remote.Application)] = status
			if app := a.m.Applications[remote.Application]; app != nil {
				for name, status := range a.goalUnits(app, r, own) {
					side[name] = status
				}
			}
		}
		return out.write(c, goal)
	}
	return t
}

// goalUnits are the units of an application, as the other side of a relation
// sees their names.
func (a *Agent) goalUnits(app *model.Application, r *model.Relation, viewer string) map[string]goalStatus {
	units := make(map[string]goalStatus, len(app.Units))
	for name, u := range app.Units {
		status := goalStatus{Status: u.Status.Status}
		since := u.Status.Since
		if since.IsZero() {
			since = a.x.Now()
		}
		status.Since = goalTime(since)
		switch u.Life {
		case model.Dying:
			status.Status = "dying"
		case model.Dead:
			status.Status = "dead"
		}
		if r != nil {
			name = r.Seen(viewer, name)
		}
		units[name] = status
	}
	return units
}

func goalTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
