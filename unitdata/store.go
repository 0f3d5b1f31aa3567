package unitdata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Store keeps unit data from one hook to the next. A dispatch opens it once,
// and commits to it at most once, at the end of a hook that went well.
//
// Implementations need not be safe for concurrent use.
type Store interface {
	// Load returns all entries: keys and their values as JSON texts.
	Load(ctx context.Context) (map[string]json.RawMessage, error)
	// Seen returns what was last seen of one remote databag; nothing if it was
	// never looked at.
	Seen(ctx context.Context, bag Bag) (Seen, error)
	// Commit stores changes, all or nothing. It is not called without any.
	Commit(ctx context.Context, changes Changes) error
}

// A Checker is a Store that can tell beforehand whether it will take changes, so
// that nothing else is written in vain.
type Checker interface {
	// Check returns the error that Commit would return for the size of changes.
	Check(ctx context.Context, changes Changes) error
}

// Changes are what a hook changes in a Store.
type Changes struct {
	// Set holds new and changed entries as canonical JSON texts, Delete the
	// keys of those to remove, sorted.
	Set    map[string]json.RawMessage
	Delete []string
	// Seen holds the sums of databag values that are new or changed, by
	// databag and key. Forget lists databags of which all that was seen before
	// is to be dropped first. Former is what another store had seen, and takes
	// the place of what this one had, before Seen is added to it.
	Seen   map[Bag]map[string]Sum
	Forget []Bag
	Former map[Bag]Seen
}

// Empty reports whether there is nothing to store.
func (c Changes) Empty() bool {
	return len(c.Set) == 0 && len(c.Delete) == 0 && len(c.Seen) == 0 && len(c.Forget) == 0 && len(c.Former) == 0
}

// Limits of Juju's charm state, which every store observes, so that a charm
// that works in a test works in Juju (core/quota/fixed_limits.go and
// max-charm-state-size in Juju).
const (
	// MaxKey is the longest key of an entry, in bytes.
	MaxKey = 4096
	// MaxTotal is the most that a unit may store in all, in bytes.
	MaxTotal = 2 << 20
)

// ErrTooLarge is what a LimitError is, for [errors.Is].
var ErrTooLarge = errors.New("too large for the charm state")

// A LimitError says that unit data grew over a limit of Juju's charm state, and
// what takes the room.
type LimitError struct {
	// Size is the size that was reached and Limit the one allowed, in bytes.
	Size, Limit int
	// Largest are the largest entries, in descending order, at most five.
	Largest []EntrySize
	// Seen is what the sums of remote databags take, in bytes.
	Seen int
}

// An EntrySize is how much room an entry takes.
type EntrySize struct {
	Key  string
	Size int
	// Author is who stored it in this hook, such as a handler; "" if it was
	// there before.
	Author string
}

func (e *LimitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the unit's data is %d bytes, more than the %d that Juju keeps; the largest:", e.Size, e.Limit)
	for i, l := range e.Largest {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %q with %d bytes", l.Key, l.Size)
		if l.Author != "" {
			fmt.Fprintf(&b, " (stored now by %s)", l.Author)
		}
	}
	if e.Seen > 0 {
		fmt.Fprintf(&b, "; sums of related units' data with %d bytes", e.Seen)
	}
	return b.String()
}

// Is makes a LimitError an ErrTooLarge.
func (e *LimitError) Is(target error) bool { return target == ErrTooLarge }

// checkTotal returns a LimitError if all together is too much: size bytes, of
// which seen are sums of databags.
func checkTotal(entries map[string]json.RawMessage, seen, size int) error {
	if size <= MaxTotal {
		return nil
	}
	e := &LimitError{Size: size, Limit: MaxTotal, Seen: seen}
	for k, v := range entries {
		e.Largest = append(e.Largest, EntrySize{Key: k, Size: entrySize(k, v)})
	}
	slices.SortFunc(e.Largest, func(a, b EntrySize) int {
		if a.Size != b.Size {
			return b.Size - a.Size
		}
		return strings.Compare(a.Key, b.Key)
	})
	e.Largest = e.Largest[:min(5, len(e.Largest))]
	return e
}

// entrySize is what an entry takes in the JSON object of all entries.
func entrySize(key string, value json.RawMessage) int { return len(key) + len(value) + len(`"": , `) }
