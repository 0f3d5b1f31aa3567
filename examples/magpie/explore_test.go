package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/charmed-go/charms/internal/explore"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

// A quietResponder is a service that starts nothing. As one that runs, it
// outlives a hook that is killed.
type quietResponder struct{ path string }

func newQuietResponder(_, charmDir string) responder {
	return quietResponder{filepath.Join(charmDir, "responder-runs")}
}

func (r quietResponder) ensure(_ context.Context, _ string, config responderConfig) error {
	return os.WriteFile(r.path, []byte(config.String()), 0o600)
}

func (r quietResponder) remove(context.Context) error {
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// TestManyOrders runs the charm, without responders and checks, in many orders
// and with kills. EXPLORE=full asks for 1000 runs.
func TestManyOrders(t *testing.T) {
	t.Parallel()
	runs := 50
	switch {
	case os.Getenv("EXPLORE") == "full":
		runs = 1000
	case testing.Short():
		runs = 10
	}
	magpie := jujusim.Charm{
		Files: ownFiles(t),
		Run:   reactive.Program(func() *reactive.Charm { return newWith(options{responder: newQuietResponder}) }),
	}
	config := map[string]any{
		"check_icmp": false, "check_tcp": false, "check_udp": false, "check_mtu": false, "check_dns": false,
		"check_iperf": false, "check_local_hostname": false, "check_bonds": "",
	}
	scale := func(units int) explore.Step {
		return func(m *jujusim.Model) error { return m.Scale("magpie", units) }
	}
	begin := time.Now()
	result, err := explore.Run(t.Context(), explore.Options{Runs: runs, Seed: 1, Steps: []explore.Step{
		func(m *jujusim.Model) error {
			return m.Deploy("magpie", magpie, jujusim.DeployOptions{Units: 2, Config: config})
		},
		func(m *jujusim.Model) error {
			return m.Deploy("prometheus", prometheusCharm(), jujusim.DeployOptions{})
		},
		func(m *jujusim.Model) error { _, err := m.Relate("magpie:metrics", "prometheus"); return err },
		scale(4),
		func(m *jujusim.Model) error {
			return m.Configure("magpie", map[string]any{"port": 7200, "metrics_port": 7201})
		},
		scale(3),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("magpie: %d runs, %d orders, %d hooks, %d kills in %.1f s", result.Runs, result.Orders, result.Hooks, result.Kills, time.Since(begin).Seconds())
	if result.Difference != nil {
		t.Fatal(result.Difference)
	}
}

// TestBlockedInManyOrders runs units whose options are refused: that peers came and
// went meanwhile leaves no trace of their order.
func TestBlockedInManyOrders(t *testing.T) {
	t.Parallel()
	magpie := jujusim.Charm{
		Files: ownFiles(t),
		Run:   reactive.Program(func() *reactive.Charm { return newWith(options{responder: newQuietResponder}) }),
	}
	result, err := explore.Run(t.Context(), explore.Options{Runs: 20, Seed: 1, Steps: []explore.Step{
		func(m *jujusim.Model) error {
			return m.Deploy("magpie", magpie, jujusim.DeployOptions{Units: 3, Config: map[string]any{"port": 0}})
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if result.Difference != nil {
		t.Fatal(result.Difference)
	}
}
