package sqlitefile

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/unitdata"
)

const (
	// carriedPrefix begins the keys of rows with what a charm had seen of a
	// remote databag when it kept its data in Juju's charm state.
	carriedPrefix = "sqlitefile.seen."
	// documentKey and seenStatePrefix are keys in the charm state, see
	// unitdata.JujuState.
	documentKey     = "reactive"
	seenStatePrefix = "seen."
	maxStateKey     = 256
)

// A carried is what a charm had in Juju's charm state before it kept the file.
type carried struct {
	entries map[string]json.RawMessage
	seen    map[string]json.RawMessage // by key of a row
	keys    []string                   // to be removed from the charm state
}

// carryOver reads what is in the charm state. Nothing is there unless the charm
// kept its data there in the hook before.
func (s *Store) carryOver(ctx context.Context) error {
	s.carried = nil
	if _, ok, err := s.tools.StateGet(ctx, documentKey); err != nil || !ok {
		return err
	}
	entries, err := unitdata.NewJujuState(s.tools).Load(ctx)
	if err != nil {
		return err
	}
	state, err := s.tools.State(ctx)
	if err != nil {
		return err
	}
	c := &carried{entries: entries, seen: make(map[string]json.RawMessage)}
	for key, value := range state {
		if bag, ok := strings.CutPrefix(key, seenStatePrefix); ok {
			text, err := canonicaljson.Encode(value)
			if err != nil {
				return fmt.Errorf("cannot carry the charm state over: %w", err)
			}
			c.seen[carriedPrefix+bag] = json.RawMessage(text)
			c.keys = append(c.keys, key)
		} else if key == documentKey || strings.HasPrefix(key, documentKey+".") {
			c.keys = append(c.keys, key)
		}
	}
	slices.Sort(c.keys)
	if older, err := s.isOlder(ctx, entries); err != nil {
		return err
	} else if older {
		s.o.log(ctx, "dropping what Juju's charm state has, being older than %s", s.o.Path)
		c.entries, c.seen = nil, nil
	} else {
		s.o.log(ctx, "took over from Juju's charm state into %s: %d entries, and what was seen of %d units and applications",
			s.o.Path, len(c.entries), len(c.seen))
	}
	delete(c.entries, importedKey)
	s.carried = c
	return nil
}

// isOlder reports whether a Python charm left the file after the charm state had
// been made of another one.
func (s *Store) isOlder(ctx context.Context, entries map[string]json.RawMessage) (bool, error) {
	digest, ok := imported(entries)
	if !ok {
		return false, nil
	}
	c, err := s.file.contents(ctx)
	if err != nil {
		return false, fileError(s.o.Path, err)
	}
	return len(c.Entries) > 0 && c.Digest != digest, nil
}

// rows returns what is to be written.
func (c *carried) rows() map[string]json.RawMessage {
	if c == nil {
		return nil
	}
	rows := maps.Clone(c.seen)
	if rows == nil {
		rows = make(map[string]json.RawMessage)
	}
	maps.Copy(rows, c.entries)
	return rows
}

// carriedKey returns the key of the row about a databag.
func carriedKey(bag unitdata.Bag) string {
	key := seenStatePrefix + bag.Relation + "." + bag.Name
	if len(key) > maxStateKey {
		sum := sha256.Sum256([]byte(key))
		key = seenStatePrefix + hex.EncodeToString(sum[:])
	}
	return carriedPrefix + strings.TrimPrefix(key, seenStatePrefix)
}

// carriedSeen returns what was carried over about a databag.
func (s *Store) carriedSeen(ctx context.Context, bag unitdata.Bag) (seen unitdata.Seen, err error) {
	key := carriedKey(bag)
	var text string
	if s.carried != nil {
		text = string(s.carried.seen[key])
	}
	if text == "" {
		err := s.file.rows(ctx, "kv", "SELECT key, data FROM kv WHERE key = ?", func(_, data string) { text = data }, key)
		if err != nil || text == "" {
			return seen, err
		}
	}
	if seen, err = decodeCarried(text); err != nil {
		return seen, fmt.Errorf("cannot read the entry %q: %w", key, err)
	}
	return seen, nil
}

// parseCarried is the inverse of carriedKey, for names that are not too long.
func parseCarried(key string) (bag unitdata.Bag, ok bool) {
	rest, ok := strings.CutPrefix(key, carriedPrefix)
	if ok {
		bag.Relation, bag.Name, ok = strings.Cut(rest, ".")
	}
	return bag, ok
}

// decodeCarried reads the value of a row, which is that in the charm state.
func decodeCarried(text string) (seen unitdata.Seen, err error) {
	var value string
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		return seen, err
	}
	data, err := base64.RawStdEncoding.DecodeString(value)
	if err != nil {
		return seen, err
	}
	return seen, seen.UnmarshalBinary(data)
}

func encodeCarried(seen unitdata.Seen) (string, error) {
	data, err := seen.MarshalBinary()
	return `"` + base64.RawStdEncoding.EncodeToString(data) + `"`, err
}
