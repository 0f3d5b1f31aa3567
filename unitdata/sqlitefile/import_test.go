package sqlitefile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// TestImportStory is a unit whose Python charm is replaced by a Go charm that
// keeps its data in Juju's charm state, goes back, and forward again.
func TestImportStory(t *testing.T) {
	t.Parallel()
	o, log := sample(t, "unit-state-sample.db")
	execSQL(t, o.Path,
		`INSERT INTO kv VALUES ('own', '{"b": 1, "a": [1.0, "x"]}'), ('cut', '{'), ('reactive.state_watch', '{}')`,
		`INSERT INTO kv VALUES ('reactive.invoked.h0', 'true'), ('reactive.files_changed.etc', '"5b"')`,
		`INSERT INTO hooks (hook) VALUES ('install')`)
	a := newAgent()
	run := func(do func(d *unitdata.Data)) {
		t.Helper()
		data, err := unitdata.Open(t.Context(), sqlitefile.Import(unitdata.NewJujuState(a.tools()), o))
		if err != nil {
			t.Fatal(err)
		}
		do(data)
		if err := data.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want bool, keys ...string) func(*unitdata.Data) {
		return func(d *unitdata.Data) {
			t.Helper()
			for _, key := range keys {
				if d.Has(key) != want {
					t.Errorf("%s is there: %v, want %v", key, !want, want)
				}
			}
		}
	}
	taken := []string{"reactive.states.db.available", "reactive.endpoints.departed.db", "reactive.data_changed.app.config",
		"reactive.invoked.h0", "reactive.files_changed.etc", "own"}

	// The first hook fails after all, and the second has it all to do again.
	for range 2 {
		a.discard()
		run(func(d *unitdata.Data) {
			has(true, taken...)(d)
			has(false, "cut", "reactive.state_watch", "reactive.dispatch.phase")(d)
			seen, err := d.Seen(t.Context(), unitdata.Bag{Relation: "db:1", Name: "mysql/0"})
			if err != nil || seen.Len() != 6 || !seen.Same("port", unitdata.SumOf("3306")) {
				t.Errorf("%d values seen, error %v", seen.Len(), err)
			}
		})
		want := "took over from " + o.Path + ": 13 flags, 1 endpoints' departed units, 1 sums of data, 1 sums of files, " +
			"1 marks of what runs only once, 14 sums of related units' data, 1 of the charm's own (own)\n" +
			"left in " + o.Path + ": 3 marks of the dispatcher, 1 records of hooks, 1 that are not JSON or plain data of at most 16 MiB (cut)"
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		log.list = nil
		if _, err := os.Stat(o.Path); err != nil {
			t.Errorf("before Juju kept the import: %v", err)
		}
	}
	a.commit()

	// The next one puts the file away, and the others do not look for it.
	// A journal with nothing in it is no other process at work.
	if err := os.WriteFile(o.Path+"-journal", make([]byte, 512), 0o600); err != nil {
		t.Fatal(err)
	}
	run(has(true, taken...))
	if diff := cmp.Diff("kept the state of the Python charm as "+o.Path+".imported", log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	log.list = nil
	run(func(d *unitdata.Data) {
		has(true, taken...)(d)
		d.Unset("own")
		if err := d.Set("reactive.states.go", nil); err != nil {
			t.Error(err)
		}
	})
	a.commit()
	if _, err := os.Lstat(o.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}

	// The operator goes back to the Python charm with the file, which goes on
	// from there. What the Go charm stored is older when it comes back.
	if err := os.Rename(o.Path+".imported", o.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Path+".imported", []byte("not to be replaced"), 0o600); err != nil {
		t.Fatal(err)
	}
	execSQL(t, o.Path, `INSERT INTO kv VALUES ('python', '1')`, `DELETE FROM kv WHERE key = 'reactive.states.app.started'`)
	for range 2 {
		run(has(true, "python", "own"))
		run(has(false, "reactive.states.go", "reactive.states.app.started"))
		a.commit()
	}
	if !strings.Contains(log.String(), "removed, being older than "+o.Path+": reactive.states.app.started, reactive.states.go") {
		t.Errorf("log: %s", log)
	}
	if data, err := os.ReadFile(o.Path + ".imported"); err != nil || string(data) != "not to be replaced" {
		t.Errorf("another file was replaced: %q, %v", data, err)
	}
	if _, err := os.Stat(o.Path + ".imported-2"); err != nil {
		t.Error(err)
	}
}

// TestImportLate is a Go charm that was released without import at first: what
// it stored itself is newer than the file.
func TestImportLate(t *testing.T) {
	t.Parallel()
	o, log := sample(t, "unit-state-sample-ops.db")
	execSQL(t, o.Path, `INSERT INTO notice (event_path) VALUES ('x')`)
	store := unitdata.NewMemory(map[string]json.RawMessage{
		"reactive.states.endpoint.lb.joined": json.RawMessage("1"),
		"go":                                 json.RawMessage("2"),
	})
	entries, err := sqlitefile.Import(store, o).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(texts(entries), texts(store.Entries())); diff != "" {
		t.Errorf("loaded and stored differ (-loaded +stored):\n%s", diff)
	}
	if string(entries["reactive.states.endpoint.lb.joined"]) != "1" || string(entries["go"]) != "2" ||
		!strings.Contains(string(entries[sqlitefile.SnapshotPrefix+"CharmBase/LBProvider[lb]/StoredStateData[state]"]), "was_available") {
		t.Errorf("entries %v", texts(entries))
	}
	for _, want := range []string{
		"3 flags, 1 states of ops objects",
		"2 marks of the dispatcher, 1 deferred ops events, which will not be emitted again, 1 that the charm stored since (reactive.states.endpoint.lb.joined)",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log has no %q: %s", want, log)
		}
	}
}

func TestImportNothing(t *testing.T) {
	t.Parallel()
	o, log := options(filepath.Join(t.TempDir(), "none"))
	entries, err := sqlitefile.Import(&unitdata.Memory{}, o).Load(t.Context())
	if err != nil || entries != nil || len(log.list) != 0 {
		t.Errorf("entries %v, error %v, log: %s", entries, err, log)
	}
}

// TestImportCheck shows that what a hook stores is refused for its size before
// anything of the hook is written, as without import.
func TestImportCheck(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample.db")
	a := newAgent()
	data, err := unitdata.Open(t.Context(), sqlitefile.Import(unitdata.NewJujuState(a.tools()), o))
	if err != nil {
		t.Fatal(err)
	}
	if err := data.Check(t.Context()); err != nil {
		t.Errorf("nothing is refused: %v", err)
	}
	if err := data.Set("large", strings.Repeat("x", 3<<20)); err != nil {
		t.Fatal(err)
	}
	if err := data.Check(t.Context()); !errors.Is(err, unitdata.ErrTooLarge) {
		t.Errorf("3 MiB are taken: %v", err)
	}
}

// TestImportTooLarge shows that a file that Juju's charm state cannot hold is
// an error that says so, and stays.
func TestImportTooLarge(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample.db")
	execSQL(t, o.Path, fmt.Sprintf(`INSERT INTO kv VALUES ('big', '"%s"')`, strings.Repeat("x", unitdata.MaxTotal)))
	_, err := sqlitefile.Import(unitdata.NewJujuState(newAgent().tools()), o).Load(t.Context())
	var limit *unitdata.LimitError
	if !errors.As(err, &limit) || limit.Largest[0].Key != "big" || !strings.Contains(err.Error(), o.Path) || !strings.Contains(err.Error(), "Keep") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(o.Path); err != nil {
		t.Error(err)
	}
}

// TestImportManyUnits shows that the sums of many units fit into the charm
// state, though the rows they had would not.
func TestImportManyUnits(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample.db")
	execSQL(t, o.Path, `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
		INSERT INTO kv SELECT 'reactive.data_changed.endpoint.web.web:7.haproxy/' || i || '.' || k.column1, '"5d5cfd912d99c4d2fd6c0eeb0d6c2403"'
		FROM n, (VALUES ('ingress-address'), ('private-address'), ('egress-subnets')) AS k`)
	a := newAgent()
	data, err := unitdata.Open(t.Context(), sqlitefile.Import(unitdata.NewJujuState(a.tools()), o))
	if err != nil {
		t.Fatal(err)
	}
	if err := data.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.commit()
	data, err = unitdata.Open(t.Context(), unitdata.NewJujuState(a.tools()))
	if err != nil {
		t.Fatal(err)
	}
	seen, err := data.Seen(t.Context(), unitdata.Bag{Relation: "web:7", Name: "haproxy/9999"})
	if err != nil || seen.Len() != 3 {
		t.Errorf("%d values seen, error %v", seen.Len(), err)
	}
}

func ExampleImport() {
	o := sqlitefile.Options{Path: sqlitefile.Path(os.Getenv), Log: slog.Default()}
	store := sqlitefile.Import(&unitdata.Memory{}, o)
	data, err := unitdata.Open(context.Background(), store)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(data.Keys("reactive.states."))
	// Output: []
}
