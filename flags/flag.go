package flags

import (
	"cmp"
	"slices"
)

// A Flag is one named fact about a unit, such as "web.installed". It is either
// set or not; the name is all it carries.
//
// Declare a flag once, keep it in a variable or a struct field, and use that
// everywhere: a misspelt flag then does not compile. The zero Flag has no name
// and is not a declared flag; it is never set.
type Flag struct{ name string }

// New declares the flag with the given name. Names are free text as in
// charms.reactive; by habit they are words joined by dots, the first being the
// charm or the layer that owns the flag.
func New(name string) Flag { return Flag{name} }

// String returns the flag's name.
func (f Flag) String() string { return f.name }

// IsZero reports whether f is the zero Flag, which was never declared.
func (f Flag) IsZero() bool { return f.name == "" }

// Compare orders flags by name, for [slices.SortFunc] and the like.
func Compare(a, b Flag) int { return cmp.Compare(a.name, b.name) }

// Sort sorts flags by name, in place, and returns them.
func Sort(flags []Flag) []Flag {
	slices.SortFunc(flags, Compare)
	return flags
}
