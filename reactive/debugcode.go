package reactive

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/commandline"
)

// byHand is the name under which the record of a hook holds what was done at a
// breakpoint.
const byHand = "debug-code"

// A breaker stops a hook before handlers, for "juju debug-code" (Juju
// documentation, "juju debug-code": --at is JUJU_DEBUG_AT, "all" if not given,
// and the charm says what it means).
type breaker struct {
	at  []string
	in  *bufio.Reader
	out io.Writer

	stopped bool // once in this hook
	next    bool // stop before the next handler, whatever its name
	over    bool
}

// newBreaker returns nil if nobody asked for breakpoints or nobody can answer.
func newBreaker(p hooktool.Process) *breaker {
	var at []string
	for _, word := range strings.Split(p.Getenv("JUJU_DEBUG_AT"), ",") {
		if word = strings.TrimSpace(word); word != "" {
			at = append(at, word)
		}
	}
	if len(at) == 0 || !interactive(p.Stdin) {
		return nil
	}
	b := &breaker{at: at, in: bufio.NewReader(p.Stdin), out: p.Stdout}
	if b.out == nil {
		b.out = io.Discard
	}
	return b
}

// interactive reports whether somebody may sit behind r: of files only a
// terminal counts.
func interactive(r io.Reader) bool {
	if r == nil {
		return false
	}
	file, ok := r.(*os.File)
	if !ok {
		return true
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	// What Juju gives hooks as their input is a character device too.
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// before reports whether to stop before a handler.
func (b *breaker) before(h *Handler) bool {
	if b == nil || b.over {
		return false
	}
	return b.next || slices.ContainsFunc(b.at, func(at string) bool {
		return at == "all" || at == "hook" && !b.stopped || at != "hook" && strings.Contains(h.Name, at)
	})
}

// ask reads a command. At the end of the input the hook goes on.
func (b *breaker) ask(ctx context.Context) (words []string, err error) {
	fmt.Fprint(b.out, "(debug-code) ")
	type answer struct {
		line string
		err  error
	}
	// A terminal cannot be asked to stop reading, but the hook can be.
	answers := make(chan answer, 1)
	go func() {
		line, err := b.in.ReadString('\n')
		answers <- answer{line, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(b.out)
		return nil, context.Cause(ctx)
	case a := <-answers:
		words = strings.Fields(a.line)
		if len(words) == 0 && a.err != nil {
			fmt.Fprintln(b.out)
			words = []string{"continue"}
		}
		return words, nil
	}
}

const breakerHelp = `next, n       run this handler, and stop before the next one
continue, c   run this handler and all others without stopping
flags         list the flags that are set
explain, e    say why this handler runs, and what last changed its flags
set FLAG      set a flag, with its triggers
clear FLAG    clear a flag, with its triggers
              (this handler does not run if its condition does not hold then)
quit, q       fail the hook; nothing of it is kept
help          show this list
`

// breakBefore lets somebody look around before a handler runs, if that was asked
// for, and reports whether the handler is to run.
func (r *run) breakBefore(ctx context.Context, h *Handler) (bool, error) {
	b := r.breaker
	if !b.before(h) {
		return true, nil
	}
	first, changed := !b.stopped, false
	b.stopped, b.next = true, false
	where := "hook handlers"
	switch r.phase {
	case phaseFlags:
		where = fmt.Sprintf("round %d", r.record.round+1)
	case phaseRestricted:
		where = "restricted hook"
	}
	fmt.Fprintf(b.out, "\n%s, %s: handler %q is about to run.\nIt waits for: %s\n", r.title(), where, h.Name, h)
	if first {
		fmt.Fprintln(b.out, "Type help for what can be done here.")
	}
	for {
		words, err := b.ask(ctx)
		if err != nil {
			return false, fmt.Errorf("hook %s: stopped before handler %q: %w", r.title(), h.Name, err)
		}
		if len(words) == 0 {
			continue
		}
		switch word, args := words[0], words[1:]; {
		case (word == "set" || word == "clear") && len(args) == 1:
			changed = true
			if err := r.changeByHand(args[0], word == "set"); err != nil {
				return false, &HandlerError{r.title(), byHand, err}
			}
		case len(args) > 0 || word == "set" || word == "clear":
			fmt.Fprintf(b.out, "cannot understand %q; try help\n", strings.Join(words, " "))
		case word == "next" || word == "n":
			b.next = true
			return r.stillHolds(ctx, h, changed)
		case word == "continue" || word == "c":
			b.over = true
			return r.stillHolds(ctx, h, changed)
		case word == "flags":
			for _, f := range r.set.List() {
				fmt.Fprintf(b.out, "  %s\n", printable(f.String()))
			}
			if r.set.Len() == 0 {
				fmt.Fprintln(b.out, "No flag is set.")
			}
		case word == "explain" || word == "e":
			r.explainNow(h, changed)
		case word == "quit" || word == "q":
			return false, &HandlerError{r.title(), h.Name, errQuit}
		case word == "help":
			fmt.Fprint(b.out, breakerHelp)
		default:
			fmt.Fprintf(b.out, "there is no command %q%s; try help\n", word, commandline.DidYouMean(word, []string{"next", "continue", "flags", "explain", "set", "clear", "quit", "help"}))
		}
	}
}

var errQuit = errors.New("stopped by hand before it ran (quit in debug-code)")

// changeByHand sets or clears a flag and tells what that changed.
func (r *run) changeByHand(name string, on bool) error {
	f := flags.New(name)
	if r.set.IsSet(f) == on {
		fmt.Fprintf(r.breaker.out, "%s already is as you want it\n", printable(name))
		return nil
	}
	r.data.SetAuthor(byHand)
	done := r.record.handler(r, &Handler{Name: byHand})
	from := len(r.record.record.Steps)
	r.set.Toggle(f, on)
	err := cmp.Or(r.failure, r.set.Err())
	done(err)
	for _, s := range r.record.record.Steps[from:] {
		fmt.Fprintln(r.breaker.out, flagSetting{s.Flag, s.Set, s.Trigger})
	}
	return err
}

// stillHolds tests a handler again after a break: its flags may have been changed
// by hand, and the time for which the leadership is guaranteed may have passed.
// What others changed since the handler was found to be next does not count, as
// without a break.
func (r *run) stillHolds(ctx context.Context, h *Handler, changed bool) (bool, error) {
	for _, on := range h.On {
		holds := true
		switch on.kind {
		case onFlags:
			holds = !changed || on.flags.Holds(r.set)
		case onLeader:
			var err error
			if holds, err = r.isLeader(ctx); err != nil {
				return false, &HandlerError{r.title(), h.Name, err}
			}
		}
		if !holds {
			fmt.Fprintf(r.breaker.out, "%q does not run: it waits for %s, which does not hold any more.\n", h.Name, on)
			return false, nil
		}
	}
	return true, nil
}

// explainNow says why a handler is about to run.
func (r *run) explainNow(h *Handler, changed bool) {
	out := r.breaker.out
	records, err := ReadRecords(r.process.Dir)
	if err != nil {
		fmt.Fprintf(out, "cannot tell what happened in the hooks before: %v\n", err)
	}
	now := r.record.record
	why := replay{charm: r.charm, records: append(records, now), last: &now}
	reason, history := why.because(h, len(now.Steps))
	switch holds := !slices.ContainsFunc(h.On, func(on Condition) bool { return on.kind == onFlags && !on.flags.Holds(r.set) }); {
	case holds:
		fmt.Fprintf(out, "It runs, because %s.\n", reason)
	case changed:
		fmt.Fprintf(out, "It will not run: %s.\n", reason)
	default:
		fmt.Fprintln(out, "It runs, because its condition held when the round began; a handler before it changed that since.")
	}
	fmt.Fprint(out, flagLines(history))
}
