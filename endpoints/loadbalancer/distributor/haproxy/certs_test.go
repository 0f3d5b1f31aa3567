package haproxy_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// TestLongCertificate rotates certificates with chains of many lengths. Without
// a reload HAProxy takes only what fits into its buffer; the others come with one.
func TestLongCertificate(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	web := s.web(distributor.HTTPS, 28443, 29090)
	link, _ := certificate(t, "link.test")
	chain := func(length int) int {
		t.Helper()
		cert, key := certificate(t, "lb.test", s.vip)
		web.TLS = &distributor.TLS{Certificate: cert + strings.Repeat(link, (length-len(cert)-len(key))/len(link)), Key: flow.NewSecret(key)}
		addVIP(t, s.d, s.id, web, "", "")
		c, err := tls.Dial("tcp", netip.AddrPortFrom(s.vip, 28443).String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		served := c.ConnectionState().PeerCertificates
		leaf, _ := pem.Decode([]byte(cert))
		if string(served[0].Raw) != string(leaf.Bytes) {
			t.Errorf("with %d bytes another certificate is served", length)
		}
		return len(served)
	}
	chain(2000)
	for length, reloaded := range map[int]bool{2000: false, 8000: false, 12000: false, 13000: true, 16000: true, 17000: true, 60000: true} {
		chain(2000)
		before := reloads(t, s.o)
		if got, want := chain(length), length/len(link); got < want-2 {
			t.Errorf("with %d bytes %d certificates are served", length, got)
		}
		if now := reloads(t, s.o); (now != before) != reloaded {
			t.Errorf("with %d bytes: %s reloads, then %s", length, before, now)
		}
		before = reloads(t, s.o)
		addVIP(t, s.d, s.id, web, "", "")
		if now := reloads(t, s.o); now != before {
			t.Errorf("with %d bytes nothing changes, and HAProxy reloads", length)
		}
	}
}

// TestRefusedCertificate: a certificate that HAProxy does not take is refused as
// one, new or in the place of another, and what was served goes on.
func TestRefusedCertificate(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &weak.PublicKey, weak)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)})
	bad := s.web(distributor.HTTPS, 28443, 29090)
	bad.TLS = &distributor.TLS{Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), Key: flow.NewSecret(key)}
	refused := func(what string) {
		t.Helper()
		_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", s.d.AddVIP("")), trial.VIP(s.id, bad, "", "")...)
		reason := distributor.UnsupportedFields(err)["tls_cert"]
		if !strings.Contains(reason, "HAProxy does not take it: ") || strings.Contains(reason, s.o.Dir) {
			t.Errorf("%s: %v", what, err)
		}
		t.Logf("%s: %s", what, reason)
	}
	refused("new")
	good := s.web(distributor.HTTPS, 28443, 29090)
	cert, goodKey := certificate(t, "lb.test", s.vip)
	good.TLS = &distributor.TLS{Certificate: cert, Key: flow.NewSecret(goodKey)}
	addVIP(t, s.d, s.id, good, "", "")
	refused("rotated")
	c, err := tls.Dial("tcp", netip.AddrPortFrom(s.vip, 28443).String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.ConnectionState().PeerCertificates[0].DNSNames; len(got) != 1 || got[0] != "lb.test" {
		t.Errorf("served is the certificate of %v", got)
	}
}
