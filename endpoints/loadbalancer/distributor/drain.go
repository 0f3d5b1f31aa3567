package distributor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// DrainResult is what came of waiting for amphorae to drain.
type DrainResult struct {
	// Open are the connections that were still open, by amphora, when the time
	// was over. It is empty if all had ended.
	Open map[string]int `json:"open,omitempty"`
	// Unknown reports that the driver could not tell, so that the whole time
	// was waited.
	Unknown bool `json:"unknown,omitempty"`
}

// DrainResultKey is the value that [DrainThenUnregister] provides.
var DrainResultKey = flow.NewKey[DrainResult]("drain_result")

// DrainOptions bound a drain.
type DrainOptions struct {
	// Timeout is how long connections may go on, counted from the first time
	// the flow gets there, kills and suspensions included. 0 does not wait.
	Timeout time.Duration
	// Poll is the time between two looks; 0 means one second.
	Poll time.Duration
	// Progress, if set, is told what each look has seen.
	Progress func([]AmphoraStatus)
}

// DrainThenUnregister returns the flow that takes amphorae out of service
// gently: drained, waited for until their connections have ended or the time is
// over, and unregistered, which cuts what is left. It requires distributor_id
// and amphorae and provides drain_result.
//
// A hook should not wait for long: when its context ends while the flow waits,
// the run is suspended, and the next hook goes on with it.
func DrainThenUnregister(prefix string, d Driver, o DrainOptions) flow.Node {
	since := flow.NewKey[time.Time](prefix + "drain_since")
	return flow.Linear(prefix+"drain-then-unregister",
		d.DrainAmphorae(prefix),
		&flow.Task{Name: prefix + "note-drain", Provides: flow.Keys(since),
			Execute: func(_ context.Context, data *flow.Data) error {
				since.Set(data, time.Now().UTC())
				return nil
			}},
		&flow.Task{Name: prefix + "wait-for-drain",
			Requires: flow.Keys(since, DistributorID, Amphorae), Provides: flow.Keys(DrainResultKey),
			Execute: func(ctx context.Context, data *flow.Data) error {
				r, err := o.wait(ctx, d, DistributorID.Get(data), Amphorae.Get(data), since.Get(data).Add(o.Timeout))
				if err == nil {
					DrainResultKey.Set(data, r)
				}
				return err
			}},
		d.UnregisterAmphorae(prefix))
}

// wait looks until nothing is open or the deadline has passed.
func (o DrainOptions) wait(ctx context.Context, d Driver, id string, amphorae []Amphora, deadline time.Time) (DrainResult, error) {
	poll := o.Poll
	if poll <= 0 {
		poll = time.Second
	}
	for {
		status, err := DrainStatus(ctx, d, id)
		unknown := errors.Is(err, ErrNoDrainStatus)
		if err != nil && !unknown {
			return DrainResult{}, err
		}
		open := map[string]int{}
		for _, s := range status {
			if s.Connections > 0 && slices.ContainsFunc(amphorae, func(a Amphora) bool { return a.ID == s.ID }) {
				open[s.ID] = s.Connections
			}
		}
		if o.Progress != nil && !unknown {
			o.Progress(status)
		}
		left := time.Until(deadline)
		if (len(open) == 0 && !unknown) || left <= 0 {
			return DrainResult{Open: maps.Clone(open), Unknown: unknown}, nil
		}
		timer := time.NewTimer(min(poll, left))
		select {
		case <-ctx.Done():
			timer.Stop()
			return DrainResult{}, ctx.Err()
		case <-timer.C:
		}
	}
}
