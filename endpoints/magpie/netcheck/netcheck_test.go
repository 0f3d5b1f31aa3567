package netcheck_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
)

var loopbacks = []struct{ name, addr string }{{"IPv4", "127.0.0.1"}, {"IPv6", "::1"}}

// startResponder serves on a loopback address until the test ends.
func startResponder(t testing.TB, r netcheck.Responder, addr string) netcheck.Peer {
	t.Helper()
	if conn, err := net.ListenPacket("udp", net.JoinHostPort(addr, "0")); err != nil {
		t.Skipf("this machine has no %s: %v", addr, err)
	} else {
		conn.Close()
	}
	r.Addresses = []netip.Addr{netip.MustParseAddr(addr)}
	ctx, cancel := context.WithCancel(t.Context())
	running, err := r.StartAnyPort(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := running.Wait(); err != nil {
			t.Errorf("the responder ended with %v", err)
		}
	})
	ap := running.AddrPorts()[0]
	return netcheck.Peer{Name: "magpie/1", Addr: ap.Addr(), Port: ap.Port()}
}

func wantOutcome(t *testing.T, o netcheck.Outcome, state netcheck.State, words ...string) {
	t.Helper()
	if o.State != state {
		t.Errorf("%s: state %s (%s), want %s", o.Check, o.State, o.Sentence, state)
	}
	for _, w := range words {
		if !strings.Contains(o.Sentence, w) {
			t.Errorf("%s: sentence %q does not contain %q", o.Check, o.Sentence, w)
		}
	}
	if o.Took <= 0 {
		t.Errorf("%s took %s", o.Check, o.Took)
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for _, l := range loopbacks {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			peer := startResponder(t, netcheck.Responder{}, l.addr)
			suite := netcheck.Suite{
				TCP: &netcheck.TCP{}, UDP: &netcheck.UDP{}, ICMP: &netcheck.ICMP{}, MTU: &netcheck.MTU{},
				Throughput: &netcheck.Throughput{Streams: 3, Duration: 100 * time.Millisecond},
			}
			report := suite.Run(t.Context(), []netcheck.Peer{peer})
			if !report.OK() {
				t.Fatalf("not ok: %s", report.Line())
			}
			p := report.Peers[0]
			wantOutcome(t, p.TCP.Outcome, netcheck.OK)
			wantOutcome(t, p.UDP.Outcome, netcheck.OK)
			wantOutcome(t, p.MTU.Outcome, netcheck.OK)
			wantOutcome(t, p.Throughput.Outcome, netcheck.OK, "Mbit/s")
			if p.TCP.Latency.Samples != 20 || p.UDP.Received != 50 || p.UDP.Latency.Samples != 50 {
				t.Errorf("tcp %+v, udp %+v", p.TCP, p.UDP)
			}
			if lat := p.UDP.Latency; lat.Min <= 0 || lat.Min > lat.Median || lat.Median > lat.P99 || lat.P99 > lat.Max {
				t.Errorf("latency out of order: %+v", lat)
			}
			if p.ICMP.State == netcheck.OK && p.ICMP.Received != 20 {
				t.Errorf("icmp: %+v", p.ICMP)
			}
			ifi, err := net.InterfaceByName(p.MTU.Interface)
			if err != nil || p.MTU.Path != min(ifi.MTU, 65535) || p.MTU.Remote != ifi.MTU {
				t.Errorf("mtu: %+v, interface %+v, %v", p.MTU, ifi, err)
			}
			if p.Throughput.Streams != 3 || p.Throughput.Bytes <= 0 || p.Throughput.Elapsed < 100*time.Millisecond {
				t.Errorf("throughput: %+v", p.Throughput)
			}
			var back netcheck.Report
			if data, err := report.JSON(); err != nil {
				t.Error(err)
			} else if err := json.Unmarshal(data, &back); err != nil || back.Peers[0].UDP.Received != 50 {
				t.Errorf("the report does not survive JSON: %v\n%s", err, data)
			}
		})
	}
}

// TestNobodyThere is about a machine that is up but runs no responder.
func TestNobodyThere(t *testing.T) {
	t.Parallel()
	for _, l := range loopbacks {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			running, err := netcheck.Responder{Addresses: []netip.Addr{netip.MustParseAddr(l.addr)}}.StartAnyPort(ctx)
			if err != nil {
				t.Skip(err)
			}
			peer := netcheck.Peer{Name: "magpie/1", Addr: running.AddrPorts()[0].Addr(), Port: running.AddrPorts()[0].Port()}
			cancel()
			if err := running.Wait(); err != nil {
				t.Fatal(err)
			}
			suite := netcheck.Suite{TCP: &netcheck.TCP{}, UDP: &netcheck.UDP{}, MTU: &netcheck.MTU{}, Throughput: &netcheck.Throughput{}}
			report := suite.Run(t.Context(), []netcheck.Peer{peer})
			p := report.Peers[0]
			wantOutcome(t, p.TCP.Outcome, netcheck.Failed, "tcp port", "refused")
			wantOutcome(t, p.UDP.Outcome, netcheck.Failed, "udp port", "refused")
			if p.MTU.State != netcheck.Skipped || p.Throughput.State != netcheck.Skipped {
				t.Errorf("mtu %v, throughput %v", p.MTU.Outcome, p.Throughput.Outcome)
			}
			if mtu := (netcheck.MTU{}).Check(t.Context(), peer); true {
				wantOutcome(t, mtu.Outcome, netcheck.Failed, "refused")
			}
			if tp := (netcheck.Throughput{}).Check(t.Context(), peer); true {
				wantOutcome(t, tp.Outcome, netcheck.Failed, "refused")
			}
			want := fmt.Sprintf("magpie/1: tcp port %d: refused, udp port %d: refused", peer.Port, peer.Port)
			if got := report.Line(); got != want {
				t.Errorf("line %q, want %q", got, want)
			}
		})
	}
}

// TestSilence is about a port that swallows everything: every check ends when
// its budget does.
func TestSilence(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	u, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { u.Close() })
	peer := netcheck.Peer{Name: "magpie/1", Addr: netip.MustParseAddr("127.0.0.1"), Port: l.Addr().(*net.TCPAddr).AddrPort().Port()}
	const budget = 300 * time.Millisecond
	checks := map[string]func(context.Context) netcheck.Outcome{
		"tcp": func(ctx context.Context) netcheck.Outcome {
			return netcheck.TCP{Budget: budget}.Check(ctx, peer).Outcome
		},
		"udp": func(ctx context.Context) netcheck.Outcome {
			return netcheck.UDP{Budget: budget}.Check(ctx, peer).Outcome
		},
		"mtu": func(ctx context.Context) netcheck.Outcome {
			return netcheck.MTU{Budget: budget}.Check(ctx, peer).Outcome
		},
		"throughput": func(ctx context.Context) netcheck.Outcome {
			return netcheck.Throughput{Budget: budget}.Check(ctx, peer).Outcome
		},
		"dns": func(ctx context.Context) netcheck.Outcome {
			return netcheck.DNS{Budget: budget, Servers: []string{peer.AddrPort().String()}}.Check(ctx, peer).Outcome
		},
	}
	for name, check := range checks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := check(t.Context())
			wantOutcome(t, o, netcheck.Failed, "no answer")
			if o.Took < budget-10*time.Millisecond || o.Took > 10*budget {
				t.Errorf("took %s with a budget of %s", o.Took, budget)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel)
			o = check(ctx)
			wantOutcome(t, o, netcheck.Skipped, "cancelled")
		})
	}
}

// TestStranger is about a port that somebody else has.
func TestStranger(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = conn.Write([]byte("220 mail.example.com ESMTP\r\n"))
				_, _ = conn.Read(make([]byte, 100))
			}()
		}
	}()
	peer := netcheck.Peer{Addr: netip.MustParseAddr("127.0.0.1"), Port: l.Addr().(*net.TCPAddr).AddrPort().Port()}
	wantOutcome(t, netcheck.TCP{}.Check(t.Context(), peer).Outcome, netcheck.Failed, "not a responder")
	wantOutcome(t, netcheck.Throughput{}.Check(t.Context(), peer).Outcome, netcheck.Failed, "not a responder")
}

func TestThroughputMinimum(t *testing.T) {
	t.Parallel()
	peer := startResponder(t, netcheck.Responder{}, "127.0.0.1")
	r := netcheck.Throughput{Duration: 50 * time.Millisecond, Minimum: 1e15}.Check(t.Context(), peer)
	wantOutcome(t, r.Outcome, netcheck.Failed, "Mbit/s < 1000000000 Mbit/s")
	if r.MegabitsPerSecond() <= 0 {
		t.Errorf("%+v", r)
	}
}

// TestThroughputOneAtATime measures twice against one responder; the second
// measurement waits for the first.
func TestThroughputOneAtATime(t *testing.T) {
	t.Parallel()
	peer := startResponder(t, netcheck.Responder{}, "127.0.0.1")
	holder, err := net.Dial("tcp", peer.AddrPort().String())
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	fmt.Fprint(holder, "netcheck1 sink 00\n")
	if _, err := holder.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	busy := netcheck.Throughput{Duration: 10 * time.Millisecond, Budget: 300 * time.Millisecond}.Check(t.Context(), peer)
	wantOutcome(t, busy.Outcome, netcheck.Skipped, "busy")
	time.AfterFunc(100*time.Millisecond, func() { holder.Close() })
	after := netcheck.Throughput{Duration: 10 * time.Millisecond}.Check(t.Context(), peer)
	wantOutcome(t, after.Outcome, netcheck.OK)
}

func TestLatencyOf(t *testing.T) {
	t.Parallel()
	var hundred []time.Duration
	for i := 200; i > 0; i-- {
		hundred = append(hundred, time.Duration(i))
	}
	tests := []struct {
		in   []time.Duration
		want netcheck.Latency
	}{
		{nil, netcheck.Latency{}},
		{[]time.Duration{7}, netcheck.Latency{Samples: 1, Min: 7, Median: 7, P99: 7, Max: 7}},
		{[]time.Duration{9, 1, 5}, netcheck.Latency{Samples: 3, Min: 1, Median: 5, P99: 9, Max: 9}},
		{hundred, netcheck.Latency{Samples: 200, Min: 1, Median: 100, P99: 198, Max: 200}},
	}
	for _, tt := range tests {
		if got := netcheck.LatencyOf(tt.in); got != tt.want {
			t.Errorf("LatencyOf(%v) = %+v, want %+v", tt.in, got, tt.want)
		}
	}
	if hundred[0] != 200 {
		t.Error("LatencyOf changed its argument")
	}
}

func TestReportLine(t *testing.T) {
	t.Parallel()
	dns := func(peer, sentence string) *netcheck.DNSResult {
		return &netcheck.DNSResult{Outcome: netcheck.Outcome{Check: netcheck.KindDNS, Peer: peer, State: netcheck.Failed, Sentence: sentence}}
	}
	udp := func(peer, sentence string, s netcheck.State) *netcheck.UDPResult {
		return &netcheck.UDPResult{Outcome: netcheck.Outcome{Check: netcheck.KindUDP, Peer: peer, State: s, Sentence: sentence}}
	}
	peer := func(n string) netcheck.Peer { return netcheck.Peer{Name: n} }
	tests := []struct {
		name   string
		report netcheck.Report
		want   string
	}{
		{"empty", netcheck.Report{}, "nothing checked"},
		{"ok", netcheck.Report{Peers: []netcheck.PeerReport{
			{Peer: peer("m/1"), UDP: udp("m/1", "udp ok, min", netcheck.OK), Throughput: &netcheck.ThroughputResult{BitsPerSecond: 940e6, Outcome: netcheck.Outcome{Check: netcheck.KindThroughput, State: netcheck.OK}}},
			{Peer: peer("m/2"), UDP: udp("m/2", "udp ok", netcheck.OK)},
		}}, "udp ok, 940 Mbit/s"},
		{"same fault", netcheck.Report{Peers: []netcheck.PeerReport{
			{Peer: peer("m/1"), DNS: dns("m/1", "dns: no answer")},
			{Peer: peer("m/2"), DNS: dns("m/2", "dns: no answer"), UDP: udp("m/2", "udp: 5 of 50 packets lost", netcheck.Failed)},
		}}, "m/1, m/2: dns: no answer; m/2: udp: 5 of 50 packets lost"},
		{"same peer", netcheck.Report{
			Hostname: &netcheck.HostnameResult{Outcome: netcheck.Outcome{State: netcheck.Failed, Sentence: "local hostname h does not resolve"}},
			Peers: []netcheck.PeerReport{
				{Peer: peer("m/2"), DNS: dns("m/2", "reverse dns of 10.0.0.2: no name"), UDP: udp("m/2", "udp port 7117: refused", netcheck.Failed)},
			}}, "local hostname h does not resolve; m/2: udp port 7117: refused, reverse dns of 10.0.0.2: no name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.report.Line(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestParallel checks many peers, some of them silent, with few at a time, and
// expects the order of the report to be that of the peers.
func TestParallel(t *testing.T) {
	t.Parallel()
	good := startResponder(t, netcheck.Responder{}, "127.0.0.1")
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	var peers []netcheck.Peer
	for i := range 40 {
		p := good
		if i%10 == 3 {
			p.Port = silent.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		}
		p.Name = fmt.Sprintf("magpie/%d", i)
		peers = append(peers, p)
	}
	suite := netcheck.Suite{UDP: &netcheck.UDP{Count: 3, Wait: 300 * time.Millisecond}, Parallel: 4}
	report := suite.Run(t.Context(), peers)
	for i, p := range report.Peers {
		want := netcheck.OK
		if i%10 == 3 {
			want = netcheck.Failed
		}
		if p.Name != peers[i].Name || p.UDP.Peer != p.Name || p.UDP.State != want {
			t.Errorf("peer %d: %s %s (%s), want %s", i, p.Name, p.UDP.State, p.UDP.Sentence, want)
		}
	}
	if n := len(report.Failures()); n != 4 {
		t.Errorf("%d failures, want 4", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, o := range suite.Run(ctx, peers).Outcomes() {
		if o.State == netcheck.Failed {
			t.Errorf("after cancelling: %+v", o)
		}
	}
}

func TestHostname(t *testing.T) {
	t.Parallel()
	r := netcheck.Hostname{Name: "localhost"}.Check(t.Context())
	wantOutcome(t, r.Outcome, netcheck.OK, "(localhost)")
	if len(r.Addresses) == 0 {
		t.Errorf("%+v", r)
	}
	dead := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, os.ErrDeadlineExceeded
	}}
	r = netcheck.Hostname{Name: "no-such-host.invalid", Resolver: dead}.Check(t.Context())
	wantOutcome(t, r.Outcome, netcheck.Failed, "no-such-host.invalid does not resolve")
}
