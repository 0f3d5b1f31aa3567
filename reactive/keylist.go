package reactive

import (
	"iter"
	"slices"
)

// A KeyList is a list whose items have keys: it is used by position, in order,
// or by key (KeyList in charms.reactive's endpoints.py). Several items may have
// the same key; looking one up finds the first.
//
// The zero KeyList is empty; make one to fill with [NewKeyList]. A KeyList that a
// method returned can be changed; what that changes is said by the method.
type KeyList[T any] struct {
	items []T
	key   func(T) string
}

// NewKeyList returns a list of items whose keys the function key gives.
func NewKeyList[T any](key func(T) string, items ...T) *KeyList[T] {
	return &KeyList[T]{items: items, key: key}
}

// Len returns the number of items.
func (l *KeyList[T]) Len() int { return len(l.items) }

// At returns the item at position i, counted from 0. It panics like a slice if
// there is none.
func (l *KeyList[T]) At(i int) T { return l.items[i] }

// Get returns the first item with the given key and whether there is one.
func (l *KeyList[T]) Get(key string) (T, bool) {
	for _, item := range l.items {
		if l.key(item) == key {
			return item, true
		}
	}
	var none T
	return none, false
}

// Keys returns the keys of all items in order, with duplicates.
func (l *KeyList[T]) Keys() []string {
	keys := make([]string, len(l.items))
	for i, item := range l.items {
		keys[i] = l.key(item)
	}
	return keys
}

// All iterates over positions and items, in order.
func (l *KeyList[T]) All() iter.Seq2[int, T] { return slices.All(l.items) }

// Values iterates over the items, in order.
func (l *KeyList[T]) Values() iter.Seq[T] { return slices.Values(l.items) }

// Append adds items at the end.
func (l *KeyList[T]) Append(items ...T) { l.items = append(l.items, items...) }

// RemoveAt removes and returns the item at position i.
func (l *KeyList[T]) RemoveAt(i int) T {
	item := l.items[i]
	l.items = slices.Delete(l.items, i, i+1)
	return item
}

// Remove removes and returns the first item with the given key, if there is
// one.
func (l *KeyList[T]) Remove(key string) (T, bool) {
	i := slices.IndexFunc(l.items, func(item T) bool { return l.key(item) == key })
	if i < 0 {
		var none T
		return none, false
	}
	return l.RemoveAt(i), true
}

// Clear removes all items.
func (l *KeyList[T]) Clear() { l.items = nil }
