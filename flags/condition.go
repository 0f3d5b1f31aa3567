package flags

import (
	"slices"
	"strings"
)

// A Condition is a question about flags that holds or does not: a value that
// can be kept, nested, printed and explained. The zero Condition always holds.
//
// The four basic kinds are those of the reference: [When] is when_all,
// [WhenAny] when_any, [Unless] when_none, [UnlessAll] when_not_all.
type Condition struct {
	kind  kind
	flags []Flag
	parts []Condition
}

type kind uint8

const (
	all    kind = iota // all flags set; of no flags, they are
	anyOf              // at least one flag set
	none               // no flag set
	notAll             // at least one flag not set
	and                // all parts hold
	or                 // at least one part holds
	not                // the one part does not hold
)

// When holds if all of flags are set. Of no flags it always holds.
func When(flags ...Flag) Condition { return Condition{kind: all, flags: declared(flags)} }

// WhenAny holds if at least one of flags is set. Of no flags it never holds.
func WhenAny(flags ...Flag) Condition { return Condition{kind: anyOf, flags: declared(flags)} }

// Unless holds if none of flags is set. Of no flags it always holds.
func Unless(flags ...Flag) Condition { return Condition{kind: none, flags: declared(flags)} }

// UnlessAll holds if at least one of flags is not set. Of no flags it never
// holds.
func UnlessAll(flags ...Flag) Condition { return Condition{kind: notAll, flags: declared(flags)} }

func declared(flags []Flag) []Flag {
	if slices.ContainsFunc(flags, Flag.IsZero) {
		panic("flags: a condition uses a flag that was never declared")
	}
	return slices.Clone(flags)
}

// And holds if all of conditions hold; they are tested in order, and testing
// stops at the first that does not. Of none it always holds.
func And(conditions ...Condition) Condition {
	return Condition{kind: and, parts: slices.Clone(conditions)}
}

// Or holds if at least one of conditions holds. Of none it never holds.
func Or(conditions ...Condition) Condition {
	return Condition{kind: or, parts: slices.Clone(conditions)}
}

// Not holds if c does not.
func Not(c Condition) Condition { return Condition{kind: not, parts: []Condition{c}} }

// When returns the condition that c holds and all of flags are set.
func (c Condition) When(flags ...Flag) Condition { return c.and(When(flags...)) }

// WhenAny returns the condition that c holds and at least one of flags is set.
func (c Condition) WhenAny(flags ...Flag) Condition { return c.and(WhenAny(flags...)) }

// Unless returns the condition that c holds and none of flags is set.
func (c Condition) Unless(flags ...Flag) Condition { return c.and(Unless(flags...)) }

// UnlessAll returns the condition that c holds and not all of flags are set.
func (c Condition) UnlessAll(flags ...Flag) Condition { return c.and(UnlessAll(flags...)) }

func (c Condition) and(d Condition) Condition {
	if c.kind == and {
		return Condition{kind: and, parts: append(slices.Clone(c.parts), d)}
	}
	return Condition{kind: and, parts: []Condition{c, d}}
}

// Holds reports whether c holds for s.
func (c Condition) Holds(s *Set) bool {
	switch c.kind {
	case all:
		return s.All(c.flags...)
	case anyOf:
		return s.Any(c.flags...)
	case none:
		return s.None(c.flags...)
	case notAll:
		return s.NotAll(c.flags...)
	case and:
		for i := range c.parts {
			if !c.parts[i].Holds(s) {
				return false
			}
		}
		return true
	case or:
		for i := range c.parts {
			if c.parts[i].Holds(s) {
				return true
			}
		}
		return false
	default:
		return !c.parts[0].Holds(s)
	}
}

// Flags returns all flags that c looks at, in order of first appearance,
// without duplicates.
func (c Condition) Flags() []Flag { return c.appendFlags(nil) }

func (c Condition) appendFlags(list []Flag) []Flag {
	list = appendNew(list, c.flags)
	for _, p := range c.parts {
		list = p.appendFlags(list)
	}
	return list
}

// String returns the condition in words, such as
// "web.installed and not (db.ready or db.broken)".
func (c Condition) String() string {
	text, _ := c.text()
	return text
}

// text returns the condition in words, and the word that joins its parts, "" if
// it is one part: such a text needs no parentheses inside another.
func (c Condition) text() (text, joint string) {
	names := make([]string, len(c.flags))
	for i, f := range c.flags {
		names[i] = f.String()
	}
	switch c.kind {
	case all:
		return join(names, "and", "always")
	case anyOf:
		return join(names, "or", "never")
	case none:
		return negate(join(names, "or", "never"))
	case notAll:
		return negate(join(names, "and", "always"))
	case not:
		return negate(c.parts[0].text())
	}
	word, empty := "and", "always"
	if c.kind == or {
		word, empty = "or", "never"
	}
	if len(c.parts) == 1 {
		return c.parts[0].text()
	}
	texts := make([]string, len(c.parts))
	for i, p := range c.parts {
		inner, joint := p.text()
		if joint != "" && joint != word {
			inner = "(" + inner + ")"
		}
		texts[i] = inner
	}
	return join(texts, word, empty)
}

func join(parts []string, word, empty string) (text, joint string) {
	switch len(parts) {
	case 0:
		return empty, ""
	case 1:
		return parts[0], ""
	}
	return strings.Join(parts, " "+word+" "), word
}

func negate(text, joint string) (string, string) {
	switch {
	case text == "never":
		return "always", ""
	case text == "always":
		return "never", ""
	case joint != "":
		return "not (" + text + ")", ""
	}
	return "not " + text, ""
}

// A Reason is a flag that keeps a condition from holding, or helps it to hold.
type Reason struct {
	Flag Flag
	// Set is whether the flag is set.
	Set bool
}

// Explain says whether c holds for s, and which flags decide that: for a
// condition that holds, all flags that make it hold; for one that does not,
// the flags that would have to change. A flag is named once.
func (c Condition) Explain(s *Set) (holds bool, reasons []Reason) {
	holds = c.Holds(s)
	for _, f := range c.deciding(s, holds, nil) {
		reasons = append(reasons, Reason{f, s.IsSet(f)})
	}
	return holds, reasons
}

// deciding appends the flags because of which c has the given outcome.
func (c Condition) deciding(s *Set, outcome bool, list []Flag) []Flag {
	// A flag speaks for a condition's holding by being set in all and anyOf,
	// by not being set in none and notAll.
	positive := c.kind == all || c.kind == anyOf
	for _, f := range c.flags {
		if (s.IsSet(f) == positive) == outcome {
			list = appendNew(list, []Flag{f})
		}
	}
	for _, p := range c.parts {
		want := outcome
		if c.kind == not {
			want = !outcome
		}
		if p.Holds(s) == want {
			list = p.deciding(s, want, list)
		}
	}
	return list
}
