package netcheck_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
)

// startDNS serves a few records over UDP and TCP and returns its address.
func startDNS(t *testing.T, records ...string) string {
	t.Helper()
	answers := map[dns.Question][]dns.RR{}
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		h := rr.Header()
		q := dns.Question{Name: h.Name, Qtype: h.Rrtype, Qclass: dns.ClassINET}
		answers[q] = append(answers[q], rr)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		name := q.Question[0].Name
		if name == "broken.example." {
			m.Rcode = dns.RcodeServerFailure
		} else if rrs, ok := answers[q.Question[0]]; ok {
			m.Answer = rrs
		} else if rrs, ok := answers[dns.Question{Name: name, Qtype: dns.TypeCNAME, Qclass: dns.ClassINET}]; ok {
			m.Answer = rrs
		} else {
			m.Rcode = dns.RcodeNameError
			for known := range answers {
				if known.Name == name {
					m.Rcode = dns.RcodeSuccess
				}
			}
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			m.Truncate(512)
		}
		_ = w.WriteMsg(m)
	})
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		pc.Close()
		t.Skip(err)
	}
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go func() { _ = s.ActivateAndServe() }()
		<-ready
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return pc.LocalAddr().String()
}

func TestDNS(t *testing.T) {
	t.Parallel()
	records := []string{
		"2.0.0.10.in-addr.arpa. 60 IN PTR two.example.",
		"two.example. 60 IN A 10.0.0.2",
		"3.0.0.10.in-addr.arpa. 60 IN PTR alias.example.",
		"alias.example. 60 IN CNAME three.example.",
		"three.example. 60 IN A 10.0.0.3",
		"4.0.0.10.in-addr.arpa. 60 IN PTR moved.example.",
		"moved.example. 60 IN A 10.0.0.44",
		"5.0.0.10.in-addr.arpa. 60 IN PTR nowhere.example.",
		"6.0.0.10.in-addr.arpa. 60 IN PTR two.example.",
		"6.0.0.10.in-addr.arpa. 60 IN PTR six.example.",
		"six.example. 60 IN A 10.0.0.6",
		"7.0.0.10.in-addr.arpa. 60 IN PTR broken.example.",
		"8.0.0.10.in-addr.arpa. 60 IN PTR loop.example.",
		"loop.example. 60 IN CNAME loop.example.",
		"b.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 60 IN PTR six6.example.",
		"six6.example. 60 IN AAAA fd00::b",
		"six6.example. 60 IN A 10.0.0.66",
	}
	for i := range 40 {
		records = append(records, fmt.Sprintf("large.example. 60 IN A 10.1.0.%d", i+1))
	}
	records = append(records, "9.0.0.10.in-addr.arpa. 60 IN PTR large.example.", "large.example. 60 IN A 10.0.0.9")
	server := startDNS(t, records...)
	dead, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dead.Close() })
	silent := dead.LocalAddr().String()

	tests := []struct {
		name, addr string
		servers    []string
		state      netcheck.State
		failure    netcheck.DNSFailure
		words      string
	}{
		{"ok", "10.0.0.2", nil, netcheck.OK, "", "dns ok, two.example"},
		{"alias", "10.0.0.3", nil, netcheck.OK, "", "alias.example"},
		{"IPv6", "fd00::b", nil, netcheck.OK, "", "six6.example"},
		{"mapped IPv4", "::ffff:10.0.0.2", nil, netcheck.OK, "", "two.example"},
		{"truncated", "10.0.0.9", nil, netcheck.OK, "", "large.example"},
		{"no name", "10.0.0.99", nil, netcheck.Failed, netcheck.DNSReverse, "reverse dns of 10.0.0.99: no such name"},
		{"other address", "10.0.0.4", nil, netcheck.Failed, netcheck.DNSMatch, "forward dns of moved.example: 10.0.0.44, not 10.0.0.4"},
		{"no address", "10.0.0.5", nil, netcheck.Failed, netcheck.DNSForward, "forward dns of nowhere.example: no such name"},
		{"one name wrong", "10.0.0.6", nil, netcheck.Failed, netcheck.DNSMatch, "forward dns of two.example: 10.0.0.2, not 10.0.0.6"},
		{"server failure", "10.0.0.7", nil, netcheck.Failed, netcheck.DNSForward, "SERVFAIL"},
		{"endless alias", "10.0.0.8", nil, netcheck.Failed, netcheck.DNSForward, "too many aliases"},
		{"dead server", "10.0.0.2", []string{silent}, netcheck.Failed, netcheck.DNSServer, "dns: no answer from " + silent},
		{"second server", "10.0.0.2", []string{silent, server}, netcheck.OK, "", "two.example"},
		{"not an address", "10.0.0.2", []string{"ns.example"}, netcheck.Failed, netcheck.DNSServer, `"ns.example"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if tt.servers == nil {
				tt.servers = []string{server}
			}
			peer := netcheck.Peer{Name: "magpie/1", Addr: netip.MustParseAddr(tt.addr)}
			r := netcheck.DNS{Servers: tt.servers, Timeout: 200 * time.Millisecond}.Check(t.Context(), peer)
			wantOutcome(t, r.Outcome, tt.state, tt.words)
			if r.Failure != tt.failure {
				t.Errorf("failure %q, want %q", r.Failure, tt.failure)
			}
		})
	}
}

func TestDNSResolvConf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	peer := netcheck.Peer{Addr: netip.MustParseAddr("10.0.0.2")}
	r := netcheck.DNS{ResolvConf: filepath.Join(dir, "missing")}.Check(t.Context(), peer)
	wantOutcome(t, r.Outcome, netcheck.Failed, "cannot read the resolver configuration")

	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("search example\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r = netcheck.DNS{ResolvConf: empty}.Check(t.Context(), peer)
	wantOutcome(t, r.Outcome, netcheck.Failed, "no server in")

	conf := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.254\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r = netcheck.DNS{ResolvConf: conf, Tries: 1, Timeout: 100 * time.Millisecond}.Check(t.Context(), peer)
	wantOutcome(t, r.Outcome, netcheck.Failed, "dns: no answer from 127.0.0.254:53")
}
