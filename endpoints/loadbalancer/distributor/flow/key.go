package flow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
)

// A Key names a value of type T that tasks hand to each other. Two keys of the
// same name must have the same type; [Compile] checks it.
//
// Values live in the journal as JSON, so T must survive being encoded and
// decoded: a task always sees the decoded value, in the first run as after a
// resume. A live object (a connection, a file) is no value; keep its name.
type Key[T any] struct{ name string }

// NewKey returns the key called name.
func NewKey[T any](name string) Key[T] { return Key[T]{name: name} }

// Name returns the key's name, which is what [Requires] and [Provides] list.
func (k Key[T]) Name() string { return k.name }

// Value returns v under the key, as an input of a flow.
func (k Key[T]) Value(v T) Value { return Value{key: k, value: v} }

// Get returns the key's value for a task that requires the key. It panics,
// which fails the task, when the task does not declare the key: the check
// before the run could not have promised the value.
func (k Key[T]) Get(d *Data) T {
	if !d.declared(k.name) {
		panic(fmt.Sprintf("flow: task %q reads %q without requiring it", d.task.Name, k.name))
	}
	v, _ := k.Lookup(d)
	return v
}

// Lookup is [Key.Get] for values that may be absent, which in a Revert are
// the task's own results when Execute did not come to its end.
func (k Key[T]) Lookup(d *Data) (T, bool) {
	v, ok := d.get(k.name).(T)
	return v, ok
}

// Set provides the key's value. It panics, which fails the task, when
// the task does not declare the key among those it provides.
func (k Key[T]) Set(d *Data, v T) {
	if !d.provides(k.name) {
		panic(fmt.Sprintf("flow: task %q sets %q without providing it", d.task.Name, k.name))
	}
	d.out[k.name] = Value{key: k, value: v}
}

// From returns the key's value among the inputs and results of a run.
func (k Key[T]) From(r *Result) (T, bool) {
	var zero T
	if r == nil {
		return zero, false
	}
	if raw, ok := r.raw[k.name]; ok {
		v, err := k.decode(raw, r.secrets)
		if err != nil {
			return zero, false
		}
		t, ok := v.(T)
		return t, ok
	}
	return zero, false
}

func (k Key[T]) typeName() string { return reflect.TypeFor[T]().String() }

func (k Key[T]) decode(raw json.RawMessage, secrets vault) (any, error) {
	var v T
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("cannot decode %q as %s: %w", k.name, k.typeName(), err)
	}
	if h, ok := any(&v).(SecretHolder); ok {
		for _, s := range h.Secrets() {
			secrets.fill(s)
		}
	}
	return v, nil
}

func (k Key[T]) encode(value any, secrets vault) (json.RawMessage, error) {
	v := value.(T)
	if h, ok := any(&v).(SecretHolder); ok {
		for _, s := range h.Secrets() {
			if err := secrets.take(*s); err != nil {
				return nil, fmt.Errorf("cannot keep the secrets of %q: %w", k.name, err)
			}
		}
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot encode %q: %w", k.name, err)
	}
	return raw, nil
}

// AnyKey is a [Key] of whatever type, as tasks list them.
type AnyKey interface {
	// Name returns the key's name.
	Name() string

	typeName() string
	decode(json.RawMessage, vault) (any, error)
	encode(any, vault) (json.RawMessage, error)
}

// Keys returns its arguments, to spare the type's name in a [Task].
func Keys(keys ...AnyKey) []AnyKey { return keys }

// A Value is a value under a key; see [Key.Value].
type Value struct {
	key   AnyKey
	value any
}

// Name returns the name of the value's key.
func (v Value) Name() string {
	if v.key == nil {
		return ""
	}
	return v.key.Name()
}

// Data is what a task sees of the run: the values that it requires, room for
// those that it provides and, in a Revert, why it is reverted. A Data belongs
// to one call of Execute or Revert.
type Data struct {
	task   *Task
	rename map[string]string
	values func(name string) any
	out    map[string]Value
	cause  error
	ok     bool
}

// Cause is why a Revert runs: the error of the task that failed, or what was
// given to [Runner.Revert]. After a resume it has the text of the error only.
// It is nil in an Execute.
func (d *Data) Cause() error { return d.cause }

// Executed reports, in a Revert, whether the task's Execute came to its end.
// If not, it may have done any part of its work, all or none.
func (d *Data) Executed() bool { return d.ok }

func (d *Data) declared(name string) bool {
	return contains(d.task.Requires, name) || contains(d.task.Provides, name)
}

func (d *Data) provides(name string) bool { return contains(d.task.Provides, name) }

func (d *Data) get(name string) any {
	if v, ok := d.out[name]; ok {
		return v.value
	}
	return d.values(renamed(d.rename, name))
}

func contains(keys []AnyKey, name string) bool {
	for _, k := range keys {
		if k.Name() == name {
			return true
		}
	}
	return false
}

func renamed(rename map[string]string, name string) string {
	if to, ok := rename[name]; ok {
		return to
	}
	return name
}
