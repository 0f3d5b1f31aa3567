package sqlitefile

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/unitdata"
)

const (
	// stateKey is the key in Juju's charm state of the last hook's token.
	stateKey = "sqlitefile"

	// hookVersion is the version of the tables go_hook and go_undo.
	hookVersion = 1
)

// A Store keeps unit data in the .unit-state.db of Python charms, so that they
// and a Go charm may replace each other. It is a [unitdata.Store]; the limits
// of Juju's charm state do not apply to it.
//
// The file is committed before Juju commits the hook. If Juju then does not,
// because the hook failed or the machine went down, the next hook finds it out
// and undoes what the file has of it: each commit leaves in the file what was
// there before (table go_undo) under a token, and stores the token in Juju's
// charm state, which Juju commits with everything else. If somebody else wrote
// the file in the meantime, such as a Python charm, it is left as it is and the
// log says so.
//
// If the charm kept its data in Juju's charm state before, that is carried over
// with the first commit. It counts where the file says otherwise, unless a
// Python charm left the file later.
//
// A Store is not safe for concurrent use, and one process should open a file
// only once at a time: closing it ends the process's other locks on it.
type Store struct {
	o     Options
	tools *hooktool.Client
	step  func(name string)

	file      *file
	taken     map[string]json.RawMessage // of ops objects, not yet rows
	snapshots string                     // digest of these
	carried   *carried                   // of Juju's charm state, not yet rows
	committed bool
}

var _ unitdata.Store = (*Store)(nil)

// NewStore returns a store in the file that o names, which is made if there is
// none, for the unit for which tools run. Use a new one for each hook, and
// close it.
func NewStore(tools *hooktool.Client, o Options) *Store {
	return &Store{o: o, tools: tools}
}

func (s *Store) at(step string) {
	if s.step != nil {
		s.step(step)
	}
}

// Close closes the file. A store that was never used needs no Close.
func (s *Store) Close() error {
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}

func (s *Store) open(ctx context.Context) error {
	if s.file != nil {
		return nil
	}
	token, _, err := s.tools.StateGet(ctx, stateKey)
	if err != nil {
		return err
	}
	s.at("open")
	f, err := createFile(ctx, s.o)
	if err != nil {
		return err
	}
	if err := s.resolve(ctx, f, token); err != nil {
		return errors.Join(fileError(s.o.Path, err), f.Close())
	}
	s.file = f
	return nil
}

// resolve undoes the last commit if Juju did not keep its hook, which is so if
// Juju has another token.
func (s *Store) resolve(ctx context.Context, f *file, token string) error {
	if !f.tables["go_hook"] {
		if token != "" {
			s.o.log(ctx, "what this charm kept in %s is gone: it is another file now", s.o.Path)
		}
		return nil
	}
	var last string
	var counter, undo int64
	err := f.db.QueryRowContext(ctx, "SELECT token, counter, (SELECT count(*) FROM go_undo) FROM go_hook").Scan(&last, &counter, &undo)
	if errors.Is(err, sql.ErrNoRows) || err == nil && (last == token || undo == 0) {
		return nil
	}
	if err != nil {
		return err
	}
	s.at("undo")
	err = f.write(ctx, func(tx *sql.Tx) error {
		now, err := f.changes()
		if err != nil {
			return err
		}
		statements := []string{
			"DELETE FROM kv WHERE key IN (SELECT key FROM go_undo WHERE data IS NULL)",
			"INSERT INTO kv (key, data) SELECT key, data FROM go_undo WHERE data IS NOT NULL" +
				" ON CONFLICT (key) DO UPDATE SET data = excluded.data",
			"DELETE FROM go_undo",
		}
		if int64(now) == counter {
			s.o.log(ctx, "Juju did not keep the last hook: undoing its %d changes in %s", undo, s.o.Path)
		} else {
			statements = statements[2:]
			s.o.log(ctx, "Juju did not keep the last hook, but %s was written since: leaving it as it is", s.o.Path)
		}
		for _, statement := range statements {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
			s.at("undo statement")
		}
		_, err = tx.ExecContext(ctx, "UPDATE go_hook SET token = ?, counter = 0", token)
		return err
	})
	s.at("undone")
	return err
}

// checkHookTables checks the version of the tables that a Store adds.
func (f *file) checkHookTables(ctx context.Context) error {
	if !f.tables["go_hook"] {
		return nil
	}
	var version sql.NullInt64
	if err := f.db.QueryRowContext(ctx, "SELECT max(version) FROM go_hook").Scan(&version); err != nil {
		return err
	}
	if version.Int64 > hookVersion {
		return &Error{f.path, ErrFuture, fmt.Errorf("its table go_hook has version %d", version.Int64)}
	}
	return nil
}

// Load implements [unitdata.Store]. The entries are those of the Python charm,
// but for the sums that Seen returns. Rows that are not JSON are left alone.
func (s *Store) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	entries := make(map[string]json.RawMessage)
	var unreadable []string
	err := s.file.rows(ctx, "kv", "SELECT key, data FROM kv WHERE key < ? OR key >= ?", func(key, data string) {
		if _, err := canonicaljson.Decode(data); err != nil {
			unreadable = append(unreadable, key)
		} else if key != snapshotsKey && !strings.HasPrefix(key, carriedPrefix) {
			entries[key] = json.RawMessage(data)
		}
	}, seenPrefix, seenEnd)
	if err != nil {
		return nil, fileError(s.o.Path, err)
	}
	snapshots, err := s.file.snapshots(ctx)
	if err != nil {
		return nil, fileError(s.o.Path, err)
	}
	if !snapshots.copied {
		s.taken, s.snapshots = snapshots.entries, snapshots.digest
	}
	maps.Copy(entries, s.taken)
	if err := s.carryOver(ctx); err != nil {
		return nil, err
	}
	if s.carried != nil {
		maps.Copy(entries, s.carried.entries)
	}
	if _, ok := entries[configKey]; !ok {
		text, err := s.o.options()
		if err != nil {
			s.o.log(ctx, "%v", err)
		} else if text != nil {
			entries[configKey] = text
		}
	}
	if len(unreadable) > 0 {
		s.o.log(ctx, "left alone in %s, because they are not JSON of at most 16 MiB: %s", s.o.Path, list(unreadable))
	}
	return entries, nil
}

// Seen implements [unitdata.Store].
func (s *Store) Seen(ctx context.Context, bag unitdata.Bag) (unitdata.Seen, error) {
	if err := s.open(ctx); err != nil {
		return unitdata.Seen{}, err
	}
	seen, err := s.carriedSeen(ctx, bag)
	if err != nil {
		return seen, fileError(s.o.Path, err)
	}
	prefix := seenKeyPrefix(bag)
	err = s.file.rows(ctx, "kv", "SELECT key, data FROM kv WHERE key >= ? AND key < ? ORDER BY key", func(key, data string) {
		if sum, ok := parseSum(data); ok {
			seen.Note(strings.TrimPrefix(key, prefix), sum)
		}
	}, prefix, after(prefix))
	return seen, fileError(s.o.Path, err)
}

// after returns the first string after all that begin with prefix, which ends
// in a point.
func after(prefix string) string { return prefix[:len(prefix)-1] + "/" }

// Commit implements [unitdata.Store].
func (s *Store) Commit(ctx context.Context, changes unitdata.Changes) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	token := newToken()
	err := s.file.write(ctx, func(tx *sql.Tx) error {
		counter, err := s.file.changes()
		if err != nil {
			return err
		}
		w := writer{ctx: ctx, tx: tx, at: s.at}
		w.exec("CREATE TABLE IF NOT EXISTS go_hook (version integer, token text, counter integer)")
		w.exec("CREATE TABLE IF NOT EXISTS go_undo (key text primary key, data text)")
		if !s.committed {
			w.exec("DELETE FROM go_undo")
		}
		s.writeChanges(&w, changes)
		w.exec("DELETE FROM go_hook")
		w.exec("INSERT INTO go_hook (version, token, counter) VALUES (?, ?, ?)", hookVersion, token, int64(counter+1))
		return w.err
	})
	if err != nil {
		// The connection may still be in the transaction that could not end.
		return errors.Join(err, s.Close())
	}
	s.file.tables["go_hook"] = true
	moved := s.carried
	s.committed, s.taken, s.carried = true, nil, nil
	s.at("committed")
	if err := s.tools.StateSet(ctx, map[string]string{stateKey: token}); err != nil || moved == nil {
		return err
	}
	s.at("moved")
	return s.tools.StateDelete(ctx, moved.keys...)
}

func (s *Store) writeChanges(w *writer, changes unitdata.Changes) {
	set := make(map[string]json.RawMessage)
	maps.Copy(set, s.carried.rows())
	if len(s.taken) > 0 {
		maps.Copy(set, s.taken)
		set[snapshotsKey] = json.RawMessage(s.snapshots)
	}
	for _, key := range changes.Delete {
		delete(set, key)
		w.unset(key)
	}
	maps.Copy(set, changes.Set)
	for _, key := range slices.Sorted(maps.Keys(set)) {
		w.set(key, string(set[key]))
	}
	for _, bag := range changes.Forget {
		w.unset(carriedKey(bag))
		w.unsetRange(seenKeyPrefix(bag))
	}
	for _, bag := range sortedBags(changes.Former) {
		text, err := encodeCarried(changes.Former[bag])
		w.err = errors.Join(w.err, err)
		w.set(carriedKey(bag), text)
		w.unsetRange(seenKeyPrefix(bag))
	}
	for _, bag := range sortedBags(changes.Seen) {
		prefix := seenKeyPrefix(bag)
		for _, key := range slices.Sorted(maps.Keys(changes.Seen[bag])) {
			w.set(prefix+key, sumText(changes.Seen[bag][key]))
		}
	}
}

func sortedBags[V any](m map[unitdata.Bag]V) []unitdata.Bag {
	return slices.SortedFunc(maps.Keys(m), func(a, b unitdata.Bag) int { return strings.Compare(a.String(), b.String()) })
}

// writer writes rows and what is needed to undo that. After an error it does
// nothing more.
type writer struct {
	ctx context.Context
	tx  *sql.Tx
	at  func(step string)
	err error
}

func (w *writer) exec(query string, args ...any) {
	if w.err == nil {
		_, w.err = w.tx.ExecContext(w.ctx, query, args...)
		w.at("statement")
	}
}

// keep remembers what is stored for key before it is changed the first time.
func (w *writer) keep(key string) {
	w.exec("INSERT OR IGNORE INTO go_undo (key, data) VALUES (?1, (SELECT data FROM kv WHERE key = ?1))", key)
}

func (w *writer) set(key, data string) {
	w.keep(key)
	w.exec("INSERT INTO kv (key, data) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET data = excluded.data", key, data)
}

func (w *writer) unset(key string) {
	w.keep(key)
	w.exec("DELETE FROM kv WHERE key = ?", key)
}

func (w *writer) unsetRange(prefix string) {
	w.exec("INSERT OR IGNORE INTO go_undo (key, data) SELECT key, data FROM kv WHERE key >= ? AND key < ?", prefix, after(prefix))
	w.exec("DELETE FROM kv WHERE key >= ? AND key < ?", prefix, after(prefix))
}

func newToken() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
