package sqlitefile

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/unitdata"
)

// importedKey is the key of the entry that holds the digest of the file that
// was imported.
const importedKey = "sqlitefile.imported"

// An Importer is a [unitdata.Store] that takes what a Python charm left into
// another store, and then is that store.
//
// The first [Importer.Load] that finds the file commits its content to the
// store. The file stays as it is until a later Load finds the content in the
// store, so that Juju has surely kept it; then it gets another name. So a hook
// that fails or is killed at any point leaves the file to the next one. If a
// Python charm has run in the meantime and left another file, its content
// replaces that of the store.
//
// A file that cannot be read is an error of Load, and nothing is changed.
type Importer struct {
	store unitdata.Store
	o     Options
	// tools are for a file that a Store kept; nil if there can be none.
	tools *hooktool.Client
	step  func(name string)
}

var (
	_ unitdata.Store   = (*Importer)(nil)
	_ unitdata.Checker = (*Importer)(nil)
)

// Import returns a store that takes the file of o into store, once.
func Import(store unitdata.Store, o Options) *Importer { return &Importer{store: store, o: o} }

func (i *Importer) at(step string) {
	if i.step != nil {
		i.step(step)
	}
}

// Seen implements [unitdata.Store].
func (i *Importer) Seen(ctx context.Context, bag unitdata.Bag) (unitdata.Seen, error) {
	return i.store.Seen(ctx, bag)
}

// Check implements [unitdata.Checker] as far as the other store does.
func (i *Importer) Check(ctx context.Context, changes unitdata.Changes) error {
	if checker, ok := i.store.(unitdata.Checker); ok {
		return checker.Check(ctx, changes)
	}
	return nil
}

// Commit implements [unitdata.Store].
func (i *Importer) Commit(ctx context.Context, changes unitdata.Changes) error {
	return i.store.Commit(ctx, changes)
}

// Load implements [unitdata.Store].
func (i *Importer) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	entries, err := i.store.Load(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(i.o.Path); errors.Is(err, fs.ErrNotExist) {
		return entries, nil
	}
	c, err := i.read(ctx, entries)
	if err != nil {
		return nil, fmt.Errorf("cannot take over the state of the Python charm: %w", fileError(i.o.Path, err))
	}
	done, again := imported(entries)
	if again && done == c.Digest {
		return entries, nil
	}
	changes := takeOver(c, entries, again)
	if _, ok := entries[configKey]; !ok || again {
		text, err := i.o.options()
		if err != nil {
			i.o.log(ctx, "%v", err)
		} else if text != nil {
			changes.Set[configKey] = text
			changes.Delete = slices.DeleteFunc(changes.Delete, func(key string) bool { return key == configKey })
		}
	}
	i.at("commit")
	if err := i.store.Commit(ctx, changes); err != nil {
		if errors.Is(err, unitdata.ErrTooLarge) {
			err = fmt.Errorf("%w; a charm that uses Keep goes on with the file, however large", err)
		}
		return nil, fmt.Errorf("cannot take over the state of the Python charm from %s: %w", i.o.Path, err)
	}
	i.at("committed")
	if entries == nil {
		entries = make(map[string]json.RawMessage)
	}
	maps.Copy(entries, changes.Set)
	for _, key := range changes.Delete {
		delete(entries, key)
	}
	i.report(ctx, c, changes)
	return entries, nil
}

// read reads the file. If that is in entries already, it puts it away.
func (i *Importer) read(ctx context.Context, entries map[string]json.RawMessage) (c *Contents, err error) {
	i.at("read")
	f, err := openFile(ctx, i.o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := i.undo(ctx, f); err != nil {
		return nil, err
	}
	counter, err := f.changes()
	if err != nil {
		return nil, err
	}
	if c, err = f.contents(ctx); err != nil {
		return nil, err
	}
	if done, ok := imported(entries); !ok || done != c.Digest {
		return c, nil
	}
	// Nobody else can write to it meanwhile.
	return c, f.write(ctx, func(*sql.Tx) error {
		if now, err := f.changes(); err != nil || now != counter {
			return err // the next hook reads what was written
		}
		return i.putAway(ctx)
	})
}

// undo undoes in a file that a [Store] kept what Juju did not keep.
func (i *Importer) undo(ctx context.Context, f *file) error {
	if i.tools == nil || !f.tables["go_hook"] {
		return nil
	}
	token, _, err := i.tools.StateGet(ctx, stateKey)
	if err != nil {
		return err
	}
	return (&Store{o: i.o, step: i.step}).resolve(ctx, f, token)
}

func imported(entries map[string]json.RawMessage) (digest string, ok bool) {
	text, ok := entries[importedKey]
	if !ok {
		return "", false
	}
	return digest, json.Unmarshal(text, &digest) == nil
}

// takeOver returns what to commit. If the file was left by a Python charm that
// ran after an earlier import, what the store has is older and goes; otherwise
// what it has was made by the Go charm and stays.
func takeOver(c *Contents, entries map[string]json.RawMessage, again bool) unitdata.Changes {
	changes := unitdata.Changes{Set: make(map[string]json.RawMessage), Seen: c.Seen, Former: c.Former}
	for key, text := range c.Entries {
		if _, ok := entries[key]; bookkeeping(key) || ok && !again {
			continue
		}
		// Stores keep canonical texts. What Decode read, Encode writes.
		if text, err := canonicaljson.Encode(text); err == nil {
			changes.Set[key] = json.RawMessage(text)
		}
	}
	changes.Set[importedKey] = json.RawMessage(`"` + c.Digest + `"`)
	if again {
		for key := range entries {
			if _, ok := changes.Set[key]; !ok {
				changes.Delete = append(changes.Delete, key)
			}
		}
		slices.Sort(changes.Delete)
	}
	return changes
}

// bookkeeping reports whether a key is one that the dispatcher of
// charms.reactive needs within a hook only.
func bookkeeping(key string) bool {
	for _, prefix := range []string{
		"reactive.dispatch.", "reactive.state_watch",
		"reactive.flag_set_triggers.", "reactive.flag_clear_triggers.", "reactive.flag_triggers.",
	} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// putAway gives the file another name, without ever replacing another file or
// leaving none. If it is interrupted between the two steps, the next call
// finds the file under both names.
func (i *Importer) putAway(ctx context.Context) error {
	path := i.o.Path
	kept, err := link(path)
	if err != nil {
		return fmt.Errorf("cannot put it away: %w", err)
	}
	i.at("linked")
	if err := syncDir(path); err != nil {
		return fmt.Errorf("cannot put it away: %w", err)
	}
	i.at("synced")
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot put it away: %w", err)
	}
	i.at("removed")
	i.o.log(ctx, "kept the state of the Python charm as %s", kept)
	return nil
}

func link(path string) (string, error) {
	for n := 1; ; n++ {
		kept := path + ".imported"
		if n > 1 {
			kept = fmt.Sprintf("%s-%d", kept, n)
		}
		err := os.Link(path, kept)
		if err == nil || !errors.Is(err, fs.ErrExist) || n == 1000 {
			return kept, err
		}
		a, errA := os.Lstat(path)
		b, errB := os.Lstat(kept)
		if errA == nil && errB == nil && os.SameFile(a, b) {
			return kept, nil
		}
	}
}

func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// report says in the log what was taken and what was left.
func (i *Importer) report(ctx context.Context, c *Contents, changes unitdata.Changes) {
	groups := []struct{ prefix, name string }{
		{"reactive.states.", "flags"},
		{"reactive.endpoints.departed.", "endpoints' departed units"},
		{"reactive.data_changed.", "sums of data"},
		{"reactive.files_changed.", "sums of files"},
		{"reactive.invoked.", "marks of what runs only once"},
		{"reactive.conversations.", "conversations"},
		{SnapshotPrefix, "states of ops objects"},
		{configKey, "record of the options"},
	}
	counts := make(map[string]int)
	var own []string
	for key := range changes.Set {
		if key == importedKey {
			continue
		}
		at := slices.IndexFunc(groups, func(g struct{ prefix, name string }) bool { return strings.HasPrefix(key, g.prefix) })
		if at < 0 {
			own = append(own, key)
		} else {
			counts[groups[at].name]++
		}
	}
	sums := 0
	for _, seen := range c.Former {
		sums += seen.Len()
	}
	for _, bag := range c.Seen {
		sums += len(bag)
	}
	took := []string{}
	for _, g := range groups {
		took = appendCount(took, counts[g.name], g.name)
	}
	took = appendCount(took, sums, "sums of related units' data")
	if len(own) > 0 {
		took = append(took, fmt.Sprintf("%d of the charm's own (%s)", len(own), list(own)))
	}
	if len(took) == 0 {
		took = append(took, "nothing, for it is empty")
	}
	i.o.log(ctx, "took over from %s: %s", i.o.Path, strings.Join(took, ", "))

	var left, kept []string
	marks := 0
	for key := range c.Entries {
		if _, ok := changes.Set[key]; ok {
			continue
		}
		if bookkeeping(key) {
			marks++
		} else {
			kept = append(kept, key)
		}
	}
	left = appendCount(left, marks, "marks of the dispatcher")
	left = appendCount(left, c.Revisions, "former values")
	left = appendCount(left, c.Hooks, "records of hooks")
	left = appendCount(left, c.Notices, "deferred ops events, which will not be emitted again")
	if len(kept) > 0 {
		left = append(left, fmt.Sprintf("%d that the charm stored since (%s)", len(kept), list(kept)))
	}
	if len(c.Unreadable) > 0 {
		left = append(left, fmt.Sprintf("%d that are not JSON or plain data of at most 16 MiB (%s)", len(c.Unreadable), list(c.Unreadable)))
	}
	if len(left) > 0 {
		i.o.log(ctx, "left in %s: %s", i.o.Path, strings.Join(left, ", "))
	}
	if len(changes.Delete) > 0 {
		i.o.log(ctx, "removed, being older than %s: %s", i.o.Path, list(changes.Delete))
	}
}

func appendCount(list []string, n int, name string) []string {
	if n == 0 {
		return list
	}
	return append(list, fmt.Sprintf("%d %s", n, name))
}

// list names keys, but not too many.
func list(keys []string) string {
	keys = slices.Sorted(slices.Values(keys))
	const most = 40
	if len(keys) > most {
		return strings.Join(keys[:most], ", ") + fmt.Sprintf(" and %d more", len(keys)-most)
	}
	return strings.Join(keys, ", ")
}
