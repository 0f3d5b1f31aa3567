package unitdata

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// Data is what a unit remembers, as one hook sees it: the entries of its store,
// with the changes of this hook, which nobody else sees until [Data.Commit].
//
// Values are kept as JSON. An entry is changed only if its value is another
// one: a different spelling of the same value, as another program may have
// left it, is no change.
//
// Data is not safe for concurrent use.
type Data struct {
	store   Store
	stored  map[string]json.RawMessage
	entries map[string]json.RawMessage
	authors map[string]string
	author  string

	seen   map[Bag]Seen
	noted  map[Bag]map[string]Sum
	forget map[Bag]bool
}

// Open loads the entries of store.
func Open(ctx context.Context, store Store) (*Data, error) {
	stored, err := store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot load the unit's data: %w", err)
	}
	d := &Data{store: store, stored: stored, authors: make(map[string]string)}
	d.Rollback()
	return d, nil
}

// Rollback undoes all changes since the data was opened or committed.
func (d *Data) Rollback() {
	d.entries = maps.Clone(d.stored)
	if d.entries == nil {
		d.entries = make(map[string]json.RawMessage)
	}
	clear(d.authors)
	d.seen = make(map[Bag]Seen)
	d.noted = make(map[Bag]map[string]Sum)
	d.forget = make(map[Bag]bool)
	d.adopt()
}

// SetAuthor says who makes the changes from now on, such as the name of a
// handler; it is named in errors.
func (d *Data) SetAuthor(author string) { d.author = author }

// Get decodes the value of key into v, as [json.Unmarshal] does, and reports
// whether there is one.
func (d *Data) Get(key string, v any) (bool, error) {
	text, ok := d.entries[key]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal(text, v); err != nil {
		return true, fmt.Errorf("cannot read the unit's data %q: %w", key, err)
	}
	return true, nil
}

// Has reports whether there is a value for key.
func (d *Data) Has(key string) bool {
	_, ok := d.entries[key]
	return ok
}

// Raw returns the JSON text of key's value and whether there is one.
func (d *Data) Raw(key string) (json.RawMessage, bool) {
	text, ok := d.entries[key]
	return text, ok
}

// Set stores v, encoded as JSON, under key. It fails if v cannot be encoded
// or the key is longer than [MaxKey].
func (d *Data) Set(key string, v any) error {
	if len(key) > MaxKey {
		return fmt.Errorf("cannot store the unit's data %.40q…: the key has %d bytes, more than %d: %w", key, len(key), MaxKey, ErrTooLarge)
	}
	text, err := canonicaljson.Encode(v)
	if err != nil {
		return fmt.Errorf("cannot store the unit's data %q: %w", key, err)
	}
	if was, ok := d.entries[key]; ok && sameValue(was, text) {
		return nil
	}
	if was, ok := d.stored[key]; ok && sameValue(was, text) {
		d.entries[key] = was
		return nil
	}
	d.entries[key] = json.RawMessage(text)
	d.authors[key] = d.author
	return nil
}

// sameValue reports whether a stored JSON text has the value of a canonical
// one.
func sameValue(stored json.RawMessage, text string) bool {
	if string(stored) == text {
		return true
	}
	v, err := canonicaljson.Decode(string(stored))
	if err != nil {
		return false
	}
	canonical, err := canonicaljson.Encode(v)
	return err == nil && canonical == text
}

// Unset removes the entry of key, if there is one.
func (d *Data) Unset(key string) { delete(d.entries, key) }

// Keys returns the keys that begin with prefix, sorted.
func (d *Data) Keys(prefix string) []string {
	var list []string
	for key := range d.entries {
		if strings.HasPrefix(key, prefix) {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

// UnsetRange removes all entries whose keys begin with prefix.
func (d *Data) UnsetRange(prefix string) {
	maps.DeleteFunc(d.entries, func(key string, _ json.RawMessage) bool { return strings.HasPrefix(key, prefix) })
}

// Seen returns what was last seen of a remote databag, with what was noted in
// this hook. Read it before noting something of the same bag.
func (d *Data) Seen(ctx context.Context, bag Bag) (Seen, error) {
	if seen, ok := d.seen[bag]; ok {
		return seen, nil
	}
	seen, err := d.store.Seen(ctx, bag)
	if err != nil {
		return Seen{}, fmt.Errorf("cannot load what was seen of %s: %w", bag, err)
	}
	for key, sum := range d.noted[bag] {
		seen.Note(key, sum)
	}
	d.seen[bag] = seen
	return seen, nil
}

// Note remembers the sum of a value in a remote databag, if it differs from the
// one seen before, and reports whether it did. A value for which there is no
// room (see [MaxSeen]) is always new. The bag's former content must
// have been read with [Data.Seen].
func (d *Data) Note(bag Bag, key string, sum Sum) bool {
	seen := d.seen[bag]
	if seen.Same(key, sum) {
		return false
	}
	if seen.Note(key, sum) {
		d.seen[bag] = seen
		d.note(bag, key, sum)
	}
	return true
}

func (d *Data) note(bag Bag, key string, sum Sum) {
	if d.noted[bag] == nil {
		d.noted[bag] = make(map[string]Sum)
	}
	d.noted[bag][key] = sum
}

// Forget drops what was seen of a databag, such as one that will not come back.
// What is noted afterwards is kept.
func (d *Data) Forget(bag Bag) {
	delete(d.noted, bag)
	d.seen[bag] = Seen{}
	d.forget[bag] = true
}

// referenceSeen is the prefix under which charms.reactive stores the sums of
// the values it saw, one entry each: endpoint, relation ID, unit and key follow.
const referenceSeen = "reactive.data_changed.endpoint."

// adopt takes the sums that a Python charm left as its own entries, so that
// data it had seen is not taken for new. It runs before anything else, and
// costs nothing once they are gone.
func (d *Data) adopt() {
	for _, key := range d.Keys(referenceSeen) {
		bag, field, ok := parseReferenceSeen(key)
		if !ok {
			continue
		}
		var text string
		var sum Sum
		if json.Unmarshal(d.entries[key], &text) != nil || hex.DecodedLen(len(text)) != len(sum) {
			continue
		}
		if _, err := hex.Decode(sum[:], []byte(text)); err != nil {
			continue
		}
		d.note(bag, field, sum)
		d.Unset(key)
	}
}

func parseReferenceSeen(key string) (bag Bag, field string, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(key, referenceSeen), ".", 4)
	if len(parts) != 4 || !strings.HasPrefix(parts[1], parts[0]+":") {
		return Bag{}, "", false
	}
	return Bag{parts[1], parts[2]}, parts[3], true
}

// Changes returns what changed since the data was opened.
func (d *Data) Changes() Changes {
	var c Changes
	for key, text := range d.entries {
		if was, ok := d.stored[key]; !ok || string(was) != string(text) {
			if c.Set == nil {
				c.Set = make(map[string]json.RawMessage)
			}
			c.Set[key] = text
		}
	}
	for key := range d.stored {
		if _, ok := d.entries[key]; !ok {
			c.Delete = append(c.Delete, key)
		}
	}
	slices.Sort(c.Delete)
	if len(d.noted) > 0 {
		c.Seen = d.noted
	}
	for bag := range d.forget {
		c.Forget = append(c.Forget, bag)
	}
	slices.SortFunc(c.Forget, func(a, b Bag) int { return strings.Compare(a.String(), b.String()) })
	return c
}

// Commit stores the changes; without any it does nothing. If the data is too
// large the error is a [*LimitError] that names who stored what.
func (d *Data) Commit(ctx context.Context) error {
	changes := d.Changes()
	if changes.Empty() {
		return nil
	}
	if err := d.store.Commit(ctx, changes); err != nil {
		return d.refused(err)
	}
	d.stored = maps.Clone(d.entries)
	clear(d.authors)
	clear(d.noted)
	clear(d.forget)
	return nil
}

// Check returns the error that Commit would return if the data is too large, as
// far as the store can tell.
func (d *Data) Check(ctx context.Context) error {
	changes := d.Changes()
	checker, ok := d.store.(Checker)
	if !ok || changes.Empty() {
		return nil
	}
	if err := checker.Check(ctx, changes); err != nil {
		return d.refused(err)
	}
	return nil
}

// refused says who stored what, if that is why the store does not take it.
func (d *Data) refused(err error) error {
	var limit *LimitError
	if errors.As(err, &limit) {
		for i := range limit.Largest {
			limit.Largest[i].Author = d.authors[limit.Largest[i].Key]
		}
	}
	return fmt.Errorf("cannot store the unit's data: %w", err)
}
