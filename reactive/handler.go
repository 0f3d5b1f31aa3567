package reactive

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/charmed-go/charms/flags"
)

// A Handler is a piece of a charm's work and what it waits for. [Charm.Handle]
// and its relatives register the usual kinds; this is what they are made of.
type Handler struct {
	// Name names the handler in errors, traces and explanations, in words or as
	// an identifier. It is unique in the charm.
	Name string
	// On is what the handler waits for. All must hold; they are tested in order,
	// and testing stops at the first that does not. A handler that waits for
	// nothing would never rest, and is refused.
	On []Condition
	// Do is the work. A nil error means that it is done. An error made by
	// [Blocked] or [Waiting] sets the unit's status and ends the hook well; any
	// other error fails the hook, and nothing of the hook is kept.
	Do func(ctx context.Context, h *Hook) error

	site     uintptr
	flags    []flags.Flag
	relevant bool // has a flag condition with flags
}

// A Condition is one thing that a handler waits for.
type Condition struct {
	kind     conditionKind
	flags    flags.Condition
	patterns []string // hook patterns or files
}

type conditionKind uint8

const (
	onFlags conditionKind = iota
	onHook
	onFiles
	onOnce
	onLeader
	onRestricted
	onEvery
	onAction
)

// OnFlags waits for flags. It holds only after the hook-named handlers ran, in
// the rounds of flag handlers.
func OnFlags(c flags.Condition) Condition { return Condition{kind: onFlags, flags: c} }

// OnHook waits for a hook whose name matches one of patterns, see
// [ExpandHookPattern]. It holds only while the hook-named handlers run, before
// the rounds of flag handlers.
func OnHook(patterns ...string) Condition {
	return Condition{kind: onHook, patterns: slices.Clone(patterns)}
}

// OnFilesChanged waits until one of files has another content than when this
// was last asked, or came or went (when_file_changed in the reference). Relative
// paths are in the charm directory. Put it last: asking remembers the content,
// so a change is lost if a later condition then does not hold.
func OnFilesChanged(files ...string) Condition {
	return Condition{kind: onFiles, patterns: slices.Clone(files)}
}

// Once holds until the handler has run once in the unit's life and done its
// work to the end (only_once in the reference). One that returned any error, also
// [ErrStop] or that of [Blocked], has not.
func Once() Condition { return Condition{kind: onOnce} }

// OnLeader holds if the unit is the leader of its application.
func OnLeader() Condition { return Condition{kind: onLeader} }

// OnCollectMetrics and OnMeterStatusChanged wait for the restricted hooks of
// Juju 2.9, in which only their own handlers run and few hook tools work.
func OnCollectMetrics() Condition {
	return Condition{kind: onRestricted, patterns: []string{"collect-metrics"}}
}

// OnMeterStatusChanged waits for the restricted hook meter-status-changed, see
// [OnCollectMetrics].
func OnMeterStatusChanged() Condition {
	return Condition{kind: onRestricted, patterns: []string{"meter-status-changed"}}
}

// OnEveryHook holds once in every hook that is not restricted, in the first
// round of flag handlers.
func OnEveryHook() Condition { return Condition{kind: onEvery} }

// String returns the condition in words.
func (c Condition) String() string {
	switch c.kind {
	case onHook:
		return "hook " + strings.Join(c.patterns, " or ")
	case onFiles:
		return "a change of " + strings.Join(c.patterns, " or ")
	case onOnce:
		return "not run before"
	case onLeader:
		return "this unit is the leader"
	case onRestricted:
		return "hook " + c.patterns[0]
	case onEvery:
		return "every hook"
	case onAction:
		return "action " + c.patterns[0]
	}
	return c.flags.String()
}

// String returns what the handler waits for, in words.
func (h *Handler) String() string {
	parts := make([]string, len(h.On))
	for i, c := range h.On {
		parts[i] = c.String()
		if c.kind == onFlags && len(h.On) > 1 && strings.Contains(parts[i], " or ") {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, " and ")
}

// Register adds a handler. Handlers run in the order of their registration. It
// panics, naming both places, if the charm has a handler of that name already,
// and if the handler has no work to do or nothing to wait for.
func (c *Charm) Register(h Handler) {
	c.register(h, callSite(1))
}

func (c *Charm) register(h Handler, site uintptr) {
	switch {
	case h.Name == "":
		panic(fmt.Sprintf("reactive: the handler at %s has no name", place(site)))
	case h.Do == nil:
		panic(fmt.Sprintf("reactive: handler %q at %s has nothing to do", h.Name, place(site)))
	case len(h.On) == 0:
		panic(fmt.Sprintf("reactive: handler %q at %s waits for nothing; use HandleEvery for work of every hook", h.Name, place(site)))
	}
	if was, ok := c.byName[h.Name]; ok {
		panic(fmt.Sprintf("reactive: handler %q at %s has the name of the handler at %s", h.Name, place(site), place(was.site)))
	}
	h.site = site
	h.On = slices.Clone(h.On)
	for _, on := range h.On {
		if on.kind != onFlags {
			continue
		}
		for _, f := range on.flags.Flags() {
			if !slices.Contains(h.flags, f) {
				h.flags = append(h.flags, f)
			}
		}
	}
	h.relevant = len(h.flags) > 0
	c.byName[h.Name] = &h
	c.handlers = append(c.handlers, &h)
}

// Handle registers work that is done when a condition over flags holds. It is
// done in each hook in which the condition holds, and again in the same hook
// if one of the condition's flags changed since: clear a flag, or wait for one
// that the work sets, to do it only once.
func (c *Charm) Handle(name string, when flags.Condition, do func(ctx context.Context, h *Hook) error) {
	mustHaveFlags(name, when)
	c.register(Handler{Name: name, On: []Condition{OnFlags(when)}, Do: do}, callSite(1))
}

// HandleLeader registers work that only the leader does. It gets a [Leader],
// which alone can write what belongs to the application.
func (c *Charm) HandleLeader(name string, when flags.Condition, do func(ctx context.Context, l *Leader) error) {
	mustHaveFlags(name, when)
	c.register(Handler{
		Name: name,
		On:   []Condition{OnFlags(when), OnLeader()},
		Do:   asLeader(do),
	}, callSite(1))
}

// mustHaveFlags panics if a condition has no flags: its handler would run again
// and again in the same hook.
func mustHaveFlags(name string, when flags.Condition) {
	if len(when.Flags()) == 0 {
		panic(fmt.Sprintf("reactive: handler %q at %s waits for no flag, so it would never rest; use HandleEvery for work of every hook",
			name, place(callSite(2))))
	}
}

// HandleHook registers work for hooks by name, such as "start" or
// "{requires:db}-relation-{joined,changed}"; see [ExpandHookPattern]. It is done
// once in such a hook, before the handlers that wait for flags.
func (c *Charm) HandleHook(name, pattern string, do func(ctx context.Context, h *Hook) error) {
	c.register(Handler{Name: name, On: []Condition{OnHook(pattern)}, Do: do}, callSite(1))
}

// HandleOnce is Handle for work that is done once in the unit's life.
func (c *Charm) HandleOnce(name string, when flags.Condition, do func(ctx context.Context, h *Hook) error) {
	c.register(Handler{Name: name, On: []Condition{OnFlags(when), Once()}, Do: do}, callSite(1))
}

// HandleEvery registers work that is done once in every hook.
func (c *Charm) HandleEvery(name string, do func(ctx context.Context, h *Hook) error) {
	c.register(Handler{Name: name, On: []Condition{OnEveryHook()}, Do: do}, callSite(1))
}

func asLeader(do func(ctx context.Context, l *Leader) error) func(ctx context.Context, h *Hook) error {
	if do == nil {
		return nil
	}
	return func(ctx context.Context, h *Hook) error { return do(ctx, &Leader{h}) }
}

// callSite returns the place in the charm's code that called the function skip
// levels above the caller of callSite. It is only looked up when it is printed.
func callSite(skip int) uintptr {
	var pcs [1]uintptr
	runtime.Callers(skip+2, pcs[:])
	return pcs[0]
}

func place(site uintptr) string {
	frame, _ := runtime.CallersFrames([]uintptr{site}).Next()
	return fmt.Sprintf("%s:%d", frame.File, frame.Line)
}
