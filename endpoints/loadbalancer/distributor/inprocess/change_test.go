package inprocess_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
)

// TestTurnsToTLS changes a VIP from HTTP to HTTPS on the same port.
func TestTurnsToTLS(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	l.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	d := inprocess.New(t.TempDir())
	defer d.Close()
	runner := &flow.Runner{}
	vip := distributor.VIP{ID: "v", Address: at.Addr(), Protocol: distributor.HTTP, Ports: []distributor.PortMapping{{Front: at.Port(), Back: 80}}}
	add := func() {
		t.Helper()
		f := flow.Linear("add", d.CreateDistributor(""), d.AddVIP(""))
		_, err := runner.Run(context.Background(), "add", f,
			distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "lb"}), distributor.VIPKey.Value(vip),
			distributor.VIPAlgorithm.Value(distributor.AnyAlgorithm), distributor.VIPPersistence.Value(distributor.NoPersistence))
		if err != nil {
			t.Fatal(err)
		}
	}
	speaksTLS := func() bool {
		dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{InsecureSkipVerify: true}}
		conn, err := dialer.Dial("tcp", at.String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	add()
	if speaksTLS() {
		t.Error("a VIP of HTTP speaks TLS")
	}
	vip.Protocol = distributor.HTTPS
	vip.TLS = &distributor.TLS{
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
		Key:         flow.NewSecret(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}
	add()
	if !speaksTLS() {
		t.Error("a VIP of HTTPS does not speak TLS")
	}
	vip.Protocol, vip.TLS = distributor.HTTP, nil
	add()
	if speaksTLS() {
		t.Error("a VIP of HTTP speaks TLS")
	}
}
