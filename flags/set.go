package flags

import (
	"fmt"
	"slices"
	"strings"
)

// maxDepth bounds how deep triggers may cause each other. The reference runs
// into Python's recursion limit of 1000 frames at about this depth.
const maxDepth = 300

// A Set holds the flags that are set, runs the triggers, and remembers which
// flags changed in which round. The zero Set is empty and ready to use.
//
// It follows set_flag, clear_flag and their friends in charms.reactive's
// flags.py. A Set is not safe for concurrent use: a dispatch runs one handler
// at a time.
type Set struct {
	set      map[Flag]struct{}
	triggers map[event]*effect
	watch    []func(Change)

	round  int
	recent map[Flag]struct{} // changed in this round
	last   map[Flag]struct{} // changed in the round before

	clears int
	depth  int
	err    error
}

// A Change says that a flag was really set or cleared; setting a flag that is
// set is no change.
type Change struct {
	Flag Flag
	// Set is true if the flag was set, false if it was cleared.
	Set bool
	// Round is the round in which it happened, see [Set.NextRound].
	Round int
	// Trigger is the flag whose trigger did it, the zero Flag if it was done
	// directly.
	Trigger Flag
}

// NewSet returns a set with the given flags set. No trigger runs and nothing
// counts as changed.
func NewSet(flags ...Flag) *Set {
	s := &Set{}
	for _, f := range flags {
		s.restore(f)
	}
	return s
}

func (s *Set) restore(f Flag) {
	if f.IsZero() {
		return
	}
	if s.set == nil {
		s.set = make(map[Flag]struct{})
	}
	s.set[f] = struct{}{}
}

// Set sets f and then runs the triggers that wait for it. Setting a flag that
// is set has no effect at all. It panics if f is the zero Flag, which is a
// mistake in the program: a flag that was never declared.
func (s *Set) Set(f Flag) { s.change(f, true, Flag{}) }

// Clear clears f and then runs the triggers that wait for that. Clearing a flag
// that is not set runs no trigger and is no change, but it counts for
// [Set.Clears], as in the reference.
func (s *Set) Clear(f Flag) { s.change(f, false, Flag{}) }

// Toggle sets f if on is true and clears it otherwise.
func (s *Set) Toggle(f Flag, on bool) { s.change(f, on, Flag{}) }

func (s *Set) change(f Flag, on bool, cause Flag) {
	if f.IsZero() {
		panic("flags: a flag was used that was never declared")
	}
	if !on {
		s.clears++
	}
	if _, is := s.set[f]; is == on {
		return
	}
	if on {
		s.restore(f)
	} else {
		delete(s.set, f)
	}
	if s.recent == nil {
		s.recent = make(map[Flag]struct{})
	}
	s.recent[f] = struct{}{}
	for _, w := range s.watch {
		w(Change{f, on, s.round, cause})
	}
	s.run(event{f, on})
}

// IsSet reports whether f is set.
func (s *Set) IsSet(f Flag) bool {
	_, is := s.set[f]
	return is
}

// All reports whether all of flags are set; of no flags, all are.
func (s *Set) All(flags ...Flag) bool {
	for _, f := range flags {
		if !s.IsSet(f) {
			return false
		}
	}
	return true
}

// Any reports whether at least one of flags is set.
func (s *Set) Any(flags ...Flag) bool { return slices.ContainsFunc(flags, s.IsSet) }

// None reports whether none of flags is set.
func (s *Set) None(flags ...Flag) bool { return !s.Any(flags...) }

// NotAll reports whether at least one of flags is not set.
func (s *Set) NotAll(flags ...Flag) bool { return !s.All(flags...) }

// Missing returns those of flags that are not set, sorted, without duplicates
// (get_unset_flags in the reference).
func (s *Set) Missing(flags ...Flag) []Flag {
	var missing []Flag
	for _, f := range flags {
		if !s.IsSet(f) {
			missing = append(missing, f)
		}
	}
	return slices.Compact(Sort(missing))
}

// List returns the flags that are set, sorted by name.
func (s *Set) List() []Flag {
	list := make([]Flag, 0, len(s.set))
	for f := range s.set {
		list = append(list, f)
	}
	return Sort(list)
}

// Len returns how many flags are set.
func (s *Set) Len() int { return len(s.set) }

// Clears returns how often a flag was cleared so far, by a call or by a
// trigger, counting flags that were not set. A dispatcher compares two readings
// to know whether handlers waiting for their turn must be tested again.
func (s *Set) Clears() int { return s.clears }

// Watch calls fn after every change, before the triggers of that change run.
func (s *Set) Watch(fn func(Change)) { s.watch = append(s.watch, fn) }

// Round returns the number of the current round. A new set is in round 0.
func (s *Set) Round() int { return s.round }

// NextRound ends the current round and begins the next.
func (s *Set) NextRound() {
	s.round++
	s.last, s.recent = s.recent, nil
}

// ChangedLast reports whether f changed in the round before the current one.
func (s *Set) ChangedLast(f Flag) bool {
	_, is := s.last[f]
	return is
}

// ChangesLast returns the flags that changed in the round before the current
// one, sorted.
func (s *Set) ChangesLast() []Flag { return keys(s.last) }

// Changes returns the flags that changed so far in the current round, sorted.
func (s *Set) Changes() []Flag { return keys(s.recent) }

func keys(m map[Flag]struct{}) []Flag {
	list := make([]Flag, 0, len(m))
	for f := range m {
		list = append(list, f)
	}
	return Sort(list)
}

// Err returns the first error of a trigger: what a trigger's Call returned, or
// a [*TriggerLoopError]. Once there is one, no further trigger runs, and the
// hook should fail.
func (s *Set) Err() error { return s.err }

// A TriggerLoopError says that triggers set and clear the same flags in turn
// without end. The reference fails such a hook with a RecursionError.
type TriggerLoopError struct {
	// Flags are the flags that keep changing, sorted.
	Flags []Flag
}

func (e *TriggerLoopError) Error() string {
	names := make([]string, len(e.Flags))
	for i, f := range e.Flags {
		names[i] = f.String()
	}
	return fmt.Sprintf("triggers set and clear each other's flags without end: %s", strings.Join(names, ", "))
}
