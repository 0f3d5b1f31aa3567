package jujusim

import (
	"slices"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
)

// An Outcome is how a dispatch ended.
type Outcome string

const (
	// Done is an end with exit code 0 whose changes were committed; juju-exec is
	// done whatever its exit code.
	Done Outcome = "done"
	// Failed is another exit code, or a refused commit: nothing was kept of what
	// Juju buffers, and a unit that failed in a hook is in error.
	Failed Outcome = "failed"
	// Killed is the end by a signal: nothing was kept, and a hook runs again.
	Killed Outcome = "killed"
)

// A Dispatch is one run of a charm's code: a hook, an action or juju-exec.
type Dispatch struct {
	// Seq counts the dispatches of the model from 1.
	Seq  int
	Unit string
	// At is the hook's name, "actions/NAME", or "exec".
	At string
	// Hook is the hook; only its Unit is set for actions and juju-exec.
	Hook Hook
	// Machine is where it ran and Charm the revision of the charm, from 0.
	Machine string
	Charm   int
	// Env is the whole environment.
	Env []string
	// Start and End are on the model's own clock, which orders what happens and
	// is the same in every run of a seed. Duration is real time.
	Start, End time.Time
	Duration   time.Duration
	Calls      []Call
	// Exit is the exit code, or -1 if it was killed.
	Exit    int
	Outcome Outcome
	// Err says why the commit failed or what else went wrong.
	Err string
	// Log is what the charm logged, and printed.
	Log []LogLine
	// Changes are all differences that it made to the model. Joined units of
	// relations are left out.
	Changes agent.Changes
	// Skipped says that the operator told Juju not to run a failed hook again.
	Skipped bool
}

// A Call is one call of a hook tool.
type Call struct {
	Tool string
	// Args are its arguments; values that may be secret are not shown.
	Args []string
	// In and Out are how many bytes went in and came out.
	In, Out int
	Code    int
	// Err is set when the call reached no tool.
	Err      string
	Duration time.Duration
}

// A LogLine is one line of a unit's log.
type LogLine struct {
	Level, Message string
}

// Getenv returns the value of an environment variable, or "".
func (d *Dispatch) Getenv(name string) string {
	return hooktool.Process{Env: d.Env}.Getenv(name)
}

// title is the dispatch in words.
func (d *Dispatch) title() string {
	if d.Hook.Name != "" {
		return d.Hook.String()
	}
	return d.Unit + " " + d.At
}

// History returns the dispatches so far, in the order of their start. What runs
// still is not in it. The values must not be changed.
func (m *Model) History() []*Dispatch {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.history)
}

// An Event is something that happened in the model.
type Event struct {
	Kind EventKind
	// Unit is the unit it is about; "" if none.
	Unit string
	// Dispatch is set when one starts or ends.
	Dispatch *Dispatch
	// Line is a line of a unit's log.
	Line LogLine
	// Text says what happened, for people.
	Text string
}

// An EventKind is a kind of event.
type EventKind string

const (
	// DispatchStarted and DispatchEnded enclose a hook, an action or juju-exec.
	DispatchStarted EventKind = "started"
	DispatchEnded   EventKind = "ended"
	// Logged is a line of a log.
	Logged EventKind = "log"
	// Operated is something that the operator did.
	Operated EventKind = "operator"
	// UnitGone is the end of a unit, LeaderChanged a new leader.
	UnitGone      EventKind = "unit gone"
	LeaderChanged EventKind = "leader"
)

// emit reports an event; the model must not be locked.
func (m *Model) emit(events ...Event) {
	if m.opts.OnEvent == nil {
		return
	}
	for _, e := range events {
		m.opts.OnEvent(e)
	}
}
