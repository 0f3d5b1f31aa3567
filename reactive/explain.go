package reactive

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
)

// An Explanation says why a handler ran in a dispatch, or why it did not.
type Explanation struct {
	// Handler is the handler's name and Waits what it waits for, in words.
	Handler string `json:"handler"`
	Waits   string `json:"waits_for"`
	// Hook and Time are those of the dispatch.
	Hook string    `json:"hook"`
	Time time.Time `json:"time"`
	// Runs are its runs in the dispatch; there are none if it did not run.
	Runs []Step `json:"runs,omitempty"`
	// Reason says in a sentence why it ran, or which part of its condition kept
	// it from running.
	Reason string `json:"reason"`
	// Flags are the flags that decided, in the order of the condition; those of
	// a handler that did not run are those that would have to change.
	Flags []FlagHistory `json:"flags,omitempty"`
}

// A FlagHistory says whether a flag is set, and what last changed it.
type FlagHistory struct {
	Flag string `json:"flag"`
	Set  bool   `json:"set"`
	// Last is the last change, nil if the records do not go back so far.
	Last *FlagChange `json:"last,omitempty"`
}

// A FlagChange is when, where and by whom a flag was set or cleared.
type FlagChange struct {
	Set  bool      `json:"set"`
	Time time.Time `json:"time"`
	Hook string    `json:"hook"`
	// HooksAgo is how many dispatches ago that was: 0 is the one explained.
	HooksAgo int `json:"hooks_ago"`
	// Handler did it; "" is the framework itself. Trigger is the flag whose
	// trigger did it.
	Handler string `json:"handler,omitempty"`
	Trigger string `json:"trigger,omitempty"`
	// After is not "" if no hook on record did it: it came between the hook of
	// that name and Hook, or after it if Hook is "". That was "dispatch set" or
	// "clear", or else, if Lost, Juju kept nothing of the hook After, as of one
	// that was killed when it had done its work: all flags are as before it.
	After string `json:"after,omitempty"`
	Lost  bool   `json:"lost,omitempty"`
}

// Explain says why a handler of the charm ran or did not run in the last of
// records, which are those that [ReadRecords] returns. It fails if the charm
// has no such handler or there are no records.
func Explain(c *Charm, handler string, records []Record) (*Explanation, error) {
	h, ok := c.byName[handler]
	if !ok {
		return nil, fmt.Errorf("cannot explain: charm %q has no handler %q", c.name, handler)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("cannot explain: no hook is on record")
	}
	r := newReplay(c, records)
	e := &Explanation{Handler: h.Name, Waits: h.String(), Hook: r.last.Title(), Time: r.last.Time}
	for _, s := range r.last.Steps {
		if !s.IsChange() && s.Handler == h.Name {
			e.Runs = append(e.Runs, s)
		}
	}
	if len(e.Runs) > 0 {
		r.whyRan(e, h)
	} else {
		r.whyNot(e, h)
	}
	return e, nil
}

// A replay goes through a dispatch again, as far as it is on record.
type replay struct {
	charm   *Charm
	records []Record
	last    *Record
	points  []point
}

// A point is a moment at which waiting handlers were tested.
type point struct {
	at      int // the step before which it was
	phase   phase
	round   int
	changed map[flags.Flag]bool // in the round before; nil if that does not matter
}

func newReplay(c *Charm, records []Record) *replay {
	r := &replay{charm: c, records: records, last: &records[len(records)-1]}
	steps := r.last.Steps
	start := len(steps)
	for i, s := range steps {
		if s.Phase != "start" {
			start = i
			break
		}
	}
	if r.restricted() {
		r.points = []point{{at: start, phase: phaseRestricted}}
		return r
	}
	r.points = []point{{at: start, phase: phaseHooks}}
	at := start
	for at < len(steps) && steps[at].Phase == string(phaseHooks) {
		at++
	}
	changed, round := map[flags.Flag]bool(nil), 0
	for {
		r.points = append(r.points, point{at: at, phase: phaseFlags, round: round, changed: changed})
		if at >= len(steps) || steps[at].Phase != string(phaseFlags) {
			return r
		}
		changed, round = make(map[flags.Flag]bool), steps[at].Round
		for at < len(steps) && steps[at].Phase == string(phaseFlags) && steps[at].Round == round {
			if steps[at].IsChange() {
				changed[flags.New(steps[at].Flag)] = true
			}
			at++
		}
		round++
	}
}

func (r *replay) restricted() bool { return Event{Hook: r.last.Hook}.restricted() }

// flagsAt returns the flags before a step of the last record.
func (r *replay) flagsAt(at int) *flags.Set {
	s := flags.NewSet(newFlags(r.last.Flags)...)
	for _, step := range r.last.Steps[:at] {
		if step.IsChange() {
			s.Toggle(flags.New(step.Flag), step.Set)
		}
	}
	return s
}

func (r *replay) end(p point) int {
	for _, next := range r.points {
		if next.at > p.at {
			return next.at
		}
	}
	return len(r.last.Steps)
}

func (r *replay) whyRan(e *Explanation, h *Handler) {
	at := slices.IndexFunc(r.last.Steps, func(s Step) bool { return !s.IsChange() && s.Handler == h.Name })
	var reason string
	reason, e.Flags = r.because(h, at)
	e.Reason = "it ran, because " + reason
	switch n := len(e.Runs); {
	case n > 1:
		e.Reason += fmt.Sprintf("; %d times, as its flags changed in between", n)
	case e.Runs[0].Error != "":
		e.Reason += "; it ended the hook: " + e.Runs[0].Error
	}
}

// because says why a handler ran before a step of the last record, and what last
// changed the flags that decided.
func (r *replay) because(h *Handler, at int) (string, []FlagHistory) {
	var parts, deciding []string
	for _, c := range h.On {
		switch c.kind {
		case onHook, onRestricted:
			parts = append(parts, "the hook is one it waits for")
		case onAction:
			parts = append(parts, "the action is its own")
		case onFiles:
			parts = append(parts, "a file changed: "+strings.Join(c.patterns, " or "))
		case onOnce:
			parts = append(parts, "it had not run before")
		case onLeader:
			parts = append(parts, "this unit is the leader")
		case onEvery:
			parts = append(parts, "it runs in every hook")
		case onFlags:
			_, reasons := c.flags.Explain(r.flagsAt(at))
			if len(reasons) == 0 {
				parts = append(parts, "its condition always holds")
			}
			for _, reason := range reasons {
				deciding = append(deciding, reason.Flag.String())
				parts = append(parts, state(reason))
			}
		}
	}
	return strings.Join(parts, " and "), r.history(h, at, deciding)
}

func state(reason flags.Reason) string {
	if reason.Set {
		return reason.Flag.String() + " is set"
	}
	return reason.Flag.String() + " is not set"
}

// whyNot finds the part of a handler's condition that kept it from running.
func (r *replay) whyNot(e *Explanation, h *Handler) {
	if r.restricted() && !slices.ContainsFunc(h.On, func(c Condition) bool { return c.kind == onRestricted }) {
		e.Reason = fmt.Sprintf("in the restricted hook %s only its own handlers run", r.last.Hook)
		return
	}
	for _, c := range h.On {
		if reason, blocks := r.blocks(c, h, e); blocks {
			e.Reason = reason
			return
		}
	}
	e.Reason = "its flags were as it wants them"
	if ended := r.endedEarly(); ended != "" {
		e.Reason += ", but the hook ended before its turn: " + ended
		return
	}
	for _, c := range h.On {
		switch c.kind {
		case onFiles:
			e.Reason = "none of the files changed: " + strings.Join(c.patterns, ", ")
			return
		case onOnce:
			e.Reason = "it runs once in the unit's life, and did so before"
			return
		}
	}
	e.Reason += ", but it was not run; was the charm upgraded since?"
}

// blocks says whether a condition alone kept the handler from running.
func (r *replay) blocks(c Condition, h *Handler, e *Explanation) (reason string, blocks bool) {
	switch c.kind {
	case onHook:
		for _, pattern := range c.patterns {
			if slices.Contains(ExpandHookPattern(pattern, r.charm.fileEndpoints()), r.last.Hook) {
				return "", false
			}
		}
		return fmt.Sprintf("it waits for the hook %s, and this was %s", strings.Join(c.patterns, " or "), r.last.Hook), true
	case onRestricted:
		if r.last.Hook == c.patterns[0] {
			return "", false
		}
		return fmt.Sprintf("it waits for the hook %s, and this was %s", c.patterns[0], r.last.Hook), true
	case onAction:
		if r.last.Hook == "action "+c.patterns[0] {
			return "", false
		}
		return fmt.Sprintf("it waits for the action %s, and this was %s", c.patterns[0], r.last.Hook), true
	case onLeader:
		if r.last.Leader == nil || *r.last.Leader {
			return "", false
		}
		return "it is for the leader, and this unit is not the leader", true
	case onFlags:
		return r.flagsBlock(c, h, e)
	}
	return "", false
}

// flagsBlock says why a condition over flags never held at a moment in which
// the handler could have run.
func (r *replay) flagsBlock(c Condition, h *Handler, e *Explanation) (string, bool) {
	rested := false
	for _, p := range r.points {
		if p.phase != phaseFlags {
			continue
		}
		holds := c.flags.Holds(r.flagsAt(p.at))
		if p.changed != nil && h.relevant && !slices.ContainsFunc(h.flags, func(f flags.Flag) bool { return p.changed[f] }) {
			rested = rested || holds
			continue
		}
		if !holds {
			continue
		}
		// It was queued. A handler before it may have cleared a flag.
		for i := p.at; i < r.end(p); i++ {
			step := r.last.Steps[i]
			if step.IsChange() && !c.flags.Holds(r.flagsAt(i+1)) {
				e.Flags = r.history(h, i+1, []string{step.Flag})
				verb := "cleared"
				if step.Set {
					verb = "set"
				}
				return fmt.Sprintf("its flags were as it wants them, but handler %q %s %s before its turn", step.Handler, verb, step.Flag), true
			}
		}
		return "", false
	}
	at := len(r.last.Steps)
	if len(r.points) > 0 {
		at = r.points[len(r.points)-1].at
	}
	_, reasons := c.flags.Explain(r.flagsAt(at))
	var wanted, names []string
	for _, reason := range reasons {
		names = append(names, reason.Flag.String())
		wanted = append(wanted, state(reason))
	}
	e.Flags = r.history(h, at, names)
	if len(wanted) == 0 {
		return "its condition can never hold", true
	}
	return strings.Join(wanted, " and "), true
}

// endedEarly says what ended the hook before it came to rest, if anything did.
func (r *replay) endedEarly() string {
	for _, s := range r.last.Steps {
		if s.Error != "" {
			return fmt.Sprintf("handler %q: %s", s.Handler, s.Error)
		}
	}
	return r.last.Error
}

// history tells of those flags of a handler that are named, before a step of the
// last record.
func (r *replay) history(h *Handler, at int, only []string) []FlagHistory {
	set := r.flagsAt(at)
	var list []FlagHistory
	for _, f := range h.flags {
		if slices.Contains(only, f.String()) {
			list = append(list, FlagHistory{Flag: f.String(), Set: set.IsSet(f), Last: r.lastChange(f.String(), at)})
		}
	}
	return list
}

// lastChange finds the last change of a flag before a step of the last record.
// What a failed dispatch changed was not kept, so it does not count, except in
// the dispatch that is explained.
func (r *replay) lastChange(flag string, at int) *FlagChange {
	for i := len(r.records) - 1; i >= 0; i-- {
		record := &r.records[i]
		change := FlagChange{Time: record.Time, Hook: record.Title(), HooksAgo: len(r.records) - 1 - i}
		if i < len(r.records)-1 {
			at = len(record.Steps)
		}
		if i == len(r.records)-1 || record.Error == "" {
			for _, s := range slices.Backward(record.Steps[:at]) {
				if s.Flag == flag {
					change.Set, change.Handler, change.Trigger = s.Set, s.Handler, s.Trigger
					return &change
				}
			}
		}
		if i == 0 {
			break
		}
		if between := r.records[i-1].changeAfter(flag, record.Flags); between != nil {
			between.Time, between.Hook, between.HooksAgo = change.Time, change.Hook, change.HooksAgo
			return between
		}
	}
	return nil
}

// changeAfter returns the change of a flag after the dispatch, given the flags
// that were set then, nil if there was none.
func (r *Record) changeAfter(flag string, then []string) *FlagChange {
	set := slices.Contains(then, flag)
	if set == slices.Contains(r.final(), flag) {
		return nil
	}
	return &FlagChange{Set: set, After: r.Title(), Lost: slices.Equal(then, r.Flags)}
}

// fileEndpoints returns the charm's endpoints as its files declare them.
func (c *Charm) fileEndpoints() []charmfile.Endpoint {
	var list []charmfile.Endpoint
	for _, ep := range c.Endpoints() {
		list = append(list, charmfile.Endpoint{Name: ep.name, Role: ep.role, Interface: ep.iface})
	}
	return list
}

// String returns the explanation for people, in a few lines.
func (e *Explanation) String() string {
	var b strings.Builder
	did := "did not run"
	if len(e.Runs) > 0 {
		did = "ran"
	}
	fmt.Fprintf(&b, "%q %s in %s, %s:\n  %s.\n", e.Handler, did, e.Hook, e.Time.Local().Format(time.DateTime), e.Reason)
	fmt.Fprintf(&b, "\nIt waits for: %s\n", e.Waits)
	b.WriteString(flagLines(e.Flags))
	return b.String()
}

// flagLines returns a line for each flag.
func flagLines(list []FlagHistory) string {
	var b strings.Builder
	width := 0
	for _, f := range list {
		width = max(width, len(f.Flag))
	}
	for _, f := range list {
		state := "not set"
		if f.Set {
			state = "set"
		}
		fmt.Fprintf(&b, "  %-*s  %-7s  %s\n", width, printable(f.Flag), state, f.Last)
	}
	return b.String()
}

// String says in words when, where and by whom the flag was changed.
func (c *FlagChange) String() string {
	if c == nil {
		return "no hook on record changed it"
	}
	verb := "cleared"
	if c.Set {
		verb = "set"
	}
	if c.After != "" {
		when, by := "after "+c.After, "by hand"
		if c.Hook != "" {
			when = fmt.Sprintf("between %s and %s", c.After, c.Hook)
		}
		if c.Lost {
			by = fmt.Sprintf("by hand or because nothing of %s was kept", c.After)
		}
		return fmt.Sprintf("%s %s, %s (%s)", verb, when, by, c.Time.Local().Format(time.DateTime))
	}
	by := "by the framework"
	if c.Handler != "" {
		by = fmt.Sprintf("by %q", c.Handler)
	}
	if c.Trigger != "" {
		by += fmt.Sprintf(" through the trigger of %s", c.Trigger)
	}
	if c.HooksAgo == 0 {
		return fmt.Sprintf("%s %s in this hook", verb, by)
	}
	return fmt.Sprintf("%s %s in %s, %s ago (%s)", verb, by, c.Hook, plural(c.HooksAgo, "hook"), c.Time.Local().Format(time.DateTime))
}
