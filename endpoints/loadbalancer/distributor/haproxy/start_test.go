package haproxy_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/load"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/need"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// TestStart: an HAProxy that does not run is started when there is something to
// serve, also after it has died, with everything that it served.
func TestStart(t *testing.T) {
	t.Parallel()
	need.Program(t, "haproxy", "haproxy")
	dir := t.TempDir()
	vip, addrs := loopback(dir)
	sockets := filepath.Join(os.TempDir(), "lb-"+vip.String())
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sockets) })
	o := haproxy.Options{Dir: dir, PeerAddress: netip.AddrPortFrom(vip, 20000),
		MasterSocket: filepath.Join(sockets, "m"), StatsSocket: filepath.Join(sockets, "s")}
	load.Serve(t, netip.AddrPortFrom(addrs[0], 29090).String(), "a0")
	web := distributor.VIP{ID: "web", Address: vip, Protocol: distributor.HTTP, Ports: []distributor.PortMapping{{Front: 28080, Back: 29090}}}

	idle := haproxy.New(o)
	id := trial.Create(t, idle, "web")
	_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", idle.AddVIP("")), trial.VIP(id, web, "", "")...)
	if err == nil || !strings.Contains(err.Error(), "it does not run") {
		t.Errorf("AddVIP without HAProxy = %v", err)
	}

	started := 0
	var process *haproxy.Process
	stop := func() {
		t.Helper()
		if process != nil {
			if err := process.Stop(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	withStart := o
	withStart.Start = func(ctx context.Context) (err error) {
		started++
		process, err = haproxy.Launch(ctx, o)
		return err
	}
	d := haproxy.New(withStart)
	trial.Run(t, d.RegisterAmphorae(""), trial.Amphorae(id, distributor.Amphora{ID: "a0", Address: addrs[0]})...)
	addVIP(t, d, id, web, "", "")
	s := &site{t: t, o: o, d: d, id: id, vip: vip, addrs: addrs}
	if got := s.seen(3, s.url("http", 28080)); got["a0"] != 3 || started != 1 {
		t.Errorf("started %d times, serves %v", started, got)
	}
	stop()
	if err := d.Converge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.seen(3, s.url("http", 28080)); got["a0"] != 3 || started != 2 {
		t.Errorf("after its death: started %d times, serves %v", started, got)
	}
}

// TestBatchReloadsOnce: a hook that brings many requests reloads once.
func TestBatchReloadsOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	before := reloads(t, s.o)
	var inputs []flow.Value
	n := s.d.Batch("all-", func(d distributor.Driver) []flow.Node {
		var nodes []flow.Node
		for i := range 10 {
			// Each in names of its own.
			prefix := fmt.Sprintf("%d-", i)
			lb := flow.NewKey[distributor.LoadBalancer](prefix + "lb")
			id := flow.NewKey[string](prefix + "id")
			v := flow.NewKey[distributor.VIP](prefix + "vip")
			nodes = append(nodes,
				flow.Rebind(flow.Rebind(d.CreateDistributor(prefix), distributor.LoadBalancerKey, lb), distributor.DistributorID, id),
				flow.Rebind(flow.Rebind(d.AddVIP(prefix), distributor.VIPKey, v), distributor.DistributorID, id),
				flow.Rebind(d.RegisterAmphorae(prefix), distributor.DistributorID, id))
			inputs = append(inputs, lb.Value(distributor.LoadBalancer{ID: fmt.Sprint("lb", i)}), v.Value(s.web(distributor.HTTP, uint16(28200+i), 29090)))
		}
		return nodes
	})
	inputs = append(inputs, distributor.Amphorae.Value([]distributor.Amphora{{ID: "a0", Address: s.addrs[0]}}),
		distributor.VIPAlgorithm.Value(distributor.AnyAlgorithm), distributor.VIPPersistence.Value(distributor.NoPersistence))
	trial.Run(t, n, inputs...)
	for i := range 10 {
		if got := s.seen(2, s.url("http", uint16(28200+i))); got["a0"] != 2 {
			t.Errorf("load balancer %d serves %v", i, got)
		}
	}
	was, err1 := strconv.Atoi(before)
	now, err2 := strconv.Atoi(reloads(t, s.o))
	if err1 != nil || err2 != nil || now != was+1 {
		t.Errorf("%d reloads before, %d after", was, now)
	}
}
