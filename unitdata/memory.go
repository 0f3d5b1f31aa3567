package unitdata

import (
	"context"
	"encoding/json"
	"maps"
)

// A Memory is a Store in memory, for tests. The zero Memory is empty and ready
// to use. It observes the same limits as Juju's charm state.
type Memory struct {
	entries map[string]json.RawMessage
	seen    map[Bag]Seen
}

// NewMemory returns a store with the given entries, whose values are JSON texts.
func NewMemory(entries map[string]json.RawMessage) *Memory {
	return &Memory{entries: maps.Clone(entries)}
}

// Entries returns a copy of all entries.
func (m *Memory) Entries() map[string]json.RawMessage { return maps.Clone(m.entries) }

// Clone returns a copy that shares nothing with m.
func (m *Memory) Clone() *Memory {
	c := &Memory{entries: maps.Clone(m.entries)}
	for bag, seen := range m.seen {
		c.noteAll(bag, seen.Clone())
	}
	return c
}

// Load implements [Store].
func (m *Memory) Load(context.Context) (map[string]json.RawMessage, error) {
	return maps.Clone(m.entries), nil
}

// Seen implements [Store].
func (m *Memory) Seen(_ context.Context, bag Bag) (Seen, error) { return m.seen[bag].Clone(), nil }

// after returns the entries after changes, and an error if they are too large.
func (m *Memory) after(changes Changes) (map[string]json.RawMessage, error) {
	entries := maps.Clone(m.entries)
	if entries == nil {
		entries = make(map[string]json.RawMessage)
	}
	maps.Copy(entries, changes.Set)
	for _, key := range changes.Delete {
		delete(entries, key)
	}
	size := 0
	for key, value := range entries {
		size += entrySize(key, value)
	}
	return entries, checkTotal(entries, 0, size)
}

// Check implements [Checker].
func (m *Memory) Check(_ context.Context, changes Changes) error {
	_, err := m.after(changes)
	return err
}

// Commit implements [Store].
func (m *Memory) Commit(_ context.Context, changes Changes) error {
	entries, err := m.after(changes)
	if err != nil {
		return err
	}
	m.entries = entries
	for _, bag := range changes.Forget {
		delete(m.seen, bag)
	}
	for bag, seen := range changes.Former {
		m.noteAll(bag, seen.Clone())
	}
	for bag, sums := range changes.Seen {
		seen := m.seen[bag].Clone()
		for key, sum := range sums {
			seen.Note(key, sum)
		}
		m.noteAll(bag, seen)
	}
	return nil
}

func (m *Memory) noteAll(bag Bag, seen Seen) {
	if m.seen == nil {
		m.seen = make(map[Bag]Seen)
	}
	m.seen[bag] = seen
}
