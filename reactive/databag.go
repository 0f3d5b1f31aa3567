package reactive

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// ErrReadOnly is the error of a write to a databag that belongs to somebody
// else.
var ErrReadOnly = errors.New("the databag can only be read: Relation.ToPublish and ToPublishApp have what this side publishes")

// A Databag is the data of one unit or application in a relation: strings by
// key, which by habit are JSON. It shows them decoded, and raw for who wants
// that (JSONUnitDataView in charms.reactive's endpoints.py).
//
// A value is written as the canonical JSON text that Python's
// json.dumps(sort_keys=True) gives, so the same value is always spelled alike
// and nobody sees a change where there is none.
//
// The zero Databag is empty and can only be read. A Databag is not safe for
// concurrent use.
type Databag struct {
	data     map[string]string
	order    []string
	was      map[string]string // as it was read, nil if it cannot be written
	modified bool
}

// NewDatabag returns a databag with the given raw data, which can be written to
// if writeable is true. The keys are in the order given by order, those that it
// leaves out sorted behind.
func NewDatabag(data map[string]string, writeable bool, order ...string) *Databag {
	b := &Databag{data: maps.Clone(data)}
	if b.data == nil {
		b.data = make(map[string]string)
	}
	for _, key := range order {
		if _, ok := b.data[key]; ok && !slices.Contains(b.order, key) {
			b.order = append(b.order, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.data)) {
		if len(order) == 0 || !slices.Contains(b.order, key) {
			b.order = append(b.order, key)
		}
	}
	if writeable {
		b.was = maps.Clone(b.data)
	}
	return b
}

// Len returns the number of keys.
func (b *Databag) Len() int { return len(b.order) }

// Keys returns the keys in order: those that were read, sorted, then those that
// were added.
func (b *Databag) Keys() []string { return slices.Clone(b.order) }

// Has reports whether there is a value for key.
func (b *Databag) Has(key string) bool {
	_, ok := b.data[key]
	return ok
}

// Raw returns the value of key as it is on the wire, "" if there is none.
func (b *Databag) Raw(key string) string { return b.data[key] }

// Value returns the decoded value of key, nil if there is none: nil, bool,
// string, [json.Number] (an integer), a float64-like number, []any or
// map[string]any. What is not JSON is the raw string itself.
func (b *Databag) Value(key string) any {
	raw, ok := b.data[key]
	if !ok {
		return nil
	}
	return canonicaljson.DecodeBag(raw)
}

// Get decodes the value of key into v, as [json.Unmarshal] does, and reports
// whether there is a value. What is not JSON counts as the raw string.
func (b *Databag) Get(key string, v any) (bool, error) {
	raw, ok := b.data[key]
	if !ok {
		return false, nil
	}
	if err := json.Unmarshal([]byte(canonicaljson.Canonical(raw)), v); err != nil {
		return true, fmt.Errorf("cannot decode the value of %q: %w", key, err)
	}
	return true, nil
}

// Set writes v under key as canonical JSON, unless the same value is there in
// another spelling: nothing is published for its spelling alone. It fails if v
// cannot be encoded or the databag can only be read ([ErrReadOnly]).
func (b *Databag) Set(key string, v any) error {
	text, err := canonicaljson.Encode(v)
	if err != nil {
		return fmt.Errorf("cannot encode the value of %q: %w", key, err)
	}
	if was := b.Raw(key); b.was != nil && was != text {
		if v, err := canonicaljson.Decode(was); err == nil {
			if same, err := canonicaljson.Encode(v); err == nil && same == text {
				return nil
			}
		}
	}
	return b.SetRaw(key, text)
}

// SetDefault is Set if there is no value for key, and nothing otherwise.
func (b *Databag) SetDefault(key string, v any) error {
	if b.Has(key) {
		return nil
	}
	return b.Set(key, v)
}

// SetRaw writes a value as it is. Juju does not keep empty values: writing ""
// removes the key from what the remote side sees.
func (b *Databag) SetRaw(key, value string) error {
	if b.was == nil {
		return fmt.Errorf("cannot write %q: %w", key, ErrReadOnly)
	}
	if !b.Has(key) {
		b.order = append(b.order, key)
	}
	b.data[key] = value
	b.modified = true
	return nil
}

// Delete removes key, also for the remote side, and reports whether it was
// there. It fails only if it was and the databag can only be read ([ErrReadOnly]).
func (b *Databag) Delete(key string) (bool, error) {
	if !b.Has(key) {
		return false, nil
	}
	if b.was == nil {
		return false, fmt.Errorf("cannot delete %q: %w", key, ErrReadOnly)
	}
	delete(b.data, key)
	b.order = slices.DeleteFunc(b.order, func(k string) bool { return k == key })
	b.modified = true
	return true, nil
}

// Modified reports whether anything was written, even if it was there before.
func (b *Databag) Modified() bool { return b.modified }

// Map returns a copy of the raw data.
func (b *Databag) Map() map[string]string { return maps.Clone(b.data) }

// changes returns what relation-set must be told: new and changed values, and
// "" for keys that are gone. It is empty if there is nothing to tell.
func (b *Databag) changes() map[string]string {
	changes := make(map[string]string)
	if b.was == nil || !b.modified {
		return changes
	}
	for key, value := range b.data {
		// Juju keeps no empty values, so a missing key is already empty.
		if b.was[key] != value {
			changes[key] = value
		}
	}
	for key := range b.was {
		if !b.Has(key) {
			changes[key] = ""
		}
	}
	return changes
}

// sums calls fn with each key, in order, and the canonical JSON text of its
// value.
func (b *Databag) sums(fn func(key, canonical string)) {
	for _, key := range b.order {
		fn(key, canonicaljson.Canonical(b.data[key]))
	}
}
