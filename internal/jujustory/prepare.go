package jujustory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
)

// hook is the recorded hook as the model knows it.
func (r *Replay) hook(unit string, d *Dispatch) (jujusim.Hook, error) {
	h := jujusim.Hook{Unit: unit, Name: d.Hook, Remote: d.Env["JUJU_REMOTE_UNIT"]}
	if id := d.Env["JUJU_SECRET_ID"]; id != "" {
		h.Secret = strings.TrimPrefix(r.simulated(id), "secret:")
	}
	id := d.Env["JUJU_RELATION_ID"]
	if id == "" {
		return h, nil
	}
	if r.lookup(r.ids, id) == id {
		if err := r.discover(unit, id, d.Env["JUJU_REMOTE_APP"]); err != nil {
			return h, err
		}
	}
	_, number, _ := strings.Cut(r.simulated(id), ":")
	h.Relation, _ = strconv.Atoi(number)
	return h, nil
}

// discover finds the relation that a recorded id stands for: the newest one of
// the endpoint with that application.
func (r *Replay) discover(unit, id, remote string) error {
	endpoint, number, _ := strings.Cut(id, ":")
	app, _, _ := strings.Cut(unit, "/")
	found := ""
	r.Model.View(func(m *model.Model) {
		for _, rel := range m.Relations {
			local, _ := rel.Local(app)
			if other, _ := rel.Remote(app); local.Name == endpoint && other.Application == remote {
				found = strconv.Itoa(rel.ID)
			}
		}
	})
	if found == "" {
		return fmt.Errorf("%s has no relation %s with %s", unit, endpoint, remote)
	}
	r.mu.Lock()
	taken := r.back[endpoint+":"+found]
	r.mu.Unlock()
	if taken != "" && taken != id {
		return fmt.Errorf("%s has no new relation %s with %s", unit, endpoint, remote)
	}
	for _, e := range []string{"cluster", "db", "db2", "src", "src2", "host"} {
		r.learn(e+":"+number, e+":"+found)
	}
	return nil
}

// enter lets units enter the relations in which the recorded dispatch found
// them: its own unit by relation-ids, somebody else by the goal state.
func (r *Replay) enter(unit string, d *Dispatch) error {
	for endpoint, raw := range d.View.RelationIDs {
		var ids []string
		decode(raw, &ids)
		for _, id := range ids {
			var remote string
			if r.lookup(r.ids, id) == id && decode(d.View.Relations[id].App, &remote) {
				if err := r.discover(unit, id, remote); err != nil {
					return err
				}
			}
			if _, number, _ := strings.Cut(r.simulated(endpoint+":"+id[len(endpoint)+1:]), ":"); d.At != "install" {
				n, _ := strconv.Atoi(number)
				// It has entered long ago, or leaves already.
				_ = r.Model.Enter(unit, n)
			}
		}
	}
	return nil
}

// enterGoal lets a unit enter each relation of which the recorded goal state says
// that somebody has.
func (r *Replay) enterGoal(unit string, d *Dispatch) {
	var goal struct {
		Relations map[string]map[string]struct{ Status string }
	}
	decode(d.View.GoalState, &goal)
	app, _, _ := strings.Cut(unit, "/")
	for _, rel := range r.Model.Snapshot().Relations {
		local, _ := rel.Local(app)
		remote, _ := rel.Remote(app)
		if goal.Relations[local.Name][remote.Application].Status != "joined" || rel.Status == "joined" {
			continue
		}
		for _, name := range slices.Concat(r.Model.Units(remote.Application), r.Model.Units(app)) {
			if r.Model.Enter(name, rel.ID) == nil {
				break
			}
		}
	}
}

// possible says whether the model can run the recorded dispatch as it is, and
// what is waiting to take effect has not been seen by it.
func (r *Replay) possible(unit string, d *Dispatch) bool {
	if d.Hook != "" && d.At != "update-status" {
		h, err := r.hook(unit, d)
		if err != nil {
			return false
		}
		if strings.HasSuffix(h.Name, "-joined") {
			_ = r.Model.Enter(h.Remote, h.Relation)
		}
		if r.Model.Legal(h) != nil {
			return false
		}
	}
	return !slices.ContainsFunc(r.waiting, func(o *operation) bool { return o.seen != nil && o.seen(d) })
}

// lead makes the leadership what the recorded dispatch found.
func (r *Replay) lead(unit string, d *Dispatch) error {
	var leads bool
	if !decode(d.View.Leader, &leads) {
		return nil
	}
	app, _, _ := strings.Cut(unit, "/")
	now := ""
	r.Model.View(func(m *model.Model) {
		if a := m.Application(app); a != nil {
			now = a.Leader
		}
	})
	if leads == (now == unit) {
		return nil
	}
	if leads {
		return r.Model.SetLeader(unit)
	}
	if other := r.successor(app, d.Time); other != "" {
		return r.Model.SetLeader(other)
	}
	return nil
}

// successor is the unit of the application that is the next to find itself the
// leader.
func (r *Replay) successor(app string, after int64) string {
	found, first := "", int64(0)
	for name, u := range r.Story.Units {
		if a, _, _ := strings.Cut(name, "/"); a != app {
			continue
		}
		for i := range u.Dispatches {
			d := &u.Dispatches[i]
			if leads := false; d.Time >= after && decode(d.View.Leader, &leads) && leads {
				if found == "" || d.Time < first {
					found, first = name, d.Time
				}
				break
			}
		}
	}
	return found
}
