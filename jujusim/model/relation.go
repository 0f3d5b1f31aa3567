package model

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Bag is the data of one unit or application in one relation.
type Bag map[string]string

// Units is a set of unit names. Its JSON is a sorted list.
type Units map[string]struct{}

// NewUnits makes a set of the names.
func NewUnits(names ...string) Units {
	u := make(Units, len(names))
	for _, n := range names {
		u[n] = struct{}{}
	}
	return u
}

// Has reports whether the unit is in the set.
func (u Units) Has(unit string) bool {
	_, ok := u[unit]
	return ok
}

// Add puts a unit into the set, which must not be nil.
func (u Units) Add(unit string) { u[unit] = struct{}{} }

// Remove takes a unit out of the set.
func (u Units) Remove(unit string) { delete(u, unit) }

// Sorted are the names in the order of their text, which is the order of
// relation-list: "db/10" comes before "db/2".
func (u Units) Sorted() []string { return slices.Sorted(maps.Keys(u)) }

// MarshalJSON writes the sorted list.
func (u Units) MarshalJSON() ([]byte, error) {
	names := u.Sorted()
	if names == nil {
		names = []string{}
	}
	return json.Marshal(names)
}

// UnmarshalJSON reads a list of names.
func (u *Units) UnmarshalJSON(data []byte) error {
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return err
	}
	*u = NewUnits(names...)
	return nil
}

// SortUnits sorts unit names by application and number, in place, and returns
// them.
func SortUnits(names []string) []string {
	slices.SortFunc(names, func(a, b string) int {
		aa, an, _ := strings.Cut(a, "/")
		ba, bn, _ := strings.Cut(b, "/")
		if c := strings.Compare(aa, ba); c != 0 {
			return c
		}
		ai, aerr := strconv.Atoi(an)
		bi, berr := strconv.Atoi(bn)
		if aerr != nil || berr != nil {
			return strings.Compare(an, bn)
		}
		return ai - bi
	})
	return names
}

// A Relation is one relation between the endpoints of two applications, or of
// an application with itself (a peer relation).
type Relation struct {
	// ID is the number in "db:1".
	ID        int    `json:"id"`
	Interface string `json:"interface"`
	// Life is Alive or Dying; empty means alive.
	Life string `json:"life"`
	// Scope is Global or Container; empty means global. In a container-scoped
	// relation a unit meets only its principal and its subordinates.
	Scope string `json:"scope,omitempty"`
	// Status is joining, joined, broken, suspending or suspended; goal-state
	// shows it. Empty means joined.
	Status string `json:"status,omitempty"`
	// Endpoints are one (peer) or two.
	Endpoints []RelationEndpoint `json:"endpoints"`
	// Units are the units of all sides that have entered its scope.
	Units Units `json:"units"`
	// Joined are, for a unit, the remote units whose relation-joined hook it
	// has run, less those whose relation-departed it has. A unit without an
	// entry has joined all those in scope, and running these hooks does not
	// change that: a simulation makes an empty entry when a unit enters.
	Joined map[string]Units `json:"joined"`
	// Data are the bags by unit or application name. A name without an entry
	// has no bag, and reading the bag of such a unit is an error.
	Data map[string]Bag `json:"data"`
}

// A RelationEndpoint is one side of a relation.
type RelationEndpoint struct {
	Application string `json:"application"`
	Name        string `json:"name"`
	// Role is Provider, Requirer or Peer.
	Role string `json:"role"`
	// Alias is the name under which the other side sees the application and
	// its units, as across models: the name of the offer as consumed, or
	// "remote-" and a token. Empty means its own name.
	Alias string `json:"alias,omitempty"`
}

// Peer reports whether it is a peer relation.
func (r *Relation) Peer() bool {
	return len(r.Endpoints) == 1 || len(r.Endpoints) > 0 && r.Endpoints[0].Role == Peer
}

// Local is the relation's endpoint of that unit or application.
func (r *Relation) Local(name string) (RelationEndpoint, bool) {
	app := ApplicationOf(name)
	for _, e := range r.Endpoints {
		if e.Application == app {
			return e, true
		}
	}
	return RelationEndpoint{}, false
}

// Remote is the endpoint opposite that unit or application; in a peer relation
// it is its own.
func (r *Relation) Remote(name string) (RelationEndpoint, bool) {
	local, ok := r.Local(name)
	if !ok || len(r.Endpoints) == 1 {
		return local, ok
	}
	for _, e := range r.Endpoints {
		if e != local {
			return e, true
		}
	}
	return local, true
}

// RelationID is the relation's id as that unit's tools print it: "db:1".
func (r *Relation) RelationID(unit string) string {
	local, _ := r.Local(unit)
	return local.Name + ":" + strconv.Itoa(r.ID)
}

// Seen translates the name of a unit or application of the relation into what
// viewer sees, which differs only across models.
func (r *Relation) Seen(viewer, name string) string {
	return r.translate(viewer, name, func(e RelationEndpoint) (string, string) { return e.Application, e.Alias })
}

// Actual is the opposite of Seen.
func (r *Relation) Actual(viewer, name string) string {
	return r.translate(viewer, name, func(e RelationEndpoint) (string, string) { return e.Alias, e.Application })
}

func (r *Relation) translate(viewer, name string, ends func(RelationEndpoint) (from, to string)) string {
	remote, ok := r.Remote(viewer)
	if !ok || remote.Alias == "" {
		return name
	}
	from, to := ends(remote)
	app, number, unit := strings.Cut(name, "/")
	switch {
	case app != from:
		return name
	case unit:
		return to + "/" + number
	}
	return to
}

// InScope reports whether a unit and another can meet in the relation: they are
// on opposite sides (or peers), both have entered its scope, and, in a
// container-scoped relation, one is the principal of the other.
func (r *Relation) InScope(m *Model, unit, other string) bool {
	return unit != other && r.Units.Has(unit) && r.Units.Has(other) && r.opposite(m, unit, other)
}

func (r *Relation) opposite(m *Model, unit, other string) bool {
	remote, ok := r.Remote(unit)
	if !ok || ApplicationOf(other) != remote.Application {
		return false
	}
	if r.Scope != Container || r.Peer() {
		return true
	}
	u, o := m.Unit(unit), m.Unit(other)
	return u != nil && u.Principal == other || o != nil && o.Principal == unit
}

// RemoteUnits are the units that unit can meet in the relation, in the order of
// relation-list, whether or not it has joined them.
func (r *Relation) RemoteUnits(m *Model, unit string) []string {
	var names []string
	for name := range r.Units {
		if name != unit && r.opposite(m, unit, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Members are the units that the unit's relation-list shows: those it has
// joined.
func (r *Relation) Members(m *Model, unit string) []string {
	if joined, ok := r.Joined[unit]; ok {
		return joined.Sorted()
	}
	return r.RemoteUnits(m, unit)
}

// IsMember reports whether Members has the other unit.
func (r *Relation) IsMember(m *Model, unit, other string) bool {
	if joined, ok := r.Joined[unit]; ok {
		return joined.Has(other)
	}
	return r.InScope(m, unit, other)
}

// SetJoined says that the unit has run its relation-joined hook of the other
// one, or its relation-departed.
func (r *Relation) SetJoined(m *Model, unit, other string, joined bool) {
	set, ok := r.Joined[unit]
	if !ok {
		set = NewUnits(r.RemoteUnits(m, unit)...)
		if r.Joined == nil {
			r.Joined = make(map[string]Units)
		}
		r.Joined[unit] = set
	}
	if joined {
		set.Add(other)
	} else {
		set.Remove(other)
	}
}

// Enter puts a unit into the relation's scope, with the addresses that Juju
// writes into its bag and nobody joined. Entering again changes nothing.
func (r *Relation) Enter(m *Model, unit string) {
	if r.Units.Has(unit) {
		return
	}
	if r.Units == nil {
		r.Units = make(Units)
	}
	r.Units.Add(unit)
	if r.Joined == nil {
		r.Joined = make(map[string]Units)
	}
	r.Joined[unit] = make(Units)
	bag := Bag{}
	if u := m.Unit(unit); u != nil && u.Address != "" {
		bag["ingress-address"] = u.Address
		bag["egress-subnets"] = u.Address + "/32"
		if strings.Contains(u.Address, ":") {
			bag["egress-subnets"] = u.Address + "/128"
		}
		if !m.Juju4() {
			bag["private-address"] = u.Address
		}
	}
	if r.Data == nil {
		r.Data = make(map[string]Bag)
	}
	r.Data[unit] = bag
}

// Leave takes a unit out of the relation's scope. Its bag stays, and those who
// have joined it keep it until they run relation-departed.
func (r *Relation) Leave(unit string) {
	r.Units.Remove(unit)
	delete(r.Joined, unit)
}
