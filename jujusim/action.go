package jujusim

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
)

// An ActionResult is what became of an action.
type ActionResult struct {
	ID   string
	Unit string
	Name string
	// Status is "completed" or "failed", and Message why it failed.
	Status, Message string
	// Results are what the action set, with return-code and what it printed.
	Results map[string]any
	// Log are the messages of action-log.
	Log      []string
	Dispatch *Dispatch
}

// RunAction runs an action on a unit, as juju run does, and waits for it. The
// error says that it was not run at all: there is no such unit or action, the
// parameters do not fit, or the unit is busy. An action that failed is a result.
func (m *Model) RunAction(ctx context.Context, unit, name string, params map[string]any) (*ActionResult, error) {
	r, err := m.StartAction(ctx, unit, name, params)
	if err != nil {
		return nil, err
	}
	d, err := r.Wait()
	if err != nil {
		return nil, fmt.Errorf("cannot run action %s on %s: %w", name, unit, err)
	}
	return d.actionResult(), nil
}

// StartAction starts an action as RunAction does, and returns while it runs.
func (m *Model) StartAction(ctx context.Context, unit, name string, params map[string]any) (*Running, error) {
	r, err := m.startAction(ctx, unit, name, params)
	if err != nil {
		return nil, fmt.Errorf("cannot run action %s on %s: %w", name, unit, err)
	}
	return r, nil
}

// actionResult is what became of the action that the dispatch ran.
func (d *Dispatch) actionResult() *ActionResult {
	result := &ActionResult{ID: d.Getenv("JUJU_ACTION_UUID"), Unit: d.Unit, Name: d.Getenv("JUJU_ACTION_NAME"), Dispatch: d, Log: d.Changes.ActionLog}
	if a := d.Changes.Action; a != nil {
		result.Status, result.Message, result.Results = a.Status, a.Message, a.Results
	}
	return result
}

func (m *Model) startAction(ctx context.Context, unit, name string, params map[string]any) (*Running, error) {
	m.lock()
	u, err := m.idle(unit)
	if err != nil {
		m.unlock()
		return nil, err
	}
	action, ok := u.charm.meta.Action(name)
	if !ok {
		m.unlock()
		return nil, fmt.Errorf("action %q not defined for unit %q", name, unit)
	}
	params, err = action.Validate(params)
	if err != nil {
		m.unlock()
		return nil, fmt.Errorf("validation failed: %w", err)
	}
	m.nextAction++
	x := agent.Execution{Unit: unit, Action: name, ActionID: strconv.Itoa(m.nextAction), Params: params}
	r := m.launch(ctx, u, Hook{Unit: unit}, "actions/"+name)
	m.unlock()
	return r, r.start(x)
}

// idle returns a unit that can run an action: one that is installed, in error
// or not, and runs nothing.
func (m *Model) idle(unit string) (*unit, error) {
	u := m.units[unit]
	switch {
	case u == nil:
		return nil, errors.New("there is no such unit")
	case !u.installed:
		return nil, errors.New("the unit is not installed")
	case u.running != nil:
		return nil, fmt.Errorf("it runs %s", u.running.title())
	case u.machine.running != nil:
		return nil, fmt.Errorf("its machine runs %s", u.machine.running.title())
	}
	return u, nil
}

// ExecOptions say what juju-exec runs on a unit.
type ExecOptions struct {
	// Script is run by bash, in the charm directory and with the environment of
	// a hook. The hook tools it runs have to be in Options.ToolsDir.
	Script string
	// Run is run instead of a script, in this process.
	Run func(ctx context.Context, p hooktool.Process) int
	// Relation and RemoteUnit give it the context of a relation: the id, such
	// as "db:1", and the remote unit, which is found if there is only one.
	Relation   string
	RemoteUnit string
}

// An ExecResult is what became of a juju-exec.
type ExecResult struct {
	Code           int
	Stdout, Stderr string
	Dispatch       *Dispatch
}

// Exec runs commands on a unit as juju-exec does and waits for them. What they
// changed is committed whatever their exit code is. The error says that they
// were not run at all.
func (m *Model) Exec(ctx context.Context, unit string, opts ExecOptions) (*ExecResult, error) {
	r, err := m.StartExec(ctx, unit, opts)
	if err != nil {
		return nil, err
	}
	d, err := r.Wait()
	if err != nil {
		return nil, fmt.Errorf("cannot run commands on %s: %w", unit, err)
	}
	return &ExecResult{Code: r.code, Stdout: r.stdout.String(), Stderr: r.stderr.String(), Dispatch: d}, nil
}

// StartExec starts commands as Exec does, and returns while they run.
func (m *Model) StartExec(ctx context.Context, unit string, opts ExecOptions) (*Running, error) {
	r, err := m.startExec(ctx, unit, opts)
	if err != nil {
		return nil, fmt.Errorf("cannot run commands on %s: %w", unit, err)
	}
	return r, nil
}

func (m *Model) startExec(ctx context.Context, unit string, opts ExecOptions) (*Running, error) {
	if (opts.Script == "") == (opts.Run == nil) {
		return nil, errors.New("want either a script or a function")
	}
	m.lock()
	u, err := m.idle(unit)
	if err != nil {
		m.unlock()
		return nil, err
	}
	x := agent.Execution{Unit: unit, Exec: true, Relation: opts.Relation, RemoteUnit: opts.RemoteUnit}
	r := m.launch(ctx, u, Hook{Unit: unit}, "exec")
	m.unlock()
	if r.program = opts.Run; r.program == nil {
		r.argv, r.stdin = []string{"/bin/bash", "-s"}, opts.Script
	}
	return r, r.start(x)
}
