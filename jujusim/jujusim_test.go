package jujusim_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/jujustory"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/rules"
)

// files is a charm without code.
func files(charmcraft string) fstest.MapFS {
	return fstest.MapFS{"charmcraft.yaml": {Data: []byte(charmcraft)}}
}

const provider = `
name: provider
summary: s
description: d
provides:
  db: {interface: kv}
  db2: {interface: kv}
peers:
  cluster: {interface: kv-peer}
config:
  options:
    a: {type: string, default: x}
    num: {type: int, default: 5}
actions:
  do:
    params:
      s: {type: string}
`

const consumer = `
name: consumer
summary: s
description: d
requires:
  src: {interface: kv}
  src2: {interface: kv}
config:
  options:
    a: {type: string, default: x}
`

func newModel(t testing.TB, opts jujusim.Options) *jujusim.Model {
	t.Helper()
	m, err := jujusim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must1[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// busy makes units write at random, and fail and die now and then.
func busy(seed uint64) func(unit string, d *jujustory.Dispatch) [][]string {
	return func(unit string, d *jujustory.Dispatch) [][]string {
		rng := rand.New(rand.NewPCG(seed, uint64(len(unit)*1000+d.Seq)+uint64(unit[len(unit)-1])<<20))
		var steps [][]string
		if d.Seq < 40 && strings.Contains(d.At, "-relation-") && rng.IntN(3) > 0 {
			steps = append(steps, []string{"tool", "relation-set", fmt.Sprintf("v=%d", rng.IntN(3))})
		}
		if d.Seq < 40 && strings.Contains(d.At, "-relation-") && rng.IntN(3) == 0 {
			steps = append(steps, []string{"tool", "relation-set", "--app", fmt.Sprintf("w=%d", rng.IntN(3))})
		}
		if rng.IntN(3) == 0 {
			steps = append(steps, []string{"tool", "state-set", fmt.Sprintf("n=%d", d.Seq)})
		}
		if rng.IntN(6) == 0 {
			steps = append(steps, []string{"read"})
		}
		if rng.IntN(12) == 0 {
			steps = append(steps, []string{"exit", "3"})
		}
		return steps
	}
}

func TestRunsAreLegal(t *testing.T) {
	t.Parallel()
	seeds := 25
	if testing.Short() {
		seeds = 8
	}
	for _, version := range []string{"3.6", "4.0"} {
		for seed := range uint64(seeds) {
			t.Run(fmt.Sprintf("%s/%d", version, seed), func(t *testing.T) {
				t.Parallel()
				ctx := context.Background()
				r := &jujustory.Recorder{Steps: busy(seed)}
				m := newModel(t, jujusim.Options{Seed: seed, Version: version, Retries: 1000})
				pick := rand.New(rand.NewPCG(seed, 7))
				settle := func() {
					t.Helper()
					if pick.IntN(2) == 0 {
						for range pick.IntN(12) {
							must1[*jujusim.Dispatch](t)(m.Step(ctx))
						}
						return
					}
					must(t, m.Settle(ctx))
				}
				must(t, m.Deploy("p", r.Charm("p", jujusim.Charm{Files: files(provider)}, "db", "db2", "cluster"), jujusim.DeployOptions{Units: 2}))
				must(t, m.Deploy("c", r.Charm("c", jujusim.Charm{Files: files(consumer)}, "src", "src2"), jujusim.DeployOptions{Units: 2}))
				settle()
				must1[int](t)(m.Relate("p:db", "c:src"))
				settle()
				for range 3 {
					m.KillAt(jujusim.Point{Call: 1 + pick.IntN(20), After: pick.IntN(2) == 0})
				}
				m.KillAt(jujusim.Point{})
				must1[[]string](t)(m.AddUnit("p", 1))
				must1[[]string](t)(m.AddUnit("c", 1))
				must(t, m.Configure("p", map[string]any{"a": "y"}))
				settle()
				must(t, m.RemoveUnit("p/0"))
				settle()
				must1[int](t)(m.Relate("p:db2", "c:src2"))
				settle()
				var alone []string
				if _, there := m.Status().Unit("p/0"); !there {
					alone = []string{"p/0"}
				}
				must(t, m.RemoveUnit("c/1"))
				must(t, m.RemoveRelation("p:db", "c:src"))
				settle()
				must(t, m.RemoveApplication("p"))
				must(t, m.Settle(ctx))
				sequences := jujustory.RemovedAlone(r.Story(m).Sequences(), alone...)
				for _, v := range rules.Check(sequences...) {
					t.Error(v)
				}
				if t.Failed() {
					for _, d := range m.History() {
						t.Log(d.Seq, d.Hook, d.Outcome)
					}
				}
				if n := len(m.Units("c")); n != 2 {
					t.Errorf("application c has %d units, want 2", n)
				}
				if len(m.Status().Relations) != 0 {
					t.Errorf("relations are left: %v", m.Status().Relations)
				}
			})
		}
	}
}

// What a charm panics with is what the error says of it, not a line of the stack.
func TestPanic(t *testing.T) {
	t.Parallel()
	juju := newModel(t, jujusim.Options{})
	charm := jujusim.Charm{Files: files(consumer), Run: func(context.Context, hooktool.Process) int { panic("handler \"x\" is there twice") }}
	if err := juju.Deploy("consumer", charm, jujusim.DeployOptions{}); err != nil {
		t.Fatal(err)
	}
	const want = `unit consumer/0 is in error: install failed: panic: handler "x" is there twice`
	if err := juju.Settle(t.Context()); err == nil || err.Error() != want {
		t.Errorf("the error is %v, want %s", err, want)
	}
}

func TestModelInsideCharm(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "charmcraft.yaml"), []byte(consumer), 0o644); err != nil {
		t.Fatal(err)
	}
	juju := newModel(t, jujusim.Options{Dir: filepath.Join(dir, "model")})
	err := juju.Deploy("consumer", jujusim.Charm{Path: dir}, jujusim.DeployOptions{})
	if err == nil || !strings.Contains(err.Error(), "is in that of the charm") {
		t.Errorf("a charm that holds the model's directory gives %v", err)
	}
}
