package reactive

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/internal/canonicaljson"
)

// LeadershipSettings are values that the leader sets and all units of the
// application see, with the flags that layer-leadership gives them.
//
// Juju 3 has settings for it, which Juju 4 has not. With a peer endpoint the
// settings are kept in the application data of its relation instead, as JSON
// under the key leadership-settings, which works on both. Where nothing was ever
// kept there, what leader-get says on Juju 3 counts, and the leader's first
// write takes it over: so a Python charm can be refreshed to one that uses them,
// and its model be upgraded to Juju 4 later.
type LeadershipSettings struct {
	charm *Charm
	peers *Endpoint
	site  uintptr

	// In a hook:
	rel    *Relation
	now    map[string]string
	stored bool // there are settings in the peer relation
}

// LeadershipSettings declares that the charm uses leadership settings, kept in
// the relation of a peer endpoint. Without one (nil) they are those of leader-get
// and leader-set, and the charm runs on Juju 3 only: on Juju 4 its hooks fail,
// and say so. It panics if the charm declared them before, or if peers is no
// peer endpoint.
func (c *Charm) LeadershipSettings(peers *Endpoint) *LeadershipSettings {
	site := callSite(1)
	if was := c.declarations.leadership; was != nil {
		panic(fmt.Sprintf("reactive: leadership settings declared at %s were declared at %s", place(site), place(was.site)))
	}
	if peers != nil && peers.role != charmfile.Peer {
		panic(fmt.Sprintf("reactive: leadership settings at %s want a peer endpoint, but %q %s", place(site), peers.name, peers.role))
	}
	s := &LeadershipSettings{charm: c, peers: peers, site: site}
	c.declarations.leadership = s
	return s
}

// Changed returns the flag leadership.changed, or with a key
// leadership.changed.KEY. It is set in the hooks that see another value than the
// hook before, and on the leader as soon as it sets one; it is cleared at the end
// of the hook.
func (s *LeadershipSettings) Changed(key ...string) flags.Flag {
	return eventFlag("leadership.changed", key)
}

// IsSet returns the flag leadership.set.KEY: there is a value.
func (s *LeadershipSettings) IsSet(key string) flags.Flag { return flags.New("leadership.set." + key) }

// Get returns the value of a key, with what this hook set; "" if there is none.
func (s *LeadershipSettings) Get(key string) string { return s.now[key] }

// All returns all values.
func (s *LeadershipSettings) All() map[string]string { return maps.Clone(s.now) }

// Set sets values; an empty one removes the key. They are written at the end of
// the hook, if they differ. Where the peer relation is not there yet, as in the
// hook install, they are remembered, and written by the first hook in which it
// is, if the unit still leads. (Of a hook that fails after Juju took leader-set,
// which comes last, Juju 3 keeps the settings.)
func (s *LeadershipSettings) Set(l *Leader, values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if values[key] == s.now[key] {
			continue
		}
		s.now = put(s.now, key, values[key])
		if values[key] == "" {
			delete(s.now, key)
		}
		l.run.juju.newSetting = true
		s.note(l.run, key)
		l.run.transient(s.Changed(), true)
	}
	if l.run.juju.newSetting && s.peers != nil && s.rel == nil {
		if err := l.run.data.Set(settingsWaitAt, s.now); err != nil {
			l.run.failure = err
		}
	}
}

// The keys of unit data: layer-leadership's for what was seen last, and one for
// what waits for the relation.
const (
	settingPrefix  = "leadership.settings."
	settingsKey    = "leadership-settings"
	settingsWaitAt = "reactive.leadership.pending"
)

// note sets the flags of a key whose value changed, and remembers the value.
func (s *LeadershipSettings) note(r *run, key string) {
	value, ok := s.now[key]
	r.transient(s.Changed(key), true)
	r.set.Toggle(s.IsSet(key), ok)
	if !ok {
		r.data.Unset(settingPrefix + key)
	} else if err := r.data.Set(settingPrefix+key, value); err != nil {
		r.failure = err
	}
}

// load reads the settings and sets the flags.
func (s *LeadershipSettings) load(ctx context.Context, r *run) error {
	s.rel, s.now, s.stored = nil, nil, false
	if s.peers != nil && s.peers.Relations().Len() > 0 {
		s.rel = s.peers.Relations().At(0)
	}
	if err := s.read(ctx, r); err != nil {
		return err
	}
	was := make(map[string]string)
	for _, k := range r.data.Keys(settingPrefix) {
		var value any
		if _, err := r.data.Get(k, &value); err != nil {
			return err
		}
		// What layer-leadership remembers of a removed key is null.
		if text, ok := value.(string); ok {
			was[strings.TrimPrefix(k, settingPrefix)] = text
		}
	}
	changed := false
	for _, key := range slices.Sorted(maps.Keys(merged(was, s.now))) {
		if was[key] != s.now[key] {
			s.note(r, key)
			changed = true
			continue
		}
		r.transient(s.Changed(key), false)
		r.set.Toggle(s.IsSet(key), true)
	}
	r.transient(s.Changed(), changed)
	return nil
}

// read reads the settings, with those that wait to be written.
func (s *LeadershipSettings) read(ctx context.Context, r *run) error {
	if s.rel != nil {
		app := applicationOf(r.unit)
		data, err := r.readApp(ctx, s.rel.id, app)
		if err != nil {
			return err
		}
		if text, ok := data[settingsKey]; ok {
			if err := json.Unmarshal([]byte(text), &s.now); err != nil {
				return fmt.Errorf("cannot read the leadership settings in relation %s: %w", s.rel.id, err)
			}
			s.stored = true
		}
	}
	juju3 := strings.HasPrefix(r.process.Getenv("JUJU_VERSION"), "3.") || strings.HasPrefix(r.process.Getenv("JUJU_VERSION"), "2.")
	switch {
	case s.stored:
	case juju3:
		settings, err := r.tools.LeaderGet(ctx)
		if err != nil {
			return err
		}
		s.now = settings
	case s.peers == nil:
		return fmt.Errorf("leadership settings, declared at %s, need a peer endpoint on Juju %s", place(s.site), r.process.Getenv("JUJU_VERSION"))
	}
	if !r.data.Has(settingsWaitAt) {
		return nil
	}
	leader, err := r.isLeader(ctx)
	if err != nil {
		return err
	}
	if !leader {
		r.data.Unset(settingsWaitAt)
		return nil
	}
	s.now = nil
	if _, err = r.data.Get(settingsWaitAt, &s.now); err != nil || s.rel == nil {
		return err
	}
	r.juju.newSetting = true
	r.data.Unset(settingsWaitAt)
	return nil
}

// write writes the settings if this hook changed them.
func (s *LeadershipSettings) write(ctx context.Context, r *run) error {
	if !r.juju.newSetting {
		return nil
	}
	if s.peers == nil {
		old, err := r.tools.LeaderGet(ctx)
		if err != nil {
			return err
		}
		changes := make(map[string]string)
		for key := range merged(old, s.now) {
			if old[key] != s.now[key] {
				changes[key] = s.now[key]
			}
		}
		if len(changes) == 0 {
			return nil
		}
		return r.tools.LeaderSet(ctx, changes)
	}
	if s.rel == nil {
		return nil // kept by Set
	}
	text, err := canonicaljson.Encode(s.now)
	if err != nil {
		return err
	}
	if len(s.now) == 0 {
		text = "{}"
	}
	data, err := r.readApp(ctx, s.rel.id, applicationOf(r.unit))
	if err != nil || data[settingsKey] == text {
		return err
	}
	return r.tools.RelationSetApp(ctx, s.rel.id, map[string]string{settingsKey: text})
}
