package sqlitefile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	// Unreadable are the keys of rows that hold no JSON or no plain data.
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
	closeErr := f.Close()
	if err != nil {
		return nil, fileError(o.Path, err)
	}
	return c, fileError(o.Path, closeErr)
}

func (f *file) contents(ctx context.Context) (*Contents, error) {
	if err := f.checkIntegrity(ctx); err != nil {
		return nil, err
	}
	c := &Contents{
		Entries: make(map[string]json.RawMessage),
		Seen:    make(map[unitdata.Bag]map[string]unitdata.Sum),
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
	err = f.snapshots(ctx, func(handle string, data []byte, text json.RawMessage, ok bool) {
		writeField(digest, handle)
		writeField(digest, string(data))
		if ok {
			c.Entries[SnapshotPrefix+handle] = text
		} else {
			c.Unreadable = append(c.Unreadable, SnapshotPrefix+handle)
		}
	})
	if err != nil {
		return nil, err
	}
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

// snapshots calls do for the StoredState of every ops object, and its value as
// JSON, if it can be that.
func (f *file) snapshots(ctx context.Context, do func(handle string, data []byte, text json.RawMessage, ok bool)) error {
	const query = "SELECT handle, data FROM snapshot ORDER BY handle"
	return f.rows(ctx, "snapshot", query, func(handle, data string) {
		// Events that were deferred are snapshots too, and none of a charm's
		// data.
		if handle == frameworkHandle || !strings.Contains(handle, "StoredStateData[") {
			return
		}
		v, err := unpickle([]byte(data))
		if err != nil {
			do(handle, []byte(data), nil, false)
			return
		}
		text, err := canonicaljson.Encode(v)
		do(handle, []byte(data), json.RawMessage(text), err == nil)
	})
}

// writeField writes a string so that no two sequences of strings look alike.
func writeField(w interface{ Write([]byte) (int, error) }, s string) {
	sum := sha256.Sum256([]byte(s))
	w.Write(sum[:])
}
