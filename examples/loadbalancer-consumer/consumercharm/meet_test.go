package consumercharm_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/jujusim"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pack packs an example charm.
func pack(t *testing.T, dir, name string) jujusim.Charm {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "run", "github.com/charmed-go/charms/cmd/reactive",
		"pack", "--platform", runtime.GOARCH, "--output", dir, filepath.Join("..", "..", name))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot pack %s: %v\n%s", name, err, out)
	}
	return jujusim.Charm{Path: filepath.Join(dir, name+"_"+runtime.GOARCH+".charm")}
}

func freePort(t *testing.T, address string) int {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	must(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// certificate makes a certificate for 127.0.0.1 and its key, as PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "web"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

func get(client *http.Client, url string) string {
	resp, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// TestExamplesMeet deploys both packed charms, as Juju would run them, and goes
// through the load balancer to the web application: with HTTP, then with HTTPS
// that the load balancer ends.
func TestExamplesMeet(t *testing.T) {
	if testing.Short() {
		t.Skip("packs charms")
	}
	dir := t.TempDir()
	provider, consumer := pack(t, dir, "loadbalancer-provider"), pack(t, dir, "loadbalancer-consumer")
	for _, driver := range []string{"standin", "haproxy"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(driver); driver == "haproxy" && err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatal("haproxy is not installed")
				}
				t.Skip("haproxy is not installed")
			}
			meet(t, provider, consumer, driver)
		})
	}
}

func meet(t *testing.T, provider, consumer jujusim.Charm, driver string) {
	// Paths of sockets are short.
	dir, err := os.MkdirTemp("", "lb")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m, err := jujusim.New(jujusim.Options{Dir: dir})
	must(t, err)
	t.Cleanup(func() {
		// Ends what the charms started, also when the test has failed.
		for _, app := range []string{"web", "lb"} {
			_ = m.RemoveApplication(app)
		}
		if err := m.Settle(context.Background()); err != nil {
			t.Error(err)
		}
		_ = m.Close()
	})
	front, back := freePort(t, "127.0.0.1"), freePort(t, "127.0.0.2")
	must(t, m.Deploy("lb", provider, jujusim.DeployOptions{Config: map[string]any{
		"driver": driver, "address": "127.0.0.1", "service_manager": "process", "drain_timeout": 1,
	}}))
	must(t, m.Deploy("web", consumer, jujusim.DeployOptions{Config: map[string]any{
		"address": "127.0.0.2", "port": back, "backends": "127.0.0.2", "lb_port": front, "service_manager": "process",
	}}))
	expect := func(unit, want string) {
		t.Helper()
		must(t, m.Settle(t.Context()))
		if failed := m.Failed(); len(failed) > 0 {
			t.Fatalf("hooks failed: %v", failed)
		}
		u, _ := m.Status().Unit(unit)
		if got := u.Workload + ": " + u.Message; got != want {
			t.Fatalf("%s is %q, want %q", unit, got, want)
		}
	}
	answer := func(client *http.Client, url string) {
		t.Helper()
		want, got := "Hello from web/0.\n", ""
		for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if got = get(client, url); got == want {
				return
			}
		}
		t.Fatalf("%s answers %q", url, got)
	}
	expect("web/0", fmt.Sprintf("active: serving on port %d, without a load balancer", back))
	_, err = m.Relate("web:lb-provider", "lb:lb-consumers")
	must(t, err)
	expect("web/0", fmt.Sprintf("active: http://127.0.0.1:%d/", front))
	expect("lb/0", "active: 1 made by "+driver)
	answer(&http.Client{Timeout: 5 * time.Second}, fmt.Sprintf("http://127.0.0.1:%d/", front))

	cert, key := certificate(t)
	must(t, m.Configure("web", map[string]any{"tls_cert": cert, "tls_key": key}))
	expect("web/0", fmt.Sprintf("active: https://127.0.0.1:%d/", front))
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cert))
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	answer(client, fmt.Sprintf("https://127.0.0.1:%d/", front))
	keyStaysPrivate(t, m, dir, key)

	must(t, m.RemoveRelation("web:lb-provider", "lb:lb-consumers"))
	expect("web/0", fmt.Sprintf("active: serving on port %d, without a load balancer", back))
	expect("lb/0", "active: 0 made by "+driver)
	if got := get(client, fmt.Sprintf("https://127.0.0.1:%d/", front)); !strings.Contains(got, "refused") {
		t.Errorf("the load balancer that is gone answers %q", got)
	}
}

// keyStaysPrivate looks for a line of the key in everything that was logged, and
// in every file: only those of the driver that nobody else can read may have it,
// and none that keeps a journal.
func keyStaysPrivate(t *testing.T, m *jujusim.Model, dir, key string) {
	t.Helper()
	line := strings.Split(key, "\n")[1]
	for _, d := range m.History() {
		for _, log := range d.Log {
			if strings.Contains(log.Message, line) {
				t.Errorf("the key is in the log of %s: %s", d.Unit, log.Message)
			}
		}
	}
	found := 0
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // gone meanwhile, or a socket
		}
		text, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(text, []byte(line)) {
			return nil
		}
		found++
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 || strings.Contains(path, "/journals/") || strings.Contains(path, "/.reactive/") {
			t.Errorf("the key is in %s (%s)", path, info.Mode())
		}
		return nil
	}))
	if found == 0 {
		t.Error("the key is nowhere, so nothing was looked at")
	}
}
