package jujusim

import (
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
)

// A Point is a moment in the run of a charm's code.
type Point struct {
	// Unit and At say whose run and of what: At is a hook, "actions/NAME" or
	// "exec". Empty ones match all.
	Unit, At string
	// Call counts hook-tool calls from 1: the moment is right before that call
	// has any effect or, with After, right after it. With 0 it is the exit of
	// the process, before anything is committed.
	Call  int
	After bool
}

type point struct {
	Point
	do func(r *Running)
}

// KillAt kills the next run that comes to the point, as SIGKILL does, once.
func (m *Model) KillAt(p Point) { m.at(p, func(r *Running) { r.Kill() }) }

// At calls do when the next run comes to the point, once; the run waits for it.
// What do does to the model happens in the middle of the hook.
func (m *Model) At(p Point, do func()) { m.at(p, func(*Running) { do() }) }

func (m *Model) at(p Point, do func(*Running)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.points = append(m.points, &point{p, do})
}

// pass does what was asked for at a point of the run.
func (r *Running) pass(call int, after bool) {
	m, d := r.m, r.dispatch
	m.mu.Lock()
	var due, rest []*point
	for _, p := range m.points {
		if p.Call == call && p.After == after && (p.Unit == "" || p.Unit == d.Unit) && (p.At == "" || p.At == d.At) {
			due = append(due, p)
		} else {
			rest = append(rest, p)
		}
	}
	m.points = rest
	m.mu.Unlock()
	for _, p := range due {
		p.do(r)
	}
}

func (r *Running) passExit() { r.pass(0, false) }

// around runs a hook tool for the charm, and what was asked for before and
// after.
func (r *Running) around(c hooktool.Call, run func() (hooktool.Result, error)) (hooktool.Result, error) {
	r.mu.Lock()
	r.number++
	n := r.number
	r.mu.Unlock()
	r.pass(n, false)
	if r.killed() {
		return hooktool.Result{}, ErrKilled
	}
	began := time.Now()
	result, err := run()
	done := Call{Tool: c.Tool, Args: agent.ShownArgs(c), In: len(c.Stdin), Out: len(result.Stdout), Code: result.Code, Duration: time.Since(began)}
	if err != nil {
		done.Err = err.Error()
	}
	r.mu.Lock()
	r.calls = append(r.calls, done)
	r.mu.Unlock()
	r.pass(n, true)
	if r.killed() {
		return hooktool.Result{}, ErrKilled
	}
	return result, err
}

// direct is the agent as a charm in this process calls it. The charm may close
// it without ending the agent.
type direct struct{ *agent.Agent }

func (direct) Close() error { return nil }
