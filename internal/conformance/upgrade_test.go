package conformance

import (
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
	"testing"

	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// TestUpgrade plays the vectors of family reactive in two halves. The first
// half was played by the Python charm: what it stored, as recorded, is written
// to its file of unit state, and taken over from there. The second half is
// played by the Go charm, with the recorded results. (The Go charm plays the
// first half as well, but only so that the files are there that handlers wrote;
// what it stored is thrown away.)
func TestUpgrade(t *testing.T) {
	forReactive(t, "upgrade", 1, runUpgrade)
}

// TestUpgradeForOneHook plays every step of the vectors of family reactive in
// Go from the file of unit state that the Python charm left after the step
// before, with the store that keeps the file. It must leave in the file what the
// Python charm would have left: the one can take the other's place after any
// hook, forth and back. Every hook writes and syncs a file of its own, so of the
// vectors every fourth is played, or every one if CONFORMANCE_KEEP is "all".
func TestUpgradeForOneHook(t *testing.T) {
	every := 4
	if os.Getenv("CONFORMANCE_KEEP") == "all" {
		every = 1
	}
	forReactive(t, "upgrade for one hook", every, runUpgradeForOneHook)
}

// forReactive runs every so-manieth of the vectors of family reactive that have
// two steps or more.
func forReactive(t *testing.T, title string, every int, run func(t *testing.T, line []byte)) {
	lines, err := readVectors(vectorsDir(), "reactive")
	if err != nil {
		t.Fatal(err)
	}
	if testing.Short() {
		every *= 10
	}
	played, failed := 0, 0
	for i, line := range lines {
		if i%every != 0 || len(stepsOf(t, line)) < 2 {
			continue
		}
		if t.Run(mustID(t, line), func(t *testing.T) { run(t, line) }) {
			played++
		} else {
			failed++
		}
	}
	fmt.Printf("%s: %d passed, %d failed\n", title, played, failed)
	if played+failed < len(lines)/every/2 {
		t.Errorf("only %d vectors were played", played+failed)
	}
}

func runUpgradeForOneHook(t *testing.T, line []byte) {
	r := newHookRunner(t, line)
	r.open = sqlitefile.Keep
	var charm reactiveCharm
	decodeVector(t, line, &charm)
	path := filepath.Join(r.dir, sqlitefile.FileName)
	stored := map[string]string{}
	for key, v := range r.vector.Charm.KV {
		stored[key] = mustEncode(t, v)
	}
	for i, raw := range r.vector.Steps {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		writeUnitState(t, path, stored, nil)
		r.store = memoryOf(stored)
		r.play(t, &charm, i, raw)
		var step vectorStep
		decodeVector(t, raw, &step)
		for key, v := range step.Expect.KVSet {
			stored[key] = mustEncode(t, v)
		}
		for _, key := range step.Expect.KVDel {
			delete(stored, key)
		}
		if r.err == nil {
			r.compareSums(t, i, &step, stored)
		}
	}
}

// compareSums holds that the sums of remote data in the file are those of the
// Python charm: of the units that are there, all, and of others, no other ones.
func (r *hookRunner) compareSums(t *testing.T, n int, step *vectorStep, want map[string]string) {
	t.Helper()
	const prefix = "reactive.data_changed.endpoint."
	got := r.store.Entries()
	for key, sum := range got {
		if strings.HasPrefix(key, prefix) && canonicaljson.Canonical(string(sum)) != want[key] {
			t.Errorf("step %d (%s): the sum %s is %s, want %q", n, step.Hook, key, sum, want[key])
		}
	}
	for key := range want {
		parts := strings.SplitN(strings.TrimPrefix(key, prefix), ".", 4)
		if !strings.HasPrefix(key, prefix) || len(parts) < 4 || got[key] != nil {
			continue
		}
		if rel := r.relations[parts[1]]; rel != nil && slices.Contains(rel.Units, parts[2]) {
			t.Errorf("step %d (%s): the sum %s is not there", n, step.Hook, key)
		}
	}
}

func memoryOf(rows map[string]string) *unitdata.Memory {
	entries := make(map[string]json.RawMessage)
	for key, text := range rows {
		entries[key] = json.RawMessage(text)
	}
	return unitdata.NewMemory(entries)
}

// readUnitState returns the rows of a file as a Python charm would see them.
func readUnitState(t testing.TB, path string) *unitdata.Memory {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT key, data FROM kv")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	stored := make(map[string]string)
	for rows.Next() {
		var key, text string
		if err := rows.Scan(&key, &text); err != nil {
			t.Fatal(err)
		}
		stored[key] = text
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return memoryOf(stored)
}

func runUpgrade(t *testing.T, line []byte) {
	r := newHookRunner(t, line)
	var charm reactiveCharm
	decodeVector(t, line, &charm)
	half := len(r.vector.Steps) / 2
	stored := map[string]string{}
	for key, v := range r.vector.Charm.KV {
		stored[key] = mustEncode(t, v)
	}
	for i, raw := range r.vector.Steps[:half] {
		var step vectorStep
		decodeVector(t, raw, &step)
		r.run(t, &step, r.player(t, &charm, i, &step).build)
		for key, v := range step.Expect.KVSet {
			stored[key] = mustEncode(t, v)
		}
		for _, key := range step.Expect.KVDel {
			delete(stored, key)
		}
	}
	path := filepath.Join(r.dir, sqlitefile.FileName)
	writeUnitState(t, path, stored, nil)
	r.store = &unitdata.Memory{}
	if _, err := sqlitefile.Import(r.store, sqlitefile.Options{Path: path}).Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, raw := range r.vector.Steps[half:] {
		r.play(t, &charm, half+i, raw)
		if t.Failed() {
			return
		}
	}
}

// writeUnitState writes a file of unit state as charmhelpers would have left
// it; with the state of ops objects, if there is any.
func writeUnitState(t testing.TB, path string, rows map[string]string, snapshots map[string]json.RawMessage) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	statements := []string{
		"PRAGMA synchronous=OFF", // it is a test's file, and there are thousands
		"CREATE TABLE kv (key text, data text, primary key (key))",
		"CREATE TABLE kv_revisions (key text, revision integer, data text, primary key (key, revision))",
		"CREATE TABLE hooks (version integer primary key autoincrement, hook text, date text)",
	}
	if len(snapshots) > 0 {
		statements = append(statements, "CREATE TABLE snapshot (handle TEXT PRIMARY KEY, data BLOB)",
			"CREATE TABLE notice (sequence INTEGER PRIMARY KEY AUTOINCREMENT, event_path TEXT, observer_path TEXT, method_name TEXT)")
	}
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		if _, err := tx.Exec("INSERT INTO kv VALUES (?, ?)", key, rows[key]); err != nil {
			t.Fatal(err)
		}
	}
	for _, handle := range slices.Sorted(maps.Keys(snapshots)) {
		if _, err := tx.Exec("INSERT INTO snapshot VALUES (?, ?)", handle, pickle(t, snapshots[handle])); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
