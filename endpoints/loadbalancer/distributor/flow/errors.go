package flow

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// MissingError says that a task requires a value that nothing before it
// provides and no input gives.
type MissingError struct{ Flow, Task, Key string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("cannot run flow %q: task %q requires %q, which nothing provides", e.Flow, e.Task, e.Key)
}

// AmbiguousError says that a value has more than one source. A source is the
// name of a task, or "" for the flow's inputs.
type AmbiguousError struct {
	Flow, Key string
	Sources   [2]string
}

func (e *AmbiguousError) Error() string {
	source := func(s string) string {
		if s == "" {
			return "an input"
		}
		return fmt.Sprintf("task %q", s)
	}
	return fmt.Sprintf("cannot run flow %q: %q comes from %s and from %s", e.Flow, e.Key, source(e.Sources[0]), source(e.Sources[1]))
}

// CycleError says that parts of a graph flow wait for each other. Parts are
// their names, sorted.
type CycleError struct {
	Flow  string
	Parts []string
}

func (e *CycleError) Error() string {
	return fmt.Sprintf("cannot run flow %q: its parts %s wait for each other", e.Flow, strings.Join(e.Parts, ", "))
}

// DuplicateError says that two tasks of a flow have the same name.
type DuplicateError struct{ Flow, Task string }

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("cannot run flow %q: two tasks are named %q", e.Flow, e.Task)
}

// TypeError says that two keys of the same name have different types.
type TypeError struct {
	Flow, Key string
	Types     [2]string
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("cannot run flow %q: %q is a %s and a %s", e.Flow, e.Key, e.Types[0], e.Types[1])
}

// RevertedError says that a run failed and was undone. Unwrap gives the error
// of the task, of which only the text is left after a resume.
type RevertedError struct {
	Flow, Run string
	// Task is the task that failed, or "" if [Runner.Revert] was called.
	Task string
	Err  error
}

func (e *RevertedError) Error() string {
	if e.Task == "" {
		return fmt.Sprintf("cannot keep flow %q: reverted: %v", e.Flow, e.Err)
	}
	return fmt.Sprintf("cannot run flow %q: task %q: %v", e.Flow, e.Task, e.Err)
}

func (e *RevertedError) Unwrap() error { return e.Err }

// RevertFailedError says that a run failed and could not be undone entirely:
// the tasks named, and those before them that they depend on, are still done.
// [Runner.Resume] tries again.
type RevertFailedError struct {
	Flow, Run string
	// Cause is why the run was reverted.
	Cause error
	// Tasks are those whose Revert failed, Errs their errors.
	Tasks []string
	Errs  []error
}

func (e *RevertFailedError) Error() string {
	return fmt.Sprintf("cannot revert flow %q: tasks %s: %v (reverting because: %v)",
		e.Flow, strings.Join(e.Tasks, ", "), errors.Join(e.Errs...), e.Cause)
}

func (e *RevertFailedError) Unwrap() []error { return append(slices.Clone(e.Errs), e.Cause) }

// SuspendedError says that a run stopped between two tasks because its context
// ended. Its journal is kept; [Runner.Run] or [Runner.Resume] go on with it.
// Unwrap gives the context's error.
type SuspendedError struct {
	Flow, Run string
	Err       error
}

func (e *SuspendedError) Error() string {
	return fmt.Sprintf("flow %q is suspended: %v", e.Flow, e.Err)
}

func (e *SuspendedError) Unwrap() error { return e.Err }

// ErrInputsDiffer is the error when a run is started that has been started
// before with other inputs and has not been forgotten.
var ErrInputsDiffer = errors.New("run was started with other inputs")

// ChangedError is why a run is reverted whose flow is not the one it was
// started with. Lost are tasks of the old flow that had begun and that the new
// one has no code to revert.
type ChangedError struct {
	Flow     string
	Was, Now int
	Lost     []string
}

func (e *ChangedError) Error() string {
	s := fmt.Sprintf("flow %q has changed since the run started (version %d, now %d)", e.Flow, e.Was, e.Now)
	if len(e.Lost) > 0 {
		s += ": nothing reverts tasks " + strings.Join(e.Lost, ", ")
	}
	return s
}

// PanicError is the failure of a task that panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// ErrLocked is the error when another process or goroutine is working on the
// same run.
var ErrLocked = errors.New("run is being worked on elsewhere")

// ErrNoRun is the error when a run that is to be resumed or reverted has no
// journal.
var ErrNoRun = errors.New("no such run")

// CorruptError says that a journal cannot be read, other than for a record
// torn at its end, which is cut.
type CorruptError struct {
	Path string
	Line int
	Err  error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("cannot read journal %s: line %d: %v", e.Path, e.Line, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }
