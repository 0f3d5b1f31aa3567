package reactive

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strconv"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/unitdata"
)

// keep notes that the charm wants flags of a kind, which are kept only for who
// asks for them. It panics if the first to ask does so in a hook: the flags were
// not brought up to date then, and would seem not to be set.
func (c *Charm) keep(kind *bool, flag string) {
	if c.run != nil && !*kind {
		panic("reactive: the flag " + flag + " is first asked for in a hook, which was begun without it: ask for it where the charm is put together")
	}
	*kind = true
}

// ConfigChanged returns the flag config.changed, or with a key
// config.changed.KEY. It is set in the hooks that see another value than the
// hook before, and in the unit's first hook; it is cleared at the end of the
// hook (layer-basic).
//
// Like all flags that are kept only for charms that ask for them, it is asked for
// where the charm is put together: to ask first in a hook, which was begun without
// it, panics.
func (c *Charm) ConfigChanged(key ...string) flags.Flag {
	c.keep(&c.config, "config.changed")
	if len(key) == 0 {
		return flags.New("config.changed")
	}
	return flags.New("config.changed." + key[0])
}

// ConfigSet returns the flag config.set.KEY. It is set in every hook in which
// the option has a value other than none, "", 0 and false (layer-basic). See
// [Charm.ConfigChanged] for where it is asked for.
func (c *Charm) ConfigSet(key string) flags.Flag {
	c.keep(&c.config, "config.set."+key)
	return flags.New("config.set." + key)
}

// ConfigDefault returns the flag config.default.KEY. It is set in every hook in
// which the option has the default value that the charm's files give it
// (layer-basic). See [Charm.ConfigChanged] for where it is asked for.
func (c *Charm) ConfigDefault(key string) flags.Flag {
	c.keep(&c.config, "config.default."+key)
	c.keep(&c.defaults, "config.default."+key)
	return flags.New("config.default." + key)
}

// IsLeader returns the flag leadership.is_leader, which is set in every hook
// that begins while the unit is the leader (layer-leadership). Work that must
// only be done by the leader is better registered with [Charm.HandleLeader],
// which asks at the moment it begins. See [Charm.ConfigChanged] for where it is
// asked for.
func (c *Charm) IsLeader() flags.Flag {
	c.keep(&c.leader, "leadership.is_leader")
	return flags.New("leadership.is_leader")
}

// Upgraded returns the flag upgrade.charm, which is set in the hook
// upgrade-charm only. See [Charm.ConfigChanged] for where it is asked for.
func (c *Charm) Upgraded() flags.Flag {
	c.keep(&c.upgraded, "upgrade.charm")
	return flags.New("upgrade.charm")
}

// SeriesUpgrading returns the flag upgrade.series.in-progress, which is set
// from the hook pre-series-upgrade to the hook post-series-upgrade (Juju 3).
func (c *Charm) SeriesUpgrading() flags.Flag { return seriesUpgrading() }

func seriesUpgrading() flags.Flag { return flags.New("upgrade.series.in-progress") }

// configKey is where the sums of the configuration's values are remembered.
const configKey = "charms.config"

// setAutomatic sets the flags that say what Juju told the unit, apart from
// those of endpoints.
func (r *run) setAutomatic(ctx context.Context) error {
	switch r.event.Hook {
	case "pre-series-upgrade":
		r.set.Set(seriesUpgrading())
	case "post-series-upgrade":
		r.set.Clear(seriesUpgrading())
	}
	if r.charm.upgraded {
		r.transient(r.charm.Upgraded(), r.event.Hook == "upgrade-charm")
	}
	if r.charm.leader {
		leader, err := r.isLeader(ctx)
		if err != nil {
			return err
		}
		r.set.Toggle(r.charm.IsLeader(), leader)
	}
	if r.charm.config {
		return r.setConfigFlags(ctx)
	}
	return nil
}

// transient sets a flag that tells of an event and is cleared again at the end
// of the hook, or clears it. An event for which a handler could not run yet,
// because the hook ended before its turn, is told again by the next hook.
func (r *run) transient(f flags.Flag, on bool) {
	on = on || slices.Contains(r.pending, f.String())
	r.momentary(f, on)
	if on {
		r.events = append(r.events, f)
	}
}

// momentary sets a flag that is cleared again at the end of the hook, or clears
// it.
func (r *run) momentary(f flags.Flag, on bool) {
	if on || r.set.IsSet(f) {
		r.set.Toggle(f, on)
	}
	if on && !slices.Contains(r.fleeting, f) {
		r.fleeting = append(r.fleeting, f)
	}
}

// pendingKey is where the events are remembered that handlers still wait to see.
const pendingKey = "charms.pending"

// loadPending sets the flags of events that the hook before could not finish.
func (r *run) loadPending() error {
	if _, err := r.data.Get(pendingKey, &r.pending); err != nil {
		return err
	}
	for _, f := range newFlags(r.pending) {
		r.transient(f, true)
	}
	return nil
}

// savePending remembers the events of a hook that ended before all handlers had
// their turn: those for which a handler waits that did not run.
func (r *run) savePending(early bool) error {
	var pending []string
	if early {
		ran := make(map[string]bool)
		for _, s := range r.record.record.Steps {
			if !s.IsChange() {
				ran[s.Handler] = true
			}
		}
		for _, f := range r.events {
			waits := func(h *Handler) bool { return !ran[h.Name] && slices.Contains(h.flags, f) }
			if r.set.IsSet(f) && !slices.Contains(pending, f.String()) && slices.ContainsFunc(r.charm.handlers, waits) {
				pending = append(pending, f.String())
			}
		}
	}
	if len(pending) == 0 {
		r.data.Unset(pendingKey)
		return nil
	}
	slices.Sort(pending)
	return r.data.Set(pendingKey, pending)
}

func (r *run) setConfigFlags(ctx context.Context) error {
	config, err := r.configuration(ctx)
	if err != nil {
		return err
	}
	var was map[string]string
	if _, err := r.data.Get(configKey, &was); err != nil {
		return err
	}
	now := make(map[string]string, len(config))
	for key, value := range config {
		text, err := canonicaljson.Encode(value)
		if err != nil {
			return fmt.Errorf("cannot read the option %q: %w", key, err)
		}
		now[key] = canonicaljson.Digest(text)
	}
	changed := false
	keys := slices.Sorted(maps.Keys(merged(was, now)))
	for _, key := range keys {
		differs := was[key] != now[key]
		changed = changed || differs
		r.transient(flags.New("config.changed."+key), differs)
		r.momentary(flags.New("config.set."+key), isTrue(config[key]))
	}
	r.transient(flags.New("config.changed"), changed)
	if r.charm.defaults {
		file, err := r.charmFile()
		if err != nil {
			return err
		}
		for _, option := range file.Options {
			r.momentary(flags.New("config.default."+option.Name), sameJSON(config[option.Name], option.Default))
		}
	}
	if len(keys) > 0 {
		return r.data.Set(configKey, now)
	}
	return nil
}

func merged(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	if m == nil {
		m = make(map[string]string)
	}
	maps.Copy(m, b)
	return m
}

// isTrue reports whether Python counts the value of an option as true.
func isTrue(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case json.Number:
		f, err := v.Float64()
		return err != nil || f != 0
	}
	return !sameJSON(v, 0)
}

// sameJSON reports whether two values are the same once they are JSON.
func sameJSON(a, b any) bool {
	x, errA := canonicaljson.Encode(a)
	y, errB := canonicaljson.Encode(b)
	return errA == nil && errB == nil && x == y
}

// clearAutomatic clears the flags that live for one hook only.
func (r *run) clearAutomatic() {
	for _, f := range r.fleeting {
		r.set.Clear(f)
	}
	r.fleeting = nil
}

// DataChanged reports whether v differs from the value that was last given with
// the same id, and remembers it. Values are compared as JSON, by the MD5 of their
// text, or by the hash that newHash makes (data_changed in the reference, with its
// hash_type): a charm that takes over from a Python charm gives the one that did
// it there, such as [crypto/sha256.New]. Like everything else it is only kept if
// the hook goes well. It fails if v cannot be encoded.
func (h *Hook) DataChanged(id string, v any, newHash ...func() hash.Hash) (bool, error) {
	key, sum, changed, err := h.run.dataChanged(id, v, newHash)
	if err != nil || !changed {
		return false, err
	}
	return true, h.run.data.Set(key, sum)
}

// IsDataChanged is DataChanged without remembering (is_data_changed in the
// reference).
func (h *Hook) IsDataChanged(id string, v any, newHash ...func() hash.Hash) (bool, error) {
	_, _, changed, err := h.run.dataChanged(id, v, newHash)
	return changed, err
}

// dataChanged returns the hash of v, the key under which the last one is, and
// whether they differ.
func (r *run) dataChanged(id string, v any, newHash []func() hash.Hash) (key, sum string, changed bool, err error) {
	text, err := canonicaljson.Encode(v)
	if err != nil {
		return "", "", false, fmt.Errorf("cannot compare the data %q: %w", id, err)
	}
	key, sum = "reactive.data_changed."+id, canonicaljson.Digest(text)
	if len(newHash) > 0 {
		h := newHash[0]()
		h.Write([]byte(text))
		sum = hex.EncodeToString(h.Sum(nil))
	}
	was, _ := r.data.Raw(key)
	return key, sum, string(was) != strconv.Quote(sum), nil
}

// Data returns what the unit remembers, for a charm's own entries. Keys that
// begin with "reactive." are the framework's, with the meaning that they have
// in charms.reactive.
func (h *Hook) Data() *unitdata.Data { return h.run.data }
