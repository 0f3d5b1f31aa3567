package hooktool

import (
	"context"
	"io"
)

// A Call is one run of a hook tool.
type Call struct {
	// Tool is the tool's name, such as "relation-get".
	Tool string
	// Args are its arguments, without the tool's name.
	Args []string
	// Stdin is its standard input. Nil means that there is none; an empty
	// non-nil slice is an input that ends at once.
	Stdin []byte
}

// A Result is what a hook tool answered.
type Result struct {
	// Code is the exit code: 0 done, 1 the tool failed, 2 its arguments were wrong.
	Code int
	// Stdout and Stderr are what it printed, with the final newline.
	Stdout, Stderr []byte
}

// A Transport runs hook tools. Result says what the tool itself answered,
// whatever its exit code; the error is for calls that never reached a tool.
//
// Implementations are safe for concurrent use. Juju runs one tool at a time
// and in no promised order, so only independent calls may overlap.
type Transport interface {
	Call(ctx context.Context, call Call) (Result, error)
	Close() error
}

// A Process is what Juju gives the process it starts for a hook, an action or
// juju-exec. Code that takes a Process instead of reading os.Args and the
// environment can run many charms in one process, as simulations do.
type Process struct {
	// Args are the arguments, without the program's name.
	Args []string
	// Env is the environment, as KEY=value; Juju passes on nothing of its own.
	Env []string
	// Dir is the charm directory, which is the working directory of a hook.
	Dir string
	// Stdin, Stdout and Stderr are the standard streams; nil ones are empty
	// or discarded.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Tools runs the hook tools. Nil: they are found through Env.
	Tools Transport
}

// Getenv returns the value of the environment variable called name, or "".
// Of several entries the last one counts.
func (p Process) Getenv(name string) string {
	for i := len(p.Env) - 1; i >= 0; i-- {
		if e := p.Env[i]; len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name {
			return e[len(name)+1:]
		}
	}
	return ""
}
