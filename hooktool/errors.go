package hooktool

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of failure a caller may want to tell apart, for errors.Is. They
// are recognised by the texts of the tools of Juju 2.9 to 4.0. A tool that
// refuses something because this cloud or context cannot do it at all (a port
// range on Kubernetes, a reboot from an action) matches errors.ErrUnsupported.
var (
	// ErrNotLeader means that only the leader may do this.
	ErrNotLeader = errors.New("this unit is not the leader")
	// ErrPermission means that Juju does not let this unit see or do it.
	ErrPermission = errors.New("permission denied")
	// ErrNotFound means that the relation, unit, secret, label, state key,
	// binding, storage or resource named does not exist, as far as this unit
	// can see.
	ErrNotFound = errors.New("not found")
	// ErrUnknownTool means that this Juju has no such hook tool.
	ErrUnknownTool = errors.New("hook tool not known to this Juju")
	// ErrLimit means that a key, a value or a whole is too large for Juju, or
	// an argument too large for the operating system.
	ErrLimit = errors.New("limit exceeded")
	// ErrNotAction means that an action's tool was used outside an action.
	ErrNotAction = errors.New("not running an action")
	// ErrInvalid means that the arguments are wrong; nothing was done.
	ErrInvalid = errors.New("invalid argument")
	// ErrConflict means that it clashes with what is there already: a port
	// range with another one, a secret's label with another secret's.
	ErrConflict = errors.New("conflict")
	// ErrNotInHook means that there is no hook, action or juju-exec to speak
	// for: Juju did not start this process, or what it started it for is over.
	ErrNotInHook = errors.New("not running in a hook")
	// ErrUnanswered means that the connection broke, or the context ended,
	// before the answer came: the tool may or may not have run.
	ErrUnanswered = errors.New("no answer from the unit agent, the tool may or may not have run")
)

// An Error is a hook tool that failed. It never holds the tool's arguments,
// which may be secret, beyond what the tool itself printed.
type Error struct {
	// Tool is the tool's name.
	Tool string
	// Code is its exit code; 0 when its output could not be understood, -1
	// when it gave no answer.
	Code int
	// Message is what it said, without Juju's leading "ERROR ".
	Message string
	// Err is one of this package's kinds, errors.ErrUnsupported, the cause of
	// a call without an answer, or nil.
	Err error
}

// Error returns the tool's name and message.
func (e *Error) Error() string { return e.Tool + ": " + e.Message }

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// maxMessage bounds the text taken over from a tool: some tools print the
// argument they did not like, however long it is.
const maxMessage = 2048

// toolError returns the error of a tool that ended with an exit code other than 0.
func toolError(tool string, res Result) *Error {
	msg := strings.TrimSpace(string(res.Stderr))
	// Warnings may come first, and an error may have several lines.
	if i := strings.LastIndex("\n"+msg, "\nERROR "); i >= 0 {
		msg = msg[i+len("ERROR "):]
	}
	if msg == "" {
		msg = fmt.Sprintf("exit code %d", res.Code)
	}
	if len(msg) > maxMessage {
		msg = strings.ToValidUTF8(msg[:maxMessage], "") + "…"
	}
	return &Error{Tool: tool, Code: res.Code, Message: msg, Err: kindOf(tool, res.Code, msg)}
}

// kindOf recognises the texts of Juju's tools. Order matters: names given by
// others appear inside the texts, so what is anchored to both ends comes first.
func kindOf(tool string, code int, msg string) error {
	msg, _, _ = strings.Cut(msg, "\n") // what else may have written to stderr
	switch {
	case strings.HasPrefix(msg, "bad request: unknown command: "):
		return ErrUnknownTool
	case strings.HasPrefix(msg, "bad request: wrong context ID"),
		strings.HasPrefix(msg, "JUJU_") && strings.HasSuffix(msg, " not set"):
		return ErrNotInHook
	case strings.HasPrefix(msg, "bad request: "), msg == "hook tool requires stdin, none supplied":
		return ErrInvalid
	case msg == "not running an action":
		return ErrNotAction
	case strings.HasSuffix(msg, "this unit is not the leader"),
		strings.HasSuffix(msg, ": not the leader"), msg == "not the leader",
		// What relation-set --app says to a unit that does not lead.
		tool == "relation-set" && msg == "cannot write relation settings":
		return ErrNotLeader
	case msg == "permission denied", strings.HasSuffix(msg, ": permission denied"),
		strings.HasSuffix(msg, "is not allowed to read this secret"):
		return ErrPermission
	case strings.HasPrefix(msg, "max allowed ") && strings.Contains(msg, " exceeded"),
		strings.HasPrefix(msg, "secret content ") && strings.Contains(msg, " too large: "),
		strings.HasSuffix(msg, "quota limit exceeded"):
		return ErrLimit
	case strings.Contains(msg, ": port range conflicts with "),
		strings.HasSuffix(msg, " already exists"):
		return ErrConflict
	case strings.HasPrefix(msg, "no network config found for binding "),
		strings.HasPrefix(msg, "invalid storage name: "),
		strings.HasSuffix(msg, " not found"):
		return ErrNotFound
	case strings.HasPrefix(msg, "port ranges are not supported "),
		strings.HasPrefix(msg, "juju-reboot is not supported "),
		msg == "not implemented for restricted context":
		return errors.ErrUnsupported
	case code == 2, strings.HasPrefix(msg, "yaml: "):
		return ErrInvalid
	}
	return nil
}

// invalid returns an error for arguments refused before any tool is run.
func invalid(tool, format string, args ...any) *Error {
	return &Error{Tool: tool, Code: 2, Message: fmt.Sprintf(format, args...), Err: ErrInvalid}
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
