package charmlint_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/internal/charmlint"
	"github.com/charmed-go/charms/internal/picture"
)

// check lints the charm that the two texts make. It is built as a package of
// this module, in a directory that goes away.
func check(t *testing.T, yaml, code string, skip ...string) []charmlint.Finding {
	t.Helper()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("testdata", "lint-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	files := map[string]string{
		"charmcraft.yaml": "name: web\nsummary: s\ndescription: d\n" + yaml,
		"main.go":         head + code,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", "graph", "--json")
	abs, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "JUJU_CHARM_DIR="+abs)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var g picture.Graph
	if err := json.Unmarshal(out, &g); err != nil {
		t.Fatal(err)
	}
	found, err := charmlint.Check(t.Context(), charmlint.Options{Dir: dir, Graph: g, Skip: skip})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

const head = `package main

import (
	"context"
	"fmt"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

var _ = fmt.Sprint
var _ charmfile.Role
var _ flags.Flag

func main() { reactive.Main(New) }

func nothing(context.Context, *reactive.Hook) error { return nil }

type settings struct {
	Port int ` + "`json:\"port\"`" + `
}

`

func TestRules(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, yaml, code string
		// want are the findings without their places.
		want []string
	}{
		{"a good charm", `
requires: {db: {interface: pgsql}}
config: {options: {port: {type: int}, motd: {}}}
actions: {backup: {}}
`, `
type web struct {
	installed, ready flags.Flag
	db *reactive.Endpoint
}

func New() *reactive.Charm {
	c := reactive.New("web")
	w := &web{installed: c.Flag("web.installed"), ready: c.Flag("web.ready"), db: c.Endpoint("db", charmfile.Requirer, "pgsql")}
	c.Handle("install", flags.Unless(w.installed), w.install)
	c.Handle("serve", flags.When(w.installed, w.db.Joined()).Unless(w.ready), w.serve)
	c.Handle("again", flags.When(c.ConfigChanged("motd")), w.again)
	reactive.HandleAction(c, "backup", func(context.Context, *reactive.Hook, struct{}) (struct{}, error) { return struct{}{}, nil })
	return c
}

func (w *web) install(_ context.Context, h *reactive.Hook) error { h.Set(w.installed); return nil }
func (w *web) serve(_ context.Context, h *reactive.Hook) error { h.Set(w.ready); return nil }
func (w *web) again(ctx context.Context, h *reactive.Hook) error {
	_, err := reactive.DecodeConfig[settings](ctx, h)
	h.Clear(w.ready)
	return err
}
`, nil},
		{"flags", "", `
func New() *reactive.Charm {
	c := reactive.New("web")
	never, unread, unused := c.Flag("never"), c.Flag("unread"), c.Flag("unused")
	_ = unused
	passed := c.Flag("passed")
	viaTrigger := c.Flag("via.trigger")
	c.Trigger(flags.Trigger{When: passed, Set: []flags.Flag{viaTrigger}})
	give(passed)
	c.Handle("waits", flags.When(never), func(_ context.Context, h *reactive.Hook) error { h.Set(unread); return nil })
	c.Handle("may run", flags.WhenAny(never, passed, viaTrigger), nothing)
	c.Handle("waits for nothing", flags.Unless(never), nothing)
	return c
}

func give(flags.Flag) {}
`, []string{
			`flag-never-set: handler "waits" waits for never, which nobody sets`,
			"flag-never-read: nobody waits for unread or looks at it",
		}},
		{"unused", "", `
func New() *reactive.Charm {
	c := reactive.New("web")
	type w struct { left flags.Flag }
	_ = &w{left: c.Flag("left.over")}
	return c
}
`, []string{"flag-unused: nobody uses left.over"}},
		{"files", `
requires: {db: {interface: pgsql}, cache: {interface: redis}, host: {interface: juju-info, scope: container}}
config: {options: {port: {type: string}, unused: {}}}
actions: {backup: {}}
`, `
func New() *reactive.Charm {
	c := reactive.New("web")
	c.Endpoint("db", charmfile.Requirer, "mysql")
	c.Endpoint("site", charmfile.Provider, "http")
	c.Handle("options", flags.WhenAny(c.ConfigChanged("prot"), c.ConfigSet("port")), func(ctx context.Context, h *reactive.Hook) error {
		if _, err := reactive.DecodeConfig[settings](ctx, h); err != nil {
			return err
		}
		config, err := h.Config(ctx)
		_ = config["color"]
		return err
	})
	reactive.HandleAction(c, "restore", func(context.Context, *reactive.Hook, struct{}) (struct{}, error) { return struct{}{}, nil })
	return c
}
`, []string{
			`endpoint-unknown: charmcraft.yaml has no endpoint "site"`,
			`endpoint-mismatch: endpoint "db" requires the interface mysql in the code, and requires pgsql in charmcraft.yaml`,
			`endpoint-unused: the code does not use endpoint "cache"`,
			`option-unknown: handlers wait for config.changed.prot, and there is no option "prot"`,
			`option-unknown: charmcraft.yaml has no option "color"`,
			`option-unused: the code never names option "unused"`,
			`option-type: option "port" is a string, which a Go int does not take`,
			`action-unknown: there is no action "restore", which the code handles`,
			`action-unhandled: the code does not handle action "backup"`,
		}},
		{"hooks", `
requires: {db: {interface: pgsql}}
storage: {data: {type: filesystem}}
containers: {nginx: {}}
`, `
func New() *reactive.Charm {
	c := reactive.New("web")
	c.Endpoint("db", charmfile.Requirer, "pgsql")
	for _, name := range []string{
		"start", "secret-rotate", "db-relation-{joined,broken}", "{requires:pgsql}-relation-changed", "juju-info-relation-joined",
		"data-storage-attached", "nginx-pebble-ready",
		"instal", "bd-relation-joined", "db-relation-change", "{requires:mysql}-relation-joined", "disk-storage-attached", "redis-pebble-ready",
	} {
		c.HandleHook(name, name, nothing)
	}
	return c
}
`, []string{
			`hook-unknown: handler "bd-relation-joined" waits for the hook bd-relation-joined, which Juju never runs for this charm`,
			`hook-unknown: handler "db-relation-change" waits for the hook db-relation-change, which Juju never runs for this charm`,
			`hook-unknown: handler "disk-storage-attached" waits for the hook disk-storage-attached, which Juju never runs for this charm`,
			`hook-unknown: handler "instal" waits for the hook instal, which Juju never runs for this charm`,
			`hook-unknown: handler "redis-pebble-ready" waits for the hook redis-pebble-ready, which Juju never runs for this charm`,
			`hook-unknown: handler "{requires:mysql}-relation-joined" waits for the hook {requires:mysql}-relation-joined, and charmcraft.yaml has no such endpoint`,
		}},
		{"ping-pong", "", `
type web struct{ ping, pong flags.Flag }

func New() *reactive.Charm {
	c := reactive.New("web")
	w := &web{ping: c.Flag("ping"), pong: c.Flag("pong")}
	c.Handle("one", flags.When(w.ping), w.one)
	c.Handle("two", flags.When(w.pong), w.two)
	c.HandleHook("start", "start", func(_ context.Context, h *reactive.Hook) error { h.Set(w.ping); return nil })
	return c
}

func (w *web) one(_ context.Context, h *reactive.Hook) error { w.swap(h); return nil }
func (w *web) swap(h *reactive.Hook) { h.Clear(w.ping); h.Set(w.pong) }
func (w *web) two(_ context.Context, h *reactive.Hook) error { h.Clear(w.pong); h.Set(w.ping); return nil }
`, []string{`keep-awake: "one" and "two" can keep each other awake through ping, pong`}},
		{"a chain is no circle", "", `
type web struct{ a, b, c, ok flags.Flag }

func New() *reactive.Charm {
	c := reactive.New("web")
	w := &web{a: c.Flag("a"), b: c.Flag("b"), c: c.Flag("c"), ok: c.Flag("ok")}
	c.Handle("start", flags.Unless(w.a), func(_ context.Context, h *reactive.Hook) error { h.Set(w.a); return nil })
	c.Handle("first", flags.When(w.a), func(_ context.Context, h *reactive.Hook) error { h.Set(w.b); return nil })
	c.Handle("second", flags.When(w.b), func(_ context.Context, h *reactive.Hook) error { h.Set(w.a); h.Set(w.c); h.Clear(w.b); return nil })
	c.Handle("check", flags.When(w.c), func(_ context.Context, h *reactive.Hook) error { h.Toggle(w.ok, h.IsSet(w.c)); return nil })
	c.Handle("watch", flags.Unless(w.ok), func(_ context.Context, h *reactive.Hook) error { h.Toggle(w.ok, true); return nil })
	return c
}
`, nil},
		{"unit data", "", `
func New() *reactive.Charm {
	c := reactive.New("web")
	c.HandleEvery("keep", func(_ context.Context, h *reactive.Hook) error {
		if err := h.Data().Set("fixed", 1); err != nil {
			return err
		}
		return h.Data().Set(fmt.Sprint("at.", h.Event()), 1)
	})
	return c
}
`, []string{"unbounded-unitdata: unit data is kept under keys made at run time, and nothing removes any"}},
		{"unit data that is removed", "", `
func New() *reactive.Charm {
	c := reactive.New("web")
	c.HandleEvery("keep", func(_ context.Context, h *reactive.Hook) error {
		h.Data().UnsetRange("at.")
		return h.Data().Set(fmt.Sprint("at.", h.Event()), 1)
	})
	return c
}
`, nil},
	}
	tested := make(map[string]bool)
	for _, tt := range tests {
		for _, w := range tt.want {
			id, _, _ := strings.Cut(w, ":")
			tested[id] = true
		}
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, f := range check(t, tt.yaml, tt.code) {
				got = append(got, f.Rule.ID+": "+f.Detail)
			}
			want := slices.Sorted(slices.Values(tt.want))
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		})
	}
	for _, r := range charmlint.Rules() {
		if !tested[r.ID] {
			t.Errorf("rule %s has no case", r.ID)
		}
	}
}

func TestPlacesAndSkipping(t *testing.T) {
	t.Parallel()
	code := `
func New() *reactive.Charm {
	c := reactive.New("web")
	left := c.Flag("left.over")
	c.Handle("waits", flags.When(left), nothing)
	return c
}
`
	line := strings.Count(head+code[:strings.Index(code, "c.Handle")], "\n") + 1
	found := check(t, "", code)
	if len(found) != 1 || !strings.HasSuffix(found[0].Place, "main.go:"+itoa(line)) {
		t.Errorf("got %v, want one finding in line %d", found, line)
	}
	if found := check(t, "", code, "flag-never-set"); len(found) != 0 {
		t.Errorf("got %v although it is skipped", found)
	}
	if _, err := charmlint.Check(t.Context(), charmlint.Options{Dir: ".", Skip: []string{"nope"}}); err == nil {
		t.Error("a rule that is none can be skipped")
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }
