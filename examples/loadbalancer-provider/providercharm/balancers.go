package providercharm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// The names of runs begin with what they do.
const (
	applyRun  = "apply."
	deleteRun = "delete."
	drainRun  = "drain."
)

// maxWait is how long a hook waits for connections to end. What is left the next
// hooks take up.
const maxWait = 3 * time.Second

// balancers brings the load balancers of a driver in line with what is wanted.
type balancers struct {
	driver       Driver
	runner       *flow.Runner
	drainTimeout time.Duration
	log          *slog.Logger
	waitUntil    time.Time
}

// waiting returns a context for a flow that waits for connections to end. All of
// a hook together wait for maxWait, and each long enough to begin.
func (b *balancers) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	now := time.Now()
	if b.waitUntil.IsZero() {
		b.waitUntil = now.Add(maxWait)
	}
	until := b.waitUntil
	if least := now.Add(maxWait / 10); until.Before(least) {
		until = least
	}
	return context.WithDeadline(ctx, until)
}

// flow returns the flow of a run. It depends on the run's name alone, so that a
// later hook can take it up.
func (b *balancers) flow(run string) *flow.Flow {
	switch {
	case strings.HasPrefix(run, applyRun):
		return flow.Linear("apply", b.driver.CreateDistributor(""), b.driver.AddVIP(""), b.driver.RegisterAmphorae(""))
	case strings.HasPrefix(run, deleteRun):
		return flow.Linear("delete", b.driver.RemoveVIP(""), b.driver.DeleteDistributor(""))
	case strings.HasPrefix(run, drainRun):
		return flow.Linear("drain", distributor.DrainThenUnregister("", b.driver,
			distributor.DrainOptions{Timeout: b.drainTimeout, Poll: 100 * time.Millisecond}))
	}
	return nil
}

// run runs a flow, and forgets it once it is over. One that is suspended is no
// error: a later hook goes on with it.
func (b *balancers) run(ctx context.Context, name string, inputs ...flow.Value) error {
	err := unlocked(ctx, func() error {
		_, err := b.runner.Run(ctx, name, b.flow(name), inputs...)
		return err
	})
	return b.over(ctx, name, err)
}

// unlocked does something with a run again as long as another process has it:
// that of a hook that was killed may not have ended yet.
func unlocked(ctx context.Context, do func() error) error {
	for end := time.Now().Add(10 * time.Second); ; {
		err := do()
		if !errors.Is(err, flow.ErrLocked) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// over forgets a run that is over; err is what it ended with.
func (b *balancers) over(ctx context.Context, name string, err error) error {
	var suspended *flow.SuspendedError
	var stuck *flow.RevertFailedError
	switch {
	case errors.As(err, &suspended):
		return ctx.Err()
	case errors.As(err, &stuck):
		return err
	}
	return errors.Join(err, unlocked(ctx, func() error { return b.runner.Forget(name) }))
}

// resume takes up what earlier hooks left. A run that failed was undone; what it
// was for is found to be missing later, and tried again.
func (b *balancers) resume(ctx context.Context) error {
	runs, err := b.runner.Runs()
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.Err != nil {
			// What it has done the driver knows; what is missing is made anew.
			b.log.Error("a change that an earlier hook began is given up", "run", run.Name, "reason", run.Err.Error())
			if err := unlocked(ctx, func() error { return b.runner.Forget(run.Name) }); err != nil {
				return err
			}
			continue
		}
		f := b.flow(run.Name)
		if f == nil {
			continue
		}
		waiting, cancel := ctx, context.CancelFunc(func() {})
		if strings.HasPrefix(run.Name, drainRun) {
			waiting, cancel = b.waiting(ctx)
		}
		err := unlocked(waiting, func() error {
			_, err := b.runner.Resume(waiting, run.Name, f)
			return err
		})
		cancel()
		if errors.Is(err, flow.ErrNoRun) {
			continue // the hook that was being killed came to its end
		}
		if err := b.over(ctx, run.Name, err); err != nil {
			if ctx.Err() != nil {
				return err
			}
			b.log.Warn("a change that an earlier hook began was undone", "run", run.Name, "reason", err.Error())
		}
	}
	return nil
}

// find returns the distributor of a load balancer, nil if there is none.
func find(state *converge.State, id string) *converge.Distributor {
	for _, d := range state.Distributors {
		if d.LoadBalancer.ID == id {
			return d
		}
	}
	return nil
}

// apply makes a load balancer, or changes it, and drains what it no longer has.
func (b *balancers) apply(ctx context.Context, w wanted) error {
	state, err := b.driver.State(ctx)
	if err != nil {
		return err
	}
	have := find(state, w.LoadBalancer.ID)
	if have == nil || differs(have, w) {
		for _, a := range w.Amphorae {
			if err := b.release(ctx, drainRun+w.LoadBalancer.ID+"."+a.ID); err != nil {
				return err
			}
		}
		err := b.run(ctx, applyRun+w.LoadBalancer.ID,
			distributor.LoadBalancerKey.Value(w.LoadBalancer), distributor.VIPKey.Value(w.VIP),
			distributor.VIPAlgorithm.Value(w.Algorithm), distributor.VIPPersistence.Value(w.Persistence),
			distributor.Amphorae.Value(w.Amphorae))
		if err != nil {
			return err
		}
	}
	if have == nil {
		return nil
	}
	return b.drain(ctx, have, w)
}

// differs reports whether something is missing from what there is.
func differs(have *converge.Distributor, w wanted) bool {
	vip := have.VIPs[w.VIP.ID]
	if vip == nil || vip.Algorithm != w.Algorithm || vip.Persistence != w.Persistence || !same(vip.VIP, w.VIP) {
		return true
	}
	return slices.ContainsFunc(w.Amphorae, func(a distributor.Amphora) bool {
		is := have.Amphorae[a.ID]
		return is == nil || is.Draining || is.Amphora != a
	})
}

// same compares VIPs. Private keys are encoded as their digests.
func same(a, b distributor.VIP) bool {
	x, err1 := json.Marshal(a.Canonical())
	y, err2 := json.Marshal(b.Canonical())
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// drain takes amphorae out of service that are no longer wanted.
func (b *balancers) drain(ctx context.Context, have *converge.Distributor, w wanted) error {
	for _, id := range slices.Sorted(maps.Keys(have.Amphorae)) {
		a := have.Amphorae[id].Amphora
		if slices.ContainsFunc(w.Amphorae, func(o distributor.Amphora) bool { return o.ID == id }) {
			continue
		}
		name := drainRun + w.LoadBalancer.ID + "." + id
		waiting, cancel := b.waiting(ctx)
		err := unlocked(waiting, func() error {
			_, err := b.runner.Run(waiting, name, b.flow(name),
				distributor.DistributorID.Value(have.ID), distributor.Amphorae.Value([]distributor.Amphora{a}))
			return err
		})
		cancel()
		if err := b.over(ctx, name, err); err != nil {
			return err
		}
	}
	return nil
}

// release gives up draining: what was to depart is wanted again.
func (b *balancers) release(ctx context.Context, name string) error {
	err := unlocked(ctx, func() error {
		_, err := b.runner.Revert(ctx, name, b.flow(name), errors.New("the backend is wanted again"))
		return err
	})
	if errors.Is(err, flow.ErrNoRun) {
		return nil
	}
	return b.over(ctx, name, err)
}

// remove takes a load balancer away.
func (b *balancers) remove(ctx context.Context, d *converge.Distributor) error {
	id := d.LoadBalancer.ID
	for amphora := range d.Amphorae {
		if err := b.release(ctx, drainRun+id+"."+amphora); err != nil {
			return err
		}
	}
	if err := b.run(ctx, deleteRun+id, distributor.DistributorID.Value(d.ID), distributor.VIPKey.Value(distributor.VIP{ID: id})); err != nil {
		return fmt.Errorf("cannot remove load balancer %s: %w", id, err)
	}
	return nil
}

// removeAll takes every load balancer away, and ends what served them.
func (b *balancers) removeAll(ctx context.Context) error {
	if err := b.resume(ctx); err != nil {
		return err
	}
	state, err := b.driver.State(ctx)
	if err != nil {
		return err
	}
	for _, d := range state.Sorted() {
		err = errors.Join(err, b.remove(ctx, d))
	}
	if err != nil {
		return err
	}
	return b.driver.Stop(ctx)
}

// look tells of the load balancers which backends they wait for, and which load
// balancers have backends of which none passes its health checks.
func (b *balancers) look(ctx context.Context, state *converge.State) (draining, failing []string, err error) {
	for _, d := range state.Sorted() {
		status, err := distributor.DrainStatus(ctx, b.driver, d.ID)
		if err != nil {
			return nil, nil, err
		}
		works, why := false, ""
		for _, s := range status {
			switch {
			case s.Draining:
				draining = append(draining, fmt.Sprintf("%s (connections: %d)", s.Address, s.Connections))
			case s.Failing == "":
				works = true
			default:
				why = fmt.Sprintf("%s: %s", s.Address, s.Failing)
			}
		}
		if !works && why != "" {
			b.log.Warn("no backend passes its health checks", "load_balancer", d.LoadBalancer.Name, "last", why)
			failing = append(failing, fmt.Sprintf("%s (%s)", d.LoadBalancer.Name, why))
		}
	}
	return draining, failing, nil
}

// few joins the first ones of a list.
func few(list []string) string {
	const most = 3
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
