// Package trial has tests of drivers do one operation at a time.
package trial

import (
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// Run runs an operation that must succeed.
func Run(t testing.TB, n flow.Node, inputs ...flow.Value) *flow.Result {
	t.Helper()
	res, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("test", n), inputs...)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Create makes a distributor for the load balancer of that name, and returns its
// ID.
func Create(t testing.TB, d distributor.Driver, name string) string {
	t.Helper()
	id, _ := distributor.DistributorID.From(Run(t, d.CreateDistributor(""), distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: name})))
	if id == "" {
		t.Fatal("no distributor id")
	}
	return id
}

// VIP is what AddVIP is given.
func VIP(id string, v distributor.VIP, a distributor.Algorithm, p distributor.Persistence) []flow.Value {
	return []flow.Value{distributor.DistributorID.Value(id), distributor.VIPKey.Value(v),
		distributor.VIPAlgorithm.Value(a), distributor.VIPPersistence.Value(p)}
}

// Amphorae is what operations on amphorae are given.
func Amphorae(id string, as ...distributor.Amphora) []flow.Value {
	return []flow.Value{distributor.DistributorID.Value(id), distributor.Amphorae.Value(as)}
}
