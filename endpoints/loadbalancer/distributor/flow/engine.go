package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
)

// outcome is what came of executing the step i.
type outcome struct {
	i   int
	err error
	// fatal is the failure of the journal, after which nothing may be done.
	fatal error
}

// execute runs the tasks that are left, in order.
func (e *engine) execute(ctx context.Context) (*Result, error) {
	e.tell(Event{State: StateRunning})
	parallel := max(e.runner.Parallel, 1)
	results := make(chan outcome)
	running := 0
	started := make([]bool, len(e.steps))
	var failed *outcome
	var fatal error
	for {
		if failed == nil && fatal == nil && ctx.Err() == nil {
			for _, i := range e.order {
				if running >= parallel {
					break
				}
				if started[i] || e.stateOf(i) == StateSuccess || !e.ready(i) {
					continue
				}
				started[i] = true
				running++
				go func() { results <- e.executeTask(ctx, i) }()
			}
		}
		if running == 0 {
			break
		}
		out := <-results
		running--
		switch {
		case out.fatal != nil:
			fatal = out.fatal
		case out.err != nil && failed == nil && e.stateOf(out.i) == StateFailure:
			failed = &out
		}
	}
	switch {
	case fatal != nil:
		return nil, fatal
	case failed != nil:
		return e.revert(ctx, e.steps[failed.i].task.Name, failed.err, true)
	}
	for i := range e.steps {
		if e.state[i] == StateSuccess {
			continue
		}
		if e.journal.file == nil {
			return e.revert(ctx, e.steps[i].task.Name, context.Cause(ctx), true)
		}
		return e.suspended(ctx)
	}
	if err := e.note(ctx, record{State: StateSuccess}); err != nil {
		return nil, err
	}
	e.tell(Event{State: StateSuccess})
	return e.finish(StateSuccess), nil
}

func (e *engine) ready(i int) bool {
	for _, p := range e.steps[i].preds {
		if e.stateOf(p) != StateSuccess {
			return false
		}
	}
	return true
}

func (e *engine) stateOf(i int) State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state[i]
}

func (e *engine) set(i int, s State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state[i] = s
	if s == StateSuccess {
		e.done++
	}
}

func (e *engine) value(name string) any {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.values[name]
}

func (e *engine) executeTask(ctx context.Context, i int) outcome {
	s := e.steps[i]
	t := s.task
	if err := e.note(ctx, record{Task: t.Name, State: StateRunning}); err != nil {
		return outcome{i: i, fatal: err}
	}
	e.set(i, StateRunning)
	e.tell(Event{Task: t.Name, State: StateRunning, Attempt: 1})
	probe.Hit(ctx, "execute: before "+t.Name)
	raw := map[string]json.RawMessage{}
	var err error
	if t.Execute != nil {
		var d *Data
		d, err = e.attempt(ctx, t, t.Execute, func() *Data {
			return &Data{task: t, rename: s.rename, values: e.value, out: map[string]Value{}}
		})
		if err == nil {
			err = e.collect(s, d, raw)
		}
	} else if len(t.Provides) > 0 {
		err = fmt.Errorf("task provides %q and has no Execute", t.Provides[0].Name())
	}
	probe.Hit(ctx, "execute: after "+t.Name)
	if err != nil {
		if ctx.Err() != nil && e.journal.file != nil {
			return outcome{i: i, err: err}
		}
		if e2 := e.note(ctx, record{Task: t.Name, State: StateFailure, Error: err.Error()}); e2 != nil {
			return outcome{i: i, fatal: e2}
		}
		e.set(i, StateFailure)
		e.tell(Event{Task: t.Name, State: StateFailure, Err: err})
		return outcome{i: i, err: err}
	}
	if err := e.note(ctx, record{Task: t.Name, State: StateSuccess, Results: raw}); err != nil {
		return outcome{i: i, fatal: err}
	}
	e.set(i, StateSuccess)
	e.tell(Event{Task: t.Name, State: StateSuccess})
	return outcome{i: i}
}

// collect takes what a task has provided, in the form that the journal gives
// it back in, so that a first run sees what a resumed one would see.
func (e *engine) collect(s *step, d *Data, raw map[string]json.RawMessage) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range s.task.Provides {
		v, ok := d.out[k.Name()]
		if !ok {
			return fmt.Errorf("task did not provide %q", k.Name())
		}
		text, err := k.encode(v.value, e.secrets)
		if err != nil {
			return err
		}
		raw[renamed(s.rename, k.Name())] = text
	}
	for name, text := range raw {
		if err := e.take(name, text); err != nil {
			return err
		}
	}
	return nil
}

// revert undoes, last first, every task that has begun. A task whose Revert
// fails keeps those that it depends on from being reverted, no others.
func (e *engine) revert(ctx context.Context, by string, cause error, first bool) (*Result, error) {
	if e.journal.file == nil {
		ctx = context.WithoutCancel(ctx)
	}
	if first {
		// What is to be masked is in the text; the error itself stays whole.
		if err := e.note(ctx, record{State: StateReverting, By: by, Error: cause.Error()}); err != nil {
			return nil, err
		}
	}
	e.tell(Event{State: StateReverting, Err: cause})
	failure := &RevertFailedError{Flow: e.flow.Name, Run: e.run, Cause: cause}
	blocked := make([]bool, len(e.steps))
	for n := len(e.order) - 1; n >= 0; n-- {
		i := e.order[n]
		s := e.steps[i]
		for _, j := range s.succs {
			blocked[i] = blocked[i] || blocked[j]
		}
		switch e.stateOf(i) {
		case "", StateReverted:
			continue
		}
		if blocked[i] {
			continue
		}
		if ctx.Err() != nil {
			return e.suspended(ctx)
		}
		err, fatal := e.revertTask(ctx, s, i, cause)
		if fatal != nil {
			return nil, fatal
		}
		if err != nil {
			if ctx.Err() != nil && e.journal.file != nil {
				return e.suspended(ctx)
			}
			blocked[i] = true
			failure.Tasks, failure.Errs = append(failure.Tasks, s.task.Name), append(failure.Errs, err)
		}
	}
	if len(failure.Tasks) > 0 {
		if err := e.note(ctx, record{State: StateRevertFailure, Error: errors.Join(failure.Errs...).Error()}); err != nil {
			return nil, err
		}
		e.tell(Event{State: StateRevertFailure, Err: failure})
		return e.finish(StateRevertFailure), failure
	}
	if err := e.note(ctx, record{State: StateReverted}); err != nil {
		return nil, err
	}
	e.tell(Event{State: StateReverted, Err: cause})
	return e.finish(StateReverted), &RevertedError{Flow: e.flow.Name, Run: e.run, Task: by, Err: cause}
}

func (e *engine) revertTask(ctx context.Context, s *step, i int, cause error) (failed, fatal error) {
	t := s.task
	executed := e.executed(t)
	if err := e.note(ctx, record{Task: t.Name, State: StateReverting}); err != nil {
		return nil, err
	}
	e.set(i, StateReverting)
	e.tell(Event{Task: t.Name, State: StateReverting, Err: cause})
	probe.Hit(ctx, "revert: before "+t.Name)
	if t.Revert != nil {
		_, err := e.attempt(ctx, t, t.Revert, func() *Data {
			return &Data{task: t, rename: s.rename, values: e.value, out: map[string]Value{}, cause: cause, ok: executed}
		})
		probe.Hit(ctx, "revert: after "+t.Name)
		if err != nil {
			if ctx.Err() != nil && e.journal.file != nil {
				return err, nil
			}
			if e2 := e.note(ctx, record{Task: t.Name, State: StateRevertFailure, Error: err.Error()}); e2 != nil {
				return nil, e2
			}
			e.set(i, StateRevertFailure)
			e.tell(Event{Task: t.Name, State: StateRevertFailure, Err: err})
			return err, nil
		}
	}
	if err := e.note(ctx, record{Task: t.Name, State: StateReverted}); err != nil {
		return nil, err
	}
	e.set(i, StateReverted)
	e.tell(Event{Task: t.Name, State: StateReverted, Err: cause})
	return nil, nil
}

// executed reports whether the task's Execute came to its end.
func (e *engine) executed(t *Task) bool {
	for _, r := range e.journal.records {
		if r.Task == t.Name && r.State == StateSuccess {
			return true
		}
	}
	return false
}
