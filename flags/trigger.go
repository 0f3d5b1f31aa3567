package flags

import (
	"slices"
	"strings"
)

// A Trigger changes other flags at once when a flag changes, inside the call
// that changed it: when the flag When is set, or the flag WhenNot is cleared,
// first the flags in Set are set, then those in Clear are cleared, then Call is
// called. The changes can cause further triggers.
//
// All triggers of the same flag and event act as one, in the order in which
// they were added: all their flags to set, without duplicates, then all to
// clear, then all calls (register_trigger in the reference).
type Trigger struct {
	// When or WhenNot is the flag to wait for. With both, both events count.
	When, WhenNot Flag
	// Set and Clear are the flags to set and to clear.
	Set, Clear []Flag
	// Call is called last; nil is nothing. Its error fails the hook, see
	// [Set.Err]. Prefer flags and handlers to calls: what a call does is seen
	// neither in the list of triggers nor by explain.
	Call func() error
}

// An event is that a flag became set, or cleared.
type event struct {
	flag Flag
	set  bool
}

// An effect is what all triggers of one event do together.
type effect struct {
	set, clear []Flag
	calls      []func() error
}

// AddTrigger adds t. It panics if t waits for no flag or does nothing, which
// are mistakes in the program.
func (s *Set) AddTrigger(t Trigger) {
	if t.When.IsZero() && t.WhenNot.IsZero() {
		panic("flags: a trigger needs a flag to wait for")
	}
	if len(t.Set) == 0 && len(t.Clear) == 0 && t.Call == nil {
		panic("flags: a trigger needs something to do")
	}
	if !t.When.IsZero() {
		s.addEffect(event{t.When, true}, t)
	}
	if !t.WhenNot.IsZero() {
		s.addEffect(event{t.WhenNot, false}, t)
	}
}

func (s *Set) addEffect(on event, t Trigger) {
	if s.triggers == nil {
		s.triggers = make(map[event]*effect)
	}
	e := s.triggers[on]
	if e == nil {
		e = &effect{}
		s.triggers[on] = e
	}
	e.set = appendNew(e.set, t.Set)
	e.clear = appendNew(e.clear, t.Clear)
	if t.Call != nil {
		e.calls = append(e.calls, t.Call)
	}
}

func appendNew(list, more []Flag) []Flag {
	for _, f := range more {
		if !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}

// Triggers returns all triggers as they act together, at most one for each flag
// and event, sorted by flag, set before cleared. The functions to call are left
// out.
func (s *Set) Triggers() []Trigger {
	var list []Trigger
	for on, e := range s.triggers {
		t := Trigger{Set: slices.Clone(e.set), Clear: slices.Clone(e.clear)}
		if on.set {
			t.When = on.flag
		} else {
			t.WhenNot = on.flag
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b Trigger) int {
		switch fa, fb := a.flag(), b.flag(); {
		case fa != fb:
			return Compare(fa, fb)
		case a.WhenNot.IsZero():
			return -1
		default:
			return 1
		}
	})
	return list
}

func (t Trigger) flag() Flag {
	if t.When.IsZero() {
		return t.WhenNot
	}
	return t.When
}

// run lets the triggers of an event act.
func (s *Set) run(on event) {
	e := s.triggers[on]
	if e == nil || s.err != nil {
		return
	}
	if s.depth++; s.depth > maxDepth {
		s.err = &TriggerLoopError{s.loop(on)}
		s.depth--
		return
	}
	defer func() { s.depth-- }()
	for _, f := range e.set {
		s.trigger(f, true, on.flag)
	}
	for _, f := range e.clear {
		s.trigger(f, false, on.flag)
	}
	for _, call := range e.calls {
		if s.err != nil {
			return
		}
		if err := call(); err != nil && s.err == nil {
			s.err = err
		}
	}
}

func (s *Set) trigger(f Flag, set bool, cause Flag) {
	if s.err == nil {
		s.change(f, set, cause)
	}
}

// loop returns the flags that triggers reach from an event, which is where a
// loop without end must be.
func (s *Set) loop(from event) []Flag {
	seen := map[event]bool{}
	queue := []event{from}
	var list []Flag
	for len(queue) > 0 {
		on := queue[0]
		queue = queue[1:]
		if seen[on] {
			continue
		}
		seen[on] = true
		list = append(list, on.flag)
		if e := s.triggers[on]; e != nil {
			for _, f := range e.set {
				queue = append(queue, event{f, true})
			}
			for _, f := range e.clear {
				queue = append(queue, event{f, false})
			}
		}
	}
	return slices.Compact(Sort(list))
}

// String returns the trigger in words, such as "when a is set: set b, clear c".
func (t Trigger) String() string {
	var events, effects []string
	if !t.When.IsZero() {
		events = append(events, t.When.String()+" is set")
	}
	if !t.WhenNot.IsZero() {
		events = append(events, t.WhenNot.String()+" is cleared")
	}
	for _, f := range t.Set {
		effects = append(effects, "set "+f.String())
	}
	for _, f := range t.Clear {
		effects = append(effects, "clear "+f.String())
	}
	if t.Call != nil {
		effects = append(effects, "call a function")
	}
	return "when " + strings.Join(events, " or ") + ": " + strings.Join(effects, ", ")
}
