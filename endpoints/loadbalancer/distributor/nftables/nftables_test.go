package nftables_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/nftables"
)

// site is a network with a driver and a distributor in it.
type site struct {
	*network
	t  testing.TB
	d  *nftables.Driver
	id string
}

func newSite(t testing.TB) *site {
	t.Helper()
	dir := t.TempDir()
	n := newNetwork(t, dir)
	d := nftables.New(nftables.Options{Dir: dir, Namespace: n.name + "lb"})
	id := trial.Create(t, d, "lb")
	return &site{n, t, d, id}
}

func (s *site) amphora(i int) distributor.Amphora {
	return distributor.Amphora{ID: fmt.Sprint("a", i), Address: s.amphorae[i]}
}

func (s *site) all() []distributor.Amphora {
	return []distributor.Amphora{s.amphora(0), s.amphora(1), s.amphora(2)}
}

// serveUDP has each amphora answer datagrams with its name.
func (s *site) serveUDP(port uint16) {
	s.t.Helper()
	for i, a := range s.amphorae {
		c, err := in(s.leaves()[i+1], func() (net.PacketConn, error) {
			return net.ListenPacket("udp", netip.AddrPortFrom(a, port).String())
		})
		if err != nil {
			s.t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 1500)
			for {
				n, from, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				_, _ = c.WriteTo(fmt.Appendf(nil, "a%d %s", i, buf[:n]), from)
			}
		}()
		s.t.Cleanup(func() { c.Close(); <-done })
	}
}

// flowFrom opens a UDP socket at the client, from a port of its own or 0.
func (s *site) flowFrom(port, to uint16) net.Conn {
	s.t.Helper()
	c, err := in(s.leaves()[0], func() (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: s.client.AsSlice(), Port: int(port)}}
		return d.DialContext(context.Background(), "udp", netip.AddrPortFrom(s.vip, to).String())
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// askUDP sends a datagram and returns who answers it, or the error.
func askUDP(c net.Conn) string {
	buf := make([]byte, 1500)
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		return err.Error()
	}
	n, err := c.Read(buf)
	if err != nil {
		return err.Error()
	}
	name, said, _ := strings.Cut(string(buf[:n]), " ")
	if said != "hello" {
		return "said " + said
	}
	return name
}

func (s *site) askFresh(n int, to uint16) map[string]int {
	got := map[string]int{}
	for range n {
		c := s.flowFrom(0, to)
		got[askUDP(c)]++
		c.Close()
	}
	return got
}

// TestUDP tells the story of a DNS service: datagrams are spread, a drained
// amphora keeps those it talks to and gets no others, and one that is gone gets
// nothing.
func TestUDP(t *testing.T) {
	s := newSite(t)
	s.serveUDP(5300)
	dns := distributor.VIP{ID: "dns", Address: s.vip, Protocol: distributor.UDP, Ports: []distributor.PortMapping{{Front: 53, Back: 5300}}}
	trial.Run(t, s.d.AddVIP(""), trial.VIP(s.id, dns, distributor.RoundRobin, "")...)
	trial.Run(t, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, s.all()...)...)
	if got := s.askFresh(30, 53); got["a0"] != 10 || got["a1"] != 10 || got["a2"] != 10 {
		t.Errorf("of 30 datagrams: %v, want ten for each", got)
	}
	var talk net.Conn
	for range 10 {
		if talk = s.flowFrom(0, 53); askUDP(talk) == "a0" {
			break
		}
	}
	trial.Run(t, s.d.DrainAmphorae(""), trial.Amphorae(s.id, s.amphora(0))...)
	for range 3 {
		if who := askUDP(talk); who != "a0" {
			t.Errorf("an established flow was answered by %s", who)
		}
	}
	if got := s.askFresh(20, 53); got["a1"] != 10 || got["a2"] != 10 {
		t.Errorf("new flows after the drain: %v", got)
	}
	status, err := s.d.DrainStatus(t.Context(), s.id)
	if err != nil || len(status) != 3 || !status[0].Draining || status[0].Connections == 0 {
		t.Errorf("DrainStatus = %+v, %v", status, err)
	}
	trial.Run(t, s.d.UnregisterAmphorae(""), trial.Amphorae(s.id, s.amphora(0))...)
	if who := askUDP(talk); who != "a1" && who != "a2" {
		t.Errorf("the flow to what is gone was answered by %s", who)
	}
	trial.Run(t, s.d.UnregisterAmphorae(""), trial.Amphorae(s.id, s.all()...)...)
	if who := askUDP(s.flowFrom(0, 53)); !strings.Contains(who, "refused") {
		t.Errorf("with nobody there: %s", who)
	}
}

// TestPersistence: addresses, or addresses and ports, lead to the same amphora
// again, also when connection tracking has forgotten them, and an amphora that
// goes moves none of the clients of others.
func TestPersistence(t *testing.T) {
	s := newSite(t)
	s.serveUDP(5300)
	vip := func(id string, front uint16) distributor.VIP {
		return distributor.VIP{ID: id, Address: s.vip, Protocol: distributor.UDP, Ports: []distributor.PortMapping{{Front: front, Back: 5300}}}
	}
	trial.Run(t, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, s.all()...)...)
	trial.Run(t, s.d.AddVIP(""), trial.VIP(s.id, vip("ip", 53), "", distributor.SourceIPPersistence)...)
	trial.Run(t, s.d.AddVIP(""), trial.VIP(s.id, vip("port", 54), "", distributor.SourceIPAndPortPersistence)...)
	trial.Run(t, s.d.AddVIP(""), trial.VIP(s.id, vip("hash", 55), distributor.Hash, "")...)
	for _, port := range []uint16{53, 55} {
		if got := s.askFresh(20, port); len(got) != 1 {
			t.Errorf("port %d, one address: %v", port, got)
		}
	}
	who := func() map[uint16]string {
		if out, err := exec.Command("ip", "netns", "exec", s.name+"lb", "conntrack", "-F").CombinedOutput(); err != nil {
			t.Fatalf("conntrack -F: %v: %s", err, out)
		}
		got := map[uint16]string{}
		for port := uint16(20000); port < 20060; port++ {
			c := s.flowFrom(port, 54)
			got[port] = askUDP(c)
			c.Close()
		}
		return got
	}
	first := who()
	count := map[string]int{}
	for _, w := range first {
		count[w]++
	}
	if len(count) != 3 {
		t.Errorf("60 ports: %v", count)
	}
	for port, w := range who() {
		if w != first[port] {
			t.Errorf("port %d moved from %s to %s", port, first[port], w)
		}
	}
	trial.Run(t, s.d.UnregisterAmphorae(""), trial.Amphorae(s.id, s.amphora(1))...)
	for port, w := range who() {
		if first[port] != "a1" && w != first[port] {
			t.Errorf("port %d moved from %s to %s though only a1 went", port, first[port], w)
		}
	}
}

func TestIPv6(t *testing.T) {
	s := newSite(t)
	s.vip, s.client = netip.MustParseAddr("fd99:99::9"), netip.MustParseAddr("fd99:0::2")
	for i := range s.amphorae {
		s.amphorae[i] = netip.MustParseAddr(fmt.Sprintf("fd99:%d::2", i+1))
	}
	s.serveUDP(5300)
	dns := distributor.VIP{ID: "dns", Address: s.vip, Protocol: distributor.UDP, Ports: []distributor.PortMapping{{Front: 53, Back: 5300}}}
	trial.Run(t, s.d.AddVIP(""), trial.VIP(s.id, dns, "", "")...)
	trial.Run(t, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, s.all()...)...)
	if got := s.askFresh(12, 53); got["a0"] != 4 || got["a1"] != 4 || got["a2"] != 4 {
		t.Errorf("of 12 datagrams: %v, want four for each", got)
	}
	trial.Run(t, s.d.UnregisterAmphorae(""), trial.Amphorae(s.id, s.amphora(0))...)
	if got := s.askFresh(12, 53); got["a1"] != 6 || got["a2"] != 6 {
		t.Errorf("without a0: %v", got)
	}
}

func TestPlug(t *testing.T) {
	dir := t.TempDir()
	n := newNetwork(t, dir)
	d := nftables.New(nftables.Options{Dir: dir, Namespace: n.name + "lb", Interface: "l0"})
	id := trial.Create(t, d, "lb")
	addresses := func() string {
		out, err := exec.Command("ip", "-n", n.name+"lb", "-o", "address", "show", "dev", "l0").Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	v4 := distributor.VIP{ID: "v4", Address: n.vip, Protocol: distributor.TCP, Ports: []distributor.PortMapping{{Front: 80, Back: 80}}}
	trial.Run(t, d.AddVIP(""), trial.VIP(id, v4, "", "")...)
	if !strings.Contains(addresses(), n.vip.String()+"/32") {
		t.Errorf("not plugged:\n%s", addresses())
	}
	trial.Run(t, d.RemoveVIP(""), trial.VIP(id, v4, "", "")[:2]...)
	if got := addresses(); strings.Contains(got, n.vip.String()) || !strings.Contains(got, "10.99.0.1/24") {
		t.Errorf("after the removal:\n%s", got)
	}

	// An address that is gone already, as after a kill, does no harm.
	v6 := v4
	v6.ID, v6.Address = "v6", netip.MustParseAddr("fd99:99::9")
	for _, v := range []distributor.VIP{v4, v6} {
		trial.Run(t, d.AddVIP(""), trial.VIP(id, v, "", "")...)
		if out, err := exec.Command("ip", "-n", n.name+"lb", "address", "del", netip.PrefixFrom(v.Address, v.Address.BitLen()).String(), "dev", "l0").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		trial.Run(t, d.RemoveVIP(""), trial.VIP(id, v, "", "")[:2]...)
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	d := nftables.New(nftables.Options{Dir: t.TempDir()})
	a := netip.MustParseAddr("10.0.0.1")
	for name, tt := range map[string]struct {
		change func(*distributor.VIP)
		alg    distributor.Algorithm
		p      distributor.Persistence
		field  string
	}{
		"tcp":          {},
		"udp":          {change: func(v *distributor.VIP) { v.Protocol = distributor.UDP }},
		"pass-through": {change: func(v *distributor.VIP) { v.Protocol = distributor.HTTPS }},
		"http":         {change: func(v *distributor.VIP) { v.Protocol = distributor.HTTP }, field: "protocol"},
		"termination":  {change: func(v *distributor.VIP) { v.TLS = &distributor.TLS{} }, field: "tls_termination"},
		"checks": {change: func(v *distributor.VIP) {
			v.HealthChecks = []distributor.HealthCheck{{Protocol: "tcp", Port: 1, Interval: time.Second, Retries: 1}}
		}, field: "health_checks"},
		"least":  {alg: distributor.LeastConnections, field: "algorithm"},
		"cookie": {p: distributor.CookiePersistence, field: "sticky"},
	} {
		v := distributor.VIP{ID: "v", Address: a, Protocol: distributor.TCP, Ports: []distributor.PortMapping{{Front: 1, Back: 2}}}
		if tt.change != nil {
			tt.change(&v)
		}
		err := d.CheckVIP(t.Context(), v, tt.alg, tt.p)
		if (tt.field == "") != (err == nil) || tt.field != "" && distributor.UnsupportedFields(err)[tt.field] == "" {
			t.Errorf("%s: %v, want field %q", name, err, tt.field)
		}
	}
}

// TestFamilies: an amphora that a VIP cannot be led to is refused, and leaves
// nothing behind.
func TestFamilies(t *testing.T) {
	s := newSite(t)
	v := distributor.VIP{ID: "v", Address: s.vip, Protocol: distributor.TCP, Ports: []distributor.PortMapping{{Front: 80, Back: 80}}}
	trial.Run(t, s.d.AddVIP(""), trial.VIP(s.id, v, "", "")...)
	_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", s.d.RegisterAmphorae("")),
		trial.Amphorae(s.id, distributor.Amphora{ID: "six", Address: netip.MustParseAddr("2001:db8::1")})...)
	if distributor.UnsupportedFields(err)["backends"] == "" {
		t.Errorf("RegisterAmphorae = %v", err)
	}
	if status, err := s.d.DrainStatus(t.Context(), s.id); err != nil || len(status) != 0 {
		t.Errorf("DrainStatus = %+v, %v", status, err)
	}
}

func TestNoForwarding(t *testing.T) {
	s := newSite(t)
	if out, err := exec.Command("ip", "netns", "exec", s.name+"lb", "sysctl", "-w", "net.ipv4.ip_forward=0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	v := distributor.VIP{ID: "v", Address: s.vip, Protocol: distributor.TCP, Ports: []distributor.PortMapping{{Front: 80, Back: 80}}}
	_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", s.d.AddVIP("")), trial.VIP(s.id, v, "", "")...)
	if err == nil || !strings.Contains(err.Error(), "does not forward packets") {
		t.Errorf("AddVIP = %v", err)
	}
}

// BenchmarkRegister1000 registers a thousand amphorae with one VIP.
func BenchmarkRegister1000(b *testing.B) {
	s := newSite(b)
	v := distributor.VIP{ID: "v", Address: s.vip, Protocol: distributor.TCP, Ports: []distributor.PortMapping{{Front: 80, Back: 80}}}
	trial.Run(b, s.d.AddVIP(""), trial.VIP(s.id, v, distributor.RoundRobin, "")...)
	var thousand, one time.Duration
	amphorae := make([]distributor.Amphora, 1000)
	a := netip.MustParseAddr("10.98.0.1")
	for i := range amphorae {
		amphorae[i] = distributor.Amphora{ID: fmt.Sprint("m", i), Address: a}
		a = a.Next()
	}
	for b.Loop() {
		began := time.Now()
		trial.Run(b, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, amphorae...)...)
		thousand += time.Since(began)
		trial.Run(b, s.d.UnregisterAmphorae(""), distributor.DistributorID.Value(s.id), distributor.Amphorae.Value(amphorae[:1]))
		began = time.Now()
		trial.Run(b, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, amphorae[0])...)
		one += time.Since(began)
	}
	b.ReportMetric(float64(thousand.Milliseconds())/float64(b.N), "ms/thousand")
	b.ReportMetric(float64(thousand)/float64(one), "thousand/one-more")
}

func TestTracked(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=10.9.9.9 sport=4 dport=80 src=10.1.0.2 dst=10.0.0.1 sport=8080 dport=4 [ASSURED] mark=0 use=1": "tcp 10.9.9.9:80 10.1.0.2:8080 true true",
		"tcp      6 100 TIME_WAIT src=10.0.0.1 dst=10.9.9.9 sport=4 dport=80 src=10.1.0.2 dst=10.0.0.1 sport=8080 dport=4 [ASSURED] mark=0 use=1":      "tcp 10.9.9.9:80 10.1.0.2:8080 false true",
		"udp      17 29 src=10.0.0.1 dst=10.9.9.9 sport=4 dport=53 [UNREPLIED] src=10.1.0.2 dst=10.0.0.1 sport=5300 dport=4 mark=0 use=1":              "udp 10.9.9.9:53 10.1.0.2:5300 true true",
		"icmp     1 29 src=10.0.0.1 dst=10.9.9.9 type=8 code=0 id=1 src=10.1.0.2 dst=10.0.0.1 type=0 code=0 id=1 mark=0 use=1":                         "false",
		"": "false",
	} {
		protocol, dst, server, open, ok := nftables.ParseTracked(line)
		got := fmt.Sprint(protocol, " ", dst, " ", server, " ", open, " ", ok)
		if !ok {
			got = "false"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}

// FuzzTracked: whatever conntrack says, reading it is no panic.
func FuzzTracked(f *testing.F) {
	f.Add("tcp 6 1 ESTABLISHED src=::1 dst=::2 sport=4 dport=80 src=::3 dst=::1 sport=8080 dport=4")
	f.Add("udp 17")
	f.Fuzz(func(t *testing.T, line string) { nftables.ParseTracked(line) })
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, o := range []nftables.Options{{Table: "x; flush ruleset"}, {Namespace: "-x"}, {Interface: "a b"}} {
		o.Dir = filepath.Join(t.TempDir(), "d")
		if err := nftables.New(o).Converge(t.Context()); err == nil || !strings.Contains(err.Error(), "not the name of") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
