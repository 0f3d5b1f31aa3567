package agent

import (
	"cmp"
	"maps"
	"strings"
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
			Units:     a.goalUnits(a.application()),
			Relations: make(map[string]map[string]goalStatus),
		}
		own := model.ApplicationOf(a.x.Unit)
		for _, r := range a.m.Relations {
			local, ok := r.Local(own)
			if !ok || r.Peer() {
				continue
			}
			remote, _ := r.Remote(own)
			status := goalStatus{Status: r.Status, Since: goalTime(a.x.Now())}
			if status.Status == "" {
				status.Status = "joined"
			}
			app := a.m.Applications[remote.Application]
			if a.modelUUID(app) != a.modelUUID(a.application()) {
				if url := offerURL(r.Seen(own, remote.Application), remote.Application, app); url != "" {
					goal.relation(local.Name)[url] = status
				}
				continue
			}
			side := goal.relation(local.Name)
			side[remote.Application] = status
			if app != nil {
				maps.Copy(side, a.goalUnits(app))
			}
		}
		return out.write(c, goal)
	}
	return t
}

// relation is what the goal state says of an endpoint, to be added to.
func (g *goalState) relation(endpoint string) map[string]goalStatus {
	if g.Relations[endpoint] == nil {
		g.Relations[endpoint] = make(map[string]goalStatus)
	}
	return g.Relations[endpoint]
}

// offerURL is how the goal state names an application of another model, of
// which it knows no units. The offering side is told nothing of those that
// consume its offer, which it sees as remote-….
func offerURL(seen, name string, app *model.Application) string {
	if strings.HasPrefix(seen, "remote-") {
		return ""
	}
	return "admin/" + cmp.Or(app.ModelName, "other") + "." + name
}

// goalUnits are the units of an application. Of subordinate units there are only
// those beside this unit, so a subordinate unit is not told of itself.
func (a *Agent) goalUnits(app *model.Application) map[string]goalStatus {
	units := make(map[string]goalStatus, len(app.Units))
	for name, u := range app.Units {
		beside := u.Principal == a.x.Unit
		if u.Life == model.Dead || !beside && (app.Subordinate || u.Principal != "") {
			continue
		}
		status := goalStatus{Status: u.Status.Status}
		since := u.Status.Since
		if since.IsZero() {
			since = a.x.Now()
		}
		status.Since = goalTime(since)
		if u.Life == model.Dying {
			status.Status = "dying"
		}
		units[name] = status
	}
	return units
}

func goalTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
