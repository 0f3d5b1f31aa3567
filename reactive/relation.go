package reactive

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/charmed-go/charms/charmfile"
)

// A Relation is one relation of an endpoint, as a hook sees it (Relation in
// charms.reactive's endpoints.py).
type Relation struct {
	run      *run
	endpoint *Endpoint
	id       string
	units    *KeyList[*Unit]
	app      string // the remote application, once it is known
	local    *Databag
	localApp *Databag
	gone     bool
	follower bool // ToPublishApp was called without a Leader
}

// ID returns the relation's ID, such as "db:1".
func (r *Relation) ID() string { return r.id }

// Number returns the number in the relation's ID.
func (r *Relation) Number() int {
	n, _ := strconv.Atoi(r.id[strings.LastIndexByte(r.id, ':')+1:])
	return n
}

// Endpoint returns the endpoint to which the relation belongs.
func (r *Relation) Endpoint() *Endpoint { return r.endpoint }

// Units returns the remote units that have joined and not departed, sorted by
// name as strings, as the reference does. In a -departed hook the departing
// unit is not among them.
func (r *Relation) Units() *KeyList[*Unit] { return r.units }

// Broken reports whether this is the relation's -broken hook, after which it is
// gone: nothing that is published in it will be seen.
func (r *Relation) Broken() bool {
	return r.run.event.RelationHook() == "broken" && r.run.event.Relation == r.id
}

// Application returns the name of the remote application; of a peer relation,
// that of the local one. Where no unit has joined yet it asks Juju.
func (r *Relation) Application(ctx context.Context) (string, error) {
	switch {
	case r.app != "":
	case r.endpoint.role == charmfile.Peer:
		r.app = applicationOf(r.run.unit)
	case r.units.Len() > 0:
		r.app = applicationOf(r.units.At(0).name)
	case r.run.event.Relation == r.id && r.run.event.RemoteApp != "":
		r.app = r.run.event.RemoteApp
	default:
		app, err := r.run.tools.RelationApplication(ctx, r.id)
		if err != nil {
			return "", err
		}
		r.app = app
	}
	return r.app, nil
}

// Received returns the merged data of all units that have joined: of several
// units that have a key, the first in order counts, even if its value is empty
// (joined_units.received in the reference). Where units may publish different
// values, look at the units one by one instead.
func (r *Relation) Received(ctx context.Context) (*Databag, error) {
	return r.run.combined(ctx, r.units)
}

// ReceivedApp returns the databag of the remote application, or in a peer
// relation that of the local one.
func (r *Relation) ReceivedApp(ctx context.Context) (*Databag, error) {
	app, err := r.Application(ctx)
	if err != nil {
		return nil, err
	}
	data, err := r.run.readApp(ctx, r.id, app)
	if err != nil {
		return nil, err
	}
	return NewDatabag(data, false), nil
}

// ToPublish returns this unit's databag of the relation, to be read and written.
// What is written is published at the end of the hook, if it differs from what
// is published already (to_publish and to_publish_raw in the reference).
func (r *Relation) ToPublish(ctx context.Context) (*Databag, error) {
	if r.local == nil {
		data, err := r.run.readUnit(ctx, r.id, r.run.unit)
		if err != nil {
			return nil, err
		}
		r.local = NewDatabag(data, true)
	}
	return r.local, nil
}

// ToPublishApp is ToPublish for the databag of the local application, which only
// the leader can write (to_publish_app in the reference). Without a Leader, such
// as on a follower, for which [Hook.Leader] returns nil, what is written fails the
// hook at its end.
func (r *Relation) ToPublishApp(ctx context.Context, leader *Leader) (*Databag, error) {
	r.follower = r.follower || leader == nil
	if r.localApp == nil {
		data, err := r.run.readApp(ctx, r.id, applicationOf(r.run.unit))
		if err != nil {
			return nil, err
		}
		r.localApp = NewDatabag(data, true)
	}
	return r.localApp, nil
}

// A Unit is a remote unit in a relation, joined or departed.
type Unit struct {
	relation   *Relation // nil if the relation is gone
	relationID string
	name       string
	run        *run
	data       *Databag // of a departed unit, as it left it
}

// Name returns the unit's name, such as "mysql/0".
func (u *Unit) Name() string { return u.name }

// Application returns the name of the unit's application.
func (u *Unit) Application() string { return applicationOf(u.name) }

// RelationID returns the ID of the relation in which the unit is or was.
func (u *Unit) RelationID() string { return u.relationID }

// Relation returns the relation in which the unit is, or nil if it departed
// from one that is gone.
func (u *Unit) Relation() *Relation { return u.relation }

// Received returns what the unit publishes. For a departed unit it is what the
// unit had published when it departed. It can only be read.
func (u *Unit) Received(ctx context.Context) (*Databag, error) {
	if u.data != nil {
		return u.data, nil
	}
	data, err := u.run.readUnit(ctx, u.relationID, u.name)
	if err != nil {
		return nil, err
	}
	return NewDatabag(data, false), nil
}

func unitKey(u *Unit) string { return u.name }

// applicationOf returns the application of a unit.
func applicationOf(unit string) string {
	app, _, _ := strings.Cut(unit, "/")
	return app
}

// bagID names a databag: of a unit, or of an application.
type bagID struct {
	relation, name string
	app            bool
}

func (r *run) readUnit(ctx context.Context, relation, unit string) (map[string]string, error) {
	return r.read(ctx, bagID{relation, unit, false})
}

func (r *run) readApp(ctx context.Context, relation, app string) (map[string]string, error) {
	return r.read(ctx, bagID{relation, app, true})
}

// read returns a databag, which is read once in a hook.
func (r *run) read(ctx context.Context, id bagID) (map[string]string, error) {
	r.bagsMu.Lock()
	bag := r.bags[id]
	if bag == nil {
		bag = &readBag{}
		r.bags[id] = bag
	}
	r.bagsMu.Unlock()
	bag.mu.Lock()
	defer bag.mu.Unlock()
	if bag.data != nil {
		return bag.data, nil
	}
	var err error
	if id.app {
		bag.data, err = r.tools.RelationGetApp(ctx, id.relation, id.name)
	} else {
		bag.data, err = r.tools.RelationGet(ctx, id.relation, id.name)
	}
	if err == nil && bag.data == nil {
		bag.data = map[string]string{}
	}
	return bag.data, err
}

// readBag is a databag that was read, or is being read.
type readBag struct {
	mu   sync.Mutex
	data map[string]string // nil until it is read
}

// fetch reads the databags of many units, in one go where the transport can.
func (r *run) fetch(ctx context.Context, units *KeyList[*Unit]) error {
	return parallel(ctx, units.Len(), func(ctx context.Context, i int) error {
		_, err := units.At(i).Received(ctx)
		return err
	})
}

// combined merges the data of units.
func (r *run) combined(ctx context.Context, units *KeyList[*Unit]) (*Databag, error) {
	if err := r.fetch(ctx, units); err != nil {
		return nil, err
	}
	merged := make(map[string]string)
	var order []string
	for u := range units.Values() {
		bag, err := u.Received(ctx)
		if err != nil {
			return nil, err
		}
		for _, key := range bag.order {
			if _, ok := merged[key]; !ok {
				merged[key] = bag.data[key]
				order = append(order, key)
			}
		}
	}
	return &Databag{data: merged, order: order}, nil
}

// loadRelations reads which relations the endpoints have and who is in them.
func (r *run) loadRelations(ctx context.Context) error {
	endpoints := r.endpoints
	err := parallel(ctx, len(endpoints), func(ctx context.Context, i int) error {
		ids, err := r.tools.RelationIDs(ctx, endpoints[i].name)
		if err != nil {
			return err
		}
		slices.Sort(ids)
		for _, id := range ids {
			rel := &Relation{run: r, endpoint: endpoints[i], id: id, units: NewKeyList(unitKey)}
			endpoints[i].relations.Append(rel)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var all []*Relation
	for _, ep := range endpoints {
		all = append(all, ep.relations.items...)
	}
	err = parallel(ctx, len(all), func(ctx context.Context, i int) error {
		rel := all[i]
		names, err := r.tools.RelationList(ctx, rel.id)
		if err != nil {
			return err
		}
		slices.Sort(names)
		for _, name := range names {
			rel.units.Append(&Unit{relation: rel, relationID: rel.id, name: name, run: r})
		}
		return nil
	})
	for _, ep := range endpoints {
		ep.all = slices.Clone(ep.relations.items)
		ep.listUnits()
	}
	return err
}

// publish writes what handlers published and is not published yet.
func (r *run) publish(ctx context.Context) error {
	for _, ep := range slices.Backward(r.endpoints) {
		for _, rel := range slices.Backward(ep.all) {
			if rel.gone {
				continue
			}
			if err := rel.publish(ctx); err != nil {
				return fmt.Errorf("endpoint %q: %w", ep.name, err)
			}
		}
	}
	return nil
}

func (r *Relation) publish(ctx context.Context) error {
	if r.local != nil {
		if changes := r.local.changes(); len(changes) > 0 {
			if err := r.run.tools.RelationSet(ctx, r.id, changes); err != nil {
				return err
			}
		}
	}
	if r.localApp != nil {
		if changes := r.localApp.changes(); len(changes) > 0 {
			err := r.run.tools.RelationSetApp(ctx, r.id, changes)
			if err != nil && r.follower {
				return fmt.Errorf("%w: only the leader can, and ToPublishApp was given none", err)
			}
			return err
		}
	}
	return nil
}
