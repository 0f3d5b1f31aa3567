package jujusim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A HookError says that a unit is in error, because of a hook that failed.
type HookError struct {
	Hook Hook
	// Tries is how often in a row it failed.
	Tries int
	// Reason is the last thing it said.
	Reason string
	// Log is the log of its last run.
	Log []LogLine
}

// Error is one line: the unit, the hook and the reason.
func (e *HookError) Error() string {
	return fmt.Sprintf("unit %s is in error: %s failed: %s", e.Hook.Unit, strings.TrimPrefix(e.Hook.String(), e.Hook.Unit+" "), e.Reason)
}

// A NotSettledError says that a model does not come to rest.
type NotSettledError struct {
	// Hooks is how many hooks ran.
	Hooks int
	// Busiest are the hooks that ran most often, with how often, as "web/0
	// db-relation-changed (1, db/0): 120".
	Busiest []string
}

// Error names the hooks that keep each other going.
func (e *NotSettledError) Error() string {
	return fmt.Sprintf("the model does not settle: after %d hooks the same ones come again and again: %s", e.Hooks, strings.Join(e.Busiest, "; "))
}

// Next returns a hook that some unit can run now, chosen at random among what
// is legal; ok is false if there is nothing to do.
func (m *Model) Next() (h Hook, ok bool) {
	m.lock()
	defer m.unlock()
	for m.ready.len() > 0 {
		u := m.ready.pick(m.rng)
		if h, ok := u.pick(); ok {
			return h, true
		}
		m.ready.remove(u)
		if u.work() {
			m.stalled = append(m.stalled, u.stall())
		}
	}
	return Hook{}, false
}

// stall says what a unit has to do and cannot.
func (u *unit) stall() string {
	h, ok := u.choose(false)
	if !ok {
		return u.name + ": nothing was chosen"
	}
	return fmt.Sprintf("%s: %v", h, u.legal(h))
}

// Legal says why Juju would not run that hook now, or nil if it might.
func (m *Model) Legal(h Hook) error {
	m.lock()
	defer m.unlock()
	u := m.units[h.Unit]
	if u == nil {
		return fmt.Errorf("there is no unit %q", h.Unit)
	}
	return u.legal(h)
}

// Enter lets a unit enter the scope of a relation: the others see it and its
// data from then on. Units do so by themselves, when they hear of a relation or
// at the latest in its -created hook; those who choose the hooks can choose
// this too.
func (m *Model) Enter(unit string, relation int) error {
	m.lock()
	defer m.unlock()
	u := m.units[unit]
	if u == nil || u.relation(relation) == nil {
		return fmt.Errorf("cannot enter relation %d: unit %s has no part in it", relation, unit)
	}
	if ur := u.relation(relation); !u.installed || u.dying || ur.left || ur.r.dying {
		return fmt.Errorf("cannot enter relation %d: unit %s is not installed, or ends, or the relation does", relation, unit)
	}
	u.relation(relation).enter()
	return nil
}

// Do runs a hook that is legal now, to its end.
func (m *Model) Do(ctx context.Context, h Hook) (*Dispatch, error) {
	r, err := m.Start(ctx, h)
	if err != nil {
		return nil, err
	}
	return r.Wait()
}

// Step runs one hook that some unit can run now. It returns nil if there is
// nothing to do.
func (m *Model) Step(ctx context.Context) (*Dispatch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h, ok := m.Next()
	if !ok {
		return nil, nil
	}
	d, err := m.Do(ctx, h)
	if err == nil {
		err = ctx.Err()
	}
	return d, err
}

// Settle runs hooks until there is nothing left to do. The error joins a
// *HookError for each unit that is in error by then; it is a *NotSettledError
// if some hook comes again and again without end.
func (m *Model) Settle(ctx context.Context) error {
	counts := make(map[Hook]int)
	hooks := 0
	for {
		d, err := m.Step(ctx)
		if err != nil {
			return fmt.Errorf("cannot settle the model: %w", err)
		}
		if d == nil {
			break
		}
		hooks++
		counts[d.Hook]++
		if counts[d.Hook] > m.patience() {
			return notSettled(hooks, counts)
		}
	}
	m.mu.Lock()
	stalled := m.stalled
	m.stalled = nil
	m.mu.Unlock()
	if len(stalled) > 0 {
		return fmt.Errorf("cannot settle the model: what units have to do is not legal: %s", strings.Join(stalled, "; "))
	}
	var errs []error
	for _, e := range m.Failed() {
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

// patience is how often one and the same hook may run while a model settles.
func (m *Model) patience() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return 100 + 10*len(m.units)
}

func notSettled(hooks int, counts map[Hook]int) error {
	busy := make([]Hook, 0, len(counts))
	for h := range counts {
		busy = append(busy, h)
	}
	slices.SortFunc(busy, func(a, b Hook) int {
		if n := counts[b] - counts[a]; n != 0 {
			return n
		}
		return strings.Compare(a.String(), b.String())
	})
	e := &NotSettledError{Hooks: hooks}
	for _, h := range busy[:min(5, len(busy))] {
		e.Busiest = append(e.Busiest, fmt.Sprintf("%s: %d", h, counts[h]))
	}
	return e
}

// Failed are the units in error, in the order of their applications.
func (m *Model) Failed() []*HookError {
	m.mu.Lock()
	defer m.mu.Unlock()
	var failed []*HookError
	for _, a := range m.order {
		for _, u := range a.units {
			if u.stuck == nil || !u.stuck.failed {
				continue
			}
			e := &HookError{Hook: u.stuck.hook, Tries: u.stuck.tries, Reason: u.stuck.reason}
			for i := len(m.history) - 1; i >= 0; i-- {
				if m.history[i].Hook == u.stuck.hook {
					e.Log = m.history[i].Log
					break
				}
			}
			failed = append(failed, e)
		}
	}
	return failed
}
