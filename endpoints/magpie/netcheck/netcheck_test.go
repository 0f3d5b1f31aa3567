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
	servers := []string{peer.AddrPort().String()}
	hanging := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	checks := map[string]struct {
		check func(ctx context.Context, budget time.Duration) netcheck.Outcome
		words string
	}{
		"tcp": {func(ctx context.Context, budget time.Duration) netcheck.Outcome {
			return netcheck.TCP{Budget: budget}.Check(ctx, peer).Outcome
		}, "no answer within 300ms"},
		"udp": {func(ctx context.Context, budget time.Duration) netcheck.Outcome {
			return netcheck.UDP{Budget: budget, Wait: time.Minute}.Check(ctx, peer).Outcome
		}, "no answer"},
		"icmp": {func(ctx context.Context, budget time.Duration) netcheck.Outcome {
			// Loopback is never silent, but there is not the time for all pings.
			return netcheck.ICMP{Budget: budget, Count: 1000, Interval: time.Second}.Check(ctx, peer).Outcome
		}, "of 1000 pings sent in time"},
		"mtu": {func(ctx context.Context, budget time.Duration) netcheck.Outcome {
			return netcheck.MTU{Budget: budget}.Check(ctx, peer).Outcome
		}, "no answer"},
		"throughput": {func(ctx context.Context, budget time.Duration) netcheck.Outcome {
			return netcheck.Throughput{Budget: budget}.Check(ctx, peer).Outcome
		}, "no answer within 300ms"},
		"dns": {func(ctx context.Context, budget time.Duration) netcheck.Outcome {
			return netcheck.DNS{Budget: budget, Servers: servers, Timeout: time.Minute}.Check(ctx, peer).Outcome
		}, "no answer"},
		"hostname": {func(ctx context.Context, budget time.Duration) netcheck.Outcome {
			return netcheck.Hostname{Budget: budget, Name: "host.invalid", Resolver: hanging}.Check(ctx).Outcome
		}, "does not resolve"},
	}
	// What a check may take beyond its budget: a busy machine, but not the next
	// longer time that it knows of.
	const slack = 4 * time.Second
	for name, tt := range checks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const budget = 300 * time.Millisecond
			o := tt.check(t.Context(), budget)
			if o.Check == netcheck.KindICMP && o.State == netcheck.Skipped {
				t.Skip(o.Sentence)
			}
			wantOutcome(t, o, netcheck.Failed, tt.words)
			if o.Took < budget-10*time.Millisecond || o.Took > budget+slack {
				t.Errorf("took %s with a budget of %s", o.Took, budget)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(20*time.Millisecond, cancel)
			o = tt.check(ctx, time.Minute)
			wantOutcome(t, o, netcheck.Unfinished, "not checked: cancelled")
			if o.Took > slack {
				t.Errorf("cancelled after 20 ms, took %s", o.Took)
			}
			ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			o = tt.check(ctx, time.Minute)
			wantOutcome(t, o, netcheck.Unfinished, "not checked: out of time")
			if o.Took > slack {
				t.Errorf("out of time after 20 ms, took %s", o.Took)
			}
		})
	}
}

// TestOutOfTime gives a suite too little time for its many peers: those it did
// not get to are not blamed.
func TestOutOfTime(t *testing.T) {
	t.Parallel()
	good := startResponder(t, netcheck.Responder{}, "127.0.0.1")
	peers := make([]netcheck.Peer, 40)
	for i := range peers {
		peers[i] = good
		peers[i].Name = fmt.Sprintf("magpie/%d", i)
	}
	suite := netcheck.Suite{
		TCP: &netcheck.TCP{}, MTU: &netcheck.MTU{}, Throughput: &netcheck.Throughput{Duration: 20 * time.Millisecond},
		// Each peer takes so long that the time cannot do for all of them.
		UDP:      &netcheck.UDP{Count: 2, Interval: time.Second, Budget: time.Minute},
		Parallel: 4,
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	report := suite.Run(ctx, peers)
	if !report.OK() {
		t.Errorf("peers are blamed: %s", report.Line())
	}
	if !strings.HasSuffix(report.Line(), " of 40 peers not fully checked") {
		t.Errorf("line %q", report.Line())
	}
	for _, o := range report.Peers[39].Outcomes() {
		if o.State != netcheck.Unfinished {
			t.Errorf("the last peer: %+v", o)
		}
	}
}

// TestLookup has peers that are known by name, or not at all: they do not keep
// the others from being checked.
func TestLookup(t *testing.T) {
	t.Parallel()
	good := startResponder(t, netcheck.Responder{}, "127.0.0.1")
	report := netcheck.Suite{TCP: &netcheck.TCP{}, Throughput: &netcheck.Throughput{Duration: 10 * time.Millisecond}}.Run(t.Context(), []netcheck.Peer{
		{Name: "magpie/1", Port: good.Port},
		{Name: "magpie/2", Port: good.Port, Host: "not a host name"},
		{Name: "magpie/3", Port: good.Port, Host: "localhost"},
		good,
	})
	if got, want := report.Line(), `magpie/1: has no address; magpie/2: address "not a host name" does not resolve`; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if p := report.Peers[2]; p.Lookup == nil || p.Lookup.State != netcheck.OK || !p.Addr.IsLoopback() || p.TCP == nil {
		t.Errorf("localhost: %+v", p)
	}
	if p := report.Peers[3]; p.Lookup != nil || p.TCP.State != netcheck.OK || p.Throughput.State != netcheck.OK {
		t.Errorf("the peer with an address: %+v", p)
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

// TestThroughputShare asks for a share of a link speed that a sysfs of the test
// names.
func TestThroughputShare(t *testing.T) {
	t.Parallel()
	peer := startResponder(t, netcheck.Responder{}, "127.0.0.1")
	tests := []struct {
		speed string
		share float64
		state netcheck.State
		words string
	}{
		{"1000000000", 0.5, netcheck.Failed, "Mbit/s < 500000000 Mbit/s"},
		{"1", 0.5, netcheck.OK, "throughput "},
		{"-1", 0.5, netcheck.Failed, "Mbit/s, but the link speed of lo is not known"},
		{"-1", 0, netcheck.OK, "throughput "},
	}
	for _, tt := range tests {
		r := netcheck.Throughput{
			Duration: 10 * time.Millisecond, MinimumShare: tt.share, Root: sysfs(t, nic("lo", tt.speed, "unknown", "1")),
		}.Check(t.Context(), peer)
		wantOutcome(t, r.Outcome, tt.state, tt.words)
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
	var many []netcheck.PeerReport
	for i := range 20 {
		p := netcheck.PeerReport{Peer: peer(fmt.Sprintf("m/%d", i))}
		switch {
		case i < 7:
			p.UDP = udp(p.Name, "udp: no answer", netcheck.Failed)
		case i < 12:
			p.UDP = udp(p.Name, "udp not checked: out of time", netcheck.Unfinished)
		}
		many = append(many, p)
	}
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
		{"many", netcheck.Report{Peers: many}, "m/0, m/1, m/2 and 4 more: udp: no answer; 5 of 20 peers not fully checked"},
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
		if o.State != netcheck.Unfinished {
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
