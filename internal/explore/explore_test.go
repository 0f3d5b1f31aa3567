package explore_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/explore"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

func simCharm(yaml string, build func() *reactive.Charm) jujusim.Charm {
	return jujusim.Charm{
		Files: fstest.MapFS{"metadata.yaml": {Data: []byte("summary: s\ndescription: d\n" + yaml)}},
		Run: func(ctx context.Context, p hooktool.Process) int {
			return reactive.Run(ctx, build, p)
		},
	}
}

// A list publishes the units that joined it. How it keeps their order decides
// whether the order of hooks shows.
func list(publish func(ctx context.Context, h *reactive.Hook, r *reactive.Relation) error) func() *reactive.Charm {
	return func() *reactive.Charm {
		charm := reactive.New("list")
		ep := charm.Endpoint("members", charmfile.Provider, "list")
		charm.HandleLeader("publish", flags.When(ep.Joined()), func(ctx context.Context, l *reactive.Leader) error {
			for r := range ep.Relations().Values() {
				if err := publish(ctx, l.Hook, r); err != nil {
					return err
				}
			}
			return nil
		})
		return charm
	}
}

func member() *reactive.Charm {
	charm := reactive.New("member")
	charm.Endpoint("list", charmfile.Requirer, "list")
	return charm
}

func steps(build func() *reactive.Charm) []explore.Step {
	return []explore.Step{
		func(m *jujusim.Model) error {
			return m.Deploy("list", simCharm("name: list\nprovides: {members: {interface: list}}\n", build), jujusim.DeployOptions{})
		},
		func(m *jujusim.Model) error {
			return m.Deploy("member", simCharm("name: member\nrequires: {list: {interface: list}}\n", member), jujusim.DeployOptions{Units: 3})
		},
		func(m *jujusim.Model) error { _, err := m.Relate("list", "member"); return err },
	}
}

// sorted publishes what is so now, whatever came before.
func sorted(ctx context.Context, _ *reactive.Hook, r *reactive.Relation) error {
	bag, err := r.ToPublish(ctx)
	if err != nil {
		return err
	}
	return bag.SetRaw("members", strings.Join(r.Units().Keys(), " "))
}

// arrival publishes the units in the order of their arrival.
func arrival(ctx context.Context, _ *reactive.Hook, r *reactive.Relation) error {
	bag, err := r.ToPublish(ctx)
	if err != nil {
		return err
	}
	members := strings.Fields(bag.Raw("members"))
	for _, unit := range r.Units().Keys() {
		if !strings.Contains(" "+strings.Join(members, " ")+" ", " "+unit+" ") {
			members = append(members, unit)
		}
	}
	return bag.SetRaw("members", strings.Join(members, " "))
}

// counting keeps a count in a file, which a killed hook leaves behind.
func counting(ctx context.Context, h *reactive.Hook, r *reactive.Relation) error {
	bag, err := r.ToPublish(ctx)
	if err != nil {
		return err
	}
	path := h.Path(".seen")
	seen, _ := os.ReadFile(path)
	if r.Units().Len() > 2 && bag.Raw("count") == "" {
		seen = append(seen, '.')
		if err := os.WriteFile(path, seen, 0o644); err != nil {
			return err
		}
		return bag.SetRaw("count", fmt.Sprint(len(seen)))
	}
	return nil
}

func TestExplore(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		build   func() *reactive.Charm
		differs string // a part of the report; "" is none
	}{
		{"steady", list(sorted), ""},
		{"order of arrival", list(arrival), " (list:members member:list): members: member/"},
		{"left by a killed hook", list(counting), "count: 2 instead of 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const runs = 200
			result, err := explore.Run(t.Context(), explore.Options{Runs: runs, Seed: 1, Steps: steps(tt.build)})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d runs, %d orders, %d hooks, %d kills", result.Runs, result.Orders, result.Hooks, result.Kills)
			if tt.differs == "" {
				if result.Difference != nil {
					t.Fatal(result.Difference)
				}
				if result.Runs != runs || result.Orders < runs/2 || result.Kills < runs/2 {
					t.Errorf("too little was explored: %+v", result)
				}
				return
			}
			if result.Difference == nil {
				t.Fatalf("nothing found in %+v", result)
			}
			report := result.Difference.Error()
			t.Log("\n" + report)
			if !strings.Contains(report, tt.differs) {
				t.Errorf("the report does not say %q", tt.differs)
			}
			if n := strings.Count(report, "\n"); n > 24 {
				t.Errorf("the report has %d lines", n)
			}
		})
	}
}

func TestSameSeedsFindTheSame(t *testing.T) {
	t.Parallel()
	report := func(workers int) string {
		result, err := explore.Run(t.Context(), explore.Options{Runs: 50, Seed: 7, Workers: workers, Steps: steps(list(arrival))})
		if err != nil {
			t.Fatal(err)
		}
		return result.Difference.Error()
	}
	if a, b := report(1), report(4); a != b {
		t.Errorf("one worker finds\n%s\nand four find\n%s", a, b)
	}
}

func TestFailingHookIsFound(t *testing.T) {
	t.Parallel()
	failing := list(func(_ context.Context, _ *reactive.Hook, r *reactive.Relation) error {
		if r.Units().Len() == 2 {
			return fmt.Errorf("two is one too many")
		}
		return nil
	})
	result, err := explore.Run(t.Context(), explore.Options{Runs: 5, Steps: steps(failing)})
	if err != nil {
		t.Fatal(err)
	}
	if result.Difference == nil || !strings.Contains(result.Difference.Error(), "two is one too many") {
		t.Errorf("got %v", result.Difference)
	}
}

func TestBadStepIsAnError(t *testing.T) {
	t.Parallel()
	_, err := explore.Run(t.Context(), explore.Options{Steps: []explore.Step{
		func(m *jujusim.Model) error { _, err := m.Relate("a", "b"); return err },
	}})
	if err == nil || !strings.Contains(err.Error(), `there is no application "a"`) {
		t.Errorf("got %v", err)
	}
}
