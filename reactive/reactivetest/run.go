package reactivetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
)

// A Charm is what is tested, and how.
type Charm struct {
	// New makes the charm, as its main function has it.
	New func() *reactive.Charm
	// Files are the charm's files: at least a charmcraft.yaml or metadata.yaml at
	// the top, and what else the hooks read from the charm directory. Each hook
	// gets a copy in a directory of its own.
	Files fs.FS
	// Dir is the charm directory, if it is to be looked at after the hook. With
	// Files they are copied there, over what there is; without them it holds the
	// charm's files.
	Dir string
	// Twice runs every hook a second time after it went well. Nothing is new
	// then, so it is an error if the charm writes anything. Flags that the
	// framework derives from what the first run published, such as that all
	// requests have a response now, it may bring up to date; then a third run has
	// to write nothing. The result is that of the first run.
	Twice bool
}

// Run runs one hook of a charm and returns what came of it. The test fails at
// once if state and event cannot be, which it says in full sentences, and if the
// hook fails; see [RunFailing] for hooks that are meant to.
//
// The state is not changed. Tests may run at the same time.
func Run(t testing.TB, c Charm, s State, e Event) *Result {
	t.Helper()
	r := run(t, c, s, e)
	if r.Err != nil {
		t.Fatalf("%s failed: %v", e, r.Err)
	}
	return r
}

// RunFailing is Run for a hook that is meant to fail: the test fails at once if
// it goes well. The error is in the result.
func RunFailing(t testing.TB, c Charm, s State, e Event) *Result {
	t.Helper()
	r := run(t, c, s, e)
	if r.Err == nil {
		t.Fatalf("%s went well, but was meant to fail", e)
	}
	return r
}

func run(t testing.TB, c Charm, s State, e Event) *Result {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	r, err := c.Run(t.Context(), s, e)
	if err != nil {
		t.Fatalf("cannot run %s: %v", e, err)
	}
	return r
}

// A RepeatError says that a hook wrote something when it ran a second time,
// although nothing was new; see Charm.Twice.
type RepeatError struct {
	// Event names the hook.
	Event string
	// Calls are the hook tools that wrote.
	Calls []Call
	// Changes are what changed of the unit's data, such as "flag web.ready set" and
	// "data web.runs", sorted.
	Changes []string

	run string // "second", or "third"
}

func (e *RepeatError) Error() string {
	list := make([]string, len(e.Calls))
	for i, c := range e.Calls {
		list[i] = c.String()
	}
	text := fmt.Sprintf("%s ran a %s time, with nothing new, and wrote: %s", e.Event, e.run, strings.Join(list, "; "))
	if len(e.Changes) > 0 {
		text += " (" + strings.Join(e.Changes, ", ") + ")"
	}
	return text
}

// Run runs one hook of the charm for callers that have no test. The error is an
// [*InconsistentError], a [*RepeatError], or why the hook could not be run at
// all; that of a hook that failed is in the result.
func (c Charm) Run(ctx context.Context, s State, e Event) (*Result, error) {
	dir, remove, err := c.directory()
	if err != nil {
		return nil, err
	}
	defer remove()
	file, err := charmfile.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read the charm's files: %w", err)
	}
	s = s.normalized(file)
	if err := check(file, c.New(), s, e); err != nil {
		return nil, err
	}
	m, err := build(ctx, file, s)
	if err != nil {
		return nil, fmt.Errorf("cannot make the state: %w", err)
	}
	x := &execution{charm: c, dir: dir, state: s, event: e, model: m}
	r, err := x.run(ctx)
	if err != nil {
		return nil, err
	}
	if c.Twice && r.Err == nil {
		if err := x.again(ctx); err != nil {
			return nil, err
		}
	}
	if r.Err == nil {
		x.conclude()
	}
	if r.State, err = x.after(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// directory makes the charm directory.
func (c Charm) directory() (dir string, remove func(), err error) {
	remove = func() {}
	switch {
	case c.New == nil:
		return "", nil, errors.New("the charm has no New")
	case c.Files == nil && c.Dir == "":
		return "", nil, errors.New("the charm has neither Files nor a Dir")
	}
	if dir = c.Dir; dir == "" {
		if dir, err = os.MkdirTemp("", "reactivetest"); err != nil {
			return "", nil, fmt.Errorf("cannot make a charm directory: %w", err)
		}
		remove = func() { os.RemoveAll(dir) }
	}
	if c.Files != nil {
		if err := copyFiles(dir, c.Files); err != nil {
			remove()
			return "", nil, fmt.Errorf("cannot make a charm directory: %w", err)
		}
	}
	return dir, remove, nil
}

// copyFiles copies regular files, over those that are there.
func copyFiles(dir string, files fs.FS) error {
	return fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		to := filepath.Join(dir, filepath.FromSlash(name))
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == ".reactive"):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(to, 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, info.Mode().Perm()|0o600)
	})
}

// An execution is one hook on a model.
type execution struct {
	charm Charm
	dir   string
	state State
	event Event
	model *model.Model
}

// run runs the hook and commits what it wrote.
func (x *execution) run(ctx context.Context) (*Result, error) {
	r := &Result{}
	execution := x.execution()
	calls := &callLog{}
	execution.Around = calls.around
	a, err := agent.New(x.model, execution)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	newCharm := func() *reactive.Charm {
		c := x.charm.New()
		c.Store(func(tools *hooktool.Client, _ hooktool.Process) (unitdata.Store, error) {
			return unitdata.NewJujuState(tools), nil
		})
		return c
	}
	record, dispatchErr := reactive.DispatchRecord(ctx, newCharm, hooktool.Process{Env: a.Env(), Dir: x.dir, Tools: a})
	r.Record, r.Err, r.Calls = record, dispatchErr, calls.list()
	exit := agent.Exit{}
	if dispatchErr != nil {
		exit.Code = 1
	}
	result, err := a.Finish(exit)
	if err != nil {
		return nil, err
	}
	if r.Err == nil && result.Err != nil {
		r.Err = fmt.Errorf("juju refused what %s wrote: %w", x.event, result.Err)
	}
	r.fill(result.Changes)
	return r, nil
}

// again runs the hook a second time, on a copy of what the first run left, and a
// third time if the framework had to bring flags up to date.
func (x *execution) again(ctx context.Context) error {
	copied := *x
	copied.model = x.model.Clone()
	for _, run := range []string{"second", "third"} {
		repeat, derived, err := copied.repeat(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("%s went well, but failed when it ran a %s time: %w", x.event, run, err)
		case repeat == nil:
			return nil
		case run == "third" || !derived:
			repeat.run = run
			return repeat
		}
	}
	return nil
}

// repeat runs the hook once more. It returns what that wrote, nil if nothing,
// and whether it was only flags that the framework itself changed.
func (x *execution) repeat(ctx context.Context) (wrote *RepeatError, derived bool, err error) {
	before, err := x.after(ctx)
	if err != nil {
		return nil, false, err
	}
	r, err := x.run(ctx)
	if err != nil {
		return nil, false, err
	}
	if r.Err != nil {
		return nil, false, r.Err
	}
	wrote, derived = &RepeatError{Event: x.event.String()}, true
	for _, c := range r.Calls {
		if c.Writes() {
			wrote.Calls = append(wrote.Calls, c)
			derived = derived && (c.Tool == "state-set" || c.Tool == "state-delete")
		}
	}
	if wrote.Calls == nil {
		return nil, false, nil
	}
	after, err := x.after(ctx)
	if err != nil {
		return nil, false, err
	}
	flagChanges := changedFlags(before.Flags, after.Flags)
	for f, how := range flagChanges {
		wrote.Changes = append(wrote.Changes, "flag "+f+" "+how)
		derived = derived && !slices.ContainsFunc(r.Record.Steps, func(s reactive.Step) bool {
			return s.Flag == f && (s.Handler != "" || s.Trigger != "")
		})
	}
	data := append(changedKeys("data ", before.Data, after.Data), changedKeys("charm state ", before.CharmState, after.CharmState)...)
	wrote.Changes = append(wrote.Changes, data...)
	slices.Sort(wrote.Changes)
	return wrote, derived && len(flagChanges) > 0 && len(data) == 0, nil
}

// changedFlags returns the flags that are in one of the lists only, with "set"
// or "cleared".
func changedFlags(before, after []string) map[string]string {
	changes := make(map[string]string)
	for _, f := range after {
		changes[f] = "set"
	}
	for _, f := range before {
		if changes[f] == "" {
			changes[f] = "cleared"
		} else {
			delete(changes, f)
		}
	}
	return changes
}

// changedKeys returns the keys under which the maps differ.
func changedKeys[V any](kind string, before, after map[string]V) []string {
	var keys []string
	for key, v := range after {
		if was, ok := before[key]; !ok || !reflect.DeepEqual(was, v) {
			keys = append(keys, kind+key)
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			keys = append(keys, kind+key)
		}
	}
	return keys
}

// execution says what the agent is to run.
func (x *execution) execution() agent.Execution {
	e := x.event
	execution := agent.Execution{Unit: x.state.Unit, CharmDir: x.dir, Seed: 1}
	switch e.kind {
	case actionEvent:
		execution.Action, execution.Params = e.name, e.params
		if execution.Params == nil {
			execution.Params = map[string]any{}
		}
		return execution
	case execEvent:
		execution.Exec = true
		return execution
	case relationEvent:
		i, _ := e.findRelation(x.state) // checked before
		execution.Relation = x.state.Relations[i].name()
		execution.RemoteUnit = e.unit
		if execution.DepartingUnit = e.departing; e.name == "departed" && e.departing == "" {
			execution.DepartingUnit = x.state.Unit
		}
	case secretEvent:
		i, _ := e.findSecret(x.state) // checked before
		s := x.state.Secrets[i]
		execution.Secret, execution.SecretLabel, execution.SecretRevision = "secret:"+s.ID, s.Label, e.revision
	case storageEvent:
		execution.Storage = e.subject
	case pebbleEvent:
		execution.Workload = e.subject
		if e.name == "custom-notice" {
			execution.NoticeID, execution.NoticeType, execution.NoticeKey = e.id, "custom", e.key
		} else {
			execution.CheckName = e.key
		}
	}
	execution.Hook = e.String()
	return execution
}
