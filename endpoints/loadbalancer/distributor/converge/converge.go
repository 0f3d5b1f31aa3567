// Package converge makes a [distributor.Driver] out of a [Backend] that can
// bring a machine into a wanted state.
//
// The driver keeps one document of everything that it has been asked for. Each
// operation changes the document and has the backend converge: compare what is
// there with what is wanted, and do what is missing. So a task that runs again
// after a kill finds the document changed and finishes the rest, and a task that
// is reverted puts back the part of the document that it found and converges
// once more.
//
// A backend has three methods:
//
//	// hardware is a load balancer whose whole configuration is sent to it.
//	type hardware struct{ send func(config string) error }
//
//	func (h *hardware) CheckVIP(v distributor.VIP, _ distributor.Algorithm, _ distributor.Persistence) error {
//		if v.Protocol != distributor.TCP {
//			return &distributor.Unsupported{Field: "protocol", Reason: "supported: tcp"}
//		}
//		return nil
//	}
//
//	func (h *hardware) Converge(_ context.Context, want *converge.State) error {
//		var config strings.Builder
//		for _, d := range want.Sorted() {
//			for _, v := range d.SortedVIPs() {
//				for _, a := range d.InService() {
//					fmt.Fprintln(&config, v.Address, v.Ports[0].Front, "to", a.Address, v.Ports[0].Back)
//				}
//			}
//		}
//		return h.send(config.String())
//	}
//
//	func (h *hardware) Connections(context.Context, *converge.Distributor) (map[string]int, error) {
//		return nil, nil // it cannot count them
//	}
//
//	func NewDriver(dir string, send func(config string) error) distributor.Driver {
//		return converge.New(dir, &hardware{send})
//	}
package converge

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
)

// A Backend drives the machinery of one kind of distributor. The driver calls
// Converge and Connections one at a time, over all processes that share its
// directory.
type Backend interface {
	// CheckVIP returns what keeps the backend from serving the VIP so, as
	// joined [*distributor.Unsupported]. The VIP itself is valid.
	CheckVIP(distributor.VIP, distributor.Algorithm, distributor.Persistence) error
	// Converge brings the machine into the state want, from whatever state it
	// is in, one that an earlier call was killed in included. It cuts the
	// connections that want.Cuts names. Finding nothing to do, it
	// disturbs nothing. It does not change want.
	Converge(ctx context.Context, want *State) error
	// Connections counts the connections that are open to the amphorae of d,
	// by ID; absent ones have none.
	Connections(ctx context.Context, d *Distributor) (map[string]int, error)
}

// A HealthReporter is a [Backend] that tells what health checks have found.
type HealthReporter interface {
	// Failing says of the amphorae of d that get no traffic because they fail a
	// check why that is, by ID. It is called as Connections is.
	Failing(ctx context.Context, d *Distributor) (map[string]string, error)
}

// Driver is a [distributor.Driver], [distributor.Checker],
// [distributor.DrainReporter] and [distributor.Batcher]. New makes one.
type Driver struct {
	store    *store
	backend  Backend
	deferred bool
}

var (
	_ distributor.Driver        = (*Driver)(nil)
	_ distributor.Checker       = (*Driver)(nil)
	_ distributor.DrainReporter = (*Driver)(nil)
	_ distributor.Batcher       = (*Driver)(nil)
)

// New returns a driver that keeps its state in dir, a directory of its own that
// is made when it is missing. With "" the state is kept in memory, which no
// other process shares and no kill survives.
func New(dir string, b Backend) *Driver { return &Driver{store: newStore(dir), backend: b} }

// State returns everything that the driver has been asked for.
func (d *Driver) State(ctx context.Context) (*State, error) {
	unlock, err := d.store.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read the driver's state: %w", err)
	}
	defer unlock()
	return d.store.load()
}

// Converge has the backend make true what the driver has been asked for, as
// when a machine has started.
func (d *Driver) Converge(ctx context.Context) error {
	return d.edit(ctx, func(*State) error { return nil }, true)
}

// edit changes the state and, unless another task will, the world.
func (d *Driver) edit(ctx context.Context, change func(*State) error, apply bool) error {
	unlock, err := d.store.lock(ctx)
	if err != nil {
		return fmt.Errorf("cannot lock the driver's state: %w", err)
	}
	defer unlock()
	st, err := d.store.load()
	if err != nil {
		return err
	}
	if err := change(st); err != nil {
		return err
	}
	if err := d.store.save(ctx, st); err != nil {
		return err
	}
	if !apply {
		return nil
	}
	probe.Hit(ctx, "converge: before")
	if err := d.backend.Converge(ctx, st); err != nil {
		return err
	}
	probe.Hit(ctx, "converge: after")
	if len(st.Cuts) == 0 {
		return nil
	}
	st.Cuts = nil
	return d.store.save(ctx, st)
}

// operation returns the two tasks of an operation: the first notes what the
// second will have to restore.
func (d *Driver) operation(prefix, name string, requires, provides []flow.AnyKey,
	look func(*State, *flow.Data) (before, error),
	do func(*State, *flow.Data) error,
	undo func(*State, *flow.Data, before) error) flow.Node {
	was := flow.NewKey[before](prefix + name + " before")
	return flow.Linear(prefix+name,
		&flow.Task{Name: prefix + "look-before-" + name, Requires: requires, Provides: flow.Keys(was),
			Execute: func(ctx context.Context, data *flow.Data) error {
				st, err := d.State(ctx)
				if err != nil {
					return err
				}
				b, err := look(st, data)
				if err == nil {
					was.Set(data, b)
				}
				return err
			}},
		&flow.Task{Name: prefix + name, Requires: append(slices.Clone(requires), was), Provides: provides,
			Execute: func(ctx context.Context, data *flow.Data) error {
				return d.edit(ctx, func(st *State) error { return do(st, data) }, !d.deferred)
			},
			Revert: func(ctx context.Context, data *flow.Data) error {
				return d.edit(ctx, func(st *State) error { return undo(st, data, was.Get(data)) }, !d.deferred)
			}})
}

// CreateDistributor implements [distributor.Driver].
func (d *Driver) CreateDistributor(prefix string) flow.Node {
	return d.operation(prefix, "create-distributor", flow.Keys(distributor.LoadBalancerKey), flow.Keys(distributor.DistributorID),
		func(st *State, data *flow.Data) (before, error) {
			lb := distributor.LoadBalancerKey.Get(data)
			return before{Distributor: st.byLoadBalancer(lb.ID)}, lb.Validate()
		},
		func(st *State, data *flow.Data) error {
			lb := distributor.LoadBalancerKey.Get(data)
			have := st.byLoadBalancer(lb.ID)
			if have == nil {
				have = &Distributor{ID: uuid.NewString(), VIPs: map[string]*VIP{}, Amphorae: map[string]*Amphora{}}
				st.Distributors[have.ID] = have
			}
			have.LoadBalancer = lb
			distributor.DistributorID.Set(data, have.ID)
			return nil
		},
		func(st *State, data *flow.Data, was before) error {
			have := st.byLoadBalancer(distributor.LoadBalancerKey.Get(data).ID)
			switch {
			case have == nil:
			case was.Distributor == nil:
				delete(st.Distributors, have.ID)
			default:
				have.LoadBalancer = was.Distributor.LoadBalancer
			}
			return nil
		})
}

// DeleteDistributor implements [distributor.Driver].
func (d *Driver) DeleteDistributor(prefix string) flow.Node {
	return d.operation(prefix, "delete-distributor", flow.Keys(distributor.DistributorID), nil,
		func(st *State, data *flow.Data) (before, error) {
			return before{Distributor: st.Distributors[distributor.DistributorID.Get(data)]}, nil
		},
		func(st *State, data *flow.Data) error {
			delete(st.Distributors, distributor.DistributorID.Get(data))
			return nil
		},
		func(st *State, data *flow.Data, was before) error {
			if was.Distributor != nil {
				st.Distributors[was.Distributor.ID] = was.Distributor
			}
			return nil
		})
}

// AddVIP implements [distributor.Driver].
func (d *Driver) AddVIP(prefix string) flow.Node {
	return d.operation(prefix, "add-vip",
		flow.Keys(distributor.DistributorID, distributor.VIPKey, distributor.VIPAlgorithm, distributor.VIPPersistence), nil,
		func(st *State, data *flow.Data) (before, error) {
			dist, err := st.find(distributor.DistributorID.Get(data))
			if err != nil {
				return before{}, err
			}
			v := distributor.VIPKey.Get(data)
			if err := d.check(st, v, distributor.VIPAlgorithm.Get(data), distributor.VIPPersistence.Get(data)); err != nil {
				return before{}, err
			}
			for _, other := range st.Sorted() {
				if other.VIPs[v.ID] != nil && other != dist {
					return before{}, &distributor.Unsupported{Field: "id", Reason: fmt.Sprintf("VIP %q is one of distributor %s", v.ID, other.ID)}
				}
			}
			return before{VIP: dist.VIPs[v.ID]}, nil
		},
		func(st *State, data *flow.Data) error {
			dist, err := st.find(distributor.DistributorID.Get(data))
			if err != nil {
				return err
			}
			v := VIP{distributor.VIPKey.Get(data).Canonical(), distributor.VIPAlgorithm.Get(data), distributor.VIPPersistence.Get(data)}
			if err := d.check(st, v.VIP, v.Algorithm, v.Persistence); err != nil {
				return err
			}
			dist.VIPs[v.ID] = &v
			return nil
		},
		restoreVIP)
}

// RemoveVIP implements [distributor.Driver].
func (d *Driver) RemoveVIP(prefix string) flow.Node {
	return d.operation(prefix, "remove-vip", flow.Keys(distributor.DistributorID, distributor.VIPKey), nil,
		func(st *State, data *flow.Data) (before, error) {
			if dist := st.Distributors[distributor.DistributorID.Get(data)]; dist != nil {
				return before{VIP: dist.VIPs[distributor.VIPKey.Get(data).ID]}, nil
			}
			return before{}, nil
		},
		func(st *State, data *flow.Data) error {
			if dist := st.Distributors[distributor.DistributorID.Get(data)]; dist != nil {
				delete(dist.VIPs, distributor.VIPKey.Get(data).ID)
			}
			return nil
		},
		restoreVIP)
}

func restoreVIP(st *State, data *flow.Data, was before) error {
	dist := st.Distributors[distributor.DistributorID.Get(data)]
	switch {
	case dist == nil:
	case was.VIP == nil:
		delete(dist.VIPs, distributor.VIPKey.Get(data).ID)
	default:
		dist.VIPs[was.VIP.ID] = was.VIP
	}
	return nil
}

// RegisterAmphorae implements [distributor.Driver].
func (d *Driver) RegisterAmphorae(prefix string) flow.Node {
	return d.members(prefix, "register-amphorae", func(st *State, dist *Distributor, amphorae []distributor.Amphora) error {
		for _, a := range amphorae {
			if was := dist.Amphorae[a.ID]; was != nil && was.Address != a.Address {
				// What was open to the old address leads nowhere.
				st.cut(dist.ID, was.Amphora)
			}
			dist.Amphorae[a.ID] = &Amphora{Amphora: a}
			st.Cuts = slices.DeleteFunc(st.Cuts, func(c Cut) bool { return c.Distributor == dist.ID && c.Amphora == a })
		}
		return dist.checkPositions()
	})
}

// DrainAmphorae implements [distributor.Driver].
func (d *Driver) DrainAmphorae(prefix string) flow.Node {
	return d.members(prefix, "drain-amphorae", func(_ *State, dist *Distributor, amphorae []distributor.Amphora) error {
		for _, a := range amphorae {
			have := dist.Amphorae[a.ID]
			if have == nil {
				return &distributor.NotFoundError{Kind: "amphora", ID: a.ID}
			}
			have.Draining = true
		}
		return nil
	})
}

// UnregisterAmphorae implements [distributor.Driver].
func (d *Driver) UnregisterAmphorae(prefix string) flow.Node {
	return d.members(prefix, "unregister-amphorae", func(st *State, dist *Distributor, amphorae []distributor.Amphora) error {
		for _, a := range amphorae {
			if have := dist.Amphorae[a.ID]; have != nil {
				st.cut(dist.ID, have.Amphora)
				delete(dist.Amphorae, a.ID)
			}
		}
		return nil
	})
}

// members is an operation on amphorae. Only unregistering does without the
// distributor.
func (d *Driver) members(prefix, name string, do func(*State, *Distributor, []distributor.Amphora) error) flow.Node {
	removing := name == "unregister-amphorae"
	return d.operation(prefix, name, flow.Keys(distributor.DistributorID, distributor.Amphorae), nil,
		func(st *State, data *flow.Data) (before, error) {
			dist, err := st.find(distributor.DistributorID.Get(data))
			if err != nil && removing {
				return before{}, nil
			}
			if err != nil {
				return before{}, err
			}
			b := before{Amphorae: map[string]*Amphora{}}
			for _, a := range distributor.Amphorae.Get(data) {
				if !removing {
					if err := a.Validate(); err != nil {
						return before{}, err
					}
				}
				if name == "drain-amphorae" && dist.Amphorae[a.ID] == nil {
					return before{}, &distributor.NotFoundError{Kind: "amphora", ID: a.ID}
				}
				b.Amphorae[a.ID] = dist.Amphorae[a.ID]
			}
			return b, nil
		},
		func(st *State, data *flow.Data) error {
			dist, err := st.find(distributor.DistributorID.Get(data))
			if err != nil && removing {
				return nil
			}
			if err != nil {
				return err
			}
			return do(st, dist, distributor.Amphorae.Get(data))
		},
		func(st *State, data *flow.Data, was before) error {
			dist := st.Distributors[distributor.DistributorID.Get(data)]
			if dist == nil {
				return nil
			}
			for id, a := range was.Amphorae {
				if have := dist.Amphorae[id]; have != nil && (a == nil || a.Address != have.Address) {
					st.cut(dist.ID, have.Amphora)
				}
				if a == nil {
					delete(dist.Amphorae, id)
					continue
				}
				dist.Amphorae[id] = a
				st.Cuts = slices.DeleteFunc(st.Cuts, func(c Cut) bool { return c.Distributor == dist.ID && c.Amphora == a.Amphora })
			}
			return nil
		})
}

func (s *State) cut(distributorID string, a distributor.Amphora) {
	c := Cut{distributorID, a}
	if !slices.Contains(s.Cuts, c) {
		s.Cuts = append(s.Cuts, c)
	}
}

func (s *State) find(id string) (*Distributor, error) {
	if d := s.Distributors[id]; d != nil {
		return d, nil
	}
	return nil, &distributor.NotFoundError{Kind: "distributor", ID: id}
}

func (d *Distributor) checkPositions() error {
	at := map[int]string{}
	for _, a := range d.SortedAmphorae() {
		if other, ok := at[a.Position]; ok && a.Position != 0 {
			return &distributor.Unsupported{Field: "backends", Reason: fmt.Sprintf("%s and %s have the same position %d", other, a.ID, a.Position)}
		}
		at[a.Position] = a.ID
	}
	return nil
}

// CheckVIP implements [distributor.Checker].
func (d *Driver) CheckVIP(ctx context.Context, v distributor.VIP, alg distributor.Algorithm, p distributor.Persistence) error {
	st, err := d.State(ctx)
	if err != nil {
		return err
	}
	return d.check(st, v, alg, p)
}

func (d *Driver) check(st *State, v distributor.VIP, alg distributor.Algorithm, p distributor.Persistence) error {
	errs := []error{v.Validate(), d.backend.CheckVIP(v, alg, p)}
	if other, port := st.conflict(v); other != "" {
		errs = append(errs, &distributor.Unsupported{Field: "port_mapping",
			Reason: fmt.Sprintf("port %d of %s is used by another load balancer", port, v.Address)})
	}
	return errors.Join(errs...)
}

// DrainStatus implements [distributor.DrainReporter].
func (d *Driver) DrainStatus(ctx context.Context, id string) ([]distributor.AmphoraStatus, error) {
	unlock, err := d.store.lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read the driver's state: %w", err)
	}
	defer unlock()
	st, err := d.store.load()
	if err != nil {
		return nil, err
	}
	dist, err := st.find(id)
	if err != nil {
		return nil, err
	}
	open, err := d.backend.Connections(ctx, dist)
	if err != nil {
		return nil, fmt.Errorf("cannot count the connections of distributor %s: %w", id, err)
	}
	failing := map[string]string{}
	if r, ok := d.backend.(HealthReporter); ok {
		if failing, err = r.Failing(ctx, dist); err != nil {
			return nil, fmt.Errorf("cannot see the health of distributor %s: %w", id, err)
		}
	}
	var status []distributor.AmphoraStatus
	for _, a := range dist.SortedAmphorae() {
		status = append(status, distributor.AmphoraStatus{Amphora: a.Amphora, Draining: a.Draining, Connections: open[a.ID], Failing: failing[a.ID]})
	}
	return status, nil
}

// Batch implements [distributor.Batcher].
func (d *Driver) Batch(prefix string, build func(distributor.Driver) []flow.Node) flow.Node {
	inner := &Driver{store: d.store, backend: d.backend, deferred: true}
	if d.deferred {
		return flow.Linear(prefix+"batch", build(inner)...)
	}
	// Tasks are reverted last first, so what undoes the effect stands before
	// those that undo the wish.
	nodes := []flow.Node{&flow.Task{Name: prefix + "begin-batch", Revert: func(ctx context.Context, _ *flow.Data) error {
		return d.Converge(ctx)
	}}}
	nodes = append(nodes, build(inner)...)
	nodes = append(nodes, &flow.Task{Name: prefix + "apply-batch", Execute: func(ctx context.Context, _ *flow.Data) error {
		return d.Converge(ctx)
	}})
	return flow.Linear(prefix+"batch", nodes...)
}
