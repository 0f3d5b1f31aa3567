package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// A Runner runs flows. The zero Runner runs them one task at a time and keeps
// nothing, so that a killed run is lost; with a directory every run can be
// resumed. A Runner may be used by several goroutines, for different runs.
type Runner struct {
	// Dir is where the journals are, one for each run. It is made when it is
	// missing.
	Dir string
	// Parallel is how many tasks may execute at the same time; 0 and 1 mean
	// one. Reverting is always one by one.
	Parallel int
	// Listener, if set, is told of each change of state, one call at a time.
	Listener func(Event)
}

// An Event is one change of the state of a run, or of a task in it.
type Event struct {
	Flow, Run string
	// Task is the task's name, or "" for the run itself.
	Task  string
	State State
	// Attempt counts the tries of a task that has a [Retry], from 1.
	Attempt int
	// Done and Total say how many of the flow's tasks have succeeded.
	Done, Total int
	// Err is why: of a failure, or of a try that is followed by another. It
	// is the task's own error; what it says is not masked.
	Err error
}

// A Result is what came of a run.
type Result struct {
	// State is StateSuccess, StateReverted, StateRevertFailure or
	// StateSuspended.
	State State
	// Resumed reports whether the run had been started before.
	Resumed bool

	raw     map[string]json.RawMessage
	secrets vault
}

// Run runs f under the name run, which may hold letters, digits, '_', '.' and
// '-'. Without a journal of that name it starts; with one it goes on where the
// run was left: tasks that were executing are executed again, a run that was
// being reverted is reverted further, one that is over gives the same outcome
// until [Runner.Forget].
//
// The error is nil for success only. Otherwise it is a [*RevertedError], a
// [*RevertFailedError] or a [*SuspendedError], one of [Compile]'s, or wraps
// [ErrInputsDiffer], [ErrLocked] or the failure of the journal itself. When
// ctx ends no further task is started; a task that returns an error then has
// not failed. A run without a directory cannot be suspended and is reverted.
func (r *Runner) Run(ctx context.Context, run string, f *Flow, inputs ...Value) (*Result, error) {
	return r.drive(ctx, run, f, inputs, start, nil)
}

// Resume goes on with a run that was started before, with the inputs it had.
// The error is that of [Runner.Run], or wraps [ErrNoRun].
func (r *Runner) Resume(ctx context.Context, run string, f *Flow) (*Result, error) {
	return r.drive(ctx, run, f, nil, resume, nil)
}

// Revert undoes a run that was started before, even one that succeeded. Cause
// is what the tasks learn as the reason. The error is nil when all is undone;
// otherwise that of [Runner.Run], or it wraps [ErrNoRun].
func (r *Runner) Revert(ctx context.Context, run string, f *Flow, cause error) (*Result, error) {
	if cause == nil {
		cause = errors.New("asked to revert")
	}
	res, err := r.drive(ctx, run, f, nil, undo, cause)
	var reverted *RevertedError
	if errors.As(err, &reverted) {
		err = nil
	}
	return res, err
}

// ResumeAll goes on with every run in the directory that is not over. Find
// gives the flow for a run, or nil if it is not known; such a run is an error, as
// is one whose journal cannot be read. One failing run does not hold up the
// others.
func (r *Runner) ResumeAll(ctx context.Context, find func(Run) *Flow) error {
	runs, err := r.Runs()
	errs := []error{err}
	for _, run := range runs {
		if run.Err != nil {
			errs = append(errs, run.Err)
			continue
		}
		if run.Over() {
			continue
		}
		f := find(run)
		if f == nil {
			errs = append(errs, fmt.Errorf("cannot resume run %q: flow %q is not known", run.Name, run.Flow))
			continue
		}
		if _, err := r.Resume(ctx, run.Name, f); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

type intent int

const (
	start intent = iota
	resume
	undo
)

func (r *Runner) drive(ctx context.Context, run string, f *Flow, inputs []Value, want intent, cause error) (*Result, error) {
	if f == nil || f.Name == "" {
		return nil, errors.New("cannot run a flow without a name")
	}
	wrap := func(err error) error { return fmt.Errorf("cannot run flow %q as %q: %w", f.Name, run, err) }
	j, err := openJournal(r.Dir, run, want == start)
	if err != nil {
		return nil, wrap(err)
	}
	defer j.close()
	secrets := newVault("")
	if r.Dir != "" {
		secrets = newVault(secretsPath(r.Dir, run))
	}
	secrets.load()
	if j.header == nil && want != start {
		return nil, wrap(ErrNoRun)
	}
	if j.header != nil && j.header.Flow != f.Name {
		return nil, wrap(fmt.Errorf("the run is one of flow %q", j.header.Flow))
	}
	e := &engine{runner: r, run: run, journal: j, secrets: secrets,
		res: &Result{Resumed: j.header != nil, raw: map[string]json.RawMessage{}, secrets: secrets}}
	fresh := j.header == nil
	if fresh {
		if err := ctx.Err(); err != nil {
			return nil, e.discard(f, err)
		}
	}
	keys := make([]AnyKey, len(inputs))
	raw := make(map[string]json.RawMessage, len(inputs))
	for i, v := range inputs {
		if v.key == nil {
			return nil, wrap(errors.New("an input has no key"))
		}
		keys[i] = v.key
		if fresh {
			// Checked before anything is kept, encoded after.
			continue
		}
		if raw[v.Name()], err = v.key.encode(v.value, newVault("")); err != nil {
			return nil, wrap(err)
		}
	}
	if !fresh {
		if want == start && !sameInputs(raw, j.header.Inputs) {
			return nil, wrap(ErrInputsDiffer)
		}
		return e.goOn(ctx, f, want, cause)
	}
	if e.program, err = compile(f, keys); err != nil {
		e.forget()
		return nil, err
	}
	for _, v := range inputs {
		if raw[v.Name()], err = v.key.encode(v.value, secrets); err != nil {
			e.forget()
			return nil, wrap(err)
		}
	}
	h := &header{Journal: journalVersion, Flow: f.Name, Version: f.Version, Run: run, Inputs: raw, Started: time.Now().UTC()}
	if err := j.begin(ctx, h); err != nil {
		return nil, wrap(err)
	}
	return e.goOn(ctx, f, want, cause)
}

func sameInputs(a, b map[string]json.RawMessage) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if !bytes.Equal(a[name], b[name]) {
			return false
		}
	}
	return true
}

// engine is one call of Run, Resume or Revert.
type engine struct {
	*program
	runner  *Runner
	run     string
	journal *journal
	secrets vault
	res     *Result

	mu     sync.Mutex
	values map[string]any
	state  []State
	done   int
	lost   []string
}

func (e *engine) discard(f *Flow, err error) error {
	e.forget()
	return &SuspendedError{Flow: f.Name, Run: e.run, Err: err}
}

// forget drops a journal whose run has not begun; nothing depends on it.
func (e *engine) forget() {
	e.journal.close()
	e.journal.file = nil
	_ = e.runner.Forget(e.run)
}

// goOn brings a run with a header to an end.
func (e *engine) goOn(ctx context.Context, f *Flow, want intent, cause error) (*Result, error) {
	h := e.journal.header
	changed := e.load(f, h)
	state, text, by := e.journal.end()
	back := state == StateReverting || state == StateRevertFailure
	if back && cause == nil {
		cause = errors.New(text)
	}
	switch {
	case state == StateReverted:
		return e.finish(StateReverted), &RevertedError{Flow: f.Name, Run: e.run, Task: by, Err: errors.New(text)}
	case state == StateSuccess && want != undo:
		return e.finish(StateSuccess), nil
	case back:
	case changed != nil:
		return e.revert(ctx, "", changed, true)
	case want == undo:
		return e.revert(ctx, "", cause, true)
	default:
		for i, s := range e.steps {
			if e.state[i] == StateFailure {
				text := e.journal.tasks()[s.task.Name].Error
				return e.revert(ctx, s.task.Name, errors.New(text), true)
			}
		}
		return e.execute(ctx)
	}
	return e.revert(ctx, by, cause, false)
}

// load takes states and values out of the journal. An error says that the flow
// is not the one that the journal is of; what the flow still has of it is
// loaded all the same.
func (e *engine) load(f *Flow, h *header) error {
	changed := &ChangedError{Flow: f.Name, Was: h.Version, Now: f.Version}
	bad := h.Version != f.Version
	if e.program == nil {
		keys := make([]AnyKey, 0, len(h.Inputs))
		for name := range h.Inputs {
			keys = append(keys, opaque(name))
		}
		p, err := compile(f, keys)
		if err != nil {
			bad = true
			if p, err = compileLoose(f); err != nil {
				p = &program{flow: f}
			}
		}
		e.program = p
	}
	e.values, e.state, e.done = map[string]any{}, make([]State, len(e.steps)), 0
	for name, raw := range h.Inputs {
		bad = e.take(name, raw) != nil || bad
	}
	known := map[string]bool{}
	last := e.journal.tasks()
	for i, s := range e.steps {
		known[s.task.Name] = true
		r := last[s.task.Name]
		e.state[i] = r.State
		if r.State == StateSuccess {
			e.done++
		}
		for name, raw := range r.Results {
			bad = e.take(name, raw) != nil || bad
		}
	}
	for name, r := range last {
		if !known[name] && r.State != StateReverted {
			changed.Lost = append(changed.Lost, name)
		}
	}
	slices.Sort(changed.Lost)
	e.lost = changed.Lost
	if bad || len(changed.Lost) > 0 {
		return changed
	}
	return nil
}

// take decodes a value for the tasks that know its key.
func (e *engine) take(name string, raw json.RawMessage) error {
	e.res.raw[name] = raw
	k, ok := e.keys[name]
	if !ok || isOpaque(k) {
		return nil
	}
	v, err := k.decode(raw, e.secrets)
	if err != nil {
		return err
	}
	e.values[name] = v
	return nil
}

func (e *engine) finish(s State) *Result {
	e.res.State = s
	return e.res
}

func (e *engine) tell(ev Event) {
	if e.runner.Listener == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	ev.Flow, ev.Run, ev.Done, ev.Total = e.flow.Name, e.run, e.done, len(e.steps)
	e.runner.Listener(ev)
}

// note writes the new state of a task, or of the run, before anyone hears of it.
func (e *engine) note(ctx context.Context, r record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.Error = e.secrets.mask(r.Error)
	if err := e.journal.append(ctx, r); err != nil {
		return fmt.Errorf("cannot run flow %q as %q: %w", e.flow.Name, e.run, err)
	}
	return nil
}

func (e *engine) suspended(ctx context.Context) (*Result, error) {
	err := &SuspendedError{Flow: e.flow.Name, Run: e.run, Err: context.Cause(ctx)}
	e.tell(Event{State: StateSuspended, Err: err.Err})
	return e.finish(StateSuspended), err
}

// attempt calls f as often as the task's Retry allows.
func (e *engine) attempt(ctx context.Context, t *Task, f func(context.Context, *Data) error, data func() *Data) (*Data, error) {
	began := time.Now()
	wait := t.Retry.Backoff
	for n := 1; ; n++ {
		d := data()
		err := call(ctx, f, d)
		if err == nil {
			return d, nil
		}
		if n >= t.Retry.Attempts || ctx.Err() != nil || (t.Retry.If != nil && !t.Retry.If(err)) ||
			(t.Retry.MaxElapsed > 0 && time.Since(began)+wait > t.Retry.MaxElapsed) {
			return nil, err
		}
		e.tell(Event{Task: t.Name, State: StateRetrying, Attempt: n, Err: err})
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
		wait *= 2
		if t.Retry.MaxBackoff > 0 {
			wait = min(wait, t.Retry.MaxBackoff)
		}
	}
}

func call(ctx context.Context, f func(context.Context, *Data) error, d *Data) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f(ctx, d)
}
