package magpie_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

const charmcraft = `
name: magpie
summary: Units that know each other.
description: Units that know each other.
peers:
  ring: {interface: magpie}
`

// A work is what a test does in a hook.
type work func(ctx context.Context, h *reactive.Hook, p *magpie.Peers) error

// deploy deploys units of a charm that does the work in every hook.
func deploy(t testing.TB, units int, opts jujusim.Options, do work) *jujusim.Model {
	t.Helper()
	m, err := jujusim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.Deploy("magpie", charm(do), jujusim.DeployOptions{Units: units}); err != nil {
		t.Fatal(err)
	}
	return m
}

func charm(do work) jujusim.Charm {
	newCharm := func() *reactive.Charm {
		c := reactive.New("magpie")
		p := magpie.NewPeers(c, "ring")
		c.HandleEvery("work", func(ctx context.Context, h *reactive.Hook) error { return do(ctx, h, p) })
		return c
	}
	return jujusim.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(charmcraft)}},
		Run:   func(ctx context.Context, p hooktool.Process) int { return reactive.Run(ctx, newCharm, p) },
	}
}

func settle(t testing.TB, m *jujusim.Model) {
	t.Helper()
	if err := m.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A diary collects what units see.
type diary struct {
	mu    sync.Mutex
	lines map[string][]string
}

func (d *diary) note(unit, format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines == nil {
		d.lines = make(map[string][]string)
	}
	d.lines[unit] = append(d.lines[unit], fmt.Sprintf(format, args...))
}

func (d *diary) of(unit string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines[unit])
}

func (d *diary) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = nil
}

// TestStory lets three units meet, a fourth join them and one leave, on the
// versions of Juju and with several orders of hooks. Each unit reacts to peers
// that join, dismisses them, and keeps the others all the same.
func TestStory(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.6", "4.0"} {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s/%d", version, seed), func(t *testing.T) {
				t.Parallel()
				story(t, jujusim.Options{Version: version, Seed: seed})
			})
		}
	}
}

func story(t *testing.T, opts jujusim.Options) {
	var d diary
	last := make(map[string][]string)
	m := deploy(t, 3, opts, func(ctx context.Context, h *reactive.Hook, p *magpie.Peers) error {
		nodes, err := p.All().Nodes(ctx)
		if err != nil {
			return err
		}
		var names []string
		for _, n := range nodes {
			names = append(names, n.Unit)
			if n.Address == "" {
				d.note(h.Unit(), "%s has no address", n.Unit)
			}
		}
		d.mu.Lock()
		last[h.Unit()] = names
		d.mu.Unlock()
		if h.Event().Hook == "update-status" && (h.IsSet(p.Joined()) || h.IsSet(p.Departed())) {
			d.note(h.Unit(), "a flag is set again")
		}
		if h.IsSet(p.Joined()) {
			for _, u := range p.NewlyJoined().Units() {
				d.note(h.Unit(), "joined %s", u)
			}
			p.DismissJoined()
		}
		if h.IsSet(p.Departed()) {
			// In this hook only the departing unit is in its group.
			for _, u := range p.NewlyDeparted().Units() {
				d.note(h.Unit(), "departed %s", u)
				if slices.Contains(names, u) {
					d.note(h.Unit(), "%s is still among all", u)
				}
			}
			p.DismissDeparted()
		}
		return p.All().SetIperfServerReady(ctx)
	})
	settle(t, m)
	want := func(unit string, all []string, events ...string) {
		t.Helper()
		got := d.of(unit)
		slices.Sort(got)
		if !slices.Equal(got, events) {
			t.Errorf("%s saw %q, want %q", unit, got, events)
		}
		if !slices.Equal(last[unit], all) {
			t.Errorf("%s has the peers %q, want %q", unit, last[unit], all)
		}
	}
	want("magpie/0", []string{"magpie/1", "magpie/2"}, "joined magpie/1", "joined magpie/2")
	want("magpie/1", []string{"magpie/0", "magpie/2"}, "joined magpie/0", "joined magpie/2")
	want("magpie/2", []string{"magpie/0", "magpie/1"}, "joined magpie/0", "joined magpie/1")

	d.clear()
	if _, err := m.AddUnit("magpie", 1); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	want("magpie/0", []string{"magpie/1", "magpie/2", "magpie/3"}, "joined magpie/3")
	want("magpie/3", []string{"magpie/0", "magpie/1", "magpie/2"}, "joined magpie/0", "joined magpie/1", "joined magpie/2")

	d.clear()
	if err := m.RemoveUnit("magpie/1"); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	want("magpie/0", []string{"magpie/2", "magpie/3"}, "departed magpie/1")
	want("magpie/2", []string{"magpie/0", "magpie/3"}, "departed magpie/1")

	d.clear()
	if err := m.UpdateStatus(); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	want("magpie/0", []string{"magpie/2", "magpie/3"})
}

// TestDismissDepartedLater dismisses a departure hooks later, which with the
// Python interface leaves the flag set for ever.
func TestDismissDepartedLater(t *testing.T) {
	t.Parallel()
	var d diary
	m := deploy(t, 3, jujusim.Options{}, func(_ context.Context, h *reactive.Hook, p *magpie.Peers) error {
		if h.Event().Hook == "update-status" {
			d.note(h.Unit(), "%t %d", h.IsSet(p.Departed()), p.NewlyDeparted().Len())
			p.DismissDeparted()
		}
		return nil
	})
	settle(t, m)
	if err := m.RemoveUnit("magpie/2"); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	for range 3 {
		if err := m.UpdateStatus("magpie/0"); err != nil {
			t.Fatal(err)
		}
		settle(t, m)
	}
	// Set once, then dismissed; what the unit published is gone all the time.
	if got := d.of("magpie/0"); !slices.Equal(got, []string{"true 0", "false 0", "false 0"}) {
		t.Errorf("update-status after a departure sees %q", got)
	}
}

// TestLostMemory upgrades to a charm that knows nothing of the peers that are
// there; it makes their acquaintance.
func TestLostMemory(t *testing.T) {
	t.Parallel()
	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	stranger := charm(nil)
	stranger.Run = func(context.Context, hooktool.Process) int { return 0 }
	if err := m.Deploy("magpie", stranger, jujusim.DeployOptions{Units: 3}); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	var d diary
	if err := m.Upgrade("magpie", charm(func(ctx context.Context, h *reactive.Hook, p *magpie.Peers) error {
		for _, u := range p.NewlyJoined().Units() {
			d.note(h.Unit(), "joined %s", u)
		}
		p.DismissJoined()
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	if got := d.of("magpie/1"); !slices.Equal(got, []string{"joined magpie/0", "joined magpie/2"}) {
		t.Errorf("magpie/1 saw %q", got)
	}
}

// TestPublish looks at what goes over the wire, and that publishing it again
// takes no hook tool that writes.
func TestPublish(t *testing.T) {
	t.Parallel()
	m := deploy(t, 3, jujusim.Options{}, func(ctx context.Context, h *reactive.Hook, p *magpie.Peers) error {
		all := p.All()
		if err := all.SetIperfServerReady(ctx); err != nil {
			return err
		}
		return all.AdvertiseAddresses(ctx, netip.MustParseAddr("fd00::1"), netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("10.0.0.10"), netip.MustParseAddr("::ffff:10.0.0.11"))
	})
	settle(t, m)
	m.View(func(data *model.Model) {
		bag := data.Relations[0].Data["magpie/0"]
		if got, want := bag["iperf_addresses"], `["10.0.0.10", "10.0.0.11", "10.0.0.9", "fd00::1"]`; got != want {
			t.Errorf("iperf_addresses is %s, want %s", got, want)
		}
		if got := bag["iperf.server"]; got != "True" {
			t.Errorf("iperf.server is %s", got)
		}
	})
	before := len(m.History())
	if err := m.UpdateStatus(); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	for _, d := range m.History()[before:] {
		for _, c := range d.Calls {
			if c.Tool == "relation-set" || c.Tool == "state-set" {
				t.Errorf("%s in %s calls %s %q again", d.Unit, d.At, c.Tool, c.Args)
			}
		}
	}
}

// TestAddresses lets a peer publish all sorts of addresses.
func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		publish map[string]string
		network string
		want    string
	}{
		{"ingress first", map[string]string{"ingress-address": "10.1.0.1", "private-address": "10.2.0.1"}, "", "10.1.0.1"},
		{"private address", map[string]string{"ingress-address": "", "private-address": "10.2.0.1"}, "", "10.2.0.1"},
		{"host name", map[string]string{"ingress-address": "", "private-address": "host.example"}, "", "host.example"},
		{"none", map[string]string{"ingress-address": "", "private-address": ""}, "", ""},
		{"in a network", map[string]string{"ingress-address": "10.1.0.1", "iperf_addresses": `["192.168.1.1", "10.3.0.1", "10.3.0.2"]`}, "10.3.0.0/16", "10.3.0.1"},
		{"in an IPv6 network", map[string]string{"ingress-address": "10.1.0.1", "iperf_addresses": `["10.3.0.1", "fd00:1::1"]`}, "fd00:1::/64", "fd00:1::1"},
		{"not in a network", map[string]string{"ingress-address": "10.1.0.1", "iperf_addresses": `["192.168.1.1"]`}, "10.3.0.0/16", "10.1.0.1"},
		{"not a list", map[string]string{"ingress-address": "10.1.0.1", "iperf_addresses": `{"a": 1}`}, "10.3.0.0/16", "10.1.0.1"},
		{"not JSON", map[string]string{"ingress-address": "10.1.0.1", "iperf_addresses": `10.3.0.1`}, "10.3.0.0/16", "10.1.0.1"},
		{"not addresses", map[string]string{"ingress-address": "10.1.0.1", "iperf_addresses": `[1, "x", null, "10.3.0.1"]`}, "10.3.0.0/16", "10.3.0.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var d diary
			m := deploy(t, 2, jujusim.Options{}, func(ctx context.Context, h *reactive.Hook, p *magpie.Peers) error {
				if h.Unit() == "magpie/1" {
					return forEachRelation(ctx, p, tt.publish)
				}
				nodes, err := p.All().Nodes(ctx)
				if tt.network != "" {
					network, perr := magpie.ParseNetwork(tt.network)
					if perr != nil {
						return perr
					}
					nodes, err = p.All().NodesIn(ctx, network)
				}
				for _, n := range nodes {
					d.note(h.Unit(), "%s", n.Address)
				}
				return err
			})
			settle(t, m)
			d.clear()
			if err := m.UpdateStatus("magpie/0"); err != nil {
				t.Fatal(err)
			}
			settle(t, m)
			if got := d.of("magpie/0"); !slices.Equal(got, []string{tt.want}) {
				t.Errorf("address %q, want %q", got, tt.want)
			}
		})
	}
}

func forEachRelation(ctx context.Context, p *magpie.Peers, data map[string]string) error {
	for rel := range p.Relations().Values() {
		bag, err := rel.ToPublish(ctx)
		if err != nil {
			return err
		}
		for key, value := range data {
			if err := bag.SetRaw(key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// TestChecked has units 1 and 10 of eleven, whose names contain each other.
func TestChecked(t *testing.T) {
	t.Parallel()
	var d diary
	m := deploy(t, 11, jujusim.Options{}, func(ctx context.Context, h *reactive.Hook, p *magpie.Peers) error {
		switch h.Unit() {
		case "magpie/0":
			// It has checked the peer of its last hook only.
			if g := p.InHook(); slices.Equal(g.Units(), []string{"magpie/10"}) {
				return g.SetIperfChecked(ctx)
			}
		case "magpie/2":
			// A peer that writes nonsense.
			return forEachRelation(ctx, p, map[string]string{"iperf.checked": `['None magpie/1'`})
		case "magpie/3":
			return forEachRelation(ctx, p, map[string]string{"iperf.checked": `["x \"q\" magpie/10", 'None magpie/4']`})
		case "magpie/1", "magpie/10":
			if h.Event().Hook != "update-status" {
				return nil
			}
			by, err := p.All().CheckedBy(ctx, h.Unit())
			if err != nil {
				return err
			}
			d.note(h.Unit(), "%s", by)
		}
		return nil
	})
	settle(t, m)
	if err := m.UpdateStatus("magpie/1", "magpie/10"); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	if got := d.of("magpie/1"); !slices.Equal(got, []string{"[]"}) {
		t.Errorf("magpie/1 believes it was checked by %q", got)
	}
	if got := d.of("magpie/10"); !slices.Equal(got, []string{"[magpie/0 magpie/3]"}) {
		t.Errorf("magpie/10 believes it was checked by %q", got)
	}
	m.View(func(data *model.Model) {
		if got := data.Relations[0].Data["magpie/0"]["iperf.checked"]; got != "['None magpie/10']" {
			t.Errorf("magpie/0 publishes %q", got)
		}
	})
}

// TestLocalAddress asks for the unit's own address.
func TestLocalAddress(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.6", "4.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var d diary
			m := deploy(t, 2, jujusim.Options{Version: version}, func(ctx context.Context, h *reactive.Hook, p *magpie.Peers) error {
				a, err := p.LocalAddress(ctx)
				d.note(h.Unit(), "%s", a)
				return err
			})
			settle(t, m)
			u, _ := m.Status().Unit("magpie/1")
			for _, a := range d.of("magpie/1") {
				if a != u.Address || a == "" {
					t.Errorf("own address %q, want %q", a, u.Address)
				}
			}
		})
	}
}

func TestParseNetwork(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"10.0.0.0/8", "10.0.0.0/8"}, {"10.1.2.3/8", "10.0.0.0/8"}, {"10.1.2.3", "10.1.2.3/32"},
		{"fd00::1/64", "fd00::/64"}, {"fd00::1", "fd00::1/128"},
		{"", ""}, {"10.0.0.0/33", ""}, {"x", ""}, {"10.0.0.0/-1", ""},
	}
	for _, tt := range tests {
		got, err := magpie.ParseNetwork(tt.in)
		if (err != nil) != (tt.want == "") || err == nil && got.String() != tt.want {
			t.Errorf("ParseNetwork(%q) = %s, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestMachineAddresses(t *testing.T) {
	t.Parallel()
	addrs, err := magpie.MachineAddresses()
	if err != nil || !slices.Contains(addrs, netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("%v, %v", addrs, err)
	}
	for _, a := range addrs {
		if a.Is6() && (a.IsLoopback() || a.IsLinkLocalUnicast()) {
			t.Errorf("%s cannot be reached from elsewhere", a)
		}
	}
}

// TestFlagsInWords sees that the flags have the seed's names.
func TestFlagsInWords(t *testing.T) {
	t.Parallel()
	p := magpie.NewPeers(reactive.New("x"), "ring")
	for f, want := range map[flags.Flag]string{p.Joined(): "ring.joined", p.Departed(): "ring.departed", p.HasPeers(): "endpoint.ring.joined"} {
		if f.String() != want {
			t.Errorf("flag %s, want %s", f, want)
		}
	}
}
