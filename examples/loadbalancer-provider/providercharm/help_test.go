package providercharm_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
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
