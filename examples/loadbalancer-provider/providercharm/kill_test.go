package providercharm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
	"github.com/charmed-go/charms/endpoints/loadbalancer/loadbalancertest"
	"github.com/charmed-go/charms/examples/loadbalancer-provider/providercharm"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// TestKilledAnywhere kills the provider once at each moment of the hook that
// brings the request, and of the one that withdraws it: in the end there is
// exactly what is asked for.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	killed := 0
	for _, hook := range []string{"lb-consumers-relation-created", "lb-consumers-relation-changed"} {
		for call := range 14 {
			for _, after := range []bool{false, true} {
				if call == 0 && after {
					continue
				}
				if killAt(t, jujusim.Point{Unit: "lb/0", At: hook, Call: call, After: after}) {
					killed++
				}
			}
		}
	}
	t.Logf("killed %d times", killed)
	if killed < 20 {
		t.Errorf("only %d kills hit", killed)
	}
}

func killAt(t *testing.T, p jujusim.Point) (hit bool) {
	t.Helper()
	s := newSite(t)
	m := newModel(t, "standin", inProcess(t, providercharm.Options{}))
	must(t, m.Deploy("web", loadbalancertest.Consumer(), jujusim.DeployOptions{Config: map[string]any{
		"protocol": "http", "ports": fmt.Sprintf("%d:%d", s.front, s.back), "backends": "127.0.0.2,127.0.0.3",
	}}))
	must(t, m.Settle(t.Context()))
	before := len(m.History())
	m.KillAt(p)
	_, err := m.Relate("web:lb-provider", "lb:lb-consumers")
	must(t, err)
	must(t, m.Settle(t.Context()))
	if got := status(m, "web/0"); got != "active: at 127.0.0.1" {
		t.Fatalf("killed at %+v: web is %q", p, got)
	}
	s.awaitBackends(t, "127.0.0.2 127.0.0.3")
	m.KillAt(p)
	must(t, m.Configure("web", map[string]any{"backends": "127.0.0.2"}))
	must(t, m.Settle(t.Context()))
	s.awaitBackends(t, "127.0.0.2")
	m.KillAt(p)
	must(t, m.Configure("web", map[string]any{"name": ""}))
	must(t, m.Settle(t.Context()))
	s.awaitBackends(t, "nobody")
	if n := responses(m); n > 0 {
		t.Fatalf("killed at %+v: %d responses are left", p, n)
	}
	for _, d := range m.History()[before:] {
		if d.Unit == "lb/0" && d.Outcome == jujusim.Killed {
			hit = true
		}
	}
	must(t, m.Close())
	return hit
}

// The process under the kill test is this test binary, told what to do by these.
const (
	envDir   = "PROVIDER_TEST_DIR"
	envAt    = "PROVIDER_TEST_AT"
	envFront = "PROVIDER_TEST_FRONT"
	envBack  = "PROVIDER_TEST_BACK"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(envDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	var n [3]int
	for i, name := range []string{envAt, envFront, envBack} {
		n[i], _ = strconv.Atoi(os.Getenv(name))
	}
	steps := 0
	charm := hookCharm(dir, &proxies{byDir: make(map[string]*inprocess.Driver)}, func(flow.Event) {
		if steps++; steps == n[0] {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	state := requested(site{n[1], n[2]})
	if _, err := charm.Run(context.Background(), state, reactivetest.RelationChanged(state.Relations[0], "web/0")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// TestFlowKilledAnywhere kills the process of the hook at each step of its flow.
// The hook that Juju runs again ends with what is asked for, and if the request
// was withdrawn meanwhile with nothing.
func TestFlowKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, withdrawn := range []bool{false, true} {
		for at := 1; ; at++ {
			dir, s := t.TempDir(), newSite(t)
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), envDir+"="+dir, fmt.Sprintf("%s=%d", envAt, at),
				fmt.Sprintf("%s=%d", envFront, s.front), fmt.Sprintf("%s=%d", envBack, s.back))
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Logf("withdrawn %v: killed at each of %d steps", withdrawn, at-1)
				if at < 5 {
					t.Error("these are too few")
				}
				break
			}
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL || at > 100 {
				t.Fatalf("step %d: %v: %s", at, err, out)
			}
			again(t, dir, s, withdrawn)
		}
	}
}

// again runs the hook that was killed once more.
func again(t *testing.T, dir string, s site, withdrawn bool) {
	t.Helper()
	p := &proxies{byDir: make(map[string]*inprocess.Driver)}
	defer p.close()
	state := requested(s)
	if withdrawn {
		delete(state.Relations[0].RemoteAppData, "request_web")
	}
	result := reactivetest.Run(t, hookCharm(dir, p, nil), state, reactivetest.RelationChanged(state.Relations[0], "web/0"))
	text := result.State.Relations[0].LocalAppData["response_web"]
	if withdrawn {
		s.awaitBackends(t, "nobody")
		if text != "" {
			t.Errorf("it answers %s", text)
		}
		return
	}
	if response, err := loadbalancer.ParseResponse(text); err != nil || response.Address() != "127.0.0.1" {
		t.Errorf("it answers %v (%v)", response, err)
	}
	s.awaitBackends(t, "127.0.0.2 127.0.0.3")
}
