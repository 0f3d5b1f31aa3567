package sqlitefile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/unitdata"
)

// Keys that a Python charm's libraries keep for themselves.
const (
	// seenPrefix is followed by endpoint, relation ID, unit and key of a value
	// that was seen; the value is its MD5 (FORMAT section 3.6, charms.reactive
	// Endpoint._manage_flags).
	seenPrefix = "reactive.data_changed.endpoint."
	// seenEnd is the first string after all that begin with seenPrefix.
	seenEnd = "reactive.data_changed.endpoint/"

	// SnapshotPrefix begins the keys of entries that were the StoredState of an
	// ops framework object: the object's handle follows, as in
	// "ops.CharmBase/LBProvider[lb]/StoredStateData[state]".
	SnapshotPrefix = "ops."
	// snapshotsKey is the key of the digest of the ops objects' state that a
	// Store has copied to entries.
	snapshotsKey = "sqlitefile.snapshots"
	// frameworkHandle is the ops framework's own state: how many events it
	// emitted.
	frameworkHandle = "StoredStateData[_stored]"
)

// Contents are what a file of unit state holds.
type Contents struct {
	// Entries are the values by key, as JSON texts, as charmhelpers' unitdata
	// shows them; without those in Seen. The StoredState of ops objects is
	// among them, with SnapshotPrefix before the object's handle.
	Entries map[string]json.RawMessage
	// Seen are the sums of remote data that charms.reactive keeps among them.
	Seen map[unitdata.Bag]map[string]unitdata.Sum
	// Former is what a Store had carried over of what was seen before; Seen is
	// newer.
	Former map[unitdata.Bag]unitdata.Seen
	// Unreadable are the keys of rows that hold no JSON or no plain data, or
	// more than 16 MiB of it.
	Unreadable []string
	// Revisions, Hooks and Notices are the numbers of rows of history, and of
	// deferred ops events.
	Revisions, Hooks, Notices int
	// Digest is the SHA-256 of all values, in hexadecimal digits.
	Digest string
}

// Read reads a whole file of unit state and checks its integrity. If a process
// was killed while it wrote, its unfinished transaction is undone by that;
// nothing else is changed. The error is an *Error.
func Read(ctx context.Context, o Options) (*Contents, error) {
	f, err := openFile(ctx, o)
	if err != nil {
		return nil, err
	}
	c, err := f.contents(ctx)
	return c, fileError(o.Path, errors.Join(err, f.Close()))
}

func (f *file) contents(ctx context.Context) (*Contents, error) {
	if len(f.tables) == 0 {
		return nil, &Error{f.path, ErrDamaged, errors.New("it is empty; remove it for the charm to begin anew")}
	}
	if err := f.checkIntegrity(ctx); err != nil {
		return nil, err
	}
	c := &Contents{
		Entries: make(map[string]json.RawMessage),
		Seen:    make(map[unitdata.Bag]map[string]unitdata.Sum),
		Former:  make(map[unitdata.Bag]unitdata.Seen),
	}
	digest := sha256.New()
	err := f.rows(ctx, "kv", "SELECT key, data FROM kv ORDER BY key", func(key, data string) {
		writeField(digest, key)
		writeField(digest, data)
		c.add(key, data)
	})
	if err != nil {
		return nil, err
	}
	snapshots, err := f.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	writeField(digest, snapshots.digest)
	if !snapshots.copied {
		maps.Copy(c.Entries, snapshots.entries)
	}
	c.Unreadable = append(c.Unreadable, snapshots.unreadable...)
	c.Digest = hex.EncodeToString(digest.Sum(nil))
	for table, n := range map[string]*int{"kv_revisions": &c.Revisions, "hooks": &c.Hooks, "notice": &c.Notices} {
		if !f.tables[table] {
			continue
		}
		if err := f.db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(n); err != nil {
			return nil, err
		}
	}
	slices.Sort(c.Unreadable)
	return c, nil
}

func (c *Contents) add(key, data string) {
	if key == snapshotsKey {
		return
	}
	if bag, ok := parseCarried(key); ok {
		if seen, err := decodeCarried(data); err == nil {
			c.Former[bag] = seen
			return
		}
	}
	if bag, field, ok := parseSeen(key); ok {
		if sum, ok := parseSum(data); ok {
			if c.Seen[bag] == nil {
				c.Seen[bag] = make(map[string]unitdata.Sum)
			}
			c.Seen[bag][field] = sum
			return
		}
	}
	if _, err := canonicaljson.Decode(data); err != nil {
		c.Unreadable = append(c.Unreadable, key)
		return
	}
	c.Entries[key] = json.RawMessage(data)
}

// parseSeen reads reactive.data_changed.endpoint.ENDPOINT.RELATION.UNIT.KEY. Of
// these only the key may hold a point.
func parseSeen(key string) (bag unitdata.Bag, field string, ok bool) {
	rest, ok := strings.CutPrefix(key, seenPrefix)
	if !ok {
		return bag, "", false
	}
	parts := strings.SplitN(rest, ".", 4)
	if len(parts) != 4 || !strings.HasPrefix(parts[1], parts[0]+":") {
		return bag, "", false
	}
	return unitdata.Bag{Relation: parts[1], Name: parts[2]}, parts[3], true
}

// seenKeyPrefix returns what parseSeen reads, up to the key.
func seenKeyPrefix(bag unitdata.Bag) string {
	endpoint, _, _ := strings.Cut(bag.Relation, ":")
	return seenPrefix + endpoint + "." + bag.Relation + "." + bag.Name + "."
}

func parseSum(data string) (sum unitdata.Sum, ok bool) {
	v, err := canonicaljson.Decode(data)
	if err != nil {
		return sum, false
	}
	text, _ := v.(string)
	if hex.DecodedLen(len(text)) != len(sum) {
		return sum, false
	}
	_, err = hex.Decode(sum[:], []byte(text))
	return sum, err == nil
}

func sumText(sum unitdata.Sum) string { return `"` + hex.EncodeToString(sum[:]) + `"` }

// rows calls do for the key and the value of every row that query finds in a
// table. Rows without either are passed over: unitdata cannot write them.
func (f *file) rows(ctx context.Context, table, query string, do func(key, data string), args ...any) error {
	if !f.tables[table] {
		return nil
	}
	rows, err := f.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var key, data *string
		if err := rows.Scan(&key, &data); err != nil {
			return err
		}
		if key != nil && data != nil {
			do(*key, *data)
		}
	}
	return rows.Err()
}

// snapshots are the StoredState of all ops objects.
type snapshots struct {
	entries    map[string]json.RawMessage // with SnapshotPrefix before the handle
	unreadable []string                   // keys of those that are no plain data
	digest     string                     // of them all, as a JSON text
	copied     bool                       // a Store has copied just these to entries
}

func (f *file) snapshots(ctx context.Context) (*snapshots, error) {
	s := &snapshots{entries: make(map[string]json.RawMessage)}
	digest := sha256.New()
	err := f.rows(ctx, "snapshot", "SELECT handle, data FROM snapshot ORDER BY handle", func(handle, data string) {
		// Events that were deferred are snapshots too, and none of a charm's
		// data.
		if handle == frameworkHandle || !strings.Contains(handle, "StoredStateData[") {
			return
		}
		writeField(digest, handle)
		writeField(digest, data)
		key := SnapshotPrefix + handle
		v, err := unpickle([]byte(data))
		if err == nil {
			var text string
			if text, err = canonicaljson.Encode(v); err == nil {
				s.entries[key] = json.RawMessage(text)
			}
		}
		if err != nil {
			s.unreadable = append(s.unreadable, key)
		}
	})
	if err != nil {
		return nil, err
	}
	s.digest = `"` + hex.EncodeToString(digest.Sum(nil)) + `"`
	err = f.rows(ctx, "kv", "SELECT key, data FROM kv WHERE key = ?", func(_, data string) {
		s.copied = data == s.digest
	}, snapshotsKey)
	return s, err
}

// writeField writes a string so that no two sequences of strings look alike.
func writeField(w interface{ Write([]byte) (int, error) }, s string) {
	sum := sha256.Sum256([]byte(s))
	w.Write(sum[:])
}
