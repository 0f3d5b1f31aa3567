package jujusim

// pick returns a hook that the unit can run now, at random among what is legal.
// Most of the time the unit knows all there is to know and takes Juju's order;
// now and then it has not noticed something yet and does what comes later.
func (u *unit) pick() (Hook, bool) {
	if u.stuck != nil {
		return u.stuck.hook, u.retries()
	}
	for range 2 {
		if h, ok := u.choose(true); ok && u.legal(h) == nil {
			return h, true
		}
	}
	h, ok := u.choose(false)
	return h, ok && u.legal(h) == nil
}

// late says whether some news has not reached a unit yet.
func (m *Model) late(possible bool) bool { return possible && m.rng.IntN(8) == 0 }

// choose takes the first thing to do in Juju's order, leaving out what the unit
// may not have noticed.
func (u *unit) choose(late bool) (Hook, bool) {
	m := u.m
	hook := func(name string) (Hook, bool) { return Hook{Unit: u.name, Name: name}, true }
	switch {
	case u.stopped:
		return hook("remove")
	case len(u.storage) > 0 && !u.installed && u.legalStorage() == nil:
		return u.storage[0], true
	case !u.installed:
		return hook("install")
	case u.rebooted && u.queued == "":
		return hook("start")
	}
	if late {
		// An agent enters the scope of a relation when it hears of it, and runs
		// the hook later.
		for _, ur := range u.relations {
			if !ur.entered && !ur.left && !u.dying && !m.late(true) {
				ur.enter()
			}
		}
	}
	if ur := u.uncreated(); ur != nil && !m.late(late) {
		return ur.hook("created", ""), true
	}
	switch {
	case u.elected && !m.late(late):
		return hook("leader-elected")
	case u.settings && !m.late(late):
		return hook("leader-settings-changed")
	case len(u.secrets) > 0 && u.started && !m.late(late):
		return u.secrets[0], true
	case len(u.storage) > 0 && u.legalStorage() == nil && !m.late(late):
		return u.storage[0], true
	case u.queued != "":
		return hook(u.queued)
	case u.dying && (u.leaving || !m.late(late)):
		return u.end()
	case u.charm != u.app.charm && !m.late(late):
		return hook("upgrade-charm")
	case !u.configured || (u.configSeen != u.app.configStamp || u.configTwice) && !m.late(late):
		return hook("config-changed")
	}
	if u.busy.len() > 0 {
		ur := u.busy.pick(m.rng)
		if ur.peer() && u.busy.len() > 1 && !m.late(late) {
			ur = u.busy.pick(m.rng)
		}
		if h, ok := ur.choose(late); ok {
			return h, true
		}
		for _, ur := range u.busy.list {
			if h, ok := ur.choose(false); ok {
				return h, true
			}
		}
	}
	if u.updateStatus && u.started {
		return hook("update-status")
	}
	return Hook{}, false
}

// uncreated returns a relation of which the unit has not seen the creation.
func (u *unit) uncreated() *unitRelation {
	for range 2 {
		if u.busy.len() == 0 {
			return nil
		}
		if ur := u.busy.pick(u.m.rng); !ur.created && !ur.ending() {
			return ur
		}
	}
	for _, ur := range u.busy.list {
		if !ur.created && !ur.ending() {
			return ur
		}
	}
	return nil
}

func (ur *unitRelation) hook(kind, remote string) Hook {
	return Hook{Unit: ur.u.name, Name: ur.endpoint() + "-relation-" + kind, Relation: ur.r.id, Remote: remote}
}

// choose takes the first thing to do in the relation, in Juju's order.
func (ur *unitRelation) choose(late bool) (Hook, bool) {
	m := ur.u.m
	switch {
	case ur.left || !ur.created:
		return Hook{}, false
	case ur.changing != "":
		return ur.hook("changed", ur.changing), true
	case ur.ending() && ur.members.len() > 0:
		return ur.hook("departed", ur.members.pick(m.rng)), true
	case ur.ending():
		return ur.hook("broken", ""), !ur.peer()
	case !ur.u.started:
		return Hook{}, false
	case ur.depart.len() > 0 && !m.late(late):
		return ur.hook("departed", ur.depart.pick(m.rng)), true
	case ur.appDue && (ur.appFirst || !m.late(late)):
		return ur.hook("changed", ""), true
	case ur.join.len() > 0 && !m.late(late):
		return ur.hook("joined", ur.join.pick(m.rng)), true
	case ur.change.len() > 0:
		return ur.hook("changed", ur.change.pick(m.rng)), true
	}
	return Hook{}, false
}

// end chooses what a dying unit does next: it leaves its relations, those with
// its peers last, and stops.
func (u *unit) end() (Hook, bool) {
	for _, peers := range []bool{false, true} {
		var left []*unitRelation
		for _, ur := range u.relations {
			if !ur.left && ur.created && ur.peer() == peers && (ur.members.len() > 0 || !peers) {
				left = append(left, ur)
			}
		}
		if len(left) > 0 {
			return left[u.m.rng.IntN(len(left))].choose(false)
		}
	}
	return Hook{Unit: u.name, Name: "stop"}, true
}
