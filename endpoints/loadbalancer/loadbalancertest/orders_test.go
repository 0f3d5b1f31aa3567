package loadbalancertest_test

import (
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/loadbalancertest"
	"github.com/charmed-go/charms/internal/explore"
	"github.com/charmed-go/charms/jujusim"
)

// TestOrders runs both ends in many legal orders of their hooks, with hooks
// killed at random: all end alike.
func TestOrders(t *testing.T) {
	t.Parallel()
	runs := 60
	if testing.Short() {
		runs = 10
	}
	configure := func(app, option string, value any) explore.Step {
		return func(m *jujusim.Model) error { return m.Configure(app, map[string]any{option: value}) }
	}
	result, err := explore.Run(t.Context(), explore.Options{
		Runs: runs,
		Steps: []explore.Step{
			func(m *jujusim.Model) error {
				return m.Deploy("lb", loadbalancertest.Provider(), jujusim.DeployOptions{Units: 2})
			},
			func(m *jujusim.Model) error {
				return m.Deploy("web", loadbalancertest.Consumer(), jujusim.DeployOptions{Units: 2})
			},
			func(m *jujusim.Model) error {
				return m.Deploy("api", loadbalancertest.Consumer(), jujusim.DeployOptions{Config: map[string]any{"name": "api"}})
			},
			func(m *jujusim.Model) error {
				_, err := m.Relate("web:lb-provider", "lb:lb-consumers")
				return err
			},
			func(m *jujusim.Model) error {
				_, err := m.Relate("api:lb-provider", "lb:lb-consumers")
				return err
			},
			configure("web", "ports", "443:8443"),
			configure("lb", "address", "192.0.2.7"),
			func(m *jujusim.Model) error { _, err := m.AddUnit("web", 1); return err },
			configure("web", "name", "other"),
			func(m *jujusim.Model) error { return m.RemoveUnit("web/1") },
			func(m *jujusim.Model) error { return m.RemoveRelation("api:lb-provider", "lb:lb-consumers") },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Difference != nil {
		t.Fatal(result.Difference)
	}
	t.Logf("%+v", *result)
}
