package haproxy_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/load"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

func TestAlgorithmsAndPersistence(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	port := uint16(28100)
	for _, tt := range []struct {
		alg    distributor.Algorithm
		p      distributor.Persistence
		spread bool
	}{
		{distributor.AnyAlgorithm, distributor.NoPersistence, true},
		{distributor.RoundRobin, distributor.NoPersistence, true},
		{distributor.LeastConnections, distributor.NoPersistence, true},
		{distributor.Random, distributor.NoPersistence, true},
		{distributor.First, distributor.NoPersistence, false},
		{distributor.SourceIP, distributor.NoPersistence, false},
		{distributor.Hash, distributor.SourceIPPersistence, false},
		{distributor.RoundRobin, distributor.SourceIPPersistence, false},
	} {
		for _, protocol := range []distributor.Protocol{distributor.HTTP, distributor.TCP} {
			port++
			addVIP(t, s.d, s.id, s.web(protocol, port, 29090), tt.alg, tt.p)
			got := s.seen(24, s.url("http", port))
			if tt.spread && len(got) != 3 || !tt.spread && len(got) != 1 {
				t.Errorf("%s %q %q: %v", protocol, tt.alg, tt.p, got)
			}
		}
	}
}

func TestCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	addVIP(t, s.d, s.id, s.web(distributor.HTTP, 28080, 29090), distributor.RoundRobin, distributor.CookiePersistence)
	url := s.url("http", 28080)
	first, h, err := s.get(nil, url)
	if err != nil {
		t.Fatal(err)
	}
	cookie, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	if !strings.HasPrefix(cookie, "LBSRV=") || strings.Contains(cookie, s.addrs[0].String()) {
		t.Fatalf("cookie %q", cookie)
	}
	again := func() map[string]int {
		got := map[string]int{}
		for range 9 {
			req, _ := http.NewRequest(http.MethodGet, url, nil)
			req.Header.Set("Cookie", cookie)
			resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			got[resp.Header.Get("X-Served-By")]++
			resp.Body.Close()
		}
		return got
	}
	if got := again(); got[first] != 9 {
		t.Errorf("with the cookie of %s: %v", first, got)
	}
	addVIP(t, s.d, s.id, s.web(distributor.TCP, 28081, 29090), "", "") // a reload
	if got := again(); got[first] != 9 {
		t.Errorf("after a reload, with the cookie of %s: %v", first, got)
	}
	i := int(first[1] - '0')
	trial.Run(t, s.d.DrainAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: first, Address: s.addrs[i]})...)
	if got := again(); got[first] != 0 {
		t.Errorf("drained, %s still gets its clients: %v", first, got)
	}
}

// TestHealthChecks: an amphora that fails a check gets no traffic, over a reload
// as well, and gets it again when the check passes.
func TestHealthChecks(t *testing.T) {
	t.Parallel()
	check := func(p distributor.Protocol, path string) distributor.HealthCheck {
		return distributor.HealthCheck{Protocol: p, Port: 29090, Path: path, Interval: 100 * time.Millisecond, Retries: 2}
	}
	for name, tt := range map[string]struct {
		checks []distributor.HealthCheck
		vip    distributor.Protocol
	}{
		"tcp":           {[]distributor.HealthCheck{check("tcp", "")}, distributor.TCP},
		"two tcp":       {[]distributor.HealthCheck{check("tcp", ""), check("tcp", "")}, distributor.TCP},
		"http":          {[]distributor.HealthCheck{check("http", "/live?z=1&x='y'")}, distributor.HTTP},
		"tcp then http": {[]distributor.HealthCheck{check("tcp", ""), check("http", "")}, distributor.HTTP},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, 2)
			web := s.web(tt.vip, 28080, 29090)
			web.HealthChecks = tt.checks
			addVIP(t, s.d, s.id, web, "", "")
			url := s.url("http", 28080)
			settles := func(what string, want func(map[string]int) bool) {
				t.Helper()
				var got map[string]int
				for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
					if got = s.seen(8, url); want(got) {
						return
					}
				}
				t.Fatalf("%s: %v", what, got)
			}
			both := func(got map[string]int) bool { return got["a0"] > 0 && got["a1"] > 0 && len(got) == 2 }
			only1 := func(got map[string]int) bool { return got["a1"] == 8 }
			settles("both are up", both)
			s.servers[0].Stop()
			settles("a0 is down", only1)
			stats := ask(t, s.o.StatsSocket, "show stat")
			for end := time.Now().Add(15 * time.Second); !strings.Contains(stats, ",DOWN,"); stats = ask(t, s.o.StatsSocket, "show stat") {
				if time.Now().After(end) {
					t.Fatal("no server is seen to be down")
				}
				time.Sleep(10 * time.Millisecond)
			}
			if slices.ContainsFunc(tt.checks, func(c distributor.HealthCheck) bool { return c.Protocol == distributor.HTTP }) {
				// It takes the next checks seconds to fail, in which only what
				// was found before says that the server is down.
				silent, err := net.Listen("tcp", netip.AddrPortFrom(s.addrs[0], 29090).String())
				if err != nil {
					t.Fatal(err)
				}
				addVIP(t, s.d, s.id, s.web(distributor.TCP, 28081, 29090), "", "")
				if stats := ask(t, s.o.StatsSocket, "show stat"); !strings.Contains(stats, ",DOWN") {
					t.Error("after a reload the server that is down counts as up")
				}
				silent.Close()
			}
			load.Serve(t, netip.AddrPortFrom(s.addrs[0], 29090).String(), "a0")
			settles("a0 is back", both)
		})
	}
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	d := haproxy.New(haproxy.Options{Dir: t.TempDir(), Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	base := distributor.VIP{ID: "v", Address: netip.MustParseAddr("10.0.0.1"), Protocol: distributor.TCP, Ports: []distributor.PortMapping{{Front: 80, Back: 80}}}
	for name, tt := range map[string]struct {
		change func(*distributor.VIP)
		alg    distributor.Algorithm
		p      distributor.Persistence
		field  string
	}{
		"fine":                   {},
		"udp":                    {change: func(v *distributor.VIP) { v.Protocol = distributor.UDP }, field: "protocol"},
		"algorithm":              {alg: "magic", field: "algorithm"},
		"source ip and port":     {p: distributor.SourceIPAndPortPersistence, field: "sticky"},
		"cookie without http":    {p: distributor.CookiePersistence, field: "sticky"},
		"not an address of ours": {change: func(v *distributor.VIP) { v.Address = netip.MustParseAddr("10.0.0.2") }, field: "ingress_address"},
		"udp check": {change: func(v *distributor.VIP) {
			v.HealthChecks = []distributor.HealthCheck{{Protocol: "udp", Port: 1, Interval: time.Second, Retries: 1}}
		}, field: "health_checks"},
		"http with TLS terminated": {change: func(v *distributor.VIP) { v.Protocol = distributor.HTTP; v.TLS = &distributor.TLS{} }, field: "tls_termination"},
	} {
		v := base
		if tt.change != nil {
			tt.change(&v)
		}
		err := d.CheckVIP(t.Context(), v, tt.alg, tt.p)
		if fields := distributor.UnsupportedFields(err); (tt.field == "") != (err == nil) || tt.field != "" && fields[tt.field] == "" {
			t.Errorf("%s: %v, want field %q", name, err, tt.field)
		}
	}
	alg, err := distributor.FirstSupported(t.Context(), d, base, []distributor.Algorithm{"magic", distributor.LeastConnections}, "")
	if err != nil || alg != distributor.LeastConnections {
		t.Errorf("FirstSupported = %q, %v", alg, err)
	}
}

// TestUnprivilegedWorkers: with a user for the workers, as packages set HAProxy
// up, everything still works that goes through files of the master's user.
func TestUnprivilegedWorkers(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can have workers run as somebody else")
	}
	s := newSite(t, 2)
	o := s.o
	o.User, o.Group = "nobody", "nogroup"
	s.d = haproxy.New(o)
	web := s.web(distributor.HTTPS, 28443, 29090)
	for i := range 3 {
		cert, key := certificate(t, "lb.test", s.vip)
		web.TLS = &distributor.TLS{Certificate: cert, Key: flow.NewSecret(key)}
		addVIP(t, s.d, s.id, web, "", distributor.SourceIPPersistence)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(cert))
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
		if _, _, err := s.get(c, s.url("https", 28443)); err != nil {
			t.Errorf("certificate %d: %v", i, err)
		}
		addVIP(t, s.d, s.id, s.web(distributor.TCP, uint16(28100+i), 29090), "", "")
	}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("no IPv6 here: %v", err)
	} else {
		l.Close()
	}
	s := newSite(t, 1)
	six := netip.MustParseAddr("::1")
	load.Serve(t, netip.AddrPortFrom(six, 29191).String(), "six")
	trial.Run(t, s.d.UnregisterAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: "a0"})...)
	trial.Run(t, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: "six", Address: six})...)
	s.vip = six
	addVIP(t, s.d, s.id, s.web(distributor.HTTP, 28600, 29191), distributor.RoundRobin, distributor.SourceIPPersistence)
	if got := s.seen(4, s.url("http", 28600)); got["six"] != 4 {
		t.Errorf("over IPv6: %v", got)
	}
	trial.Run(t, s.d.DrainAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: "six", Address: six})...)
	trial.Run(t, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: "six", Address: six})...)
	if got := s.seen(4, s.url("http", 28600)); got["six"] != 4 {
		t.Errorf("after a drain and back: %v", got)
	}
}
