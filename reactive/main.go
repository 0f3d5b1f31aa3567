package reactive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/unitdata"
)

// Main runs the charm that newCharm makes, and ends the process. It is all that
// a charm's main function needs.
//
// Started by Juju without arguments, it runs the hook, the action or the
// dispatch of juju-exec that the environment describes. Otherwise it is the
// charm's own command line: "help" lists what it can do.
//
// SIGTERM cancels the context that handlers get. Nothing of the hook is kept
// then, and the process dies of the signal, which tells Juju to run the hook
// again later.
func Main(newCharm func() *Charm) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	var caught os.Signal
	done := make(chan struct{})
	go func() {
		select {
		case caught = <-signals:
			cancel(errKilled)
		case <-done:
		}
	}()
	dir, err := charmDir()
	if err != nil {
		fmt.Fprintf(os.Stderr, "ERROR %v\n", err)
		os.Exit(1)
	}
	code := Run(ctx, newCharm, hooktool.Process{
		Args:   os.Args[1:],
		Env:    os.Environ(),
		Dir:    dir,
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
	})
	if ctx.Err() != nil {
		// Die of the signal, so that whoever sent it sees that it worked.
		signal.Reset()
		if s, ok := caught.(syscall.Signal); ok {
			_ = syscall.Kill(os.Getpid(), s)
			time.Sleep(time.Second) // until it comes
		}
		os.Exit(1)
	}
	close(done)
	os.Exit(code)
}

// charmDir returns the charm directory: the one that Juju names, else that of
// the running program, so that a charm's command line works from anywhere.
func charmDir() (string, error) {
	for _, name := range []string{"JUJU_CHARM_DIR", "CHARM_DIR"} {
		if dir := os.Getenv(name); dir != "" {
			return dir, nil
		}
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find the charm directory: %w", err)
	}
	return filepath.Dir(self), nil
}

// Run is Main for a process that need not be this one: it does what p says and
// returns the exit code. Several may run at the same time.
func Run(ctx context.Context, newCharm func() *Charm, p hooktool.Process) int {
	if p.Stdout == nil {
		p.Stdout = io.Discard
	}
	if p.Stderr == nil {
		p.Stderr = io.Discard
	}
	if len(p.Args) > 0 || p.Getenv("JUJU_CONTEXT_ID") == "" {
		return runCommand(ctx, newCharm, p)
	}
	if err := Dispatch(ctx, newCharm, p); err != nil {
		var panicked *PanicError
		if errors.As(err, &panicked) {
			fmt.Fprintf(p.Stderr, "%s\n", panicked.Stack)
		}
		fmt.Fprintf(p.Stderr, "ERROR %v\n", err)
		return 1
	}
	return 0
}

// Dispatch runs the charm for the event that the environment of p describes.
// It is what Run does for a hook, for callers that want the error: a
// [*HandlerError], an [*UnsettledError], or what Juju's hook tools or the store
// said. Nothing is kept of a dispatch that fails.
func Dispatch(ctx context.Context, newCharm func() *Charm, p hooktool.Process) error {
	_, err := DispatchRecord(ctx, newCharm, p)
	return err
}

// DispatchRecord is Dispatch, and returns the record of what happened.
func DispatchRecord(ctx context.Context, newCharm func() *Charm, p hooktool.Process) (*Record, error) {
	client, err := hooktool.Dial(ctx, p)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	calls := &counter{Transport: client}
	r := newRun(newCharm(), p, calls)
	err = r.open(ctx)
	if err == nil {
		if r.event.Action != "" {
			err = r.act(ctx)
		} else {
			err = r.dispatch(ctx)
		}
	}
	if closer, ok := r.store.(io.Closer); ok {
		err = errors.Join(err, closer.Close())
	}
	record := r.record.end(err)
	r.conclude(ctx, record, err)
	return record, err
}

func newRun(charm *Charm, p hooktool.Process, calls *counter) *run {
	tools := hooktool.New(calls)
	return &run{
		charm:   charm,
		process: p,
		event:   eventOf(p),
		unit:    p.Getenv("JUJU_UNIT_NAME"),
		tools:   tools,
		log:     slog.New(hooktool.NewLogHandler(tools, nil)),
		record:  newRecorder(calls),
		breaker: newBreaker(p),
	}
}

// open opens the unit's data.
func (r *run) open(ctx context.Context) error {
	if r.unit == "" {
		return errors.New("cannot tell which unit this is: JUJU_UNIT_NAME is not set")
	}
	r.store = unitdata.NewJujuState(r.tools)
	if r.charm.openStore != nil {
		var err error
		if r.store, err = r.charm.openStore(r.tools, r.process); err != nil {
			return err
		}
	}
	data, err := unitdata.Open(ctx, r.store)
	r.data = data
	return err
}

// conclude logs in one line how the dispatch went, and adds its record to those
// in the charm directory. Of an error nothing is logged: it is the last line
// that the hook prints.
func (r *run) conclude(ctx context.Context, record *Record, err error) {
	if writeErr := appendRecord(r.process.Dir, record); writeErr != nil {
		r.log.WarnContext(ctx, "cannot keep the record of this hook", "error", writeErr)
	}
	for _, fn := range r.charm.onRecord {
		if r.set == nil {
			break // nothing was opened
		}
		if panicked := call(ctx, func(ctx context.Context, h *Hook) error { fn(ctx, h, record); return nil }, &Hook{r}); panicked != nil {
			r.log.WarnContext(ctx, "cannot tell of this hook", "error", panicked)
		}
	}
	if err == nil {
		r.log.InfoContext(ctx, record.Summary())
	}
}

// Program returns what runs the charm that newCharm makes in a process that is
// given, for simulations: it is [Run].
func Program(newCharm func() *Charm) func(ctx context.Context, p hooktool.Process) int {
	return func(ctx context.Context, p hooktool.Process) int { return Run(ctx, newCharm, p) }
}
