package jujusim

import (
	"errors"
	"fmt"
	"slices"
)

// legal says why Juju could not run the hook next on the unit, or nil.
//
// A unit agent hears of what happens elsewhere late, and not in order: it may
// not have noticed a relation, a change or its own end yet. So a hook is legal
// when the unit could know of its cause and nothing that the unit must know
// comes before it.
func (u *unit) legal(h Hook) error {
	switch {
	case u.gone:
		return errors.New("the unit is gone")
	case u.running != nil:
		return fmt.Errorf("it runs %s", u.running.title())
	case u.machine.running != nil:
		return fmt.Errorf("its machine runs %s of %s", u.machine.running.title(), u.machine.running.u.name)
	case u.stuck != nil && h == u.stuck.hook && !u.retries():
		return errors.New("the unit is in error")
	case u.stuck != nil && h == u.stuck.hook:
		return nil
	case u.stuck != nil:
		return fmt.Errorf("%s has not ended well", u.stuck.hook)
	case u.stopped && h.Name != "remove":
		return errors.New("the unit has stopped")
	case !u.installed:
		return u.legalFirst(h)
	case u.rebooted && u.queued == "":
		if h.Name != "start" {
			return errors.New("its machine was rebooted, and start comes first")
		}
		return nil
	case slices.Contains(u.secrets, h):
		if !u.started {
			return errors.New("the unit has not started")
		}
		return nil
	case slices.Contains(u.storage, h):
		return u.legalStorage()
	}
	if h.relationKind() != "" {
		ur := u.relation(h.Relation)
		if ur == nil || ur.left || h.Name != ur.endpoint()+"-relation-"+h.relationKind() {
			return errors.New("the unit has no such relation")
		}
		return ur.legal(h)
	}
	return u.legalPlain(h)
}

func (u *unit) legalFirst(h Hook) error {
	switch {
	case slices.Contains(u.storage, h):
		return u.legalStorage()
	case h.Name != "install":
		return errors.New("the unit is not installed")
	case len(u.storage) > 0 && u.legalStorage() == nil:
		return errors.New("its storage is not attached")
	}
	return nil
}

func (u *unit) legalPlain(h Hook) error {
	due := false
	switch h.Name {
	case "leader-elected":
		if u.elected {
			return nil
		}
	case "leader-settings-changed":
		if u.settings {
			return nil
		}
	case "config-changed":
		if !u.configured && !u.leaving && u.queued == "" {
			return u.legalConfig()
		}
		due = u.queued == h.Name || u.configSeen != u.app.configStamp || u.configAgain
	case "start":
		due = u.queued == h.Name
	case "upgrade-charm":
		due = u.charm != u.app.charm
	case "update-status":
		due = u.updateStatus && u.started
	case "stop":
		if u.dying && u.queued == "" {
			if len(u.storage) > 0 {
				return errors.New("its storage is not detached")
			}
			for _, ur := range u.relations {
				if ur.created && !ur.left && !(ur.peer() && ur.members.len() == 0) {
					return fmt.Errorf("it has not left %s", ur.r.key())
				}
			}
			return nil
		}
	case "remove":
		due = u.stopped
	}
	switch {
	case !due:
		return errors.New("there is no reason for it")
	case u.queued != "" && u.queued != h.Name:
		return fmt.Errorf("%s comes first", u.queued)
	case u.leaving && !u.stopped:
		return errors.New("the unit is leaving")
	}
	return nil
}

// legalConfig says why the first config-changed may not come yet: what was there
// when the unit was made comes before it.
func (u *unit) legalConfig() error {
	for _, ur := range u.relations {
		if ur.known && !ur.created && !ur.left {
			return fmt.Errorf("%s-relation-created comes first", ur.endpoint())
		}
	}
	if u.elected {
		return errors.New("leader-elected comes first")
	}
	return nil
}

func (ur *unitRelation) legal(h Hook) error {
	u, kind := ur.u, h.relationKind()
	if kind == "created" {
		switch {
		case ur.created:
			return errors.New("it came before")
		case ur.ending() && u.leaving:
			return errors.New("the unit is leaving")
		}
		return nil
	}
	switch {
	case !ur.created:
		return errors.New("the relation is not created yet")
	case ur.broken:
		return errors.New("the relation is broken")
	case u.queued != "":
		return fmt.Errorf("%s comes first", u.queued)
	case !u.started && kind != "broken":
		return errors.New("the unit has not started")
	case ur.changing != "" && (h.Remote != ur.changing || kind != "changed" && kind != "departed"):
		return fmt.Errorf("-changed of %s comes first", ur.changing)
	}
	switch kind {
	case "joined":
		return ur.legalJoined(h)
	case "changed":
		return ur.legalChanged(h)
	case "departed":
		switch {
		case !ur.members.has(h.Remote):
			return fmt.Errorf("%s is no member", h.Remote)
		case u.dying && ur.peer():
			for _, other := range u.relations {
				if !other.peer() && other.created && !other.left {
					return fmt.Errorf("%s ends first", other.r.key())
				}
			}
		case !ur.ending() && !ur.depart.has(h.Remote) && ur.present(h.Remote):
			return fmt.Errorf("%s has not departed", h.Remote)
		}
		return nil
	case "broken":
		switch {
		case ur.peer():
			return errors.New("the relation is between peers")
		case !ur.ending():
			return errors.New("the relation does not end")
		case ur.members.len() > 0:
			return errors.New("units have not departed")
		}
		return nil
	}
	return errors.New("there is no such hook")
}

func (ur *unitRelation) legalJoined(h Hook) error {
	switch {
	case ur.u.leaving:
		return errors.New("the unit is leaving")
	case ur.members.has(h.Remote):
		return fmt.Errorf("%s has joined", h.Remote)
	case ur.appFirst:
		return fmt.Errorf("the data of %s comes first", ur.remoteApp())
	case !ur.join.has(h.Remote):
		return fmt.Errorf("%s is not in the relation", h.Remote)
	}
	return nil
}

// present says whether a unit is in the relation still.
func (ur *unitRelation) present(unit string) bool {
	other := ur.u.m.units[unit]
	if other == nil || other.gone {
		return false
	}
	theirs := other.relation(ur.r.id)
	return theirs != nil && theirs.entered && !theirs.left
}

func (ur *unitRelation) legalChanged(h Hook) error {
	switch {
	case ur.u.leaving && ur.changing == "":
		return errors.New("the unit is leaving")
	case h.Remote == "":
		if ur.appDue || ur.appAgain {
			return nil
		}
		return fmt.Errorf("the data of %s has not changed", ur.remoteApp())
	case !ur.members.has(h.Remote):
		return fmt.Errorf("%s is no member", h.Remote)
	case ur.changing == h.Remote, ur.change.has(h.Remote), ur.seen[h.Remote].again:
		return nil
	}
	return fmt.Errorf("the data of %s has not changed", h.Remote)
}
