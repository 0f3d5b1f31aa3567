package providercharm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/noop"
	"github.com/charmed-go/charms/endpoints/loadbalancer/loadbalancertest"
	"github.com/charmed-go/charms/examples/loadbalancer-provider/providercharm"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

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
