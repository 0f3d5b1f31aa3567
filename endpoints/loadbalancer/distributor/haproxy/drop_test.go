package haproxy_test

import (
	"crypto/tls"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/load"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// TestNoRequestIsDropped sends requests over new and kept connections, plain
// and TLS, while amphorae come, drain, go, stop and come back, while VIPs and
// certificates come and go, each change with its reload. None may fail.
//
// The negative control is the same load on the same configuration without the
// one option that makes reloads safe for kept connections: there requests do
// fail, so the load can see it.
func TestNoRequestIsDropped(t *testing.T) {
	dir := t.TempDir()
	o := launch(t, dir)
	d := haproxy.New(o)
	vip, addrs := loopback(dir)
	amphora := func(i int) distributor.Amphora {
		return distributor.Amphora{ID: "a" + strconv.Itoa(i), Address: addrs[i]}
	}
	serve := func(i int) *load.Server {
		return load.Serve(t, netip.AddrPortFrom(addrs[i], 29090).String(), "a"+strconv.Itoa(i))
	}
	servers := map[int]*load.Server{}
	for i := range 3 {
		servers[i] = serve(i)
	}
	plain := distributor.VIP{ID: "plain", Address: vip, Protocol: distributor.HTTP, Ports: []distributor.PortMapping{{Front: 28080, Back: 29090}},
		HealthChecks: []distributor.HealthCheck{{Protocol: distributor.HTTP, Port: 29090, Path: "/", Interval: 500 * time.Millisecond, Retries: 3}}}
	secure := distributor.VIP{ID: "secure", Address: vip, Protocol: distributor.HTTPS, Ports: []distributor.PortMapping{{Front: 28443, Back: 29090}}}
	renew := func() {
		cert, key := certificate(t, "lb.test", vip)
		secure.TLS = &distributor.TLS{Certificate: cert, Key: flow.NewSecret(key)}
	}
	renew()
	id := trial.Create(t, d, "web")
	addVIP(t, d, id, plain, distributor.RoundRobin, distributor.NoPersistence)
	addVIP(t, d, id, secure, distributor.LeastConnections, distributor.CookiePersistence)
	trial.Run(t, d.RegisterAmphorae(""), trial.Amphorae(id, amphora(0), amphora(1), amphora(2))...)

	think := 4 * time.Millisecond
	loads := []*load.Load{
		load.Start(load.Options{Address: netip.AddrPortFrom(vip, 28080).String(), Fresh: 3, Kept: 3, Think: think}),
		load.Start(load.Options{Address: netip.AddrPortFrom(vip, 28443).String(), Fresh: 1, Kept: 2, Think: think,
			TLS: &tls.Config{ServerName: "lb.test", InsecureSkipVerify: true}}), // the certificate changes under way
	}
	cycles := 6
	if testing.Short() {
		cycles = 2
	}
	changes := 0
	step := func(n flow.Node, inputs ...flow.Value) {
		t.Helper()
		trial.Run(t, n, inputs...)
		changes++
		for _, l := range loads {
			l.Await(t, 20)
		}
	}
	extra := plain
	extra.ID, extra.Ports = "extra", []distributor.PortMapping{{Front: 28081, Back: 29090}}
	for cycle := range cycles {
		gone := cycle % 3
		step(distributor.DrainThenUnregister("", d, distributor.DrainOptions{Timeout: 10 * time.Second, Poll: 5 * time.Millisecond}), trial.Amphorae(id, amphora(gone))...)
		servers[gone].Stop()
		step(d.AddVIP(""), trial.VIP(id, extra, distributor.AnyAlgorithm, distributor.NoPersistence)...)
		servers[gone] = serve(gone)
		step(d.RegisterAmphorae(""), trial.Amphorae(id, amphora(gone))...)
		step(d.DrainAmphorae(""), trial.Amphorae(id, amphora((gone+1)%3))...)
		renew()
		step(d.AddVIP(""), trial.VIP(id, secure, distributor.LeastConnections, distributor.CookiePersistence)...)
		step(d.RegisterAmphorae(""), trial.Amphorae(id, amphora((gone+1)%3))...)
		step(d.RemoveVIP(""), trial.VIP(id, extra, "", "")[:2]...)
	}
	names := []string{"http", "https"}
	for i, l := range loads {
		r := l.Stop()
		t.Logf("%s: %d changes, %s reloads: %v", names[i], changes, reloads(t, o), r)
		if r.Failed() != 0 {
			t.Errorf("%s: requests were dropped", names[i])
		}
	}
	for i, s := range servers {
		if s.Served() == 0 {
			t.Errorf("amphora %d has served nothing", i)
		}
	}

	t.Run("negative control", func(t *testing.T) {
		const option = "    option idle-close-on-response\n"
		config := filepath.Join(dir, "haproxy.cfg")
		text, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), option) {
			t.Fatal("the configuration does not have the option")
		}
		if err := os.WriteFile(config, []byte(strings.ReplaceAll(string(text), option, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		reload := func() {
			before := reloads(t, o)
			ask(t, o.MasterSocket, "reload")
			for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
				if now := reloadsOrBusy(o); now != "" && now != before {
					return
				}
				if time.Now().After(end) {
					t.Fatal("no reload")
				}
			}
		}
		reload()
		l := load.Start(load.Options{Address: netip.AddrPortFrom(vip, 28080).String(), Kept: 6, Think: think})
		n := 0
		for ; n < 60 && l.Failed() == 0; n++ {
			l.Await(t, 100)
			reload()
		}
		r := l.Stop()
		t.Logf("without the option, %d reloads: %v", n, r)
		if r.Failed() == 0 {
			t.Error("no request was dropped: this load would not notice")
		}
	})
}
