package haproxy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

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
	_, err = new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", s.d.AddVIP("")), trial.VIP(s.id, bad, "", distributor.CookiePersistence)...)
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
	trial.Run(t, s.d.RemoveVIP(""), trial.VIP(s.id, web, "", "")[:2]...)
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
