package reactive

import (
	"fmt"
	"strings"

	"github.com/charmed-go/charms/flags"
)

// A HandlerError says which handler failed in which hook.
type HandlerError struct {
	// Hook is the event, as [Event.String] gives it, with the relation ID and
	// the remote unit of a relation hook.
	Hook string
	// Handler is the name of the handler.
	Handler string
	// Err is what the handler returned, or a [*PanicError].
	Err error
}

func (e *HandlerError) Error() string {
	return fmt.Sprintf("hook %s: handler %q: %v", e.Hook, e.Handler, e.Err)
}

// Unwrap returns Err.
func (e *HandlerError) Unwrap() error { return e.Err }

// A PanicError is a panic of the charm's code, which fails the hook.
type PanicError struct {
	Value any
	Stack []byte
}

// Error says in one line what panicked, and where in the charm's code.
func (e *PanicError) Error() string {
	text := fmt.Sprintf("panic: %v", e.Value)
	// Behind the frame of the panic itself, two lines each, comes the one that
	// caused it; if that is a check of this module, the charm's is further on.
	_, after, _ := strings.Cut(string(e.Stack), "\npanic(")
	lines := strings.Split(after, "\n")
	for i := 2; i+1 < len(lines); i += 2 {
		function, ours := strings.CutPrefix(lines[i], "github.com/charmed-go/charms/")
		if strings.HasPrefix(function, "reactive.call(") {
			break
		}
		if !ours || !strings.HasPrefix(function, "reactive.") && !strings.HasPrefix(function, "flags.") {
			place, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " +0x")
			return text + " at " + place
		}
	}
	return text
}

// An UnsettledError says that a hook did not come to rest: handlers keep each
// other awake. (The reference ends such a hook silently, after as many rounds.)
type UnsettledError struct {
	// Rounds is after how many rounds the dispatch gave up.
	Rounds int
	// Handlers are those that ran in the second half of these rounds, in the
	// order of registration, and Flags those that changed in them, sorted.
	Handlers []string
	Flags    []flags.Flag
}

func (e *UnsettledError) Error() string {
	names := make([]string, len(e.Flags))
	for i, f := range e.Flags {
		names[i] = f.String()
	}
	msg := fmt.Sprintf("after %d rounds the handlers still keep each other awake: %s", e.Rounds, strings.Join(e.Handlers, ", "))
	if len(names) > 0 {
		msg += "; flags that keep changing: " + strings.Join(names, ", ")
	}
	return msg
}
