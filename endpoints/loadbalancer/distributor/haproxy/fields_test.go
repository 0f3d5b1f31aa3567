package haproxy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/load"
)

// site is an HAProxy with three web servers behind it.
type site struct {
	t       *testing.T
	o       haproxy.Options
	d       *haproxy.Driver
	id      string
	vip     netip.Addr
	addrs   []netip.Addr
	servers []*load.Server
}

func newSite(t *testing.T, amphorae int) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, o: launch(t, dir)}
	s.d = haproxy.New(s.o)
	s.vip, s.addrs = loopback(dir)
	s.id = create(t, s.d, "web")
	var as []distributor.Amphora
	for i := range amphorae {
		s.servers = append(s.servers, load.Serve(t, netip.AddrPortFrom(s.addrs[i], 29090).String(), fmt.Sprintf("a%d", i)))
		as = append(as, distributor.Amphora{ID: fmt.Sprintf("a%d", i), Address: s.addrs[i]})
	}
	run(t, s.d.RegisterAmphorae(""), members(s.id, as...)...)
	return s
}

func (s *site) web(protocol distributor.Protocol, front, back uint16) distributor.VIP {
	return distributor.VIP{ID: fmt.Sprintf("vip-%d", front), Address: s.vip, Protocol: protocol, Ports: []distributor.PortMapping{{Front: front, Back: back}}}
}

// get asks for a page over a connection of its own and returns its body and
// header.
func (s *site) get(c *http.Client, url string) (string, http.Header, error) {
	if c == nil {
		c = &http.Client{}
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{DisableKeepAlives: true}
	}
	resp, err := c.Get(url)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = errors.New(resp.Status)
	}
	return strings.TrimSpace(string(body)), resp.Header, err
}

func (s *site) url(scheme string, port uint16) string {
	return scheme + "://" + netip.AddrPortFrom(s.vip, port).String() + "/"
}

// seen returns which servers answer n requests.
func (s *site) seen(n int, url string) map[string]int {
	s.t.Helper()
	got := map[string]int{}
	for range n {
		body, _, err := s.get(nil, url)
		if err != nil {
			body = err.Error()
		}
		got[body]++
	}
	return got
}

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

// TestStickTableSurvivesReload: clients come back to their amphorae after the
// configuration was loaded anew, and go elsewhere when theirs is drained.
func TestStickTableSurvivesReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	addVIP(t, s.d, s.id, s.web(distributor.TCP, 28080, 29090), distributor.RoundRobin, distributor.SourceIPPersistence)
	var clients []*http.Client
	for _, source := range s.addrs[:3] {
		dialer := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}
		clients = append(clients, &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}})
	}
	ask := func(i int) string {
		t.Helper()
		body, _, err := s.get(clients[i], s.url("http", 28080))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	home := []string{ask(0), ask(1), ask(2)}
	if home[0] == home[1] || home[1] == home[2] || home[2] == home[0] {
		t.Fatalf("the clients are sent to %v", home)
	}
	// What hangs on this is the table being handed over, so give every reload
	// a chance to lose it. An empty table would send who comes first to where
	// the first was sent, so they come the other way round.
	for reload := range uint16(4) {
		addVIP(t, s.d, s.id, s.web(distributor.TCP, 28200+reload, 29090), distributor.RoundRobin, distributor.NoPersistence)
		for i := 2; i >= 0; i-- {
			if got := ask(i); got != home[i] {
				t.Errorf("after reload %d client %d is sent to %s, want %s", reload, i, got, home[i])
			}
		}
	}
	i := int(home[1][1] - '0')
	run(t, s.d.DrainAmphorae(""), members(s.id, distributor.Amphora{ID: home[1], Address: s.addrs[i]})...)
	next := ask(1)
	for range 5 {
		if got := ask(1); got != next || got == home[1] {
			t.Errorf("after the drain of %s: %s, then %s", home[1], next, got)
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
	run(t, s.d.DrainAmphorae(""), members(s.id, distributor.Amphora{ID: first, Address: s.addrs[i]})...)
	if got := again(); got[first] != 0 {
		t.Errorf("drained, %s still gets its clients: %v", first, got)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	pool := x509.NewCertPool()
	issue := func() *distributor.TLS {
		cert, key := certificate(t, "lb.test", s.vip)
		pool.AppendCertsFromPEM([]byte(cert))
		return &distributor.TLS{Certificate: cert, Key: flow.NewSecret(key)}
	}
	client := func() *http.Client {
		return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	}
	web := s.web(distributor.HTTPS, 28443, 29090)
	web.TLS = issue()
	addVIP(t, s.d, s.id, web, "", distributor.CookiePersistence)
	_, h, err := s.get(client(), s.url("https", 28443))
	if err != nil || h.Get("Saw-X-Forwarded-Proto") != "https" || h.Get("Saw-X-Forwarded-For") == "" {
		t.Errorf("terminated https: %v, %v", err, h)
	}
	raw := s.web(distributor.TCP, 28444, 29090)
	raw.TLS = issue()
	addVIP(t, s.d, s.id, raw, "", "")
	if _, _, err := s.get(client(), s.url("https", 28444)); err != nil {
		t.Errorf("terminated tcp: %v", err)
	}

	// A new certificate is served at once, without a reload, and to the
	// next worker as well.
	serial := func(port uint16) string {
		c, err := tls.Dial("tcp", netip.AddrPortFrom(s.vip, port).String(), &tls.Config{RootCAs: pool})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before, other, count := serial(28443), serial(28444), reloads(t, s.o)
	web.TLS = issue()
	addVIP(t, s.d, s.id, web, "", distributor.CookiePersistence)
	rotated := serial(28443)
	if rotated == before || serial(28444) != other || reloads(t, s.o) != count {
		t.Errorf("rotation: serial %s to %s, the other %s to %s, reloads %s to %s", before, rotated, other, serial(28444), count, reloads(t, s.o))
	}
	addVIP(t, s.d, s.id, s.web(distributor.TCP, 28445, 29090), "", "")
	if got := serial(28443); got != rotated {
		t.Errorf("after a reload serial %s is served, want %s", got, rotated)
	}

	// A key that does not fit is refused, and the old one goes on.
	wrong := issue()
	bad := web
	bad.TLS = &distributor.TLS{Certificate: web.TLS.Certificate, Key: wrong.Key}
	_, err = new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", s.d.AddVIP("")), vipInputs(s.id, bad, "", distributor.CookiePersistence)...)
	if distributor.UnsupportedFields(err)["tls_cert"] == "" {
		t.Errorf("a key that does not fit: %v", err)
	}
	if got := serial(28443); got != rotated {
		t.Errorf("after a refused certificate serial %s is served, want %s", got, rotated)
	}

	// Keys are for nobody else to read.
	key, err := web.TLS.Key.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Split(string(key), "\n")[1]
	found := 0
	err = filepath.WalkDir(s.o.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if strings.Contains(string(text), secret) {
			found++
			if err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("%s holds a key and is %v", path, info.Mode())
			}
		}
		return err
	})
	if err != nil || found != 2 {
		t.Errorf("the key is in %d files (%v), want the bundle and the driver's copy", found, err)
	}
	run(t, s.d.RemoveVIP(""), vipInputs(s.id, web, "", "")[:2]...)
	if _, err := os.Stat(filepath.Join(s.o.Dir, "certs", web.ID+".pem")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the certificate of a removed VIP: %v", err)
	}
}

// TestPassThrough: TLS that is not terminated reaches the amphora as it is.
func TestPassThrough(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	cert, key := certificate(t, "inner.test", s.vip)
	pair, err := tls.X509KeyPair([]byte(cert), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", netip.AddrPortFrom(s.addrs[0], 29443).String(), &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					fmt.Fprint(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\ninner")
				}
			}()
		}
	}()
	addVIP(t, s.d, s.id, s.web(distributor.HTTPS, 28443, 29443), "", "")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cert))
	body, _, err := s.get(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}, s.url("https", 28443))
	if err != nil || body != "inner" {
		t.Errorf("got %q, %v", body, err)
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

func TestHealthCheckOverTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	cert, key := certificate(t, "inner.test", s.vip)
	pair, err := tls.X509KeyPair([]byte(cert), key)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan string, 100)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default:
		}
		w.WriteHeader(http.StatusUnauthorized)
	})}
	l, err := net.Listen("tcp", netip.AddrPortFrom(s.addrs[0], 29443).String())
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}})) }()
	defer server.Close()
	web := s.web(distributor.TCP, 26443, 29443)
	web.HealthChecks = []distributor.HealthCheck{{Protocol: distributor.HTTPS, Port: 29443, Path: "/livez", Interval: 100 * time.Millisecond, Retries: 1}}
	addVIP(t, s.d, s.id, web, "", "")
	select {
	case path := <-asked:
		if path != "/livez" {
			t.Errorf("asked for %s", path)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the amphora was not asked")
	}
	for end := time.Now().Add(10 * time.Second); !strings.Contains(ask(t, s.o.StatsSocket, "show stat"), "L7STS"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("status 401 passes for healthy")
		}
	}
	status, err := s.d.DrainStatus(t.Context(), s.id)
	if err != nil || len(status) != 1 || status[0].Failing != "Layer7 wrong status 401" {
		t.Errorf("the amphora is said to be %+v (%v)", status, err)
	}
}

// TestFailedReload: an address that cannot be bound, and a configuration that
// passes the check but does not load, fail the flow; what was served is served
// on, and the configuration on the disk is the one that works.
func TestFailedReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	addVIP(t, s.d, s.id, s.web(distributor.HTTP, 28080, 29090), "", "")
	config := filepath.Join(s.o.Dir, "haproxy.cfg")
	good, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	occupied, err := net.Listen("tcp", netip.AddrPortFrom(s.vip, 28081).String())
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close()
	l := load.Start(load.Options{Address: netip.AddrPortFrom(s.vip, 28080).String(), Fresh: 2, Kept: 2, Think: time.Millisecond})
	_, err = new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", s.d.AddVIP("")), vipInputs(s.id, s.web(distributor.HTTP, 28081, 29090), "", "")...)
	if err == nil || !strings.Contains(err.Error(), "cannot be bound") {
		t.Errorf("AddVIP = %v", err)
	}
	now, err := os.ReadFile(config)
	if err != nil || string(now) != string(good) {
		t.Errorf("the configuration was not put back (%v)", err)
	}
	l.Await(t, 50)

	// A program that finds everything in order.
	blind := filepath.Join(t.TempDir(), "blind")
	if err := os.WriteFile(blind, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := s.o
	o.Binary, o.User = blind, "no-such-user-anywhere"
	before := reloads(t, s.o)
	_, err = new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", haproxy.New(o).AddVIP("")), vipInputs(s.id, s.web(distributor.HTTP, 28082, 29090), "", "")...)
	if err == nil || !strings.Contains(err.Error(), "cannot reload HAProxy") {
		t.Errorf("AddVIP = %v", err)
	}
	if now := reloads(t, s.o); now == before {
		t.Error("HAProxy was not even asked to reload")
	}
	// Its flow could not put things in order with the same bad option, but the
	// driver itself had put the good configuration back.
	if now, err := os.ReadFile(config); err != nil || string(now) != string(good) {
		t.Errorf("the configuration was not put back (%v)", err)
	}
	l.Await(t, 50)
	run(t, s.d.RemoveVIP(""), vipInputs(s.id, s.web(distributor.HTTP, 28082, 29090), "", "")[:2]...)

	if procs := ask(t, s.o.MasterSocket, "show proc"); strings.Contains(strings.ReplaceAll(procs, "[failed: 0]", ""), "failed") {
		t.Errorf("HAProxy is left with a failed reload:\n%s", procs)
	}

	// And the next change works.
	occupied.Close()
	addVIP(t, s.d, s.id, s.web(distributor.HTTP, 28081, 29090), "", "")
	if got := s.seen(8, s.url("http", 28081)); got["a0"] == 0 || got["a1"] == 0 {
		t.Errorf("the next VIP: %v", got)
	}
	r := l.Stop()
	t.Logf("over a failed reload and its undoing: %v", r)
	if r.Failed() > 0 {
		t.Error("requests were dropped")
	}
}

// TestRefusedConfiguration: a configuration that HAProxy does not take never
// reaches the running one.
func TestRefusedConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	count := reloads(t, s.o)
	o := s.o
	o.User = "no-such-user-anywhere"
	_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", haproxy.New(o).AddVIP("")), vipInputs(s.id, s.web(distributor.HTTP, 28081, 29090), "", "")...)
	if err == nil || !strings.Contains(err.Error(), "no-such-user-anywhere") {
		t.Errorf("AddVIP = %v", err)
	}
	if now := reloads(t, s.o); now != count {
		t.Errorf("%s reloads, want %s", now, count)
	}
}

// TestNothingToDo: finding everything in order, the driver reloads nothing.
func TestNothingToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	web := s.web(distributor.HTTP, 28080, 29090)
	addVIP(t, s.d, s.id, web, "", "")
	count := reloads(t, s.o)
	addVIP(t, s.d, s.id, web, "", "")
	for range 2 {
		run(t, s.d.DrainAmphorae(""), members(s.id, distributor.Amphora{ID: "a0", Address: s.addrs[0]})...)
		run(t, s.d.RegisterAmphorae(""), members(s.id, distributor.Amphora{ID: "a0", Address: s.addrs[0]})...)
	}
	if now := reloads(t, s.o); now != count {
		t.Errorf("%s reloads, want %s", now, count)
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
	run(t, s.d.UnregisterAmphorae(""), members(s.id, distributor.Amphora{ID: "a0"})...)
	run(t, s.d.RegisterAmphorae(""), members(s.id, distributor.Amphora{ID: "six", Address: six})...)
	s.vip = six
	addVIP(t, s.d, s.id, s.web(distributor.HTTP, 28600, 29191), distributor.RoundRobin, distributor.SourceIPPersistence)
	if got := s.seen(4, s.url("http", 28600)); got["six"] != 4 {
		t.Errorf("over IPv6: %v", got)
	}
	run(t, s.d.DrainAmphorae(""), members(s.id, distributor.Amphora{ID: "six", Address: six})...)
	run(t, s.d.RegisterAmphorae(""), members(s.id, distributor.Amphora{ID: "six", Address: six})...)
	if got := s.seen(4, s.url("http", 28600)); got["six"] != 4 {
		t.Errorf("after a drain and back: %v", got)
	}
}
