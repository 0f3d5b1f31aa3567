package jujusim

import (
	"fmt"
	"strings"

	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
)

// A Hook names one hook of one unit: what a unit can run next, or ran.
type Hook struct {
	// Unit is the unit that runs it, and Name the hook's name.
	Unit, Name string
	// Relation is the number of the relation in a relation hook, and Remote the
	// remote unit: "" in -created, -broken and the -changed of an application.
	Relation int
	Remote   string
	// Secret is the id of the secret in a secret hook, and Revision its
	// revision in secret-expired and secret-remove.
	Secret   string
	Revision int
	// Storage is the id of the instance in a storage hook, such as "data/0".
	Storage string
}

// String is the hook as a log would name it: "web/0 db-relation-joined (1, db/0)".
func (h Hook) String() string {
	text := h.Unit + " " + h.Name
	switch {
	case h.Relation != 0 && h.Remote != "":
		text += fmt.Sprintf(" (%d, %s)", h.Relation, h.Remote)
	case h.Relation != 0:
		text += fmt.Sprintf(" (%d)", h.Relation)
	case h.Secret != "":
		text += fmt.Sprintf(" (%s)", h.Secret)
	case h.Storage != "":
		text += fmt.Sprintf(" (%s)", h.Storage)
	}
	return text
}

// relationKind is the last word of a relation hook's name, or "".
func (h Hook) relationKind() string {
	if i := strings.LastIndex(h.Name, "-relation-"); i >= 0 && h.Relation != 0 {
		return h.Name[i+len("-relation-"):]
	}
	return ""
}

// A unit is what the agent of one unit knows and has to do.
type unit struct {
	m       *Model
	name    string
	number  int
	app     *application
	data    *model.Unit
	machine *machine
	charm   *revision
	cache   agent.Cache
	// dir is the charm directory, files what of it came from the charm, and
	// unpacked the revision they are of.
	dir      string
	files    []string
	unpacked *revision

	running *Running
	dying   bool
	gone    bool
	// leaving says that the unit has acted upon its dying.
	leaving bool

	installed, configured, started, stopped bool
	// queued is the hook that follows another one before any news.
	queued string
	// news that the unit has not acted upon
	elected, settings, updateStatus bool
	// rebooted says that the unit has to be told so, by its hook start.
	rebooted   bool
	configSeen uint64
	// configAgain says that config-changed may come once more without a new
	// change, configTwice that it will.
	configAgain, configTwice bool
	secrets, storage         []Hook
	secretSeen               map[string]int // latest revision that was announced
	// stuck is the hook that failed or was killed and has to come again.
	stuck *stuck

	relations []*unitRelation
	busy      set[*unitRelation]
	principal *unit
	attached  []*unit // subordinate units
}

// stuck is a hook that did not end well.
type stuck struct {
	hook   Hook
	failed bool // in error; else it was killed and runs again by itself
	tries  int
	reason string
}

// A unitRelation is one unit's part in one relation.
type unitRelation struct {
	u *unit
	r *relation
	// known says that the relation was there when the unit first ran.
	known bool
	// entered and left say whether the unit is in the relation's scope.
	entered, left   bool
	created, broken bool
	// application data: what of it was announced last, whether more is due,
	// whether it is announced before any unit joins, and whether it may be
	// announced once more though it was seen.
	app      seen
	appKnown int
	appDue   bool
	appFirst bool
	appAgain bool
	// changing is the unit that joined and whose -changed has to come next.
	changing string
	members  set[string]
	seen     map[string]*member
	// what is due: units to join, to announce changes of, to depart from
	join, change, depart set[string]
}

// seen is the state of a bag that was announced.
type seen struct {
	stamp   uint64
	version int
}

// member is what a unit knows of one that it joined.
type member struct {
	seen
	// known is the version that the agent has heard of at least; with a newer
	// one, the change may be announced again.
	known int
	again bool
}

func (ur *unitRelation) peer() bool { return ur.r.data.Peer() }

// endpoint is the name of the relation's endpoint on the unit's side.
func (ur *unitRelation) endpoint() string { return ur.r.local(ur.u.app.name).Name }

func (ur *unitRelation) remoteApp() string { return ur.r.remote(ur.u.app.name).Application }

// ending says whether the unit has to leave the relation.
func (ur *unitRelation) ending() bool { return ur.r.dying || ur.u.dying }

// work says whether there is anything to do for the unit in the relation.
func (ur *unitRelation) work() bool {
	u := ur.u
	switch {
	case ur.left || u.stopped:
		return false
	case ur.ending():
		return ur.members.len() > 0 || !ur.peer() || ur.changing != ""
	case !ur.entered || !ur.created:
		return true
	case !u.started:
		return false
	}
	return ur.changing != "" || ur.appDue || ur.join.len() > 0 || ur.change.len() > 0 || ur.depart.len() > 0
}

func (ur *unitRelation) update() {
	ur.u.busy.put(ur, ur.work())
	ur.u.update()
}

// update notes whether the unit has anything to do.
func (u *unit) update() { u.m.ready.put(u, u.work()) }

func (u *unit) work() bool {
	switch {
	case u.gone || u.running != nil || u.machine.running != nil:
		return false
	case u.stuck != nil:
		return u.retries()
	}
	return !u.installed || u.dying || u.queued != "" || u.elected || u.settings || u.updateStatus || u.rebooted ||
		len(u.secrets) > 0 || len(u.storage) > 0 || u.charm != u.app.charm ||
		!u.configured || u.configSeen != u.app.configStamp || u.configTwice || u.busy.len() > 0
}

// retries says whether the hook that did not end well runs again by itself.
func (u *unit) retries() bool { return !u.stuck.failed || u.stuck.tries <= u.m.opts.Retries }

func (u *unit) relation(id int) *unitRelation {
	for _, ur := range u.relations {
		if ur.r.id == id {
			return ur
		}
	}
	return nil
}

// enter brings the unit into the scope of a relation: the others can see its
// data and are told of it, and it of them.
func (ur *unitRelation) enter() {
	if ur.entered || ur.left || ur.r.dying {
		return
	}
	ur.entered = true
	r, u := ur.r, ur.u
	bag := model.Bag{"ingress-address": u.data.Address, "egress-subnets": u.data.Address + "/32"}
	if !u.m.data.Juju4() {
		bag["private-address"] = u.data.Address
	}
	r.data.Units.Add(u.name)
	r.data.Status = "joined"
	r.data.Data[u.name] = bag
	r.data.Joined[u.name] = model.NewUnits()
	r.bags[u.name] = &bagState{seen: seen{stamp: r.stamp(u.name, 0)}}
	app := r.bags[ur.remoteApp()]
	if len(r.data.Data[ur.remoteApp()]) > 0 && !(ur.peer() && u.app.leader == u) {
		ur.appDue, ur.appFirst = true, true
	} else {
		ur.app, ur.appKnown = app.seen, app.version
	}
	for _, other := range r.opposite(ur) {
		if other.entered && !other.left && ur.meets(other) {
			other.join.add(u.name)
			other.update()
			ur.join.add(other.u.name)
		}
	}
	ur.update()
}

// meets says whether two units see each other, which within a container only a
// principal and its subordinate do.
func (ur *unitRelation) meets(other *unitRelation) bool {
	if ur.u == other.u {
		return false
	}
	if ur.r.data.Scope != model.Container || ur.peer() || ur.u.m.opts.MixedContainers {
		return true
	}
	return ur.u.principal == other.u || other.u.principal == ur.u
}

// leave takes the unit out of the relation's scope.
func (ur *unitRelation) leave() {
	if ur.left {
		return
	}
	ur.left = true
	r, u := ur.r, ur.u
	r.data.Units.Remove(u.name)
	delete(r.data.Joined, u.name)
	r.remove(ur)
	if ur.entered {
		for _, other := range r.opposite(ur) {
			other.join.remove(u.name)
			if other.members.has(u.name) {
				other.change.remove(u.name)
				if !ur.peer() || !u.m.opts.SilentPeers {
					other.depart.add(u.name)
				}
			}
			other.update()
		}
	}
	ur.update()
	r.settle()
}
