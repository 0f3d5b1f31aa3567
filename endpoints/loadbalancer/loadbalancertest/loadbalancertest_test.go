package loadbalancertest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/loadbalancertest"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newModel(t *testing.T, seed uint64) *jujusim.Model {
	t.Helper()
	m, err := jujusim.New(jujusim.Options{Seed: seed})
	must(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func status(t *testing.T, m *jujusim.Model, unit string) string {
	t.Helper()
	u, ok := m.Status().Unit(unit)
	if !ok {
		t.Fatalf("there is no unit %s", unit)
	}
	return u.Workload + ": " + u.Message
}

func TestCounterpartsMeet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, seed)
			must(t, m.Deploy("lb", loadbalancertest.Provider(), jujusim.DeployOptions{Units: 2}))
			must(t, m.Deploy("web", loadbalancertest.Consumer(), jujusim.DeployOptions{Units: 2}))
			story(t, m)
		})
	}
}

// story is what both go through, however they are deployed.
func story(t *testing.T, m *jujusim.Model) {
	t.Helper()
	expect := func(unit, want string) {
		t.Helper()
		must(t, m.Settle(t.Context()))
		if got := status(t, m, unit); got != want {
			t.Errorf("%s is %q, want %q", unit, got, want)
		}
	}
	expect("web/0", "waiting: no load balancer provider")
	_, err := m.Relate("web:lb-provider", "lb:lb-consumers")
	must(t, err)
	expect("web/0", "active: at 192.0.2.1")
	expect("web/1", "active: at 192.0.2.1")

	must(t, m.Configure("lb", map[string]any{"reject": "sticky, protocol"}))
	expect("web/0", "blocked: unsupported; protocol: not supported; sticky: not supported")
	must(t, m.Configure("lb", map[string]any{"reject": "", "fail": "no power"}))
	expect("web/0", "blocked: provider error: no power")
	must(t, m.Configure("lb", map[string]any{"fail": "", "address": "192.0.2.9"}))
	expect("web/0", "active: at 192.0.2.9")

	// Another leader changes nothing; then it is the one that answers.
	must(t, m.SetLeader("lb/1"))
	must(t, m.Settle(t.Context()))
	must(t, m.Configure("web", map[string]any{"ports": "443:8443"}))
	expect("web/0", "active: at 192.0.2.9")

	must(t, m.Configure("web", map[string]any{"name": ""}))
	expect("web/0", "waiting: no answer yet")
	m.View(func(data *model.Model) {
		for key := range data.Relations[0].Data["lb"] {
			if strings.HasPrefix(key, "response_") {
				t.Errorf("lb still publishes %s", key)
			}
		}
	})
	must(t, m.RemoveRelation("web:lb-provider", "lb:lb-consumers"))
	expect("web/0", "waiting: no load balancer provider")
}

// TestPacked packs the charms and runs them as Juju would.
func TestPacked(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("packs charms")
	}
	packed, err := loadbalancertest.Pack(t.Context(), t.TempDir())
	must(t, err)
	m := newModel(t, 1)
	must(t, m.Deploy("lb", jujusim.Charm{Path: packed.Provider}, jujusim.DeployOptions{Units: 2}))
	must(t, m.Deploy("web", jujusim.Charm{Path: packed.Consumer}, jujusim.DeployOptions{Units: 2}))
	story(t, m)
}
