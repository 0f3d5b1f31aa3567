package reactive

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
)

// A Record is what happened in one dispatch: what ran, which flags changed, and
// how it ended. The last records of a unit are kept in its charm directory, for
// the charm's command line; they hold no values of any data.
type Record struct {
	// Time is when the dispatch began, and Duration how long it took.
	Time     time.Time     `json:"time"`
	Duration time.Duration `json:"duration"`
	// Unit is the local unit and Hook the event, as [Event.String] gives it.
	Unit string `json:"unit"`
	Hook string `json:"hook"`
	// Relation, RemoteUnit and RemoteApp are those of a relation hook.
	Relation   string `json:"relation,omitempty"`
	RemoteUnit string `json:"remote_unit,omitempty"`
	RemoteApp  string `json:"remote_app,omitempty"`
	// Flags are the flags that were set at the beginning, sorted.
	Flags []string `json:"flags"`
	// Steps are the handlers that ran and the flags that changed, in order.
	Steps []Step `json:"steps"`
	// Rounds is how many rounds of flag handlers there were.
	Rounds int `json:"rounds"`
	// Leader is whether the unit was found to be the leader, nil if nobody
	// asked.
	Leader *bool `json:"leader,omitempty"`
	// Calls and Bytes count the hook tools that ran, and what they were given
	// and printed.
	Calls int64 `json:"calls"`
	Bytes int64 `json:"bytes"`
	// Error is why the dispatch failed; then nothing of it was kept. Without one
	// Juju may yet have kept nothing: it does so only once the process has ended
	// well. Status is the status with which a handler ended it well.
	Error  string `json:"error,omitempty"`
	Status string `json:"status,omitempty"`
}

// A Step is one thing that happened in a dispatch: a handler ran, or a flag
// changed.
type Step struct {
	// Phase is "start" before any handler, then "hooks" and "flags", or
	// "restricted", and "end" after the handlers. Round counts the rounds of the
	// flag handlers from 0.
	Phase string `json:"phase"`
	Round int    `json:"round,omitempty"`
	// Handler is the handler that ran, or during which a flag changed; "" is
	// the framework itself, and "debug-code" somebody at a breakpoint.
	Handler string `json:"handler,omitempty"`
	// Start and Duration say when the handler ran, from the beginning of the
	// dispatch. Error is its error.
	Start    time.Duration `json:"start,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
	Error    string        `json:"error,omitempty"`
	// Flag is the flag that changed, Set whether it was set, and Trigger the
	// flag whose trigger did it.
	Flag    string `json:"flag,omitempty"`
	Set     bool   `json:"set,omitempty"`
	Trigger string `json:"trigger,omitempty"`
}

// IsChange reports whether the step is the change of a flag; else it is a run
// of a handler.
func (s Step) IsChange() bool { return s.Flag != "" }

// A recorder makes the record of a dispatch.
type recorder struct {
	record  Record
	round   int
	current string
	run     *run
	calls   *counter
	failed  error // why an action failed
}

func newRecorder(calls *counter) *recorder {
	return &recorder{record: Record{Time: time.Now()}, calls: calls}
}

// begin notes what is known before anything runs.
func (rec *recorder) begin(r *run) {
	rec.run = r
	rec.record.Unit = r.unit
	rec.record.Hook = r.event.String()
	rec.record.Relation = r.event.Relation
	rec.record.RemoteUnit = r.event.RemoteUnit
	rec.record.RemoteApp = r.event.RemoteApp
	rec.record.Flags = names(r.set.List())
}

func (rec *recorder) phase() string {
	if rec.run == nil || rec.run.phase == "" {
		return "start"
	}
	return string(rec.run.phase)
}

// by says that what follows is done by the framework, or a handler.
func (rec *recorder) by(handler string) { rec.current = handler }

// handler notes that a handler runs. The function it returns is called when it
// ended.
func (rec *recorder) handler(r *run, h *Handler) func(error) {
	rec.by(h.Name)
	start := time.Since(rec.record.Time)
	at := len(rec.record.Steps)
	rec.record.Steps = append(rec.record.Steps, Step{Phase: rec.phase(), Round: rec.round, Handler: h.Name, Start: start})
	rec.record.Rounds = rec.round + 1
	return func(err error) {
		step := &rec.record.Steps[at]
		step.Duration = time.Since(rec.record.Time) - start
		if err != nil {
			step.Error = err.Error()
		}
		rec.by("")
	}
}

// change notes that a flag changed.
func (rec *recorder) change(c flags.Change) {
	rec.record.Steps = append(rec.record.Steps, Step{
		Phase: rec.phase(), Round: rec.round, Handler: rec.current,
		Flag: c.Flag.String(), Set: c.Set, Trigger: c.Trigger.String(),
	})
}

// end notes how the dispatch ended and returns the record.
func (rec *recorder) end(err error) *Record {
	rec.record.Duration = time.Since(rec.record.Time)
	rec.record.Calls, rec.record.Bytes = rec.calls.calls.Load(), rec.calls.bytes.Load()
	if err == nil {
		err = rec.failed
	}
	if err != nil {
		rec.record.Error = err.Error()
	}
	if rec.run != nil && rec.run.verdict != nil {
		rec.record.Status = rec.run.verdict.State + ": " + rec.run.verdict.Message
	}
	return &rec.record
}

// A counter counts the hook tools that run through a transport.
type counter struct {
	hooktool.Transport
	calls, bytes atomic.Int64
}

func (c *counter) Call(ctx context.Context, call hooktool.Call) (hooktool.Result, error) {
	res, err := c.Transport.Call(ctx, call)
	c.calls.Add(1)
	n := len(call.Tool) + len(call.Stdin) + len(res.Stdout) + len(res.Stderr)
	for _, arg := range call.Args {
		n += len(arg)
	}
	c.bytes.Add(int64(n))
	return res, err
}

// errKilled is the cause of a context that a signal cancelled.
var errKilled = errors.New("terminated by a signal")
