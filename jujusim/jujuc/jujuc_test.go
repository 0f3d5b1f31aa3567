package jujuc_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/jujuc"
	"github.com/charmed-go/charms/jujusim/model"
)

// TestCharmInShell runs a hook that is a shell script, with nothing but the
// environment the agent gives it.
func TestCharmInShell(t *testing.T) {
	t.Parallel()
	// A socket's path must be short.
	dir, err := os.MkdirTemp("", "jujuc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	tools := filepath.Join(dir, "tools")
	if err := jujuc.Build(t.Context(), tools, agent.ToolNames(model.Juju3)); err != nil {
		t.Fatal(err)
	}
	m := &model.Model{
		Name: "test", UUID: "deadbeef-0bad-400d-8000-4b1d0d06f00d",
		Applications: map[string]*model.Application{
			"web": {Leader: "web/0", Units: map[string]*model.Unit{"web/0": {Machine: "0", Address: "10.0.0.1"}}},
		},
	}
	a, err := agent.New(m, agent.Execution{Unit: "web/0", Hook: "start", CharmDir: dir, ToolsDir: tools})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Serve(filepath.Join(dir, "agent.socket")); err != nil {
		t.Fatal(err)
	}
	hook := exec.Command("/bin/sh", "-ec", `
		is-leader
		echo "from: stdin" | state-set --file -
		echo "from: file" > settings.yaml
		state-set --file settings.yaml
		status-set active "up on $(unit-get private-address)"
		if status-set sleepy; then exit 1; fi
		env -u JUJU_CONTEXT_ID is-leader || true
		JUJU_CONTEXT_ID=other is-leader || true
		jujuc state-get from
	`)
	hook.Env, hook.Dir = a.Env(), dir
	out, err := hook.CombinedOutput()
	want := "True\n" +
		"ERROR invalid status \"sleepy\", expected one of [maintenance blocked waiting active]\n" +
		"ERROR JUJU_CONTEXT_ID not set\n" +
		"ERROR bad request: wrong context ID; got \"other\"\n" +
		"file\n"
	if err != nil || string(out) != want {
		t.Errorf("%v\n got %q\nwant %q", err, out, want)
	}
	if result, err := a.Finish(agent.Exit{}); err != nil || result.Outcome != agent.Committed {
		t.Errorf("%+v, %v", result, err)
	}
	u := m.Unit("web/0")
	if got := fmt.Sprintf("%v %s", u.State, u.Status.Message); got != "map[from:file] up on 10.0.0.1" {
		t.Errorf("the model has %s", got)
	}
}

func TestLinkReplaces(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tools")
	for _, target := range []string{"/bin/false", "/bin/true"} {
		if err := jujuc.Link(dir, target, []string{"is-leader", "juju-log"}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tool := range []string{"is-leader", "juju-log"} {
		if got, err := os.Readlink(filepath.Join(dir, tool)); err != nil || got != "/bin/true" {
			t.Errorf("%s links to %q, %v", tool, got, err)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := jujuc.Link(file, "/bin/true", nil); err == nil || !strings.HasPrefix(err.Error(), "cannot install hook tools: ") {
		t.Errorf("got %v", err)
	}
}

// BenchmarkTool is one executed hook tool, as a multiple of a program that does
// nothing.
func BenchmarkTool(b *testing.B) {
	dir, err := os.MkdirTemp("", "jujuc")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	if err := jujuc.Build(b.Context(), dir, []string{"is-leader"}); err != nil {
		b.Fatal(err)
	}
	m := &model.Model{Applications: map[string]*model.Application{"web": {Units: map[string]*model.Unit{"web/0": {}}}}}
	a, err := agent.New(m, agent.Execution{Unit: "web/0", Hook: "start"})
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if err := a.Serve(filepath.Join(dir, "socket")); err != nil {
		b.Fatal(err)
	}
	run := func(program string) {
		cmd := exec.Command(program)
		cmd.Env, cmd.Dir = a.Env(), dir
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
	var tool, nothing stopwatch
	for b.Loop() {
		tool.time(func() { run(filepath.Join(dir, "is-leader")) })
		nothing.time(func() { run("/bin/true") })
	}
	b.ReportMetric(float64(tool.total)/float64(nothing.total), "x-of-true")
}

type stopwatch struct{ total time.Duration }

func (s *stopwatch) time(f func()) {
	began := time.Now()
	f()
	s.total += time.Since(began)
}
