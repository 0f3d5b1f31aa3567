package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

// A loopback runs the responders of units in this process.
type loopback struct {
	mu   sync.Mutex
	runs map[string]*loopbackResponder
}

func (l *loopback) responder(unit, _ string) responder {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.runs == nil {
		l.runs = make(map[string]*loopbackResponder)
	}
	if l.runs[unit] == nil {
		l.runs[unit] = new(loopbackResponder)
	}
	return l.runs[unit]
}

// running are the units whose responders run.
func (l *loopback) running() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var units []string
	for _, unit := range slices.Sorted(maps.Keys(l.runs)) {
		if l.runs[unit].end != nil {
			units = append(units, unit)
		}
	}
	return units
}

type loopbackResponder struct {
	config string
	end    func() error
}

func (r *loopbackResponder) ensure(ctx context.Context, _ string, config responderConfig) error {
	if r.end != nil && r.config == config.String() {
		return nil
	}
	if err := r.remove(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	running, err := netcheck.Responder{Addresses: config.Addresses, Port: uint16(config.Port), Allow: config.Allow}.Start(ctx)
	if err != nil {
		cancel()
		return err
	}
	r.config, r.end = config.String(), func() error { cancel(); return running.Wait() }
	return nil
}

func (r *loopbackResponder) remove(context.Context) error {
	if r.end == nil {
		return nil
	}
	err := r.end()
	r.end = nil
	return err
}

// units is a model of units in this process, each with a loopback address of its
// own; the program of a unit may be another.
type units struct {
	*jujusim.Model
	loopback
	other map[string]func() *reactive.Charm
}

// ownFiles are those of the charm that Juju reads.
func ownFiles(t *testing.T) fs.FS {
	t.Helper()
	text, err := os.ReadFile("charmcraft.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return fstest.MapFS{"charmcraft.yaml": {Data: text}}
}

// freePort is different for all tests of this process.
var freePort = func() func() int {
	var mu sync.Mutex
	port := 20000 + os.Getpid()%20000
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		port++
		return port
	}
}()

// deployUnits deploys units that check no more than that they reach each other
// over TCP, unless config says otherwise.
func deployUnits(t *testing.T, n int, config map[string]any, other map[string]func() *reactive.Charm) *units {
	t.Helper()
	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	u := &units{Model: m, other: other}
	t.Cleanup(func() {
		for _, r := range u.runs {
			_ = r.remove(context.Background())
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	all := map[string]any{
		"check_icmp": false, "check_udp": false, "check_mtu": false, "check_dns": false, "check_iperf": false,
		"check_local_hostname": false, "check_bonds": "", "port": freePort(), "metrics_port": 0,
	}
	maps.Copy(all, config)
	charm := jujusim.Charm{Files: ownFiles(t), Run: func(ctx context.Context, p hooktool.Process) int {
		build := u.other[p.Getenv("JUJU_UNIT_NAME")]
		if build == nil {
			build = func() *reactive.Charm { return newWith(options{responder: u.responder}) }
		}
		return reactive.Run(ctx, build, p)
	}}
	if err := m.Deploy("magpie", charm, jujusim.DeployOptions{Units: n, Config: all}); err != nil {
		t.Fatal(err)
	}
	m.View(func(data *model.Model) {
		for i := range n {
			unit := data.Applications["magpie"].Units[fmt.Sprintf("magpie/%d", i)]
			unit.Address, unit.CIDR = fmt.Sprintf("127.0.0.%d", i+10), "127.0.0.0/8"
			unit.PublicAddress = unit.Address
		}
	})
	u.settle(t)
	return u
}

func (u *units) settle(t *testing.T) {
	t.Helper()
	if err := u.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (u *units) want(t *testing.T, unit, status string, words ...string) {
	t.Helper()
	s, _ := u.Status().Unit(unit)
	if s.Workload != status {
		t.Errorf("%s is %s, want %s: %s", unit, s.Workload, status, s.Message)
	}
	for _, w := range words {
		if !strings.Contains(s.Message, w) {
			t.Errorf("the status of %s does not say %q: %s", unit, w, s.Message)
		}
	}
}

// TestOnePeerAtATime has many units join: in a hook about one peer a unit reads and
// checks that one, not the others.
func TestOnePeerAtATime(t *testing.T) {
	t.Parallel()
	const n = 12
	u := deployUnits(t, n, nil, nil)
	for i := range n {
		u.want(t, fmt.Sprintf("magpie/%d", i), "active", "tcp ok")
	}
	checks := make(map[string]int)
	for _, d := range u.History() {
		reads := 0
		for _, c := range d.Calls {
			text := strings.Join(c.Args, " ")
			if i := strings.Index(text, "Checking the network to "); i >= 0 {
				checks[d.Unit]++
				if d.Hook.Remote != "" && !strings.Contains(text[i:], d.Hook.Remote) {
					t.Errorf("%s: %s", d.Hook, text[i:])
				}
			}
			if c.Tool == "relation-get" && !strings.Contains(text, d.Unit) {
				reads++
			}
		}
		if reads > 1 {
			t.Errorf("%s reads %d databags", d.Hook, reads)
		}
	}
	for unit, c := range checks {
		if c < n-1 || c > 2*n {
			t.Errorf("%s checks %d times for %d peers", unit, c, n-1)
		}
	}
	before := len(u.History())
	if err := u.UpdateStatus("magpie/0"); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	found := false
	for _, d := range u.History()[before:] {
		for _, c := range d.Calls {
			found = found || strings.Contains(strings.Join(c.Args, " "), fmt.Sprintf("Checking the network to %d peers", n-1))
		}
	}
	if !found {
		t.Error("update-status does not check all peers")
	}
	if err := u.RemoveUnit("magpie/3"); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	if report := u.report(t, "magpie/0"); len(report.Peers) != n-2 || has(report, "magpie/3") {
		t.Errorf("the report has %d peers: %s", len(report.Peers), report.Line())
	}
}

// report is the last report of a unit, as its action info tells.
func (u *units) report(t *testing.T, unit string) netcheck.Report {
	t.Helper()
	result, err := u.RunAction(t.Context(), unit, "info", nil)
	if err != nil {
		t.Fatal(err)
	}
	var report netcheck.Report
	if err := json.Unmarshal([]byte(fmt.Sprint(result.Results["report"])), &report); err != nil {
		t.Fatalf("%v: %v", err, result)
	}
	return report
}

// TestPort changes the port: units check each other on the port that each has,
// not on that which they would have themselves, so in the end all is well without
// waiting for update-status.
func TestPort(t *testing.T) {
	t.Parallel()
	u := deployUnits(t, 3, nil, nil)
	if err := u.Configure("magpie", map[string]any{"port": freePort()}); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	for i := range 3 {
		u.want(t, fmt.Sprintf("magpie/%d", i), "active", "tcp ok")
	}
}

// TestStop has options refused, mended, and refused again when a unit is removed.
func TestStop(t *testing.T) {
	t.Parallel()
	u := deployUnits(t, 2, nil, nil)
	if err := u.Configure("magpie", map[string]any{"ping_tries": 0}); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	u.want(t, "magpie/1", "blocked", "option ping_tries: 0 is not between 1 and 10000")
	if err := u.UpdateStatus(); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	u.want(t, "magpie/1", "blocked", "option ping_tries: 0 is not between 1 and 10000")
	if err := u.Configure("magpie", map[string]any{"ping_tries": 1}); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	u.want(t, "magpie/1", "active", "tcp ok")
	if err := u.Configure("magpie", map[string]any{"ping_tries": -1}); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	if err := u.RemoveUnit("magpie/1"); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	if got := u.running(); !slices.Equal(got, []string{"magpie/0"}) {
		t.Errorf("the responders of %q run", got)
	}
}

// stranger is a peer that publishes data of its own.
func stranger(publish map[string]string) func() *reactive.Charm {
	return func() *reactive.Charm {
		c := reactive.New("magpie")
		peers := magpie.NewPeers(c, "magpie")
		c.HandleEvery("publish", func(ctx context.Context, h *reactive.Hook) error {
			for rel := range peers.Relations().Values() {
				bag, err := rel.ToPublish(ctx)
				if err != nil {
					return err
				}
				for key, value := range publish {
					if err := bag.SetRaw(key, value); err != nil {
						return err
					}
				}
			}
			return nil
		})
		return c
	}
}

// TestStrangers has peers that are other than this charm: one still in Python,
// and one whose address is none. The others are checked all the same, and a peer
// that becomes one of this charm is checked then.
func TestStrangers(t *testing.T) {
	t.Parallel()
	u := deployUnits(t, 4, nil, map[string]func() *reactive.Charm{
		"magpie/1": stranger(map[string]string{"iperf.server": "True", "iperf_addresses": `["127.0.0.11"]`}),
		"magpie/2": stranger(map[string]string{"netcheck.port": "7117", "ingress-address": "no host"}),
	})
	for _, unit := range []string{"magpie/0", "magpie/3"} {
		u.want(t, unit, "blocked", `magpie/2: address "no host" does not resolve; waiting for magpie/1`)
	}
	report := u.report(t, "magpie/0")
	if len(report.Peers) != 2 || report.Peers[1].Name != "magpie/3" || report.Peers[1].TCP.State != netcheck.OK {
		t.Errorf("%+v", report)
	}
	delete(u.other, "magpie/1")
	if err := u.UpdateStatus("magpie/1"); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	for _, unit := range []string{"magpie/0", "magpie/1", "magpie/3"} {
		if s, _ := u.Status().Unit(unit); s.Message != `magpie/2: address "no host" does not resolve` {
			t.Errorf("the status of %s is %s", unit, s.Message)
		}
	}
}

// TestMinSpeed asks for a share of a speed that nobody knows: the throughput is
// at fault, and the rest is checked.
func TestMinSpeed(t *testing.T) {
	t.Parallel()
	u := deployUnits(t, 2, map[string]any{"check_iperf": true, "iperf_duration": 0.01, "min_speed": "90%"}, nil)
	u.want(t, "magpie/0", "blocked", "magpie/1: throughput ", "Mbit/s, but the link speed of lo is not known")
	if err := u.Configure("magpie", map[string]any{"min_speed": "0%"}); err != nil {
		t.Fatal(err)
	}
	u.settle(t)
	u.want(t, "magpie/0", "active", "tcp ok, ", " Mbit/s")
}

// TestManyTries pings longer than a check may take otherwise.
func TestManyTries(t *testing.T) {
	t.Parallel()
	u := deployUnits(t, 2, map[string]any{"check_timeout": 0.5, "ping_interval": 0.01}, nil)
	result, err := u.RunAction(t.Context(), "magpie/0", "ping", map[string]any{"tries": 100})
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprint(result.Results); result.Status != "completed" || !strings.Contains(text, `"received":100`) {
		t.Errorf("%s %s: %s", result.Status, result.Message, text)
	}
}
