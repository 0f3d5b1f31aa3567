package distributor

import (
	"context"
	"errors"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// The values that the flows of a [Driver] require and provide, under the names
// that Octavia's documentation gives them.
var (
	LoadBalancerKey = flow.NewKey[LoadBalancer]("load_balancer")
	DistributorID   = flow.NewKey[string]("distributor_id")
	VIPKey          = flow.NewKey[VIP]("vip")
	VIPAlgorithm    = flow.NewKey[Algorithm]("vip_alg")
	VIPPersistence  = flow.NewKey[Persistence]("vip_persistence")
	Amphorae        = flow.NewKey[[]Amphora]("amphorae")
)

// A Driver makes one kind of distributor. Each operation is a flow, to be run
// by itself or as part of a bigger one. The prefix makes the names of its tasks
// unique there; a flow that is used twice for different values has its keys
// renamed with [flow.Rebind].
//
// All tasks keep the rules of [flow.Task]: run again after a kill they find
// their work done, and reverted they restore what was there before the flow,
// which is not always nothing. What cannot be restored are connections that
// were cut.
//
// Removing what is not there succeeds; adding to, or draining, what is not
// there is a [*NotFoundError]. What the driver cannot do is an [*Unsupported];
// [Checker] tells before anything runs, and by its type even when a run is
// resumed.
//
// A Driver is safe for concurrent use, also by several processes on one
// machine.
type Driver interface {
	// CreateDistributor requires load_balancer and provides distributor_id,
	// the same for the same load balancer.
	CreateDistributor(prefix string) flow.Node
	// DeleteDistributor requires distributor_id. What the distributor still
	// has of VIPs and amphorae goes with it.
	DeleteDistributor(prefix string) flow.Node
	// AddVIP requires distributor_id, vip, vip_alg and vip_persistence. After
	// it, clients of the VIP are served by the amphorae that are registered.
	// A VIP of the same ID is changed, without losing connections.
	AddVIP(prefix string) flow.Node
	// RemoveVIP requires distributor_id and vip, of which only the ID counts.
	// The VIP takes no new connections; established ones may end by themselves.
	RemoveVIP(prefix string) flow.Node
	// RegisterAmphorae requires distributor_id and amphorae, which must be
	// ready for traffic. One that is draining is in service again.
	RegisterAmphorae(prefix string) flow.Node
	// DrainAmphorae requires distributor_id and amphorae. They get no new
	// connections, not from persistent clients either, while established ones
	// go on.
	DrainAmphorae(prefix string) flow.Node
	// UnregisterAmphorae requires distributor_id and amphorae. They stop
	// receiving traffic at once: established connections are cut.
	UnregisterAmphorae(prefix string) flow.Node
}

// A Checker is a [Driver] that tells beforehand what it cannot do.
type Checker interface {
	// CheckVIP returns everything that keeps the driver from serving vip so,
	// as joined [*Unsupported] errors: values that are wrong, fields that it
	// has no way to honour, ports that another VIP has.
	CheckVIP(ctx context.Context, vip VIP, alg Algorithm, persistence Persistence) error
}

// FirstSupported returns the first of the algorithms, which stand in order of
// preference, that c can serve vip with. Without any it is [AnyAlgorithm]. The
// error is that of the first one, so it names every other field as well.
func FirstSupported(ctx context.Context, c Checker, vip VIP, algorithms []Algorithm, persistence Persistence) (Algorithm, error) {
	if len(algorithms) == 0 {
		return AnyAlgorithm, c.CheckVIP(ctx, vip, AnyAlgorithm, persistence)
	}
	var first error
	for _, alg := range algorithms {
		err := c.CheckVIP(ctx, vip, alg, persistence)
		if err == nil {
			return alg, nil
		}
		if first == nil {
			first = err
		}
		if _, ok := UnsupportedFields(err)["algorithm"]; !ok {
			return alg, err
		}
	}
	return "", first
}

// A Batcher is a [Driver] that can put several operations into force at once,
// as when one hook brings many requests and each would reload a server.
type Batcher interface {
	// Batch returns the flows that build makes, in order, as one flow whose
	// changes are in force together at its end. Build uses only the driver
	// that it is given. Reverted, they are all out of force again.
	Batch(prefix string, build func(Driver) []flow.Node) flow.Node
}

// AmphoraStatus is what a driver sees of an amphora.
type AmphoraStatus struct {
	Amphora
	// Draining reports whether the amphora is to get no new connections.
	Draining bool
	// Connections is the number of connections that are open to it through
	// the distributor.
	Connections int
	// Failing is what its health checks have found, for people, while it gets no
	// traffic because of them. It is "" if they pass, if there are none, and if
	// the driver does not tell.
	Failing string
}

// A DrainReporter is a [Driver] that can tell how far draining has come, and what
// it knows of the amphorae besides.
type DrainReporter interface {
	// DrainStatus returns the amphorae of a distributor, sorted by ID.
	DrainStatus(ctx context.Context, distributorID string) ([]AmphoraStatus, error)
}

// ErrNoDrainStatus is the error of [DrainStatus] for a driver that is no
// [DrainReporter].
var ErrNoDrainStatus = errors.New("driver does not tell how far draining has come")

// DrainStatus asks d, if it is a [DrainReporter].
func DrainStatus(ctx context.Context, d Driver, distributorID string) ([]AmphoraStatus, error) {
	r, ok := d.(DrainReporter)
	if !ok {
		return nil, ErrNoDrainStatus
	}
	return r.DrainStatus(ctx, distributorID)
}
