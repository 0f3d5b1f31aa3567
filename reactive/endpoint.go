package reactive

import (
	"context"
	"fmt"
	"slices"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/unitdata"
)

// An Endpoint is a named end of relations. It sets flags for what happens in
// its relations, and gives access to them (Endpoint in charms.reactive's
// endpoints.py).
//
// Authors of an interface embed it and add what their interface speaks of; see
// [Endpoint.ManageFlags].
type Endpoint struct {
	charm    *Charm
	name     string
	role     charmfile.Role
	iface    string
	site     uintptr
	triggers []flags.Trigger
	appOnly  bool
	asked    map[string]bool // keys whose changed flags were asked for

	usesDeparted bool // somebody asked for departed units or their flag
	dropDeparted bool // they need not be kept otherwise
	load         []func(ctx context.Context, h *Hook) error
	manage       []func(ctx context.Context, h *Hook) error

	// In a hook:
	run       *run
	relations *KeyList[*Relation]
	all       []*Relation // also those that the hook took away
	joined    *KeyList[*Unit]
	departed  *KeyList[*Unit]
	wasJoined bool
}

// Endpoint declares the endpoint of the charm's metadata with the given name,
// role and interface. It panics, naming both places, if the charm declared it
// already.
func (c *Charm) Endpoint(name string, role charmfile.Role, iface string) *Endpoint {
	site := callSite(1)
	if was, ok := c.endpoints[name]; ok {
		panic(fmt.Sprintf("reactive: endpoint %q declared at %s was declared at %s", name, place(site), place(was.site)))
	}
	ep := &Endpoint{charm: c, name: name, role: role, iface: iface, site: site}
	c.endpoints[name] = ep
	return ep
}

// Name returns the endpoint's name.
func (ep *Endpoint) Name() string { return ep.name }

// Role returns the endpoint's role.
func (ep *Endpoint) Role() charmfile.Role { return ep.role }

// Interface returns the name of the endpoint's interface.
func (ep *Endpoint) Interface() string { return ep.iface }

// Charm returns the charm that has the endpoint.
func (ep *Endpoint) Charm() *Charm { return ep.charm }

// Flag returns the flag endpoint.NAME.suffix, for an interface's own flags
// (expand_name in the reference).
func (ep *Endpoint) Flag(suffix string) flags.Flag {
	return flags.New("endpoint." + ep.name + "." + suffix)
}

// Joined returns the flag endpoint.NAME.joined: some unit has joined a relation
// of the endpoint. It is kept in step with Juju in every hook.
func (ep *Endpoint) Joined() flags.Flag { return ep.Flag("joined") }

// Changed returns the flag endpoint.NAME.changed, or with a key
// endpoint.NAME.changed.KEY: some unit published another value. The framework
// only sets it; whoever acts on it clears it.
func (ep *Endpoint) Changed(key ...string) flags.Flag {
	if len(key) == 0 {
		return ep.Flag("changed")
	}
	if ep.asked == nil {
		ep.asked = make(map[string]bool)
	}
	ep.asked[key[0]] = true
	return ep.Flag("changed." + key[0])
}

// Departed returns the flag endpoint.NAME.departed: a unit departed. It is set
// in the -departed hook and cleared in the next hook, if there are units left;
// see [Endpoint.DepartedUnits].
func (ep *Endpoint) Departed() flags.Flag {
	ep.usesDeparted = true
	return ep.Flag("departed")
}

// Trigger adds a trigger about the endpoint's flags. It takes effect from the
// moment in which the endpoint's flags are updated at the beginning of a hook.
func (ep *Endpoint) Trigger(t flags.Trigger) { ep.triggers = append(ep.triggers, t) }

// ManageFlags calls fn at the beginning of every hook, after the endpoint's
// relations are known and its own flags are updated, so that an interface can
// keep flags of its own (manage_flags in the reference, which leaves that out
// in the hooks of others).
func (ep *Endpoint) ManageFlags(fn func(ctx context.Context, h *Hook) error) {
	ep.manage = append(ep.manage, fn)
}

// ApplicationsOnly says that the endpoint's interface speaks through the data of
// applications alone. What units publish is then not watched: the flags changed
// and departed are left to the interface, and the last departure of a relation
// does not end it.
func (ep *Endpoint) ApplicationsOnly() { ep.appOnly = true }

// OnLoad calls fn at the beginning of every hook when the endpoint's relations
// are known, before any departure is noted and any flag updated.
func (ep *Endpoint) OnLoad(fn func(ctx context.Context, h *Hook) error) {
	ep.load = append(ep.load, fn)
}

// Relations returns the endpoint's relations by ID, sorted by it as strings. It
// is empty outside hooks.
func (ep *Endpoint) Relations() *KeyList[*Relation] {
	if ep.relations == nil {
		return NewKeyList((*Relation).ID)
	}
	return ep.relations
}

// Units returns the units that have joined any of the endpoint's relations, by
// name; the same name may be there several times. They are in the order of
// their relations, and there sorted by name as strings (all_joined_units in the
// reference). It is empty outside hooks.
func (ep *Endpoint) Units() *KeyList[*Unit] {
	if ep.joined == nil {
		return NewKeyList(unitKey)
	}
	return ep.joined
}

// Received returns the merged data of all units; see [Relation.Received].
func (ep *Endpoint) Received(ctx context.Context) (*Databag, error) {
	return ep.run.combined(ctx, ep.Units())
}

// Fetch reads the data of all joined units in one go, so that asking each for
// it costs nothing more.
func (ep *Endpoint) Fetch(ctx context.Context) error { return ep.run.fetch(ctx, ep.Units()) }

// DepartedUnits returns the units that departed from the endpoint's relations,
// with the data they left, in the order in which they did. They are kept from
// hook to hook until they are removed from the list; whoever cleans up after
// them removes them (all_departed_units in the reference). Of many units that
// nobody removes, the data of those that departed longest ago is dropped. An
// endpoint of requests and responses keeps them only if it was asked for them.
func (ep *Endpoint) DepartedUnits() *KeyList[*Unit] {
	ep.usesDeparted = true
	if ep.departed == nil {
		return NewKeyList(unitKey)
	}
	return ep.departed
}

// IsJoined reports whether any unit has joined.
func (ep *Endpoint) IsJoined() bool { return ep.Units().Len() > 0 }

// storedUnit is how a departed unit is kept, in the form of the reference.
type storedUnit struct {
	Relation string            `json:"relation"`
	Unit     string            `json:"unit_name"`
	Data     map[string]string `json:"data"`
}

func (ep *Endpoint) departedKey() string { return "reactive.endpoints.departed." + ep.name }

// start readies the endpoint for a hook, once its relations are known.
func (ep *Endpoint) start(ctx context.Context) error {
	r := ep.run
	if err := ep.loadDeparted(); err != nil {
		return err
	}
	for _, fn := range ep.load {
		if err := call(ctx, fn, &Hook{r}); err != nil {
			return err
		}
	}
	for _, t := range ep.triggers {
		r.set.AddTrigger(t)
	}
	if ep.appOnly {
		r.set.Toggle(ep.Joined(), ep.IsJoined())
	} else if err := ep.watchUnits(ctx); err != nil {
		return err
	}
	for _, fn := range ep.manage {
		if err := call(ctx, fn, &Hook{r}); err != nil {
			return err
		}
	}
	return r.set.Err()
}

// watchUnits updates the endpoint's own flags from who is in its relations and
// what they publish.
func (ep *Endpoint) watchUnits(ctx context.Context) error {
	r := ep.run
	if err := ep.depart(ctx); err != nil {
		return err
	}
	ep.listUnits()
	ep.wasJoined = r.set.IsSet(ep.Joined())
	r.set.Toggle(ep.Joined(), ep.IsJoined())
	if ep.inHook("departed") {
		r.set.Set(ep.Flag("departed"))
	} else if ep.IsJoined() {
		r.set.Clear(ep.Flag("departed"))
	}
	return ep.compare(ctx)
}

// listUnits lists the units of all relations.
func (ep *Endpoint) listUnits() {
	ep.joined = NewKeyList(unitKey)
	for rel := range ep.relations.Values() {
		ep.joined.Append(rel.units.items...)
	}
}

// inHook reports whether the current hook is one of the endpoint's relations,
// of the given kind if that is not "".
func (ep *Endpoint) inHook(kind string) bool {
	got := ep.run.event.RelationHook()
	return ep.run.event.Endpoint == ep.name && got != "" && (kind == "" || got == kind)
}

func (ep *Endpoint) loadDeparted() error {
	ep.departed = NewKeyList(unitKey)
	var stored []storedUnit
	if _, err := ep.run.data.Get(ep.departedKey(), &stored); err != nil {
		return err
	}
	for _, s := range stored {
		rel, _ := ep.relations.Get(s.Relation)
		ep.departed.Append(&Unit{relation: rel, relationID: s.Relation, name: s.Unit, run: ep.run, data: NewDatabag(s.Data, false)})
	}
	return nil
}

// depart notes the unit that a -departed hook is about.
func (ep *Endpoint) depart(ctx context.Context) error {
	e := ep.run.event
	if ep.inHook("broken") && !ep.charm.compareAll {
		ep.run.data.Forget(unitdata.Bag{Relation: e.Relation, Name: e.RemoteApp})
	}
	if !ep.inHook("departed") {
		return nil
	}
	rel, ok := ep.relations.Get(e.Relation)
	if !ok {
		return nil
	}
	u := &Unit{relation: rel, relationID: e.Relation, name: e.RemoteUnit, run: ep.run}
	data, err := u.Received(ctx)
	if err != nil {
		return fmt.Errorf("cannot read what %s left in relation %s: %w", e.RemoteUnit, e.Relation, err)
	}
	u.data = data
	// Juju runs the hook again if its agent dies right after the commit.
	again := func(o *Unit) bool { return o.relationID == u.relationID && o.name == u.name }
	if i := slices.IndexFunc(ep.departed.items, again); i >= 0 && !ep.charm.compareAll {
		ep.departed.items[i] = u
	} else {
		ep.departed.Append(u)
	}
	if !ep.charm.compareAll {
		// A unit that departed does not come back under its name, so what was seen
		// of it need not be kept for ever, as the reference does.
		ep.run.data.Forget(unitdata.Bag{Relation: u.relationID, Name: u.name})
	}
	if rel.units.Len() == 0 {
		rel.gone = true
		ep.relations.Remove(rel.id)
	}
	return nil
}

// compare sets the changed flags for data that was not seen before.
func (ep *Endpoint) compare(ctx context.Context) error {
	r := ep.run
	if ep.wasJoined && !ep.inHook("") {
		return nil
	}
	if !r.charm.compareAll && ep.inHook("changed") && r.event.RemoteUnit == "" {
		if rel, ok := ep.relations.Get(r.event.Relation); ok {
			if err := ep.compareApp(ctx, rel); err != nil {
				return err
			}
		}
	}
	units := ep.joined
	if !r.charm.compareAll && ep.wasJoined {
		units = NewKeyList(unitKey)
		if rel, ok := ep.relations.Get(r.event.Relation); ok {
			if u, ok := rel.units.Get(r.event.RemoteUnit); ok {
				units.Append(u)
			}
		}
	}
	if err := r.fetch(ctx, units); err != nil {
		return err
	}
	for u := range units.Values() {
		bag, err := u.Received(ctx)
		if err != nil {
			return err
		}
		if err := ep.compareBag(ctx, unitdata.Bag{Relation: u.relationID, Name: u.name}, bag); err != nil {
			return err
		}
	}
	return nil
}

func (ep *Endpoint) compareApp(ctx context.Context, rel *Relation) error {
	bag, err := rel.ReceivedApp(ctx)
	if err != nil {
		return err
	}
	app, err := rel.Application(ctx)
	if err != nil {
		return err
	}
	return ep.compareBag(ctx, unitdata.Bag{Relation: rel.id, Name: app}, bag)
}

// maxChangedKey is how long a databag's key may be, in bytes, to get a flag of
// its own: what others publish must not exceed what a unit can keep.
const maxChangedKey = 256

func (ep *Endpoint) compareBag(ctx context.Context, id unitdata.Bag, bag *Databag) error {
	r := ep.run
	seen, err := r.data.Seen(ctx, id)
	if err != nil {
		return err
	}
	if seen.Len()+bag.Len() > unitdata.MaxSeen {
		// Of keys that are gone much may be remembered; make room.
		seen = seen.Clone()
		r.data.Forget(id)
	}
	bag.sums(func(key, canonical string) {
		sum := unitdata.SumOf(canonical)
		changed := !seen.Same(key, sum)
		r.data.Note(id, key, sum)
		if changed {
			ep.setChanged(key)
		}
	})
	return nil
}

// maxChanged is how many flags changed.KEY there may be of keys that the charm
// did not ask for.
const maxChanged = 500

// setChanged sets the flags for a value that changed. Nobody can wait for the
// flag of a key that was never asked for, but it is kept as in the reference, up
// to a bound: what others publish must not fill what the unit can keep.
func (ep *Endpoint) setChanged(key string) {
	r := ep.run
	r.set.Set(ep.Flag("changed"))
	f := ep.Flag("changed." + key)
	if !r.charm.compareAll && !ep.asked[key] && !r.set.IsSet(f) {
		prefix := flagPrefix + ep.Flag("changed").String() + "."
		if len(key) > maxChangedKey || len(r.data.Keys(prefix)) >= maxChanged {
			return
		}
	}
	r.set.Set(f)
}

// Bounds of what is kept of departed units, for an endpoint.
const (
	maxDeparted      = 1000
	maxDepartedBytes = 256 << 10
)

// finish stores what is kept of the endpoint.
func (ep *Endpoint) finish() error {
	if ep.departed.Len() == 0 || ep.dropDeparted && !ep.usesDeparted && !ep.charm.compareAll {
		ep.run.data.Unset(ep.departedKey())
		return nil
	}
	var stored []storedUnit
	room := maxDepartedBytes
	for _, u := range slices.Backward(ep.departed.items) {
		s := storedUnit{u.relationID, u.name, u.data.Map()}
		for key, value := range s.Data {
			room -= len(key) + len(value)
		}
		if room < 0 && !ep.charm.compareAll {
			s.Data = map[string]string{}
		}
		stored = append(stored, s)
	}
	if room < 0 && !ep.charm.compareAll {
		stored = stored[:min(len(stored), maxDeparted)]
		ep.run.log.Warn("of the units that departed longest ago the data is dropped; is anybody going to clear them?", "endpoint", ep.name)
	}
	slices.Reverse(stored)
	return ep.run.data.Set(ep.departedKey(), stored)
}
