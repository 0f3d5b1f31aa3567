package jujusim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// Relate relates two applications. Each side is "application:endpoint", or just
// "application" where only one pair of endpoints fits. Every application provides
// the endpoint juju-info, which counts where no other fits. It returns the number
// of the relation.
func (m *Model) Relate(a, b string) (int, error) {
	m.lock()
	r, err := m.integrate(a, b)
	m.unlock()
	if err != nil {
		return 0, fmt.Errorf("cannot relate %s and %s: %w", a, b, err)
	}
	m.operated("integrate %s %s", a, b)
	return r.id, nil
}

// candidates are the endpoints that a side of a relation may mean.
func (m *Model) candidates(side string) ([]model.RelationEndpoint, []model.Endpoint, error) {
	app, endpoint, named := strings.Cut(side, ":")
	a := m.applications[app]
	if a == nil || a.dying {
		return nil, nil, fmt.Errorf("there is no application %q", app)
	}
	var ends []model.RelationEndpoint
	var declared []model.Endpoint
	for _, e := range a.data.Endpoints {
		if e.Role != model.Peer && (!named || e.Name == endpoint) {
			ends = append(ends, model.RelationEndpoint{Application: app, Name: e.Name, Role: e.Role})
			declared = append(declared, e)
		}
	}
	if !named || endpoint == model.JujuInfo {
		ends = append(ends, model.RelationEndpoint{Application: app, Name: model.JujuInfo, Role: model.Provider})
		declared = append(declared, model.Endpoint{Name: model.JujuInfo, Role: model.Provider, Interface: model.JujuInfo})
	}
	if named && len(ends) == 0 {
		return nil, nil, fmt.Errorf("application %q has no endpoint %q", app, endpoint)
	}
	return ends, declared, nil
}

func (m *Model) integrate(a, b string) (*relation, error) {
	as, da, err := m.candidates(a)
	if err != nil {
		return nil, err
	}
	bs, db, err := m.candidates(b)
	if err != nil {
		return nil, err
	}
	var found []*model.Relation
	for i, x := range as {
		for j, y := range bs {
			if x.Role == y.Role || da[i].Interface != db[j].Interface || x.Application == y.Application {
				continue
			}
			scope := model.Global
			if da[i].Scope == model.Container || db[j].Scope == model.Container {
				scope = model.Container
			}
			if scope == model.Container && m.crosses(x, y) {
				return nil, errors.New("a relation within a container cannot cross models")
			}
			found = append(found, &model.Relation{Interface: da[i].Interface, Scope: scope, Endpoints: []model.RelationEndpoint{x, y}})
		}
	}
	// What everybody provides does not count beside what is declared.
	implicit := func(r *model.Relation) bool { return r.Interface == model.JujuInfo }
	if slices.ContainsFunc(found, func(r *model.Relation) bool { return !implicit(r) }) {
		found = slices.DeleteFunc(found, implicit)
	}
	switch {
	case len(found) == 0:
		return nil, errors.New("no relations found")
	case len(found) > 1:
		return nil, fmt.Errorf("ambiguous relation: %d pairs of endpoints fit", len(found))
	}
	d := found[0]
	for _, r := range m.applications[d.Endpoints[0].Application].relations {
		if !r.data.Peer() && r.data.Endpoints[0].Name != "" && sameEnds(r.data, d) {
			return nil, errors.New("relation already exists")
		}
	}
	if err := m.limits(d); err != nil {
		return nil, err
	}
	if m.crosses(d.Endpoints[0], d.Endpoints[1]) {
		// The side that consumes is known to the other by a token only.
		for i, e := range d.Endpoints {
			if m.data.Applications[e.Application].ModelName == "" || m.data.Applications[d.Endpoints[1-i].Application].ModelName != "" && e.Role == model.Requirer {
				d.Endpoints[i].Alias = fmt.Sprintf("remote-%016x%016x", m.rng.Uint64(), m.rng.Uint64())
			}
		}
	}
	r := m.relate(d)
	for _, u := range slices.Clone(m.applications[d.Endpoints[0].Application].units) {
		m.subordinates(r, u)
	}
	for _, u := range slices.Clone(m.applications[d.Endpoints[1].Application].units) {
		m.subordinates(r, u)
	}
	return r, nil
}

// crosses says whether two sides live in different models.
func (m *Model) crosses(a, b model.RelationEndpoint) bool {
	return m.data.Applications[a.Application].ModelUUID != m.data.Applications[b.Application].ModelUUID
}

// limits refuses a relation of an endpoint that takes no more of them.
func (m *Model) limits(d *model.Relation) error {
	for _, e := range d.Endpoints {
		a := m.applications[e.Application]
		declared, _ := a.charm.meta.Endpoint(e.Name)
		n := 0
		for _, r := range a.relations {
			if r.local(a.name).Name == e.Name {
				n++
			}
		}
		if declared.Limit > 0 && n >= declared.Limit {
			return fmt.Errorf("establishing a new relation for %s:%s would exceed its maximum relation limit of %d", a.name, e.Name, declared.Limit)
		}
	}
	return nil
}

func sameEnds(a, b *model.Relation) bool {
	x, y := a.Endpoints, b.Endpoints
	same := func(p, q model.RelationEndpoint) bool { return p.Application == q.Application && p.Name == q.Name }
	return same(x[0], y[0]) && same(x[1], y[1]) || same(x[0], y[1]) && same(x[1], y[0])
}

// relate makes a relation. The model is locked.
func (m *Model) relate(d *model.Relation) *relation {
	d.ID = m.nextRelation
	m.nextRelation++
	d.Status = "joining"
	d.Units, d.Joined, d.Data = model.NewUnits(), make(map[string]model.Units), make(map[string]model.Bag)
	r := &relation{m: m, id: d.ID, data: d, bags: make(map[string]*bagState), sides: make(map[string]*set[*unitRelation])}
	m.relations[r.id] = r
	m.data.Relations = append(m.data.Relations, d)
	for _, e := range d.Endpoints {
		d.Data[e.Application] = model.Bag{}
		r.bags[e.Application] = &bagState{seen{stamp: r.stamp(e.Application, 0)}}
		r.sides[e.Application] = &set[*unitRelation]{}
		m.applications[e.Application].relations = append(m.applications[e.Application].relations, r)
	}
	for _, e := range d.Endpoints {
		for _, u := range m.applications[e.Application].units {
			if !u.dying {
				r.add(u, u.running == nil && !u.installed && u.dir == "")
			}
		}
	}
	return r
}

// subordinates gives a principal unit the subordinate unit that a relation
// brings with it.
func (m *Model) subordinates(r *relation, principal *unit) {
	if r.data.Scope != model.Container || r.data.Peer() || principal.app.data.Subordinate || r.dying {
		return
	}
	sub := m.applications[r.remote(principal.app.name).Application]
	if sub == nil || !sub.data.Subordinate || sub.dying {
		return
	}
	for _, u := range principal.attached {
		if u.app == sub {
			return
		}
	}
	u := sub.addUnit(principal.machine)
	u.principal, u.data.Principal = principal, principal.name
	principal.attached = append(principal.attached, u)
	if sub.leader == nil {
		sub.elect(nil)
	}
}

// RemoveRelation begins the removal of the relation between two sides, given as
// for Relate.
func (m *Model) RemoveRelation(a, b string) error {
	m.lock()
	r, err := m.find(a, b)
	if err == nil {
		r.die()
		m.removeSubordinates(r)
	}
	m.unlock()
	if err != nil {
		return fmt.Errorf("cannot remove the relation of %s and %s: %w", a, b, err)
	}
	m.operated("remove-relation %s %s", a, b)
	return nil
}

// removeSubordinates ends the subordinate units that came with a relation.
func (m *Model) removeSubordinates(r *relation) {
	if r.data.Scope != model.Container || r.data.Peer() {
		return
	}
	for _, e := range r.data.Endpoints {
		a := m.applications[e.Application]
		if a == nil || !a.data.Subordinate {
			continue
		}
		for _, u := range slices.Clone(a.units) {
			if u.principal != nil && u.principal.app.name == r.remote(a.name).Application {
				u.die()
			}
		}
	}
}

func (m *Model) find(a, b string) (*relation, error) {
	matches := func(side string, e model.RelationEndpoint) bool {
		app, endpoint, named := strings.Cut(side, ":")
		return app == e.Application && (!named || endpoint == e.Name)
	}
	var found []*relation
	for _, id := range sortedKeys(m.relations) {
		e := m.relations[id].data.Endpoints
		if len(e) == 2 && !m.relations[id].dying && (matches(a, e[0]) && matches(b, e[1]) || matches(a, e[1]) && matches(b, e[0])) {
			found = append(found, m.relations[id])
		}
	}
	switch len(found) {
	case 0:
		return nil, errors.New("there is no such relation")
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("%d relations match", len(found))
}
