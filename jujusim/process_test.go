package jujusim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/jujuc"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/google/go-cmp/cmp"
)

// The test binary is its own hook tools and its own charm: compiled, with
// "charm" as its argument.
func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); slices.Contains(agent.ToolNames(""), name) {
		os.Exit(jujuc.Main(name, os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "charm" {
		dir, err := os.Getwd()
		if err != nil {
			panic(err)
		}
		os.Exit(chatty(context.Background(), hooktool.Process{Env: os.Environ(), Dir: dir, Stdout: os.Stdout, Stderr: os.Stderr}))
	}
	os.Exit(m.Run())
}

// chatty is a charm that uses a bit of everything.
func chatty(ctx context.Context, p hooktool.Process) int {
	tools, err := hooktool.Dial(ctx, p)
	if err != nil {
		fmt.Fprintln(p.Stderr, "cannot reach the agent:", err)
		return 1
	}
	defer tools.Close()
	if err := chat(ctx, p, tools); err != nil {
		fmt.Fprintln(p.Stderr, err)
		return 1
	}
	return 0
}

func chat(ctx context.Context, p hooktool.Process, tools *hooktool.Client) error {
	hook := p.Getenv("JUJU_HOOK_NAME")
	if action := p.Getenv("JUJU_ACTION_NAME"); action != "" {
		fmt.Fprintln(p.Stdout, "printed by", action)
		return tools.SetActionResults(ctx, map[string]string{"unit": p.Getenv("JUJU_UNIT_NAME")})
	}
	state, err := tools.State(ctx)
	if err != nil {
		return err
	}
	if err := tools.StateSet(ctx, map[string]string{"hooks": strings.TrimSpace(state["hooks"] + " " + hook)}); err != nil {
		return err
	}
	if id := p.Getenv("JUJU_RELATION_ID"); strings.HasSuffix(hook, "-relation-joined") {
		if err := tools.RelationSet(ctx, id, map[string]string{"from": p.Getenv("JUJU_UNIT_NAME"), "text": "two\nlines = \"x\" \u0085 é"}); err != nil {
			return err
		}
	}
	if hook == "start" {
		if err := tools.OpenPorts(ctx, hooktool.PortRange{From: 8080, To: 8090, Protocol: "tcp"}); err != nil {
			return err
		}
		return tools.SetStatus(ctx, hooktool.StatusActive, "up")
	}
	return nil
}

// charmDir writes a charm directory whose dispatch is this test binary.
func charmDir(t *testing.T, charmcraft, script string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "charmcraft.yaml"), []byte(charmcraft), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "dispatch"), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
	return dir
}

func self(t *testing.T) string {
	t.Helper()
	return must1[string](t)(os.Executable())
}

// toolsDir holds the hook tools as executables.
func toolsDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tools")
	must(t, jujuc.Link(dir, self(t), agent.ToolNames("")))
	return dir
}

func TestOneModelForAllWaysToRun(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.6", "4.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			run := func(opts jujusim.Options, p, c jujusim.Charm) (*model.Model, []string) {
				ctx := t.Context()
				opts.Seed, opts.Version = 3, version
				m := newModel(t, opts)
				must(t, m.Deploy("p", p, jujusim.DeployOptions{Units: 2}))
				must(t, m.Deploy("c", c, jujusim.DeployOptions{Config: map[string]any{"a": "z"}}))
				must1[int](t)(m.Relate("p:db", "c:src"))
				m.KillAt(jujusim.Point{Unit: "p/0", At: "config-changed", Call: 2, After: true})
				m.KillAt(jujusim.Point{Unit: "p/1", At: "start"})
				must(t, m.Settle(ctx))
				must(t, m.RemoveUnit("p/0"))
				must(t, m.Settle(ctx))
				result := must1[*jujusim.ActionResult](t)(m.RunAction(ctx, "p/1", "do", map[string]any{"s": "x"}))
				if result.Status != "completed" || result.Results["unit"] != "p/1" || result.Results["stdout"] != "printed by do\n" {
					t.Errorf("the action ended with %+v", result)
				}
				var order []string
				for _, d := range m.History() {
					order = append(order, fmt.Sprint(d.Hook, d.At, d.Outcome))
				}
				return m.Snapshot(), order
			}
			want, order := run(jujusim.Options{}, jujusim.Charm{Files: files(provider), Run: chatty}, jujusim.Charm{Files: files(consumer), Run: chatty})
			if n := len(want.Unit("c/0").State["hooks"]); n == 0 {
				t.Error("c/0 has no state")
			}
			compiled := func(transport string) (jujusim.Charm, jujusim.Charm) {
				script := "export " + hooktool.TransportEnv + "=" + transport + "\nexec " + self(t) + " charm"
				return jujusim.Charm{Path: charmDir(t, provider, script)}, jujusim.Charm{Path: charmDir(t, consumer, script)}
			}
			socketP, socketC := compiled("socket")
			execP, execC := compiled("exec")
			for name, way := range map[string]struct {
				opts jujusim.Options
				p, c jujusim.Charm
			}{
				"in process over the socket": {jujusim.Options{SocketInProcess: true}, jujusim.Charm{Files: files(provider), Run: chatty}, jujusim.Charm{Files: files(consumer), Run: chatty}},
				"compiled over the socket":   {jujusim.Options{}, socketP, socketC},
				"compiled over the tools":    {jujusim.Options{ToolsDir: toolsDir(t)}, execP, execC},
			} {
				if raceEnabled && strings.HasPrefix(name, "compiled") {
					continue // each start of such a process takes a second
				}
				got, gotOrder := run(way.opts, way.p, way.c)
				if diff := cmp.Diff(order, gotOrder); diff != "" {
					t.Errorf("%s other hooks run: %s", name, diff)
				}
				if diff := cmp.Diff(text(t, want), text(t, got)); diff != "" {
					t.Errorf("%s the model differs: %s", name, diff)
				}
			}
		})
	}
}

func text(t *testing.T, m *model.Model) string {
	t.Helper()
	return string(must1[[]byte](t)(json.MarshalIndent(m, "", " ")))
}

func TestProcessRunsAsJujuRunsIt(t *testing.T) {
	t.Parallel()
	dir := charmDir(t, consumer, `
echo "$0 $(pwd -P) ${HOME-no home} $JUJU_DISPATCH_PATH $JUJU_VERSION"
test -t 0 && exit 1
read line && exit 1
if [ "$JUJU_HOOK_NAME" = config-changed ] && ! [ -e dead ]; then touch dead; kill -9 $$; fi
if [ "$JUJU_HOOK_NAME" = start ]; then echo "that is wrong" >&2; exit 7; fi
`)
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("c", jujusim.Charm{Path: dir}, jujusim.DeployOptions{}))
	err := m.Settle(t.Context())
	if err == nil || err.Error() != "unit c/0 is in error: start failed: that is wrong" {
		t.Errorf("the model settled with %v", err)
	}
	var got []string
	for _, d := range m.History() {
		got = append(got, fmt.Sprint(d.At, " ", d.Outcome, " ", d.Exit))
		root := d.Getenv("JUJU_CHARM_DIR")
		want := fmt.Sprintf("%s/dispatch %s no home hooks/%s 3.6.28", root, root, d.At)
		if len(d.Log) == 0 || d.Log[0].Message != want {
			t.Errorf("%s printed %v, want %s", d.At, d.Log, want)
		}
	}
	want := []string{"install done 0", "leader-elected done 0", "config-changed killed -1", "config-changed done 0", "start failed 7"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	u, _ := m.Status().Unit("c/0")
	if u.Workload != "error" || u.Message != `hook failed: "start"` {
		t.Errorf("the status is %s: %s", u.Workload, u.Message)
	}
	must(t, m.Resolve("c/0", false))
	must(t, m.Settle(t.Context()))
}

// A charm without dispatch, in shell: each hook and action is a program of its
// own, those that are not there are skipped, but an action that is not there fails.
func TestCharmInShell(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "charmcraft.yaml"), []byte(consumer+`
actions: {greet: {params: {who: {type: string, default: world}}}, forgotten: {}}
`), 0o644))
	for name, script := range map[string]string{
		"hooks/install": `
uri=$(secret-add --owner unit --label pw password=hunter2)
state-set uri=$uri
juju-log -l WARNING "installed on $JUJU_VERSION"`,
		"hooks/src-relation-joined": `echo "{host: $(unit-get private-address), text: ' two  words '}" | relation-set --file -`,
		"hooks/src-relation-changed": `
status-set active "$(relation-get from) says $(relation-get --format=json text)"`,
		"actions/greet": `
action-log greeting
action-set greeting.text="hello $(action-get who)"
secret-get "$(state-get uri)" password`,
	} {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("#!/bin/sh -e\n"+script+"\n"), 0o755))
	}
	ctx := t.Context()
	for _, version := range []string{"3.6", "4.0"} {
		m := newModel(t, jujusim.Options{Version: version, ToolsDir: toolsDir(t)})
		must(t, m.Deploy("c", jujusim.Charm{Path: dir}, jujusim.DeployOptions{}))
		must(t, m.Deploy("p", jujusim.Charm{Files: files(provider), Run: chatty}, jujusim.DeployOptions{}))
		must1[int](t)(m.Relate("p:db", "c:src"))
		must(t, m.Settle(ctx))
		if u, _ := m.Status().Unit("c/0"); u.Workload != "active" || u.Message != `p/0 says "two\nlines = \"x\" `+"\u0085"+` é"` {
			t.Errorf("%s: the status is %s: %s", version, u.Workload, u.Message)
		}
		m.View(func(data *model.Model) {
			if bag := data.RelationsOf("c/0")[0].Data["c/0"]; bag["text"] != " two  words " || bag["host"] != data.Unit("c/0").Address {
				t.Errorf("%s: c/0 published %q", version, bag)
			}
		})
		greeting := must1[*jujusim.ActionResult](t)(m.RunAction(ctx, "c/0", "greet", nil))
		want := map[string]any{"greeting": map[string]any{"text": "hello world"}, "stdout": "hunter2\n", "return-code": 0}
		if diff := cmp.Diff(want, greeting.Results); diff != "" || greeting.Status != "completed" || !slices.Equal(greeting.Log, []string{"greeting"}) {
			t.Errorf("%s: the action ended with %s, %q: %s", version, greeting.Status, greeting.Log, diff)
		}
		forgotten := must1[*jujusim.ActionResult](t)(m.RunAction(ctx, "c/0", "forgotten", nil))
		if forgotten.Status != "failed" || forgotten.Message != `action not implemented on unit "c/0"` || forgotten.Dispatch.Outcome != jujusim.Failed {
			t.Errorf("%s: the action without program ended with %+v", version, forgotten)
		}
	}
}
