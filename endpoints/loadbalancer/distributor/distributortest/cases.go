package distributortest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

func (w *world) testNames() {
	for _, op := range []struct {
		name              string
		build             func(string) flow.Node
		requires, provide string
	}{
		{"CreateDistributor", w.Driver.CreateDistributor, "load_balancer", "distributor_id"},
		{"DeleteDistributor", w.Driver.DeleteDistributor, "distributor_id", ""},
		{"AddVIP", w.Driver.AddVIP, "distributor_id vip vip_alg vip_persistence", ""},
		{"RemoveVIP", w.Driver.RemoveVIP, "distributor_id vip", ""},
		{"RegisterAmphorae", w.Driver.RegisterAmphorae, "amphorae distributor_id", ""},
		{"DrainAmphorae", w.Driver.DrainAmphorae, "amphorae distributor_id", ""},
		{"UnregisterAmphorae", w.Driver.UnregisterAmphorae, "amphorae distributor_id", ""},
	} {
		n := op.build("p-")
		if n == nil {
			w.t.Errorf("%s gives no flow", op.name)
			continue
		}
		if got := strings.Join(flow.Requires(n), " "); got != op.requires {
			w.t.Errorf("%s requires %q, want %q", op.name, got, op.requires)
		}
		for _, name := range strings.Fields(op.provide) {
			if !slices.Contains(flow.Provides(n), name) {
				w.t.Errorf("%s does not provide %q", op.name, name)
			}
		}
	}
}

func (w *world) testCreate() {
	one, again, other := w.create("one"), w.create("one"), w.create("two")
	if one != again {
		w.t.Errorf("the same load balancer got distributors %s and %s", one, again)
	}
	if one == other {
		w.t.Errorf("two load balancers share the distributor %s", one)
	}
	w.do(w.Driver.DeleteDistributor(""), distributor.DistributorID.Value(one))
	if got := w.inventory(one); got != "gone" && got != "unknown" {
		w.t.Errorf("after its deletion the distributor has [%s]", got)
	}
	if w.inventory(other) == "gone" {
		w.t.Error("deleting a distributor took another one along")
	}
}

func (w *world) testTwice() {
	keys := func(i int) (flow.Key[distributor.LoadBalancer], flow.Key[string]) {
		return flow.NewKey[distributor.LoadBalancer](fmt.Sprint("lb", i)), flow.NewKey[string](fmt.Sprint("id", i))
	}
	var nodes []flow.Node
	var inputs []flow.Value
	for i := range 2 {
		lb, id := keys(i)
		n := flow.Rebind(flow.Rebind(w.Driver.CreateDistributor(fmt.Sprint(i, "-")), distributor.LoadBalancerKey, lb), distributor.DistributorID, id)
		nodes = append(nodes, n)
		inputs = append(inputs, lb.Value(distributor.LoadBalancer{ID: fmt.Sprint("lb", i)}))
	}
	res := w.do(flow.Unordered("both", nodes...), inputs...)
	_, k0 := keys(0)
	_, k1 := keys(1)
	a, _ := k0.From(res)
	b, _ := k1.From(res)
	if a == "" || b == "" || a == b {
		w.t.Errorf("the distributors are %q and %q", a, b)
	}
}

func (w *world) testAgain() {
	w.serve()
	id := w.create("lb")
	for range 2 {
		w.addVIP(id, w.vip())
	}
	for range 2 {
		w.register(id, 0, 1)
		w.wantInventory(id, w.items(0, 1))
	}
	w.wantReached(frontPort, 0, 1)
	for range 2 {
		w.drain(id, 0)
		w.wantInventory(id, w.items(0)+" draining, "+w.items(1))
	}
	w.wantReached(frontPort, 1)
	for range 2 {
		w.unregister(id, 0)
		w.wantInventory(id, w.items(1))
	}
	w.wantReached(frontPort, 1)
	for range 2 {
		w.do(w.Driver.RemoveVIP(""), vipInputs(id, w.vip())[:2]...)
	}
	w.wantRefused(frontPort)
	for range 2 {
		w.do(w.Driver.DeleteDistributor(""), distributor.DistributorID.Value(id))
	}
}

func (w *world) testUnknown() {
	const nobody = "00000000-0000-4000-8000-000000000000"
	wantMissing := func(what, kind string, err error) {
		w.t.Helper()
		var missing *distributor.NotFoundError
		if !errors.As(err, &missing) || missing.Kind != kind {
			w.t.Errorf("%s: %v, want a NotFoundError of a %s", what, err, kind)
		}
	}
	wantMissing("AddVIP", "distributor", w.fail(w.Driver.AddVIP(""), vipInputs(nobody, w.vip())...))
	wantMissing("RegisterAmphorae", "distributor", w.fail(w.Driver.RegisterAmphorae(""), trial.Amphorae(nobody, w.amphorae(0)...)...))
	wantMissing("DrainAmphorae", "distributor", w.fail(w.Driver.DrainAmphorae(""), trial.Amphorae(nobody, w.amphorae(0)...)...))
	id := w.create("lb")
	w.register(id, 0)
	wantMissing("DrainAmphorae", "amphora", w.fail(w.Driver.DrainAmphorae(""), trial.Amphorae(id, w.amphorae(0, 1)...)...))
	w.wantInventory(id, w.items(0))
	w.unregister(id, 1)
	w.unregister(nobody, 0)
	w.do(w.Driver.RemoveVIP(""), vipInputs(id, w.vip())[:2]...)
	w.do(w.Driver.RemoveVIP(""), vipInputs(nobody, w.vip())[:2]...)
	w.do(w.Driver.DeleteDistributor(""), distributor.DistributorID.Value(nobody))
	w.wantInventory(id, w.items(0))
}

func (w *world) testRefuses() {
	id := w.create("lb")
	w.addVIP(id, w.vip())
	w.register(id, 0)
	type change struct {
		field  string
		change func(*distributor.VIP)
	}
	for _, c := range []change{
		{"protocol", func(v *distributor.VIP) { v.Protocol = "tcp\nbind *:1" }},
		{"port_mapping", func(v *distributor.VIP) { v.Ports = nil }},
		{"port_mapping", func(v *distributor.VIP) { v.Ports = []distributor.PortMapping{{Front: 80}} }},
		{"port_mapping", func(v *distributor.VIP) { v.ID = "other" }},
		{"ingress_address", func(v *distributor.VIP) { v.Address = netip.Addr{} }},
		{"id", func(v *distributor.VIP) { v.ID = "../etc/passwd" }},
		{"id", func(v *distributor.VIP) { v.ID = "x\n  server evil" }},
		{"health_checks", func(v *distributor.VIP) {
			v.HealthChecks = []distributor.HealthCheck{{Protocol: "http", Port: 80, Path: "/x\nserver", Interval: time.Second, Retries: 1}}
		}},
		{"tls_key", func(v *distributor.VIP) {
			v.Protocol = distributor.HTTPS
			v.TLS = &distributor.TLS{Certificate: "x"}
		}},
	} {
		v := w.vip()
		c.change(&v)
		err := w.fail(w.Driver.AddVIP(""), vipInputs(id, v)...)
		if _, ok := distributor.UnsupportedFields(err)[c.field]; !ok {
			w.t.Errorf("a VIP with a bad %s: %v", c.field, err)
		}
		if ch, ok := w.Driver.(distributor.Checker); ok {
			err := ch.CheckVIP(w.ctx, v, distributor.AnyAlgorithm, distributor.NoPersistence)
			if _, ok := distributor.UnsupportedFields(err)[c.field]; !ok {
				w.t.Errorf("CheckVIP of a VIP with a bad %s: %v", c.field, err)
			}
		}
	}
	for _, a := range []distributor.Amphora{
		{ID: "a\nb", Address: w.Amphorae[0]}, {ID: "a1"}, {ID: "", Address: w.Amphorae[0]},
		{ID: "a1", Address: netip.IPv4Unspecified()}, {ID: "a1", Address: w.Amphorae[0], Position: -1},
	} {
		err := w.fail(w.Driver.RegisterAmphorae(""), trial.Amphorae(id, a)...)
		if _, ok := distributor.UnsupportedFields(err)["backends"]; !ok {
			w.t.Errorf("amphora %+v: %v", a, err)
		}
	}
	w.wantInventory(id, w.items(0))
	// The driver may have algorithms of its own, but it must know which it has
	// not.
	v := w.vip()
	err := w.fail(w.Driver.AddVIP(""), distributor.DistributorID.Value(id), distributor.VIPKey.Value(v),
		distributor.VIPAlgorithm.Value("no such"), distributor.VIPPersistence.Value("neither"))
	fields := distributor.UnsupportedFields(err)
	if fields["algorithm"] == "" || fields["sticky"] == "" {
		w.t.Errorf("an unknown algorithm and persistence: %v", err)
	}
}

func (w *world) testCancelled() {
	id := w.create("lb")
	w.addVIP(id, w.vip())
	w.register(id, 0, 1)
	was := w.inventory(id)
	for _, op := range w.operations(id) {
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		if _, err := new(flow.Runner).Run(ctx, "run", w.flow(op.node), op.inputs...); !errors.Is(err, context.Canceled) {
			w.t.Errorf("%s before it began: %v", op.name, err)
		}
		// The context that ends under a running flow reaches the driver's
		// own tasks.
		ctx, cancel = context.WithCancel(w.ctx)
		stop := &flow.Task{Name: "stop", Execute: func(context.Context, *flow.Data) error { cancel(); return nil }}
		if _, err := new(flow.Runner).Run(ctx, "run", flow.Linear("f", stop, op.node), op.inputs...); !errors.Is(err, context.Canceled) {
			w.t.Errorf("%s: %v", op.name, err)
		}
		if got := w.inventory(id); got != was {
			w.t.Errorf("%s with a cancelled context left [%s] of [%s]", op.name, got, was)
		}
	}
	if _, err := distributor.DrainStatus(w.ctx, w.Driver, id); err == nil {
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		if _, err := distributor.DrainStatus(ctx, w.Driver, id); !errors.Is(err, context.Canceled) {
			w.t.Errorf("DrainStatus with a cancelled context: %v", err)
		}
	}
}

// operation is an operation on a distributor that has a VIP and the amphorae 0
// and 1.
type operation struct {
	name   string
	node   flow.Node
	inputs []flow.Value
	// after is the inventory that it leaves, and reached the amphorae that new
	// connections lead to, nil for none.
	after   string
	reached []int
}

// operationNames are the names of the operations, in their order.
var operationNames = []string{"create-distributor", "delete-distributor", "add-vip", "remove-vip",
	"register-amphorae", "drain-amphorae", "unregister-amphorae"}

// operations returns the operations on the distributor id.
func (w *world) operations(id string) []operation {
	did := distributor.DistributorID.Value(id)
	other := w.vip()
	other.Ports = []distributor.PortMapping{{Front: otherFrontPort, Back: backPort}}
	other.ID = "other"
	both := w.items(0, 1)
	ops := []operation{
		{"", w.Driver.CreateDistributor(""), []flow.Value{distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "second"})}, both, []int{0, 1}},
		{"", w.Driver.DeleteDistributor(""), []flow.Value{did}, "gone", nil},
		{"", w.Driver.AddVIP(""), vipInputs(id, other), both, []int{0, 1}},
		{"", w.Driver.RemoveVIP(""), vipInputs(id, w.vip())[:2], both, nil},
		{"", w.Driver.RegisterAmphorae(""), trial.Amphorae(id, w.amphorae(1, 2)...), w.items(0, 1, 2), []int{0, 1, 2}},
		{"", w.Driver.DrainAmphorae(""), trial.Amphorae(id, w.amphorae(1)...), w.items(0, 1) + " draining", []int{0}},
		{"", w.Driver.UnregisterAmphorae(""), trial.Amphorae(id, w.amphorae(1)...), w.items(0), []int{0}},
	}
	for i := range ops {
		ops[i].name = operationNames[i]
	}
	return ops
}

var errRevert = errors.New("the flow is to be reverted")

func failing() flow.Node {
	return &flow.Task{Name: "fail", Execute: func(context.Context, *flow.Data) error { return errRevert }}
}

func (w *world) testRevert() {
	w.serve()
	id := w.create("lb")
	w.addVIP(id, w.vip())
	w.register(id, 0, 1)
	was := w.inventory(id)
	for _, op := range w.operations(id) {
		if err := w.fail(flow.Linear("and back", op.node, failing()), op.inputs...); !errors.Is(err, errRevert) {
			w.t.Errorf("%s: %v", op.name, err)
		}
		if got := w.inventory(id); got != was {
			w.t.Errorf("%s reverted left [%s] of [%s]", op.name, got, was)
		}
		w.wantReached(frontPort, 0, 1)
		w.wantRefused(otherFrontPort)
		if w.t.Failed() {
			w.t.Fatalf("after %s", op.name)
		}
	}
	// What is there already is not taken away by undoing what asks for it.
	for _, op := range []operation{
		{name: "create-distributor", node: w.Driver.CreateDistributor(""), inputs: []flow.Value{distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "lb"})}},
		{name: "add-vip", node: w.Driver.AddVIP(""), inputs: vipInputs(id, w.vip())},
		{name: "register-amphorae", node: w.Driver.RegisterAmphorae(""), inputs: trial.Amphorae(id, w.amphorae(0)...)},
	} {
		if err := w.fail(flow.Linear("and back", op.node, failing()), op.inputs...); !errors.Is(err, errRevert) {
			w.t.Errorf("%s: %v", op.name, err)
		}
		if got := w.inventory(id); got != was {
			w.t.Errorf("%s reverted took away what was there: [%s] of [%s]", op.name, got, was)
		}
		w.wantReached(frontPort, 0, 1)
	}
}

func (w *world) testConcurrent() {
	var group sync.WaitGroup
	ids := make([]string, 4)
	for i := range ids {
		group.Go(func() {
			res, err := new(flow.Runner).Run(w.ctx, "run", w.flow(flow.Linear("both", w.Driver.CreateDistributor(""), w.Driver.RegisterAmphorae(""))),
				distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: fmt.Sprint("lb", i)}), distributor.Amphorae.Value(w.amphorae(i%3)))
			if err != nil {
				w.t.Error(err)
				return
			}
			ids[i], _ = distributor.DistributorID.From(res)
		})
	}
	group.Wait()
	if w.t.Failed() {
		return
	}
	for i, id := range ids {
		w.wantInventory(id, w.items(i%3))
	}
}

func (w *world) testBatch() {
	b, ok := w.Driver.(distributor.Batcher)
	if !ok {
		w.t.Skip("the driver has no batches")
	}
	w.serve()
	build := func(d distributor.Driver) []flow.Node {
		return []flow.Node{d.CreateDistributor(""), d.AddVIP(""), d.RegisterAmphorae("")}
	}
	inputs := []flow.Value{distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "lb"}), distributor.VIPKey.Value(w.vip()),
		distributor.VIPAlgorithm.Value(distributor.AnyAlgorithm), distributor.VIPPersistence.Value(distributor.NoPersistence),
		distributor.Amphorae.Value(w.amphorae(0, 1))}
	if err := w.fail(flow.Linear("and back", b.Batch("", build), failing()), inputs...); !errors.Is(err, errRevert) {
		w.t.Fatal(err)
	}
	w.wantRefused(frontPort)
	res := w.do(b.Batch("", build), inputs...)
	id, _ := distributor.DistributorID.From(res)
	w.wantInventory(id, w.items(0, 1))
	w.wantReached(frontPort, 0, 1)
}
