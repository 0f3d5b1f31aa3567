package reactive

import (
	"strings"

	"github.com/charmed-go/charms/flags"
)

// The keys under which charms.reactive keeps flags and triggers.
const (
	flagPrefix         = "reactive.states."
	setTriggerPrefix   = "reactive.flag_set_triggers."
	clearTriggerPrefix = "reactive.flag_clear_triggers."
	oldTriggerPrefix   = "reactive.flag_triggers."
)

// loadFlags makes the set of flags from the unit data, and keeps the unit data
// in step with it from then on.
func (r *run) loadFlags() {
	keys := r.data.Keys(flagPrefix)
	stored := make([]flags.Flag, len(keys))
	for i, key := range keys {
		stored[i] = flags.New(strings.TrimPrefix(key, flagPrefix))
	}
	r.set = flags.NewSet(stored...)
	r.set.Watch(func(c flags.Change) {
		key := flagPrefix + c.Flag.String()
		if !c.Set {
			r.data.Unset(key)
		} else if err := r.data.Set(key, nil); err != nil {
			r.failure = err
		}
		r.record.change(c)
	})
}

// storedTrigger is how the reference keeps what a trigger does.
type storedTrigger struct {
	Set   []string `json:"set_flag"`
	Clear []string `json:"clear_flag"`
}

// loadTriggers takes the triggers that a restricted hook left, and those that a
// Python charm did. Triggers live for one hook only, except those of restricted
// hooks.
func (r *run) loadTriggers() error {
	for _, prefix := range []string{setTriggerPrefix, clearTriggerPrefix} {
		for _, key := range r.data.Keys(prefix) {
			var stored storedTrigger
			if _, err := r.data.Get(key, &stored); err != nil {
				return err
			}
			t := flags.Trigger{Set: newFlags(stored.Set), Clear: newFlags(stored.Clear)}
			if f := flags.New(strings.TrimPrefix(key, prefix)); prefix == setTriggerPrefix {
				t.When = f
			} else {
				t.WhenNot = f
			}
			if len(t.Set)+len(t.Clear) > 0 && !(t.When.IsZero() && t.WhenNot.IsZero()) {
				r.set.AddTrigger(t)
			}
		}
	}
	for _, prefix := range []string{setTriggerPrefix, clearTriggerPrefix, oldTriggerPrefix} {
		r.data.UnsetRange(prefix)
	}
	return nil
}

func newFlags(names []string) []flags.Flag {
	var list []flags.Flag
	for _, name := range names {
		if name != "" {
			list = append(list, flags.New(name))
		}
	}
	return list
}

// storeTriggers keeps the triggers of a restricted hook for the next hook, as
// the reference does.
func (r *run) storeTriggers() error {
	for _, t := range r.set.Triggers() {
		stored := storedTrigger{Set: names(t.Set), Clear: names(t.Clear)}
		key := setTriggerPrefix + t.When.String()
		if t.When.IsZero() {
			key = clearTriggerPrefix + t.WhenNot.String()
		}
		if err := r.data.Set(key, stored); err != nil {
			return err
		}
	}
	return nil
}

func names(list []flags.Flag) []string {
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.String()
	}
	return names
}
