package jujusim

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"

	"github.com/charmed-go/charms/jujusim/model"
)

// A relation is one relation and how far its data has been announced.
type relation struct {
	m     *Model
	id    int
	data  *model.Relation
	dying bool
	bags  map[string]*bagState
	// sides are the units' parts by application.
	sides map[string]*set[*unitRelation]
}

// bagState is the committed state of a bag.
type bagState struct{ seen }

func (r *relation) local(app string) model.RelationEndpoint {
	e, _ := r.data.Local(app)
	return e
}

func (r *relation) remote(app string) model.RelationEndpoint {
	e, _ := r.data.Remote(app)
	return e
}

// opposite are the parts of the units on the other side, or of all peers.
func (r *relation) opposite(ur *unitRelation) []*unitRelation {
	return r.sides[ur.remoteApp()].list
}

// add gives a unit its part in the relation.
func (r *relation) add(u *unit, known bool) {
	ur := &unitRelation{u: u, r: r, known: known, seen: make(map[string]*member)}
	u.relations = append(u.relations, ur)
	r.sides[u.app.name].add(ur)
	ur.update()
}

func (r *relation) remove(ur *unitRelation) { r.sides[ur.u.app.name].remove(ur) }

// stamp identifies the content of a bag as a unit agent tells two apart: Juju 3
// by the number of the commit, Juju 4 by the content.
func (r *relation) stamp(owner string, version int) uint64 {
	if !r.m.data.Juju4() {
		return uint64(version)
	}
	return stampOf(r.data.Data[owner])
}

func stampOf(bag map[string]string) uint64 {
	h := fnv.New64a()
	for _, key := range slices.Sorted(maps.Keys(bag)) {
		fmt.Fprintf(h, "%d:%s%d:%s", len(key), key, len(bag[key]), bag[key])
	}
	return h.Sum64()
}

// commit notes that a bag has a new content, which writer wrote, and tells
// those who have to be told.
func (r *relation) commit(owner string, writer *unit) {
	bag := r.bags[owner]
	if bag == nil {
		return
	}
	bag.version++
	bag.stamp = r.stamp(owner, bag.version)
	if owner == writer.name {
		mine := writer.relation(r.id)
		for _, other := range r.opposite(mine) {
			if seen := other.seen[owner]; seen != nil && other.members.has(owner) && !other.depart.has(owner) {
				other.change.put(owner, seen.stamp != bag.stamp)
				other.update()
			}
		}
		return
	}
	for _, other := range r.sides[r.remote(owner).Application].list {
		if other.u == writer {
			other.app, other.appKnown = bag.seen, bag.version
			other.appDue, other.appFirst = false, false
		} else if other.entered {
			other.appDue = other.app.stamp != bag.stamp
			other.appFirst = other.appFirst && other.appDue
		}
		other.update()
	}
}

// die begins the end of the relation.
func (r *relation) die() {
	if r.dying {
		return
	}
	r.dying = true
	r.data.Life = model.Dying
	for _, side := range r.sides {
		for _, ur := range slices.Clone(side.list) {
			ur.end()
		}
	}
	r.settle()
}

// end takes note that the relation ends for the unit. A unit that has not seen
// it created just leaves.
func (ur *unitRelation) end() {
	u := ur.u
	seeing := u.running != nil && u.running.hook.Relation == ur.r.id || u.stuck != nil && u.stuck.hook.Relation == ur.r.id
	if !ur.created && !seeing {
		ur.leave()
		return
	}
	ur.join = set[string]{}
	ur.update()
}

// settle removes the relation once it is dying and everybody has left.
func (r *relation) settle() {
	if !r.dying || r.m.relations[r.id] == nil {
		return
	}
	for _, side := range r.sides {
		if side.len() > 0 {
			return
		}
	}
	m := r.m
	delete(m.relations, r.id)
	m.data.Relations = slices.DeleteFunc(m.data.Relations, func(d *model.Relation) bool { return d.ID == r.id })
	for _, s := range m.data.Secrets {
		s.Grants = slices.DeleteFunc(s.Grants, func(g model.SecretGrant) bool { return g.Relation == r.id })
	}
	for _, e := range r.data.Endpoints {
		if a := m.applications[e.Application]; a != nil {
			a.relations = slices.DeleteFunc(a.relations, func(o *relation) bool { return o == r })
			a.settle()
		}
	}
}

// key is the relation as juju status shows it: "web:db db:server".
func (r *relation) key() string {
	text := ""
	for i, e := range r.data.Endpoints {
		if i > 0 {
			text += " "
		}
		text += e.Application + ":" + e.Name
	}
	return text
}
