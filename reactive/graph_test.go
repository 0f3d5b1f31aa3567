package reactive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
)

func graphCharm() *reactive.Charm {
	nothing := func(context.Context, *reactive.Hook) error { return nil }
	charm := reactive.New("web")
	ready, broken := charm.Flag("web.ready"), charm.Flag("web.broken")
	db := charm.Endpoint("db", charmfile.Requirer, "pgsql")
	charm.HandleHook("meet", "{requires:pgsql}-relation-{joined,changed}", nothing)
	charm.Handle("serve", flags.When(ready, db.Joined()).Unless(broken), nothing)
	charm.HandleLeader("lead", flags.WhenAny(ready, broken), func(context.Context, *reactive.Leader) error { return nil })
	reactive.HandleAction(charm, "backup", func(context.Context, *reactive.Hook, map[string]any) (map[string]any, error) { return nil, nil })
	charm.Trigger(flags.Trigger{When: broken, Clear: []flags.Flag{ready}})
	return charm
}

func graphDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"metadata.yaml": "name: web\nsummary: s\ndescription: d\nrequires: {db: {interface: pgsql}}\n",
		".reactive/records.jsonl": `{"time":"2026-01-02T03:04:05Z","unit":"shop/0","hook":"start","duration":1000000,"flags":["web.ready"],"rounds":1,` +
			`"steps":[{"phase":"flags","handler":"lead"},{"phase":"flags","handler":"lead","flag":"web.broken","set":true}]}` + "\n",
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := reactive.Run(t.Context(), graphCharm, hooktool.Process{Args: args, Dir: dir, Stdout: &stdout, Stderr: &stderr}); code != 0 {
		t.Fatalf("%v exits with %d: %s", args, code, stderr.String())
	}
	return stdout.String()
}

func TestGraph(t *testing.T) {
	t.Parallel()
	dir := graphDir(t)
	text := command(t, dir, "graph")
	for _, want := range []string{
		"serve\n  waits for web.ready and endpoint.db.joined and not web.broken\n",
		"lead\n  waits for (web.ready or web.broken) and this unit is the leader\n  was seen to change +web.broken\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("graph does not say %q:\n%s", want, text)
		}
	}
	var g struct {
		Charm        string
		Applications []string
		Flags        []struct{ Name, Source string }
		Handlers     []struct {
			Name, Place string
			On          []struct {
				Kind  string
				Hooks []string
				Expr  json.RawMessage
			}
		}
		Triggers []struct{ When string }
	}
	if err := json.Unmarshal([]byte(command(t, dir, "graph", "--json")), &g); err != nil {
		t.Fatal(err)
	}
	if g.Charm != "web" || len(g.Applications) != 1 || g.Applications[0] != "shop" || len(g.Handlers) != 4 || len(g.Triggers) != 1 || g.Triggers[0].When != "web.broken" {
		t.Errorf("graph is %+v", g)
	}
	if on := g.Handlers[0].On[0]; on.Kind != "hook" || strings.Join(on.Hooks, " ") != "db-relation-joined db-relation-changed" {
		t.Errorf("the hook handler waits for %+v", on)
	}
	if on := g.Handlers[1].On[0]; on.Kind != "flags" || !strings.Contains(string(on.Expr), "endpoint.db.joined") {
		t.Errorf("the flag handler waits for %+v", on)
	}
	if on := g.Handlers[2].On; len(on) != 2 || on[1].Kind != "leader" {
		t.Errorf("the leader's handler waits for %+v", on)
	}
	if on := g.Handlers[3].On[0]; on.Kind != "action" || len(on.Hooks) != 1 || on.Hooks[0] != "backup" {
		t.Errorf("the action's handler waits for %+v", on)
	}
	for _, f := range g.Flags {
		if f.Name == "endpoint.db.joined" && f.Source != "endpoint db" || f.Name == "web.ready" && f.Source != "" {
			t.Errorf("flag %s is set by %q", f.Name, f.Source)
		}
	}
	if !strings.HasPrefix(g.Handlers[0].Place, "reactive/graph_test.go:") {
		t.Errorf("the handler is at %s", g.Handlers[0].Place)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	dir := graphDir(t)
	for _, name := range []string{"graph", "trace"} {
		path := filepath.Join(t.TempDir(), "page.html")
		if out := command(t, dir, name, "--html", path); out != "wrote "+path+"\n" {
			t.Errorf("%s says %q", name, out)
		}
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "<title>shop/0</title>") {
			t.Errorf("%s writes no page of shop/0", name)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the page has mode %v (%v)", info.Mode(), err)
		}
	}
}
