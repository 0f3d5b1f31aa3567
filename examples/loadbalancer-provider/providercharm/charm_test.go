package providercharm_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/noop"
	"github.com/charmed-go/charms/endpoints/loadbalancer/loadbalancertest"
	"github.com/charmed-go/charms/examples/loadbalancer-provider/providercharm"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// proxies are load balancers in this process, one for each directory.
type proxies struct {
	mu    sync.Mutex
	byDir map[string]*inprocess.Driver
}

type proxy struct{ *inprocess.Driver }

func (proxy) Stop(context.Context) error { return nil }

func (p *proxies) open(_, dir string) (providercharm.Driver, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byDir[dir] == nil {
		p.byDir[dir] = inprocess.New(dir)
	}
	return proxy{p.byDir[dir]}, nil
}

func (p *proxies) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.byDir {
		_ = d.Close()
	}
}

// site are web servers on one port of two loopback addresses, and a port for the
// load balancer in front of them.
type site struct{ front, back int }

func newSite(t *testing.T) site {
	t.Helper()
	for range 20 {
		front, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		one, err := net.Listen("tcp", "127.0.0.2:0")
		must(t, err)
		s := site{front.Addr().(*net.TCPAddr).Port, one.Addr().(*net.TCPAddr).Port}
		must(t, front.Close())
		two, err := net.Listen("tcp", "127.0.0.3:"+strconv.Itoa(s.back))
		if err != nil {
			must(t, one.Close())
			continue
		}
		for _, l := range []net.Listener{one, two} {
			name := l.Addr().(*net.TCPAddr).IP.String()
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) })}
			go func() { _ = server.Serve(l) }()
			t.Cleanup(func() { _ = server.Close() })
		}
		return s
	}
	t.Fatal("there is no port that is free on two addresses")
	return site{}
}

// backends asks the load balancer many times, and returns who answered.
func (s site) backends(t *testing.T) string {
	t.Helper()
	seen := make(map[string]bool)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	for range 8 {
		resp, err := client.Get("http://127.0.0.1:" + strconv.Itoa(s.front))
		if err != nil {
			return "nobody: " + err.Error()
		}
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		must(t, resp.Body.Close())
		seen[string(body)] = true
	}
	var list []string
	for _, address := range []string{"127.0.0.2", "127.0.0.3"} {
		if seen[address] {
			list = append(list, address)
		}
	}
	return strings.Join(list, " ")
}

func (s site) awaitBackends(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := s.backends(t)
		if got == want || strings.HasPrefix(got, want) && want == "nobody" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("requests are answered by %s, want %s", got, want)
		}
	}
}

func newModel(t *testing.T, driver string, charm jujusim.Charm) *jujusim.Model {
	t.Helper()
	m, err := jujusim.New(jujusim.Options{})
	must(t, err)
	t.Cleanup(func() { _ = m.Close() })
	must(t, m.Deploy("lb", charm, jujusim.DeployOptions{Config: map[string]any{
		"driver": driver, "address": "127.0.0.1", "service_manager": "process", "drain_timeout": 1,
	}}))
	return m
}

func inProcess(t *testing.T, o providercharm.Options) jujusim.Charm {
	t.Helper()
	if o.Driver == nil {
		p := &proxies{byDir: make(map[string]*inprocess.Driver)}
		t.Cleanup(p.close)
		o.Driver = p.open
	}
	return jujusim.Charm{Files: os.DirFS(".."), Run: reactive.Program(func() *reactive.Charm { return providercharm.NewWith(o) })}
}

func status(m *jujusim.Model, unit string) string {
	u, _ := m.Status().Unit(unit)
	return u.Workload + ": " + u.Message
}

// responses counts the responses that lb publishes.
func responses(m *jujusim.Model) int {
	n := 0
	m.View(func(data *model.Model) {
		for _, rel := range data.Relations {
			for key := range rel.Data["lb"] {
				if strings.HasPrefix(key, "response_") {
					n++
				}
			}
		}
	})
	return n
}

// story is the life of a load balancer, with real connections.
func story(t *testing.T, m *jujusim.Model) {
	t.Helper()
	s := newSite(t)
	settle := func() {
		t.Helper()
		must(t, m.Settle(t.Context()))
		if failed := m.Failed(); len(failed) > 0 {
			t.Fatalf("hooks failed: %v", failed)
		}
	}
	must(t, m.Deploy("web", loadbalancertest.Consumer(), jujusim.DeployOptions{Config: map[string]any{
		"protocol": "http", "ports": fmt.Sprintf("%d:%d", s.front, s.back), "backends": "127.0.0.2,127.0.0.3",
	}}))
	_, err := m.Relate("web:lb-provider", "lb:lb-consumers")
	must(t, err)
	settle()
	if got := status(m, "web/0"); got != "active: at 127.0.0.1" {
		t.Fatalf("web is %q; lb is %q", got, status(m, "lb/0"))
	}
	s.awaitBackends(t, "127.0.0.2 127.0.0.3")

	// A backend departs, and comes back.
	must(t, m.Configure("web", map[string]any{"backends": "127.0.0.2"}))
	settle()
	s.awaitBackends(t, "127.0.0.2")
	must(t, m.Configure("web", map[string]any{"backends": "127.0.0.3,127.0.0.2"}))
	settle()
	s.awaitBackends(t, "127.0.0.2 127.0.0.3")

	// What is not supported is refused, and what there is goes on.
	must(t, m.Configure("web", map[string]any{"protocol": "udp", "backends": "127.0.0.2,example.com"}))
	settle()
	if got := status(m, "web/0"); !strings.HasPrefix(got, "blocked: unsupported; ") || !strings.Contains(got, "backends: not an address") {
		t.Errorf("web is %q", got)
	}
	s.awaitBackends(t, "127.0.0.2 127.0.0.3")
	must(t, m.Configure("web", map[string]any{"protocol": "tcp", "backends": "127.0.0.3"}))
	settle()
	s.awaitBackends(t, "127.0.0.3")

	// The request is withdrawn, and made again.
	must(t, m.Configure("web", map[string]any{"name": ""}))
	settle()
	s.awaitBackends(t, "nobody")
	if n := responses(m); n > 0 {
		t.Errorf("%d responses are left", n)
	}
	must(t, m.Configure("web", map[string]any{"name": "again"}))
	settle()
	s.awaitBackends(t, "127.0.0.3")

	must(t, m.RemoveRelation("web:lb-provider", "lb:lb-consumers"))
	settle()
	s.awaitBackends(t, "nobody")
	if got := status(m, "lb/0"); !strings.HasPrefix(got, "active: 0 made") {
		t.Errorf("lb is %q", got)
	}
	must(t, m.RemoveApplication("lb"))
	settle()
}

func TestStory(t *testing.T) {
	t.Parallel()
	story(t, newModel(t, "standin", inProcess(t, providercharm.Options{})))
}

// TestStoryWithHAProxy runs the charm with HAProxy itself.
func TestStoryWithHAProxy(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("haproxy"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("haproxy is not installed")
		}
		t.Skip("haproxy is not installed")
	}
	charm := jujusim.Charm{Files: os.DirFS(".."), Run: reactive.Program(providercharm.New)}
	m := newModel(t, "haproxy", charm)
	t.Cleanup(func() {
		// Ends HAProxy also if the story did not come to its end.
		if len(m.Units("lb")) > 0 {
			_ = m.RemoveApplication("lb")
			_ = m.Settle(context.Background())
		}
	})
	story(t, m)
}

// silent is a driver that moves no traffic, so that several units can have the
// same ports.
type silent struct{ *noop.Driver }

func (silent) Stop(context.Context) error { return nil }

// TestUnits has two units, each of which makes the load balancer; the address is
// that of the leader.
func TestUnits(t *testing.T) {
	t.Parallel()
	open := func(_, dir string) (providercharm.Driver, error) { return silent{noop.New(dir)}, nil }
	m, err := jujusim.New(jujusim.Options{})
	must(t, err)
	t.Cleanup(func() { _ = m.Close() })
	must(t, m.Deploy("lb", inProcess(t, providercharm.Options{Driver: open}), jujusim.DeployOptions{Units: 2}))
	must(t, m.Deploy("web", loadbalancertest.Consumer(), jujusim.DeployOptions{Units: 2}))
	_, err = m.Relate("web:lb-provider", "lb:lb-consumers")
	must(t, err)
	for _, leader := range []string{"lb/0", "lb/1", "lb/0"} {
		must(t, m.SetLeader(leader))
		must(t, m.Settle(t.Context()))
		u, _ := m.Status().Unit(leader)
		if got, want := status(m, "web/0"), "active: at "+u.Address; got != want {
			t.Errorf("led by %s, web is %q, want %q", leader, got, want)
		}
		for _, unit := range []string{"lb/0", "lb/1"} {
			if got := status(m, unit); got != "active: 1 made by haproxy" {
				t.Errorf("led by %s, %s is %q", leader, unit, got)
			}
		}
	}
	must(t, m.Configure("web", map[string]any{"name": ""}))
	must(t, m.Settle(t.Context()))
	for _, unit := range []string{"lb/0", "lb/1"} {
		if got := status(m, unit); got != "active: 0 made by haproxy" {
			t.Errorf("at the end %s is %q", unit, got)
		}
	}
	if n := responses(m); n > 0 {
		t.Errorf("%d responses are left", n)
	}
}

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

func hookCharm(dir string, p *proxies, listener func(flow.Event)) reactivetest.Charm {
	return reactivetest.Charm{Dir: dir, Files: os.DirFS(".."), New: func() *reactive.Charm {
		return providercharm.NewWith(providercharm.Options{Driver: p.open, Listener: listener})
	}}
}

// requested is the state of a provider that has a request.
func requested(s site) reactivetest.State {
	request := loadbalancer.NewRequest("id", "web")
	request.Protocol, request.PortMapping = loadbalancer.HTTP, map[int]int{s.front: s.back}
	request.Backends = []string{"127.0.0.2", "127.0.0.3"}
	wire, err := request.Sent().Wire()
	if err != nil {
		panic(err)
	}
	return reactivetest.State{
		Unit: "lb/0", Leader: true,
		Relations: []reactivetest.Relation{{
			Endpoint: "lb-consumers", ID: 3, RemoteApp: "web",
			Units:         map[string]map[string]string{"web/0": {"ingress-address": "127.0.0.9"}},
			RemoteAppData: map[string]string{"version": "1", "request_web": wire},
		}},
		Config: map[string]any{"address": "127.0.0.1", "driver": "standin", "drain_timeout": 30},
	}
}

// TestDriverChanges: what one driver has made goes before another one makes it.
// Taken away with the unit, both are gone, also if the configuration is wrong.
func TestDriverChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := newModel(t, "standin", inProcess(t, providercharm.Options{}))
	must(t, m.Deploy("web", loadbalancertest.Consumer(), jujusim.DeployOptions{Config: map[string]any{
		"protocol": "http", "ports": fmt.Sprintf("%d:%d", s.front, s.back), "backends": "127.0.0.2,127.0.0.3",
	}}))
	_, err := m.Relate("web:lb-provider", "lb:lb-consumers")
	must(t, err)
	for _, driver := range []string{"standin", "haproxy", "nftables", "standin"} {
		must(t, m.Configure("lb", map[string]any{"driver": driver}))
		must(t, m.Settle(t.Context()))
		if got, want := status(m, "lb/0"), "active: 1 made by "+driver; got != want {
			t.Fatalf("lb is %q, want %q", got, want)
		}
		s.awaitBackends(t, "127.0.0.2 127.0.0.3")
	}
	must(t, m.Configure("lb", map[string]any{"address": "nowhere"}))
	must(t, m.Settle(t.Context()))
	if got := status(m, "lb/0"); got != `blocked: "nowhere" is not an address` {
		t.Errorf("lb is %q", got)
	}
	s.awaitBackends(t, "127.0.0.2 127.0.0.3")
	must(t, m.RemoveApplication("lb"))
	must(t, m.Settle(t.Context()))
	s.awaitBackends(t, "nobody")
}

// TestDamagedJournal: a change whose journal cannot be read is made anew, and the
// operator is told.
func TestDamagedJournal(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newSite(t)
	journal := filepath.Join(dir, "loadbalancers", "journals", "apply.r3-0123456789abcdef.jsonl")
	must(t, os.MkdirAll(filepath.Dir(journal), 0o700))
	must(t, os.WriteFile(journal, []byte("{\n{\n"), 0o600))
	state := requested(s)
	p := &proxies{byDir: make(map[string]*inprocess.Driver)}
	t.Cleanup(p.close)
	result := reactivetest.Run(t, hookCharm(dir, p, nil), state, reactivetest.RelationChanged(state.Relations[0], "web/0"))
	s.awaitBackends(t, "127.0.0.2 127.0.0.3")
	told := false
	for _, line := range result.Log {
		told = told || strings.Contains(line.Message, "given up") && strings.Contains(line.Message, "apply.r3-0123456789abcdef")
	}
	if _, err := os.Stat(journal); !told || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal is there (%v), or nobody is told: %v", err, result.Log)
	}
}

// TestDriverFails: what cannot be made is answered, and shows in the status.
func TestDriverFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := newModel(t, "standin", inProcess(t, providercharm.Options{}))
	taken, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.front))
	must(t, err)
	must(t, m.Deploy("web", loadbalancertest.Consumer(), jujusim.DeployOptions{Config: map[string]any{
		"protocol": "http", "ports": fmt.Sprintf("%d:%d", s.front, s.back), "backends": "127.0.0.2",
	}}))
	_, err = m.Relate("web:lb-provider", "lb:lb-consumers")
	must(t, err)
	must(t, m.Settle(t.Context()))
	for unit, want := range map[string]string{"lb/0": "blocked: 0 made by standin, 1 failed: ", "web/0": "blocked: "} {
		if got := status(m, unit); !strings.HasPrefix(got, want) || !strings.Contains(got, "address already in use") {
			t.Errorf("%s is %q", unit, got)
		}
	}
	must(t, taken.Close())
	must(t, m.UpdateStatus("lb/0"))
	must(t, m.Settle(t.Context()))
	if got := status(m, "lb/0"); got != "active: 1 made by standin" {
		t.Errorf("lb is %q", got)
	}
	s.awaitBackends(t, "127.0.0.2")
}

// TestStatusTellsOfBackends: of those that are waited for, with what they still
// have, and of load balancers without any that works.
func TestStatusTellsOfBackends(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newSite(t)
	p := &proxies{byDir: make(map[string]*inprocess.Driver)}
	t.Cleanup(p.close)
	state := requested(s)
	rel := state.Relations[0]
	ask := func(change func(*loadbalancer.Request)) string {
		t.Helper()
		request, err := loadbalancer.ParseRequest(state.Relations[0].RemoteAppData["request_web"])
		must(t, err)
		change(request)
		wire, err := request.Sent().Wire()
		must(t, err)
		state.Relations[0].RemoteAppData["request_web"] = wire
		state = reactivetest.Run(t, hookCharm(dir, p, nil), state, reactivetest.RelationChanged(rel, "web/0")).State
		return state.Status.Message
	}
	if got := ask(func(r *loadbalancer.Request) { r.Protocol = loadbalancer.TCP }); got != "1 made by standin" {
		t.Fatalf("the status is %q", got)
	}
	for range 2 { // one to each
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.front))
		must(t, err)
		defer c.Close()
		_, err = fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		must(t, err)
		_, err = http.ReadResponse(bufio.NewReader(c), nil)
		must(t, err)
	}
	got := ask(func(r *loadbalancer.Request) { r.Backends = []string{"127.0.0.2"} })
	if want := "1 made by standin, draining 127.0.0.3 (connections: 1)"; got != want {
		t.Errorf("the status is %q, want %q", got, want)
	}
	check := loadbalancer.NewHealthCheck(loadbalancer.TCP, s.front) // where nobody listens
	check.Interval, check.Retries = 1, 1
	for end := time.Now().Add(20 * time.Second); !strings.Contains(got, ", no backend works for lb-consumers:3 web (127.0.0.2: "); {
		if time.Now().After(end) {
			t.Fatalf("the status is %q", got)
		}
		got = ask(func(r *loadbalancer.Request) { r.HealthChecks = []loadbalancer.HealthCheck{check} })
	}
}
