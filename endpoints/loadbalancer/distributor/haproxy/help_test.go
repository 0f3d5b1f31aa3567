package haproxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

func addVIP(t testing.TB, d distributor.Driver, id string, v distributor.VIP, alg distributor.Algorithm, p distributor.Persistence) {
	t.Helper()
	trial.Run(t, d.AddVIP(""), trial.VIP(id, v, alg, p)...)
}

// certificate makes a certificate for a name, valid for the addresses.
func certificate(t testing.TB, name string, addrs ...netip.Addr) (cert string, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name},
		IsCA: true, BasicConstraintsValid: true}
	for _, a := range addrs {
		tmpl.IPAddresses = append(tmpl.IPAddresses, net.IP(a.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text})
}

// ask sends a command to one of HAProxy's sockets.
func ask(t testing.TB, path, command string) string {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.(*net.UnixConn).CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil && command != "reload" {
		t.Fatal(err)
	}
	return string(answer)
}

// reloads returns how often the master has reloaded.
func reloads(t testing.TB, o haproxy.Options) string {
	t.Helper()
	for line := range strings.Lines(ask(t, o.MasterSocket, "show proc")) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "master" {
			return f[2]
		}
	}
	t.Fatal("no master")
	return ""
}

// reloadsOrBusy is reloads of a master that may be replacing itself.
func reloadsOrBusy(o haproxy.Options) string {
	c, err := net.Dial("unix", o.MasterSocket)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "show proc\n"); err != nil {
		return ""
	}
	_ = c.(*net.UnixConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	for line := range strings.Lines(string(answer)) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "master" {
			return f[2]
		}
	}
	return ""
}
