package netcheck_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
	"github.com/charmed-go/charms/endpoints/magpie/netcheck/netchecktest"
)

// TestMain lets the test binary also be what runs inside the namespaces.
func TestMain(m *testing.M) {
	switch os.Getenv("NETCHECK_ROLE") {
	case "":
		os.Exit(m.Run())
	case "serve":
		serveRole()
	case "check":
		checkRole()
	}
}

// serveRole runs a responder and, if NETCHECK_DNS is set, a DNS server on that
// address, until its standard input ends.
func serveRole() {
	ctx, cancel := context.WithCancel(context.Background())
	var addrs []netip.Addr
	for _, a := range strings.Fields(os.Getenv("NETCHECK_ADDRESSES")) {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	running, err := netcheck.Responder{Addresses: addrs}.Start(ctx)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if addr := os.Getenv("NETCHECK_DNS"); addr != "" {
		ready := make(chan struct{})
		server := &dns.Server{Addr: addr, Net: "udp", Handler: dns.HandlerFunc(zone), NotifyStartedFunc: func() { close(ready) }}
		go func() {
			if err := server.ListenAndServe(); err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
		}()
		<-ready
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	_ = running.Wait()
}

// zone knows host1.example to host3.example.
func zone(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	for i := 1; i <= 3; i++ {
		host := fmt.Sprintf("host%d.example.", i)
		for addr, kind := range map[string]string{fmt.Sprintf("10.77.0.%d", i): "A", fmt.Sprintf("fd77::%d", i): "AAAA"} {
			arpa, _ := dns.ReverseAddr(addr)
			for _, text := range []string{arpa + " 60 IN PTR " + host, host + " 60 IN " + kind + " " + addr} {
				rr, err := dns.NewRR(text)
				if err == nil && rr.Header().Name == q.Question[0].Name && rr.Header().Rrtype == q.Question[0].Qtype {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
	}
	_ = w.WriteMsg(m)
}

// checkRole runs the checks that its standard input describes.
func checkRole() {
	var job struct {
		Suite netcheck.Suite
		Peers []netcheck.Peer
	}
	if err := json.NewDecoder(os.Stdin).Decode(&job); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	data, err := job.Suite.Run(context.Background(), job.Peers).JSON()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(data)
}

// serveOn runs a responder on a host until the test ends.
func serveOn(t *testing.T, h *netchecktest.Host, env ...string) {
	t.Helper()
	cmd := h.Command(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "NETCHECK_ROLE=serve", fmt.Sprintf("NETCHECK_ADDRESSES=%s %s", h.Addr4, h.Addr6))
	cmd.Env = append(cmd.Env, env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the responder of %s said %q, %v", h.Namespace, line, err)
	}
}

// lab is a network of three hosts with responders, whose DNS server is the
// third.
type lab struct {
	*netchecktest.Network
	suite netcheck.Suite
	is6   bool
	// inTurn is whether hosts check one after the other.
	inTurn bool
}

func newLab(t *testing.T) *lab {
	l := &lab{Network: netchecktest.New(t, 3)}
	l.suite = netcheck.Suite{
		TCP: &netcheck.TCP{Budget: 3 * time.Second}, UDP: &netcheck.UDP{}, ICMP: &netcheck.ICMP{Interval: 10 * time.Millisecond},
		MTU: &netcheck.MTU{}, DNS: &netcheck.DNS{Servers: []string{"10.77.0.3"}, Timeout: 300 * time.Millisecond, Tries: 5},
		Throughput: &netcheck.Throughput{Duration: 200 * time.Millisecond},
		Links:      &netcheck.Links{Names: []string{netchecktest.Interface}},
	}
	for i, h := range l.Hosts {
		var env []string
		if i == 2 {
			env = append(env, "NETCHECK_DNS=10.77.0.3:53")
		}
		serveOn(t, h, env...)
	}
	return l
}

// check runs the suite on one host against the other two.
func (l *lab) check(ctx context.Context, from int) (netcheck.Report, error) {
	var report netcheck.Report
	var job struct {
		Suite netcheck.Suite
		Peers []netcheck.Peer
	}
	job.Suite = l.suite
	for i, h := range l.Hosts {
		if i != from {
			addr := h.Addr4
			if l.is6 {
				addr = h.Addr6
			}
			job.Peers = append(job.Peers, netcheck.Peer{Name: fmt.Sprintf("magpie/%d", i), Addr: addr})
		}
	}
	in, err := json.Marshal(job)
	if err != nil {
		return report, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := l.Hosts[from].Command(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "NETCHECK_ROLE=check")
	cmd.Stdin = strings.NewReader(string(in))
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return report, fmt.Errorf("%w: %s", err, said.String())
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return report, fmt.Errorf("cannot read the report %s: %w", out, err)
	}
	return report, nil
}

// checkAll runs the suite on all hosts at the same time, as the units of a model
// do, or in turn.
func (l *lab) checkAll(t *testing.T) []netcheck.Report {
	t.Helper()
	reports := make([]netcheck.Report, len(l.Hosts))
	errs := make([]error, len(l.Hosts))
	var all sync.WaitGroup
	for from := range l.Hosts {
		all.Go(func() { reports[from], errs[from] = l.check(t.Context(), from) })
		if l.inTurn {
			all.Wait()
		}
	}
	all.Wait()
	for from, err := range errs {
		if err != nil {
			t.Fatalf("cannot check from host %d: %v", from, err)
		}
	}
	return reports
}

// fault is what one host finds wrong.
type fault struct {
	peer  string
	check netcheck.Kind
	words string
}

// expect checks from all hosts and wants exactly these faults to be found.
func (l *lab) expect(t *testing.T, want [3][]fault) {
	t.Helper()
	for from, report := range l.checkAll(t) {
		t.Logf("magpie/%d in %s: %s", from, report.Took.Round(time.Millisecond), report.Line())
		failures := report.Failures()
		for _, f := range want[from] {
			found := false
			for i, o := range failures {
				if o.Peer == f.peer && o.Check == f.check && strings.Contains(o.Sentence, f.words) {
					found = true
					failures = append(failures[:i], failures[i+1:]...)
					break
				}
			}
			if !found {
				t.Errorf("magpie/%d does not find %+v", from, f)
			}
		}
		for _, o := range failures {
			t.Errorf("magpie/%d also finds %s of %s: %s", from, o.Check, o.Peer, o.Sentence)
		}
	}
}

// TestThreeHosts is the story of a network: all is well, then one thing after
// the other breaks, is found where it is and nowhere else, and is mended.
func TestThreeHosts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	fine := [3][]fault{}
	t.Run("baseline", func(t *testing.T) { l.expect(t, fine) })
	t.Run("baseline IPv6", func(t *testing.T) {
		l.is6 = true
		defer func() { l.is6 = false }()
		l.expect(t, fine)
	})
	second := l.Hosts[1]
	wrongMTU := [3][]fault{
		{{"magpie/1", netcheck.KindMTU, "path mtu 1404, 1500 on eth0 (larger packets vanish)"}},
		{{"magpie/0", netcheck.KindMTU, "mtu 1400 on eth0 here, 1500 there"}, {"magpie/2", netcheck.KindMTU, "mtu 1400 on eth0 here, 1500 there"}},
		{{"magpie/1", netcheck.KindMTU, "path mtu 1404, 1500 on eth0 (larger packets vanish)"}},
	}
	tests := []struct {
		name  string
		fault func(*testing.T)
		want  [3][]fault
	}{
		{"wrong MTU", func(t *testing.T) { second.SetMTU(t, 1400) }, wrongMTU},
		{"packet loss", func(t *testing.T) { second.LoseOneIn(t, 5) }, [3][]fault{
			{{"magpie/1", netcheck.KindUDP, "10 of 50 packets lost"}, {"magpie/1", netcheck.KindICMP, "4 of 20 pings lost"}},
			{{"magpie/0", netcheck.KindUDP, "10 of 50 packets lost"}, {"magpie/0", netcheck.KindICMP, "4 of 20 pings lost"}, {"magpie/2", netcheck.KindUDP, "10 of 50 packets lost"}, {"magpie/2", netcheck.KindICMP, "4 of 20 pings lost"}},
			{{"magpie/1", netcheck.KindUDP, "10 of 50 packets lost"}, {"magpie/1", netcheck.KindICMP, "4 of 20 pings lost"}},
		}},
		{"dropped port", func(t *testing.T) { second.Block(t, "tcp", netcheck.DefaultPort) }, [3][]fault{
			{{"magpie/1", netcheck.KindTCP, "tcp port 7117: no answer within 3"}}, nil, {{"magpie/1", netcheck.KindTCP, "tcp port 7117: no answer within 3"}},
		}},
		{"refused port", func(t *testing.T) { second.Reject(t, "udp", netcheck.DefaultPort) }, [3][]fault{
			{{"magpie/1", netcheck.KindUDP, "udp port 7117: refused"}}, nil, {{"magpie/1", netcheck.KindUDP, "udp port 7117: refused"}},
		}},
		{"dead DNS server", func(t *testing.T) { l.Hosts[2].Block(t, "udp", 53) }, [3][]fault{
			{{"magpie/1", netcheck.KindDNS, "dns: no answer from 10.77.0.3:53"}, {"magpie/2", netcheck.KindDNS, "no answer"}},
			{{"magpie/0", netcheck.KindDNS, "dns: no answer from 10.77.0.3:53"}, {"magpie/2", netcheck.KindDNS, "no answer"}},
			{{"magpie/0", netcheck.KindDNS, "dns: no answer from 10.77.0.3:53"}, {"magpie/1", netcheck.KindDNS, "no answer"}},
		}},
		{"switch port with a small MTU", func(t *testing.T) { second.SetPortMTU(t, 1300) }, [3][]fault{
			// What TCP sends to the second host does not fit either. What that host
			// sends enters the bridge in packets that are yet to be cut.
			{{"magpie/1", netcheck.KindMTU, "path mtu 1300"}, {"magpie/1", netcheck.KindThroughput, "throughput"}},
			{{"magpie/0", netcheck.KindMTU, "path mtu 1304"}, {"magpie/2", netcheck.KindMTU, "path mtu 1304"}},
			{{"magpie/1", netcheck.KindMTU, "path mtu 1300"}, {"magpie/1", netcheck.KindThroughput, "throughput"}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if strings.HasPrefix(tt.name, "switch port") {
				// While one measurement hangs the responder is busy for others.
				l.suite.Throughput.Budget, l.inTurn = 3*time.Second, true
				defer func() { l.suite.Throughput.Budget, l.inTurn = 0, false }()
			}
			tt.fault(t)
			l.expect(t, tt.want)
			for _, h := range l.Hosts {
				h.Mend(t)
			}
		})
	}
	t.Run("IPv6 wrong MTU", func(t *testing.T) {
		l.is6 = true
		defer func() { l.is6 = false }()
		second.SetMTU(t, 1400)
		l.expect(t, wrongMTU)
		second.Mend(t)
	})
	t.Run("mended", func(t *testing.T) { l.expect(t, fine) })
}

// TestUnplugged has a host without a cable: the other two find it gone within
// the budget, and it finds both gone and its link down.
func TestUnplugged(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.suite.DNS = nil
	l.Hosts[1].Unplug(t)
	gone := func(peer string) []fault {
		return []fault{{peer, netcheck.KindTCP, ""}, {peer, netcheck.KindUDP, ""}, {peer, netcheck.KindICMP, ""}}
	}
	l.expect(t, [3][]fault{
		gone("magpie/1"),
		append(append([]fault{{"", netcheck.KindLinks, "eth0 down"}}, gone("magpie/0")...), gone("magpie/2")...),
		gone("magpie/1"),
	})
}
