package reactive_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/jujuc"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/internal/testcharm"
)

var inProcess = jujusim.Charm{Run: reactive.Program(testcharm.New), Files: files(testcharm.Metadata)}

func newModel(t *testing.T, opts jujusim.Options) *jujusim.Model {
	t.Helper()
	m, err := jujusim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// unitFlags returns the flags of a unit, as it keeps them.
func unitFlags(t *testing.T, m *jujusim.Model, unit string) []string {
	t.Helper()
	var list []string
	for key := range unitData(t, m, unit) {
		if name, ok := strings.CutPrefix(key, "reactive.states."); ok {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

func unitData(t *testing.T, m *jujusim.Model, unit string) map[string]any {
	t.Helper()
	var doc struct {
		Data map[string]any `json:"data"`
	}
	m.View(func(data *model.Model) {
		text := data.Unit(unit).State["reactive"]
		if text != "" {
			must(t, json.Unmarshal([]byte(text), &doc))
		}
	})
	return doc.Data
}

func message(t *testing.T, m *jujusim.Model, unit string) string {
	t.Helper()
	u, ok := m.Status().Unit(unit)
	if !ok {
		t.Fatalf("there is no unit %s", unit)
	}
	return u.Workload + ": " + u.Message
}

// Two applications meet, exchange data, and part again.
func TestRelationStory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		m := newModel(t, jujusim.Options{Seed: seed})
		must(t, m.Deploy("back", inProcess, jujusim.DeployOptions{Units: 2, Config: map[string]any{"title": "B"}}))
		must(t, m.Deploy("front", inProcess, jujusim.DeployOptions{}))
		_, err := m.Relate("front:db", "back:site")
		must(t, err)
		must(t, m.Settle(t.Context()))
		if got, want := fmt.Sprint(unitData(t, m, "front/0")["app.databases"]), "[back/0=B back/1=B]"; got != want {
			t.Fatalf("seed %d: front knows %s, want %s", seed, got, want)
		}
		if got := unitFlags(t, m, "front/0"); !slices.Equal(got, []string{"app.started", "endpoint.db.joined"}) {
			t.Fatalf("seed %d: flags are %q", seed, got)
		}

		must(t, m.RemoveUnit("back/1"))
		must(t, m.Settle(t.Context()))
		if got, want := fmt.Sprint(unitData(t, m, "front/0")["app.databases"]), "[back/0=B -back/1=B]"; got != want {
			t.Fatalf("seed %d: front knows %s, want %s", seed, got, want)
		}
		if got := unitFlags(t, m, "front/0"); !slices.Contains(got, "endpoint.db.departed") || !slices.Contains(got, "app.lost") {
			t.Fatalf("seed %d: flags are %q", seed, got)
		}

		must(t, m.RemoveRelation("front:db", "back:site"))
		must(t, m.Settle(t.Context()))
		if got := unitFlags(t, m, "front/0"); slices.Contains(got, "endpoint.db.joined") {
			t.Fatalf("seed %d: flags are %q", seed, got)
		}
	}
}

func TestLeaderWritesApplicationData(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("app", inProcess, jujusim.DeployOptions{Units: 3}))
	must(t, m.Settle(t.Context()))
	m.View(func(data *model.Model) {
		want := fmt.Sprintf("%q", data.Applications["app"].Leader)
		if got := data.Relations[0].Data["app"]["leader"]; got != want {
			t.Errorf("the application says that %s leads, want %s", got, want)
		}
	})
}

// Nothing of a hook that fails is kept, and its error names hook and handler.
func TestFailureKeepsNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ how, says string }{
		{"error", `hook config-changed: handler "follow configuration": told to fail`},
		{"panic", `hook config-changed: handler "follow configuration": panic: told to panic`},
	} {
		m := newModel(t, jujusim.Options{})
		must(t, m.Deploy("app", inProcess, jujusim.DeployOptions{}))
		must(t, m.Settle(t.Context()))
		before := unitData(t, m, "app/0")
		must(t, m.Configure("app", map[string]any{"fail": test.how}))
		err := m.Settle(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Fatalf("%s: the error is %v", test.how, err)
		}
		if after := unitData(t, m, "app/0"); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("%s: the unit remembers %v, before it was %v", test.how, after, before)
		}

		// Once the configuration is right again, the same hook goes well.
		must(t, m.Configure("app", map[string]any{"fail": "", "title": "x"}))
		must(t, m.Resolve("app/0", true))
		must(t, m.Settle(t.Context()))
		if got := message(t, m, "app/0"); got != "active: title is x" {
			t.Errorf("%s: after all the status is %q", test.how, got)
		}
	}
}

func TestBlockedEndsTheHookWell(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("app", inProcess, jujusim.DeployOptions{}))
	must(t, m.Settle(t.Context()))
	must(t, m.Configure("app", map[string]any{"fail": "blocked"}))
	must(t, m.Settle(t.Context()))
	if got := message(t, m, "app/0"); got != "blocked: told to block" {
		t.Errorf("the status is %q", got)
	}
}

// A hook that runs again with nothing new writes nothing at all.
func TestSecondRunWritesNothing(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("back", inProcess, jujusim.DeployOptions{Units: 2}))
	must(t, m.Deploy("front", inProcess, jujusim.DeployOptions{}))
	_, err := m.Relate("front:db", "back:site")
	must(t, err)
	must(t, m.Settle(t.Context()))
	for range 2 {
		must(t, m.UpdateStatus())
		must(t, m.Settle(t.Context()))
	}
	history := m.History()
	for _, d := range history[len(history)-3:] {
		for _, c := range d.Calls {
			if strings.HasSuffix(c.Tool, "-set") || strings.HasSuffix(c.Tool, "-delete") {
				t.Errorf("%s %s called %s %q", d.Unit, d.At, c.Tool, c.Args)
			}
		}
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("app", inProcess, jujusim.DeployOptions{}))
	must(t, m.Settle(t.Context()))
	result, err := m.RunAction(t.Context(), "app/0", "add", map[string]any{"b": 2})
	must(t, err)
	if got := fmt.Sprintln(result.Status, result.Results["sum"], result.Results["of"]); got != "completed 3 map[a:1 b:2]\n" {
		t.Errorf("the action gave %s", got)
	}
	result, err = m.RunAction(t.Context(), "app/0", "break", nil)
	must(t, err)
	if result.Status != "failed" || result.Message != "out of paper" || result.Results["detail"] != "kept" {
		t.Errorf("the action that fails gave %+v", result)
	}
	history := m.History()
	if last := history[len(history)-1]; last.Exit != 0 {
		t.Errorf("an action that fails exits with %d", last.Exit)
	}
}

// A hook costs as many hook tools with one unit on the other side as with many.
func TestCallsDoNotGrow(t *testing.T) {
	t.Parallel()
	var counts []int
	for _, n := range []int{1, 40} {
		m := newModel(t, jujusim.Options{})
		must(t, m.Deploy("back", inProcess, jujusim.DeployOptions{Units: n}))
		must(t, m.Deploy("front", quiet, jujusim.DeployOptions{}))
		_, err := m.Relate("front:db", "back:site")
		must(t, err)
		must(t, m.Settle(t.Context()))
		must(t, m.Configure("back", map[string]any{"title": "new"}))
		must(t, m.Settle(t.Context()))
		last := 0
		for _, d := range m.History() {
			if d.Unit == "front/0" && d.At == "db-relation-changed" {
				last = len(d.Calls)
			}
		}
		counts = append(counts, last)
	}
	if counts[0] == 0 || counts[0] != counts[1] {
		t.Errorf("db-relation-changed takes %d hook tools with 1 unit and %d with 40", counts[0], counts[1])
	}
}

// dispatchBinary is the compiled charm, built once for all tests.
var dispatchBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "testcharm")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "dispatch")
	out, err := exec.Command("go", "build", "-o", path, "./internal/testcharm/dispatch").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build the charm: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := dispatchBinary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// compiled returns the charm as Juju runs it, with a compiled dispatch.
func compiled(t *testing.T) jujusim.Charm {
	t.Helper()
	path, err := dispatchBinary()
	must(t, err)
	content, err := os.ReadFile(path)
	must(t, err)
	fsys := maps.Clone(files(testcharm.Metadata))
	fsys["dispatch"] = &fstest.MapFile{Data: content, Mode: 0o755}
	return jujusim.Charm{Files: fsys}
}

// play is a story of deploying, relating, configuring and removing.
func play(ctx context.Context, m *jujusim.Model, charm jujusim.Charm) error {
	settle := func(err error) error { return errors.Join(err, m.Settle(ctx)) }
	if err := settle(m.Deploy("back", charm, jujusim.DeployOptions{Units: 2})); err != nil {
		return err
	}
	if err := settle(m.Deploy("front", charm, jujusim.DeployOptions{})); err != nil {
		return err
	}
	if _, err := m.Relate("front:db", "back:site"); err != nil {
		return err
	}
	if err := settle(nil); err != nil {
		return err
	}
	if err := settle(m.Configure("back", map[string]any{"title": "Ü \"quoted\"\n"})); err != nil {
		return err
	}
	if _, err := m.RunAction(ctx, "back/0", "add", map[string]any{"b": 40}); err != nil {
		return err
	}
	return settle(m.RemoveUnit("back/1"))
}

// snapshot is what counts of a model.
func snapshot(t *testing.T, m *jujusim.Model) string {
	t.Helper()
	text, err := json.MarshalIndent(m.Snapshot(), "", " ")
	must(t, err)
	return string(text)
}

// The charm gives the same model in this process and compiled, over the socket
// and over executed hook tools.
func TestCompiledIsTheSame(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	must(t, jujuc.Build(t.Context(), tools, agent.ToolNames(model.Juju3)))
	want := newModel(t, jujusim.Options{Seed: 3})
	must(t, play(t.Context(), want, inProcess))

	socket := newModel(t, jujusim.Options{Seed: 3, SocketInProcess: true})
	must(t, play(t.Context(), socket, inProcess))
	if got, want := snapshot(t, socket), snapshot(t, want); got != want {
		t.Errorf("over the socket the model is\n%s, want\n%s", got, want)
	}

	binary := newModel(t, jujusim.Options{Seed: 3})
	must(t, play(t.Context(), binary, compiled(t)))
	if got, want := snapshot(t, binary), snapshot(t, want); got != want {
		t.Errorf("compiled the model is\n%s, want\n%s", got, want)
	}

	executed := newModel(t, jujusim.Options{Seed: 3, SocketInProcess: true, ToolsDir: tools})
	forced := inProcess
	forced.Run = func(ctx context.Context, p hooktool.Process) int {
		p.Tools = nil
		p.Env = append(slices.Clone(p.Env), hooktool.TransportEnv+"=exec")
		return reactive.Run(ctx, testcharm.New, p)
	}
	must(t, play(t.Context(), executed, forced))
	if got, want := snapshot(t, executed), snapshot(t, want); got != want {
		t.Errorf("over executed hook tools the model is\n%s, want\n%s", got, want)
	}
}

// SIGTERM keeps nothing, and the process dies of it, so that Juju runs the hook
// again.
func TestTerminated(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("app", compiled(t), jujusim.DeployOptions{}))
	must(t, m.Settle(t.Context()))
	before := unitData(t, m, "app/0")
	asleep := filepath.Join(t.TempDir(), "asleep")
	must(t, syscall.Mkfifo(asleep, 0o600))
	pipe, err := os.OpenFile(asleep, os.O_RDWR, 0)
	must(t, err)
	defer pipe.Close()
	must(t, m.Configure("app", map[string]any{"sleep": asleep}))
	h, ok := m.Next()
	if !ok {
		t.Fatal("there is no hook to run")
	}
	running, err := m.Start(t.Context(), h)
	must(t, err)
	must(t, pipe.SetReadDeadline(time.Now().Add(30*time.Second)))
	text := make([]byte, 20)
	n, err := pipe.Read(text) // comes when the charm goes to sleep
	must(t, err)
	pid, err := strconv.Atoi(string(text[:n]))
	must(t, err)
	must(t, syscall.Kill(pid, syscall.SIGTERM))
	d, err := running.Wait()
	must(t, err)
	if d.Exit != -1 {
		t.Errorf("the dispatch exits with %d", d.Exit)
	}
	if after := unitData(t, m, "app/0"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("the unit remembers %v, before it was %v", after, before)
	}
	must(t, m.Configure("app", map[string]any{"sleep": ""}))
	must(t, m.Settle(t.Context()))
}
