package jujusim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/charmed-go/charms/jujusim/model"
)

// begin does what comes with the start of a hook. The model is locked.
func (u *unit) begin(h Hook) {
	switch h.Name {
	case "install":
		if u.stuck == nil {
			u.setStatus("maintenance", "installing charm software")
		}
	case "stop":
		u.leaving = true
		u.setStatus("maintenance", "stopping charm software")
	case "remove":
		u.setStatus("maintenance", "cleaning up prior to charm deletion")
	case "upgrade-charm":
		// A failed one runs again with the same charm.
		if u.stuck == nil {
			u.charm = u.app.charm
		}
	}
	switch h.relationKind() {
	case "created":
		u.relation(h.Relation).enter()
	case "departed", "broken":
		if u.dying {
			u.leaving = true
		}
	}
}

func (u *unit) setStatus(status, message string) {
	u.data.Status = model.Status{Status: status, Message: message, Since: u.m.clock}
}

// ended does what comes with the end of a hook. The model is locked.
func (u *unit) ended(r *Running) []Event {
	switch r.dispatch.Outcome {
	case Killed:
		u.stuck = &stuck{hook: r.hook, failed: r.orphan, tries: 1, reason: "the unit agent was killed"}
		u.update()
		return nil
	case Failed:
		s := &stuck{hook: r.hook, failed: true, tries: 1, reason: r.dispatch.reason()}
		if u.stuck != nil && u.stuck.failed {
			s.tries = u.stuck.tries + 1
		}
		u.stuck = s
		u.update()
		return nil
	}
	u.stuck = nil
	return u.ran(r.hook, r.configStamp, r.bag)
}

// reason is the last thing that a failed dispatch said.
func (d *Dispatch) reason() string {
	if d.Err != "" {
		return d.Err
	}
	for i := len(d.Log) - 1; i >= 0; i-- {
		if l := d.Log[i]; l.Level != "DEBUG" && l.Message != "" {
			return l.Message
		}
	}
	return fmt.Sprintf("exit status %d", d.Exit)
}

// ran takes note that a hook counts as run. The model is locked.
func (u *unit) ran(h Hook, config uint64, bag seen) []Event {
	var events []Event
	switch h.Name {
	case "install":
		u.installed = true
	case "config-changed":
		if u.queued == h.Name {
			u.queued = ""
		}
		if !u.configured {
			u.configured, u.queued = true, "start"
		}
		// One setting gives one or two hooks.
		u.configAgain = u.configSeen != config && u.started
		u.configTwice = u.configAgain && u.m.rng.IntN(4) == 0
		u.configSeen = config
	case "start":
		u.queued, u.started, u.rebooted = "", true, false
		if s := u.data.Status; s.Status == "maintenance" && s.Message == "installing charm software" {
			u.setStatus("unknown", "")
		}
	case "upgrade-charm":
		if u.configured {
			u.queued = "config-changed"
		}
	case "leader-elected":
		u.elected = false
	case "leader-settings-changed":
		u.settings = false
	case "update-status":
		u.updateStatus = false
	case "stop":
		u.stopped = true
	case "remove":
		events = u.vanish()
	}
	if i := slices.Index(u.secrets, h); i >= 0 {
		u.secrets = slices.Delete(u.secrets, i, i+1)
	}
	if i := slices.Index(u.storage, h); i >= 0 {
		u.storage = slices.Delete(u.storage, i, i+1)
		u.storageHookRan(h)
	}
	if kind := h.relationKind(); kind != "" {
		u.relation(h.Relation).ran(kind, h.Remote, bag)
	}
	for _, ur := range u.relations {
		ur.update()
	}
	u.update()
	return events
}

// ran takes note that a hook of the relation counts as run. bag is the state of
// the remote data when it started.
func (ur *unitRelation) ran(kind, remote string, bag seen) {
	m := ur.u.m
	switch kind {
	case "created":
		ur.created = true
		if ur.ending() {
			ur.join = set[string]{}
		}
	case "joined":
		ur.join.remove(remote)
		ur.members.add(remote)
		ur.seen[remote] = &member{}
		ur.changing = remote
		if !ur.present(remote) {
			ur.depart.add(remote)
		}
	case "changed":
		if remote == "" {
			ur.appKnown++
			ur.appAgain = ur.appKnown < bag.version
			ur.app = bag
			ur.appDue = ur.r.bags[ur.remoteApp()].stamp != bag.stamp || ur.appAgain && m.again()
			ur.appFirst = false
			break
		}
		s := ur.seen[remote]
		if ur.changing != remote {
			s.known++
		}
		// What the agent had heard of when the hook started may be older than
		// what the hook could read; then it is announced once more.
		s.again = s.known < bag.version
		s.seen = bag
		if !ur.depart.has(remote) {
			ur.change.put(remote, ur.r.bags[remote].stamp != bag.stamp || s.again && m.again())
		}
		ur.changing = ""
	case "departed":
		ur.members.remove(remote)
		delete(ur.seen, remote)
		ur.change.remove(remote)
		ur.depart.remove(remote)
		ur.changing = ""
	case "broken":
		ur.broken = true
		ur.leave()
	}
}

// again says whether something that may be announced once more is.
func (m *Model) again() bool { return m.rng.IntN(8) == 0 }

// vanish ends a unit: it is in no relation any more, and no leader.
func (u *unit) vanish() []Event {
	if u.gone {
		return nil
	}
	m, a := u.m, u.app
	u.gone = true
	for _, ur := range u.relations {
		ur.leave()
	}
	delete(a.data.Units, u.name)
	delete(m.units, u.name)
	a.units = slices.DeleteFunc(a.units, func(o *unit) bool { return o == u })
	u.machine.units = slices.DeleteFunc(u.machine.units, func(o *unit) bool { return o == u })
	u.update()
	events := []Event{{Kind: UnitGone, Unit: u.name, Text: u.name + " is gone"}}
	if a.leader == u {
		events = append(events, a.elect(nil)...)
	}
	if p := u.principal; p != nil {
		p.attached = slices.DeleteFunc(p.attached, func(o *unit) bool { return o == u })
		p.update()
	}
	a.settle()
	return events
}

// elect makes a unit the leader; nil means that Juju finds one.
func (a *application) elect(u *unit) []Event {
	if u == nil {
		var alive []*unit
		for _, o := range a.units {
			if !o.dying {
				alive = append(alive, o)
			}
		}
		if len(alive) == 0 {
			alive = a.units
		}
		if len(alive) == 0 {
			a.leader, a.data.Leader = nil, ""
			return nil
		}
		u = alive[a.m.rng.IntN(len(alive))]
	}
	if old := a.leader; old != nil {
		old.elected = false
		old.update()
	}
	a.leader, a.data.Leader = u, u.name
	u.elected = true
	u.settings = false
	u.update()
	return []Event{{Kind: LeaderChanged, Unit: u.name, Text: u.name + " leads " + a.name}}
}

// settle removes a dying application when its units and relations are gone.
func (a *application) settle() {
	if !a.dying || len(a.units) > 0 {
		return
	}
	for _, r := range slices.Clone(a.relations) {
		if r.data.Peer() {
			r.die()
		}
	}
	if len(a.relations) > 0 || a.m.applications[a.name] != a {
		return
	}
	delete(a.m.applications, a.name)
	delete(a.m.data.Applications, a.name)
	a.m.order = slices.DeleteFunc(a.m.order, func(o *application) bool { return o == a })
}

func sortedKeys[K ~string | ~int, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
