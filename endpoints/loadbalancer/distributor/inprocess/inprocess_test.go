package inprocess_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/load"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// site is a proxy with web servers behind it.
type site struct {
	t       testing.TB
	d       *inprocess.Driver
	id      string
	vip     netip.Addr
	addrs   []netip.Addr
	servers []*load.Server
}

func newSite(t testing.TB) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, d: inprocess.New(dir)}
	t.Cleanup(func() { s.d.Close() })
	s.vip, s.addrs = loopback(dir)
	s.id = trial.Create(t, s.d, "web")
	for i := range s.addrs {
		s.servers = append(s.servers, s.serve(i))
	}
	trial.Run(t, s.d.RegisterAmphorae(""), s.members(0, 1, 2)...)
	return s
}

func (s *site) serve(i int) *load.Server {
	return load.Serve(s.t, netip.AddrPortFrom(s.addrs[i], 29090).String(), fmt.Sprint("a", i))
}

func (s *site) members(is ...int) []flow.Value {
	var as []distributor.Amphora
	for _, i := range is {
		as = append(as, distributor.Amphora{ID: fmt.Sprint("a", i), Address: s.addrs[i]})
	}
	return trial.Amphorae(s.id, as...)
}

func (s *site) add(v distributor.VIP, alg distributor.Algorithm, p distributor.Persistence) {
	s.t.Helper()
	trial.Run(s.t, s.d.AddVIP(""), trial.VIP(s.id, v, alg, p)...)
}

func (s *site) web(p distributor.Protocol, front uint16) distributor.VIP {
	return distributor.VIP{ID: fmt.Sprint("vip-", front), Address: s.vip, Protocol: p, Ports: []distributor.PortMapping{{Front: front, Back: 29090}}}
}

// get asks n times over new connections and counts who answers.
func (s *site) get(n int, scheme string, port uint16, cookie string) (map[string]int, http.Header) {
	s.t.Helper()
	got := map[string]int{}
	var last http.Header
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for range n {
		req, err := http.NewRequest(http.MethodGet, scheme+"://"+netip.AddrPortFrom(s.vip, port).String()+"/", nil)
		if err != nil {
			s.t.Fatal(err)
		}
		if cookie != "" {
			req.Header.Set("Cookie", cookie)
		}
		resp, err := c.Do(req)
		if err != nil {
			got["failed"]++
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		last = resp.Header
		if who := resp.Header.Get("X-Served-By"); who != "" {
			got[who]++
		} else {
			got[resp.Status]++
		}
	}
	return got, last
}

func TestAlgorithmsAndPersistence(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	port := uint16(28100)
	for _, tt := range []struct {
		alg  distributor.Algorithm
		p    distributor.Persistence
		want int
	}{
		{distributor.AnyAlgorithm, "", 3}, {distributor.RoundRobin, "", 3}, {distributor.Random, "", 3},
		{distributor.First, "", 1}, {distributor.SourceIP, "", 1}, {distributor.Hash, "", 1},
		{distributor.RoundRobin, distributor.SourceIPPersistence, 1},
		{distributor.RoundRobin, distributor.SourceIPAndPortPersistence, 3},
	} {
		for _, p := range []distributor.Protocol{distributor.HTTP, distributor.TCP} {
			port++
			s.add(s.web(p, port), tt.alg, tt.p)
			if got, _ := s.get(40, "http", port, ""); len(got) != tt.want {
				t.Errorf("%s %q %q: %v", p, tt.alg, tt.p, got)
			}
		}
	}
}

func TestCookieAndTLS(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.web(distributor.HTTPS, 28443)
	v.TLS = certificate(t)
	s.add(v, distributor.RoundRobin, distributor.CookiePersistence)
	got, h := s.get(1, "https", 28443, "")
	cookie, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	if h.Get("Saw-X-Forwarded-Proto") != "https" || h.Get("Saw-X-Forwarded-For") == "" || cookie == "" {
		t.Fatalf("%v, header %v", got, h)
	}
	first := h.Get("X-Served-By")
	if got, h := s.get(9, "https", 28443, cookie); got[first] != 9 || h.Get("Set-Cookie") != "" {
		t.Errorf("with the cookie of %s: %v", first, got)
	}
	trial.Run(t, s.d.DrainAmphorae(""), s.members(int(first[1]-'0'))...)
	if got, _ := s.get(9, "https", 28443, cookie); got[first] != 0 || len(got) == 0 {
		t.Errorf("after the drain of %s: %v", first, got)
	}
	serial := func() string {
		c, err := tls.Dial("tcp", netip.AddrPortFrom(s.vip, 28443).String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	before := serial()
	v.TLS = certificate(t)
	s.add(v, distributor.RoundRobin, distributor.CookiePersistence)
	if serial() == before {
		t.Error("the certificate was not rotated")
	}
}

func TestHealthChecks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i, checks := range [][]distributor.HealthCheck{
		{{Protocol: distributor.TCP, Port: 29090, Interval: 100 * time.Millisecond, Retries: 2}},
		{{Protocol: distributor.HTTP, Port: 29090, Path: "/x", Interval: 100 * time.Millisecond, Retries: 2}},
	} {
		v := s.web(distributor.TCP, uint16(28080+i))
		v.HealthChecks = checks
		s.add(v, "", "")
	}
	settles := func(port uint16, want func(map[string]int) bool) {
		t.Helper()
		var got map[string]int
		for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if got, _ = s.get(9, "http", port, ""); want(got) {
				return
			}
		}
		t.Errorf("port %d: %v", port, got)
	}
	s.servers[0].Stop()
	// Connecting fails over at once; a server that takes connections and does
	// nothing with them is only found by a check that asks.
	l, err := net.Listen("tcp", netip.AddrPortFrom(s.addrs[0], 29090).String())
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	settles(28081, func(got map[string]int) bool { return got["a1"]+got["a2"] == 9 })
	l.Close()
	s.serve(0)
	settles(28081, func(got map[string]int) bool { return got["a0"] == 3 })
	settles(28080, func(got map[string]int) bool { return got["a0"] == 3 })
}

// TestNoRequestIsDropped is the test of that name in package haproxy, for the
// stand-in.
func TestNoRequestIsDropped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.add(s.web(distributor.HTTP, 28080), distributor.LeastConnections, "")
	l := load.Start(load.Options{Address: netip.AddrPortFrom(s.vip, 28080).String(), Fresh: 2, Kept: 2, Think: 2 * time.Millisecond})
	for cycle := range 6 {
		gone := cycle % 3
		for _, n := range []flow.Node{
			distributor.DrainThenUnregister("", s.d, distributor.DrainOptions{Timeout: 10 * time.Second, Poll: time.Millisecond}),
			nil, s.d.RegisterAmphorae(""), s.d.DrainAmphorae(""), s.d.RegisterAmphorae("")} {
			if n == nil {
				s.servers[gone].Stop()
				l.Await(t, 30)
				s.servers[gone] = s.serve(gone)
				continue
			}
			trial.Run(t, n, s.members(gone)...)
			l.Await(t, 30)
		}
	}
	r := l.Stop()
	t.Log(r)
	if r.Failed() > 0 {
		t.Error("requests were dropped")
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.add(s.web(distributor.HTTP, 28080), "", "")
	s.d.Close()
	if got, _ := s.get(1, "http", 28080, ""); got["failed"] != 1 {
		t.Errorf("after Close: %v", got)
	}
	if err := s.d.Start(t.Context()); err == nil {
		t.Error("a closed driver starts")
	}
}

func certificate(t testing.TB) *distributor.TLS {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return &distributor.TLS{Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		Key: flow.NewSecret(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}))}
}
