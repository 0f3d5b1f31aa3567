package hooktool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// TransportEnv is the environment variable that forces one transport on Dial:
// "socket" or "exec". Empty or unset, Dial decides. Juju passes no foreign
// variables to a hook, so it is for the dispatch script, debug-hooks and tests.
const TransportEnv = "CHARM_HOOKTOOL_TRANSPORT"

// Dial returns a Client for the hook, action or juju-exec that Juju started p
// for. The transport is p.Tools when set, which Close then leaves open.
//
// Otherwise it is the unit agent's socket, and the executables in the PATH
// where there is no socket, or where whatever listens on it does not speak the
// protocol, or says nothing for 5 seconds. Juju documents the executables and
// not the socket, and this is the way back to them. The choice is made once, on
// the first answer, and no tool that changes anything is ever run a second time
// for it: when the first call is such a tool, the socket is tried with a
// harmless one before.
//
// Without JUJU_CONTEXT_ID the error matches ErrNotInHook.
func Dial(ctx context.Context, p Process) (*Client, error) {
	if p.Tools != nil {
		return &Client{transport: p.Tools, borrowed: true}, nil
	}
	if p.Getenv("JUJU_CONTEXT_ID") == "" {
		return nil, fmt.Errorf("cannot use hook tools: JUJU_CONTEXT_ID is not set: %w", ErrNotInHook)
	}
	force := p.Getenv(TransportEnv)
	switch force {
	case "", "socket", "exec":
	default:
		return nil, fmt.Errorf("cannot use hook tools: %s is %q, must be socket or exec: %w", TransportEnv, force, ErrInvalid)
	}
	executables, err := NewExec(p)
	if err != nil {
		return nil, err
	}
	if force == "exec" {
		return New(executables), nil
	}
	socket, err := DialSocket(ctx, p)
	if err == nil && force == "socket" {
		return New(socket), nil
	}
	if err == nil {
		return New(&either{socket: socket, exec: executables}), nil
	}
	if force == "socket" || ctx.Err() != nil {
		return nil, err
	}
	if _, missing := executables.find("relation-ids"); missing != nil {
		return nil, errors.Join(err, missing)
	}
	return New(executables), nil
}

// either is a socket of which it is not yet known whether Juju's protocol is
// spoken behind it, and the executables to use if not.
type either struct {
	socket Transport
	exec   Transport
	choice atomic.Int32
	probe  sync.Mutex // held while the first tool that changes something waits
}

// firstAnswer is how long the first answer over the socket may take.
const firstAnswer = 5 * time.Second

const (
	undecided int32 = iota
	bySocket
	byExec
)

func (t *either) Call(ctx context.Context, call Call) (Result, error) {
	if t.choice.Load() == undecided && !readOnly(call.Tool) {
		if err := t.try(ctx); err != nil {
			return Result{}, err
		}
	}
	switch t.choice.Load() {
	case bySocket:
		return t.socket.Call(ctx, call)
	case byExec:
		return t.exec.Call(ctx, call)
	}
	res, err := t.firstCall(ctx, call)
	if err == nil {
		return res, nil
	}
	if ctx.Err() != nil || !t.giveUp() {
		return res, err
	}
	return t.exec.Call(ctx, call)
}

// try finds out whether the socket answers, with a call that does nothing.
func (t *either) try(ctx context.Context) error {
	t.probe.Lock()
	defer t.probe.Unlock()
	if t.choice.Load() != undecided {
		return nil
	}
	_, err := t.firstCall(ctx, Call{Tool: "relation-ids", Args: []string{"--help"}})
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || !t.giveUp() {
		return err
	}
	return nil
}

// firstCall makes a call that may be made again by the executables, which is
// also what happens to one whose answer does not come: behind the socket may
// be something that waits for more.
func (t *either) firstCall(ctx context.Context, call Call) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	res, err := t.socket.Call(ctx, call)
	if err == nil {
		t.choice.CompareAndSwap(undecided, bySocket)
	}
	return res, err
}

// giveUp turns to the executables, and is false when the socket has answered
// another call meanwhile: then it is the right one, and the failure is real.
func (t *either) giveUp() bool {
	if t.choice.CompareAndSwap(undecided, byExec) {
		t.socket.Close()
	}
	return t.choice.Load() == byExec
}

func (t *either) Close() error {
	return errors.Join(t.socket.Close(), t.exec.Close())
}

// readOnly names the tools that may be run twice.
func readOnly(tool string) bool {
	switch tool {
	case "relation-ids", "relation-list", "relation-get", "relation-model-get",
		"config-get", "is-leader", "leader-get", "status-get", "state-get",
		"unit-get", "network-get", "opened-ports", "goal-state", "action-get",
		"secret-ids", "secret-info-get", "storage-list", "storage-get",
		"resource-get", "credential-get":
		return true
	}
	return false
}
