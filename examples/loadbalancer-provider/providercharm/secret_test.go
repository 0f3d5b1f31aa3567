package providercharm_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// TestKeyStaysOutOfJournals looks into the journals at each step of the flows
// that bring a private key, and change it.
func TestKeyStaysOutOfJournals(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newSite(t)
	state := requested(s)
	rel := state.Relations[0]
	var lines []string // of the keys
	steps, seen := 0, 0
	look := func(flow.Event) {
		steps++
		must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return nil // gone meanwhile
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			for _, line := range lines {
				if !bytes.Contains(text, []byte(line)) {
					continue
				}
				seen++
				info, err := entry.Info()
				if err == nil && info.Mode().Perm()&0o077 != 0 || json.Valid(text) || bytes.HasPrefix(text, []byte("{")) {
					t.Errorf("the key is in %s", path)
				}
			}
			return nil
		}))
	}
	p := &proxies{byDir: make(map[string]*inprocess.Driver)}
	t.Cleanup(p.close)
	for range 2 {
		cert, key := certificate(t)
		lines = append(lines, strings.Split(key, "\n")[1])
		request, err := loadbalancer.ParseRequest(rel.RemoteAppData["request_web"])
		must(t, err)
		request.Protocol, request.TLSTermination = loadbalancer.HTTPS, true
		request.TLSCert, request.TLSKey = &cert, new(loadbalancer.Secret(key))
		wire, err := request.Sent().Wire()
		must(t, err)
		state.Relations[0].RemoteAppData["request_web"] = wire
		result := reactivetest.Run(t, hookCharm(dir, p, look), state, reactivetest.RelationChanged(rel, "web/0"))
		response, err := loadbalancer.ParseResponse(result.State.Relations[0].LocalAppData["response_web"])
		if err != nil || !response.OK() {
			t.Fatalf("it answers %v (%v)", response, err)
		}
		for _, line := range result.Log {
			for _, key := range lines {
				if strings.Contains(line.Message, key) {
					t.Errorf("the key is in the log: %s", line.Message)
				}
			}
		}
		state = result.State
	}
	if steps < 10 || seen == 0 {
		t.Errorf("the key was seen %d times in %d steps, so nothing was looked at", seen, steps)
	}
}

// TestCertificateWithoutUse: a certificate that would not be served is refused,
// field by field.
func TestCertificateWithoutUse(t *testing.T) {
	t.Parallel()
	state := requested(newSite(t))
	rel := state.Relations[0]
	cert, key := certificate(t)
	request, err := loadbalancer.ParseRequest(rel.RemoteAppData["request_web"])
	must(t, err)
	request.TLSCert, request.TLSKey = &cert, new(loadbalancer.Secret(key))
	wire, err := request.Sent().Wire()
	must(t, err)
	state.Relations[0].RemoteAppData["request_web"] = wire
	p := &proxies{byDir: make(map[string]*inprocess.Driver)}
	t.Cleanup(p.close)
	result := reactivetest.Run(t, hookCharm(t.TempDir(), p, nil), state, reactivetest.RelationChanged(rel, "web/0"))
	response := result.State.Relations[0].LocalAppData["response_web"]
	for _, want := range []string{`"error": "unsupported"`, `"tls_cert": `, `"tls_key": `} {
		if !strings.Contains(response, want) {
			t.Errorf("the response has no %s: %s", want, response)
		}
	}
}

// certificate makes a certificate and its key, as PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}
