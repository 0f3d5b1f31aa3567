package conformance

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

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
	lines, err := readVectors(vectorsDir(), "reactive")
	if err != nil {
		t.Fatal(err)
	}
	played, failed := 0, 0
	for i, line := range lines {
		if testing.Short() && i%10 != 0 {
			continue
		}
		var h header
		if err := json.Unmarshal(line, &h); err != nil {
			t.Fatal(err)
		}
		var steps struct{ Steps []json.RawMessage }
		if err := json.Unmarshal(line, &steps); err != nil {
			t.Fatal(err)
		}
		if deviation(h) != "" || len(steps.Steps) < 2 {
			continue
		}
		if t.Run(h.ID, func(t *testing.T) { runUpgrade(t, line) }) {
			played++
		} else {
			failed++
		}
	}
	fmt.Printf("upgrade: %d passed, %d failed\n", played, failed)
	if played+failed < 100 {
		t.Errorf("only %d vectors have two halves", played+failed)
	}
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
