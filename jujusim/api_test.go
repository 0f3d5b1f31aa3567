package jujusim_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/jujustory"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/rules"
	"github.com/google/go-cmp/cmp"
)

// charm makes a charm of a function that is called with the hook, or action or
// "exec", and runs tools.
func charm(charmcraft string, do func(at string, tool func(args ...string) string) error) jujusim.Charm {
	return jujusim.Charm{Files: files(charmcraft), Run: func(ctx context.Context, p hooktool.Process) int {
		at := p.Getenv("JUJU_HOOK_NAME")
		if action := p.Getenv("JUJU_ACTION_NAME"); action != "" {
			at = action
		}
		err := do(at, func(args ...string) string {
			result, err := p.Tools.Call(ctx, hooktool.Call{Tool: args[0], Args: args[1:]})
			if err != nil {
				return err.Error()
			}
			return strings.TrimSpace(string(result.Stdout) + string(result.Stderr))
		})
		if err != nil {
			fmt.Fprintln(p.Stderr, err)
			return 1
		}
		return 0
	}}
}

func idle(string, func(...string) string) error { return nil }

// ran are the hooks that a unit ran, with how they ended if not well.
func ran(m *jujusim.Model, unit string) []string {
	var list []string
	for _, d := range m.History() {
		if d.Unit != unit {
			continue
		}
		text := d.At
		if d.Hook.Remote != "" {
			text += " " + d.Hook.Remote
		}
		if d.Outcome != jujusim.Done {
			text += " " + string(d.Outcome)
		}
		list = append(list, text)
	}
	return list
}

func TestSeedRepeatsTheRun(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) ([]string, string) {
		r := &jujustory.Recorder{Steps: busy(9)}
		var events []string
		m := newModel(t, jujusim.Options{Seed: seed, Retries: 1000, OnEvent: func(e jujusim.Event) {
			events = append(events, fmt.Sprint(e.Kind, e.Unit, e.Text, e.Line))
		}})
		must(t, m.Deploy("p", r.Charm("p", jujusim.Charm{Files: files(provider)}, "db", "db2", "cluster"), jujusim.DeployOptions{Units: 3}))
		must(t, m.Deploy("c", r.Charm("c", jujusim.Charm{Files: files(consumer)}, "src", "src2"), jujusim.DeployOptions{Units: 2}))
		must1[int](t)(m.Relate("p:db", "c:src"))
		must(t, m.Settle(t.Context()))
		must(t, m.RemoveUnit("p/1"))
		must(t, m.Settle(t.Context()))
		for _, d := range m.History() {
			events = append(events, fmt.Sprint(d.Seq, d.Start, d.End, d.Env[2], d.Exit, len(d.Calls)))
		}
		return events, text(t, m.Snapshot())
	}
	first, model1 := run(1)
	again, model2 := run(1)
	other, _ := run(2)
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the same seed runs differently: %s", diff)
	}
	if model1 != model2 {
		t.Errorf("the same seed ends differently: %s", cmp.Diff(model1, model2))
	}
	if slices.Equal(first, other) {
		t.Error("another seed runs the same")
	}
}

func TestFailedHook(t *testing.T) {
	t.Parallel()
	broken := true
	c := charm(consumer, func(at string, tool func(...string) string) error {
		tool("state-set", "last="+at)
		tool("status-set", "blocked", "in "+at)
		if at == "config-changed" && broken {
			return errors.New("no such port")
		}
		return nil
	})
	m := newModel(t, jujusim.Options{Version: "4.0"})
	must(t, m.Deploy("c", c, jujusim.DeployOptions{}))
	err := m.Settle(t.Context())
	var hook *jujusim.HookError
	if !errors.As(err, &hook) || hook.Hook.Name != "config-changed" || hook.Reason != "no such port" {
		t.Fatalf("the model settled with %v", err)
	}
	if got := m.Snapshot().Unit("c/0").State["last"]; got != "leader-elected" {
		t.Errorf("a failed hook left the state %q", got)
	}
	if u, _ := m.Status().Unit("c/0"); u.Workload != "error" || u.Message != `hook failed: "config-changed"` {
		t.Errorf("the status is %s: %s", u.Workload, u.Message)
	}
	if err := m.Resolve("c/0", true); err != nil {
		t.Error(err)
	}
	if err := m.Settle(t.Context()); err == nil {
		t.Error("the hook did not fail again")
	}
	broken = false
	must(t, m.Resolve("c/0", true))
	must(t, m.Settle(t.Context()))
	if err := m.Resolve("c/0", true); err == nil {
		t.Error("a unit that is well was resolved")
	}
	want := []string{"install", "leader-elected", "config-changed failed", "config-changed failed", "config-changed", "start"}
	if diff := cmp.Diff(want, ran(m, "c/0")); diff != "" {
		t.Error(diff)
	}
}

func TestKilledHookRunsAgain(t *testing.T) {
	t.Parallel()
	for _, p := range []jujusim.Point{
		{Unit: "c/0", At: "config-changed", Call: 1},
		{Unit: "c/0", At: "config-changed", Call: 2},
		{Unit: "c/0", At: "config-changed", Call: 2, After: true},
		{At: "config-changed"},
	} {
		t.Run(fmt.Sprint(p), func(t *testing.T) {
			t.Parallel()
			var states []string
			c := charm(consumer, func(at string, tool func(...string) string) error {
				if at == "config-changed" {
					states = append(states, tool("state-get", "n"))
				}
				tool("state-set", "n="+at)
				return nil
			})
			m := newModel(t, jujusim.Options{})
			m.KillAt(p)
			must(t, m.Deploy("c", c, jujusim.DeployOptions{}))
			must(t, m.Settle(t.Context()))
			if got := states[len(states)-1]; got != "leader-elected" {
				t.Errorf("the second run found the state %q", got)
			}
			want := []string{"install", "leader-elected", "config-changed killed", "config-changed", "start"}
			if diff := cmp.Diff(want, ran(m, "c/0")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestConfigChangesInTheMiddleOfAHook(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	var seen []string
	c := charm(consumer, func(at string, tool func(...string) string) error {
		if at == "config-changed" {
			seen = append(seen, tool("config-get", "a"), tool("config-get", "a"))
		}
		return nil
	})
	m.At(jujusim.Point{At: "config-changed", Call: 1, After: true}, func() {
		must(t, m.Configure("c", map[string]any{"a": "during"}))
	})
	must(t, m.Deploy("c", c, jujusim.DeployOptions{Config: map[string]any{"a": "before"}}))
	must(t, m.Settle(t.Context()))
	if want := []string{"before", "before", "during", "during"}; !slices.Equal(seen[:4], want) {
		t.Errorf("hooks saw %v, want %v", seen, want)
	}
	for _, bad := range []map[string]any{{"nope": 1}, {"a": []int{1}}} {
		if err := m.Configure("c", bad); err == nil {
			t.Errorf("the config %v was taken", bad)
		}
	}
}

func TestActionsAndExec(t *testing.T) {
	t.Parallel()
	c := charm(provider, func(at string, tool func(...string) string) error {
		if at != "do" {
			return nil
		}
		tool("action-set", "got="+tool("action-get", "s"))
		tool("state-set", "ran=yes")
		tool("action-log", "half way")
		if tool("action-get", "s") == "fail" {
			return errors.New("as asked")
		}
		return nil
	})
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("p", c, jujusim.DeployOptions{}))
	if _, err := m.RunAction(t.Context(), "p/0", "do", nil); err == nil {
		t.Error("an action ran before install")
	}
	must(t, m.Settle(t.Context()))
	failed := must1[*jujusim.ActionResult](t)(m.RunAction(t.Context(), "p/0", "do", map[string]any{"s": "fail"}))
	if failed.Status != "failed" || failed.Message != "exit status 1" || failed.Results["got"] != "fail" || m.Snapshot().Unit("p/0").State["ran"] != "" {
		t.Errorf("the action ended with %+v", failed)
	}
	done := must1[*jujusim.ActionResult](t)(m.RunAction(t.Context(), "p/0", "do", map[string]any{"s": "x"}))
	if done.Status != "completed" || !slices.Equal(done.Log, []string{"half way"}) || m.Snapshot().Unit("p/0").State["ran"] != "yes" {
		t.Errorf("the action ended with %+v", done)
	}
	for action, params := range map[string]map[string]any{"do": {"s": 7}, "nope": nil} {
		if _, err := m.RunAction(t.Context(), "p/0", action, params); err == nil {
			t.Errorf("the action %s ran with %v", action, params)
		}
	}
	result := must1[*jujusim.ExecResult](t)(m.Exec(t.Context(), "p/0", jujusim.ExecOptions{Run: func(ctx context.Context, p hooktool.Process) int {
		_, err := p.Tools.Call(ctx, hooktool.Call{Tool: "state-set", Args: []string{"exec=yes"}})
		fmt.Fprint(p.Stdout, err, p.Getenv("JUJU_HOOK_NAME"))
		return 4
	}}))
	if result.Code != 4 || result.Stdout != "<nil>" || m.Snapshot().Unit("p/0").State["exec"] != "yes" {
		t.Errorf("exec ended with %+v", result)
	}
}

func TestExecScript(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{ToolsDir: toolsDir(t)})
	must(t, m.Deploy("p", charm(provider, idle), jujusim.DeployOptions{}))
	must(t, m.Settle(t.Context()))
	result := must1[*jujusim.ExecResult](t)(m.Exec(t.Context(), "p/0", jujusim.ExecOptions{
		Script: "state-set x=1\nstate-get x\nrelation-ids cluster\nls\nrelation-get; exit 3",
	}))
	want := "1\ncluster:1\ncharmcraft.yaml\n"
	if result.Code != 3 || result.Stdout != want || result.Stderr != "ERROR no relation id specified\n" {
		t.Errorf("exec ended with %d\n%s%s", result.Code, result.Stdout, result.Stderr)
	}
}

func TestUpgradeKeepsWhatTheCharmMade(t *testing.T) {
	t.Parallel()
	dir := ""
	version := func(names ...string) jujusim.Charm {
		fsys := files(consumer)
		for _, name := range names {
			fsys[name] = &fstest.MapFile{Data: []byte(strings.Join(names, " ")), Mode: 0o644}
		}
		return jujusim.Charm{Files: fsys, Run: func(ctx context.Context, p hooktool.Process) int {
			dir = p.Dir
			if p.Getenv("JUJU_HOOK_NAME") == "start" && os.WriteFile(filepath.Join(p.Dir, "made"), []byte("by the charm"), 0o644) != nil {
				return 1
			}
			return 0
		}}
	}
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("c", version("old", "both"), jujusim.DeployOptions{}))
	must(t, m.Settle(t.Context()))
	must(t, os.WriteFile(filepath.Join(dir, "both"), []byte("edited"), 0o644))
	must(t, m.Upgrade("c", version("both", "new")))
	must(t, m.Settle(t.Context()))
	got := make(map[string]string)
	for _, entry := range must1[[]os.DirEntry](t)(os.ReadDir(dir)) {
		data := must1[[]byte](t)(os.ReadFile(filepath.Join(dir, entry.Name())))
		got[entry.Name()] = string(data)
	}
	delete(got, "charmcraft.yaml")
	if diff := cmp.Diff(map[string]string{"both": "both new", "new": "both new", "made": "by the charm"}, got); diff != "" {
		t.Error(diff)
	}
	hooks := ran(m, "c/0")
	if want := []string{"upgrade-charm", "config-changed"}; !slices.Equal(hooks[len(hooks)-2:], want) {
		t.Errorf("it ran %v", hooks)
	}
}

func TestSettleSaysWhatDoesNotSettle(t *testing.T) {
	t.Parallel()
	n := 0
	count := charm(provider, func(at string, tool func(...string) string) error {
		if strings.HasSuffix(at, "db-relation-changed") {
			n++
			tool("relation-set", fmt.Sprintf("n=%d", n))
		}
		return nil
	})
	answer := charm(consumer, func(at string, tool func(...string) string) error {
		if at == "src-relation-changed" {
			tool("relation-set", "n="+tool("relation-get", "n"))
		}
		return nil
	})
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("p", count, jujusim.DeployOptions{}))
	must(t, m.Deploy("c", answer, jujusim.DeployOptions{}))
	must1[int](t)(m.Relate("p:db", "c:src"))
	err := m.Settle(t.Context())
	var restless *jujusim.NotSettledError
	if !errors.As(err, &restless) {
		t.Fatalf("it settled with %v", err)
	}
	for _, want := range []string{"p/0 db-relation-changed (2, c/0)", "c/0 src-relation-changed (2, p/0)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
}

func TestLeadershipAndUpdateStatus(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{Version: "4.0"})
	must(t, m.Deploy("c", charm(consumer, idle), jujusim.DeployOptions{Units: 2}))
	must(t, m.Settle(t.Context()))
	leader := m.Snapshot().Applications["c"].Leader
	other := map[string]string{"c/0": "c/1", "c/1": "c/0"}[leader]
	must(t, m.SetLeader(other))
	must(t, m.UpdateStatus())
	must(t, m.Settle(t.Context()))
	if hooks := ran(m, other); !slices.Equal(hooks[len(hooks)-2:], []string{"leader-elected", "update-status"}) {
		t.Errorf("%s ran %v", other, hooks)
	}
	if hooks := ran(m, leader); hooks[len(hooks)-1] != "update-status" || slices.Index(hooks, "leader-elected") < 0 {
		t.Errorf("%s ran %v", leader, hooks)
	}
	must(t, m.RemoveUnit(other))
	must(t, m.Settle(t.Context()))
	if got := m.Snapshot().Applications["c"].Leader; got != leader {
		t.Errorf("%s leads after %s is gone", got, other)
	}
	must(t, m.Scale("c", 4))
	must(t, m.Settle(t.Context()))
	if got := m.Units("c"); len(got) != 4 {
		t.Errorf("c has units %v", got)
	}
	must(t, m.Scale("c", 1))
	must(t, m.Settle(t.Context()))
	if got := m.Units("c"); !slices.Equal(got, []string{leader}) && len(got) != 1 {
		t.Errorf("c has units %v", got)
	}
}

const principal = `
name: principal
summary: s
description: d
provides:
  juju-info2: {interface: log}
`

const subordinate = `
name: subordinate
summary: s
description: d
subordinate: true
requires:
  host: {interface: log, scope: container}
`

func TestSubordinates(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		r := &jujustory.Recorder{Steps: busy(seed)}
		m := newModel(t, jujusim.Options{Seed: seed, Retries: 1000})
		must(t, m.Deploy("p", r.Charm("p", jujusim.Charm{Files: files(principal)}, "juju-info2"), jujusim.DeployOptions{Units: 2}))
		must(t, m.Deploy("s", r.Charm("s", jujusim.Charm{Files: files(subordinate)}, "host"), jujusim.DeployOptions{}))
		must1[int](t)(m.Relate("p", "s"))
		must1[[]string](t)(m.AddUnit("p", 1))
		must(t, m.Settle(t.Context()))
		snapshot := m.Snapshot()
		pairs := make(map[string]string)
		for name, u := range snapshot.Applications["s"].Units {
			pairs[u.Principal] = name
			if u.Machine != snapshot.Unit(u.Principal).Machine {
				t.Errorf("%s is not on the machine of %s", name, u.Principal)
			}
			if got := snapshot.Relations[0].Members(snapshot, name); !slices.Equal(got, []string{u.Principal}) {
				t.Errorf("%s sees %v", name, got)
			}
		}
		if got := slices.Sorted(maps.Keys(pairs)); !slices.Equal(got, []string{"p/0", "p/1", "p/2"}) {
			t.Errorf("subordinate units are with %v", got)
		}
		must(t, m.RemoveUnit("p/1"))
		must(t, m.Settle(t.Context()))
		if got := m.Snapshot().Unit(pairs["p/1"]); got != nil {
			t.Errorf("the subordinate unit of a removed one is there still: %v", got)
		}
		must(t, m.RemoveRelation("p", "s"))
		must(t, m.Settle(t.Context()))
		if got := m.Units("s"); len(got) != 0 {
			t.Errorf("subordinate units are left: %v", got)
		}
		for _, v := range rules.Check(r.Story(m).Sequences()...) {
			t.Error(v)
		}
	}
}

// Every application provides juju-info, and extra bindings have a network.
func TestJujuInfo(t *testing.T) {
	t.Parallel()
	const subordinate = `
name: watcher
summary: s
description: d
subordinate: true
requires: {host: {interface: juju-info, scope: container}}
extra-bindings: {admin: null}
`
	var seen string
	watcher := charm(subordinate, func(at string, tool func(...string) string) error {
		if at == "start" {
			seen = tool("network-get", "--bind-address", "admin") + " " + tool("network-get", "nope")
		}
		return nil
	})
	plain := charm("name: plain\nsummary: s\ndescription: d\n", idle)
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("p", plain, jujusim.DeployOptions{}))
	must(t, m.Deploy("w", watcher, jujusim.DeployOptions{}))
	must1[int](t)(m.Relate("p", "w"))
	must(t, m.Settle(t.Context()))
	if got := ran(m, "p/0"); !slices.Contains(got, "juju-info-relation-joined w/0") {
		t.Errorf("p/0 ran %v", got)
	}
	if got := ran(m, "w/0"); !slices.Contains(got, "host-relation-joined p/0") {
		t.Errorf("w/0 ran %v", got)
	}
	if want := m.Snapshot().Unit("w/0").Address + ` ERROR no network config found for binding "nope"`; seen != want {
		t.Errorf("w/0 saw %s, want %s", seen, want)
	}
	must(t, m.Upgrade("p", plain))
	must(t, m.Settle(t.Context()))
}

func TestDeployRefuses(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("c", charm(consumer, idle), jujusim.DeployOptions{}))
	must(t, m.Deploy("p", charm(provider, idle), jujusim.DeployOptions{}))
	must1[int](t)(m.Relate("p:db", "c:src"))
	for what, do := range map[string]func() error{
		"a name twice": func() error { return m.Deploy("c", charm(consumer, idle), jujusim.DeployOptions{}) },
		"no files":     func() error { return m.Deploy("x", jujusim.Charm{}, jujusim.DeployOptions{}) },
		"no such path": func() error { return m.Deploy("x", jujusim.Charm{Path: "/nonexistent"}, jujusim.DeployOptions{}) },
		"a wrong option": func() error {
			return m.Deploy("x", charm(consumer, idle), jujusim.DeployOptions{Config: map[string]any{"z": 1}})
		},
		"a relation twice": func() error { _, err := m.Relate("c:src", "p:db"); return err },
		"two choices":      func() error { _, err := m.Relate("c", "p"); return err },
		"no endpoint":      func() error { _, err := m.Relate("c:nope", "p"); return err },
		"no application":   func() error { _, err := m.Relate("c:src", "q:db"); return err },
		"no unit":          func() error { return m.RemoveUnit("c/7") },
		"no relation":      func() error { return m.RemoveRelation("c:src2", "p:db2") },
		"a version":        func() error { _, err := jujusim.New(jujusim.Options{Version: "1.25"}); return err },
		"a hook":           func() error { _, err := m.Do(t.Context(), jujusim.Hook{Unit: "c/0", Name: "start"}); return err },
	} {
		if err := do(); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	must(t, m.Settle(t.Context()))
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	id := ""
	owner := charm(provider, func(at string, tool func(...string) string) error {
		switch at {
		case "db-relation-created":
			id = tool("secret-add", "--label", "mine", "password=one")
			tool("secret-grant", id, "-r", tool("relation-ids", "db"))
			tool("relation-set", "--app", "secret="+id)
		case "secret-rotate":
			tool("secret-set", "mine", "password=two")
			tool("secret-set", id, "password=two")
		case "secret-remove":
			tool("secret-remove", id, "--revision", "1")
		}
		return nil
	})
	var seen []string
	reader := charm(consumer, func(at string, tool func(...string) string) error {
		switch at {
		case "src-relation-changed":
			if uri := tool("relation-get", "--app", "secret", "p"); uri != "" {
				seen = append(seen, tool("secret-get", uri, "password"))
			}
		case "secret-changed":
			seen = append(seen, tool("secret-get", id, "password", "--refresh"))
		}
		return nil
	})
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("p", owner, jujusim.DeployOptions{}))
	must(t, m.Deploy("c", reader, jujusim.DeployOptions{}))
	must1[int](t)(m.Relate("p:db", "c:src"))
	must(t, m.Settle(t.Context()))
	ids := m.Snapshot().SecretIDs()
	if len(ids) != 1 {
		t.Fatalf("the model has the secrets %v", ids)
	}
	must(t, m.RotateSecret(ids[0]))
	must(t, m.Settle(t.Context()))
	if len(seen) < 2 || seen[0] != "one" || seen[len(seen)-1] != "two" {
		t.Errorf("the reader saw %v", seen)
	}
	for unit, want := range map[string][]string{"p/0": {"secret-rotate", "secret-remove"}, "c/0": {"secret-changed"}} {
		hooks := ran(m, unit)
		if got := hooks[len(hooks)-len(want):]; !slices.Equal(got, want) {
			t.Errorf("%s ran %v, want %v at the end", unit, hooks, want)
		}
	}
	if s := m.Snapshot().Secrets[ids[0]]; len(s.Revisions) != 1 || s.Latest != 2 {
		t.Errorf("the secret is %+v", s)
	}
	must(t, m.ExpireSecret(ids[0], 2))
	must(t, m.Settle(t.Context()))
	if hooks := ran(m, "p/0"); hooks[len(hooks)-1] != "secret-expired" {
		t.Errorf("p/0 ran %v", hooks)
	}
	for _, d := range m.History() {
		for _, c := range d.Calls {
			if text := fmt.Sprint(c.Args); strings.Contains(text, "password=") && !strings.Contains(text, "password=…") {
				t.Errorf("a secret is in the history: %s %s", c.Tool, text)
			}
		}
	}
}

func TestCrossModelRelation(t *testing.T) {
	t.Parallel()
	r := &jujustory.Recorder{Steps: busy(4)}
	m := newModel(t, jujusim.Options{Retries: 1000})
	must(t, m.Deploy("p", r.Charm("p", jujusim.Charm{Files: files(provider)}, "db", "db2", "cluster"), jujusim.DeployOptions{Units: 2, Model: "elsewhere"}))
	must(t, m.Deploy("c", r.Charm("c", jujusim.Charm{Files: files(consumer)}, "src", "src2"), jujusim.DeployOptions{Units: 2}))
	must1[int](t)(m.Relate("p:db", "c:src"))
	must(t, m.Settle(t.Context()))
	must(t, m.RemoveUnit("c/0"))
	must(t, m.Settle(t.Context()))
	departed := false
	for _, d := range m.History() {
		app, name := d.Getenv("JUJU_REMOTE_APP"), d.Getenv("JUJU_MODEL_NAME")
		switch {
		case strings.HasPrefix(d.Unit, "c/") && (name != "test" || d.Hook.Relation != 0 && app != "p"):
			t.Errorf("%s ran in model %s with the remote application %s", d.Hook, name, app)
		case strings.HasPrefix(d.Unit, "p/") && (name != "elsewhere" || strings.HasPrefix(d.At, "db-") && !strings.HasPrefix(app, "remote-")):
			t.Errorf("%s ran in model %s with the remote application %s", d.Hook, name, app)
		}
		if d.At == "db-relation-departed" {
			departed = true
			if unit := d.Getenv("JUJU_DEPARTING_UNIT"); unit != app+"/0" || d.Getenv("JUJU_REMOTE_UNIT") != unit {
				t.Errorf("%s is about %s", d.Hook, unit)
			}
		}
	}
	if !departed {
		t.Error("nobody saw the removed unit depart")
	}
}
