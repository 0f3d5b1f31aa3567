package sqlitefile_test

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

func TestRead(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample.db")
	before, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := sqlitefile.Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"reactive.dispatch.removed_state":         "false",
		"reactive.dispatch.phase":                 `"other"`,
		"reactive.states.endpoint.website.joined": "null",
		"reactive.states.app.installed":           "null",
		"reactive.states.endpoint.db.joined":      "null",
		"reactive.states.db.available":            "null",
		"reactive.states.app.has-port":            "null",
		"reactive.data_changed.app.config":        `"c0fed23d152cb86121a5abcc9bb5a9e3"`,
		"reactive.states.app.started":             "null",
		"reactive.states.app.configured":          "null",
		"reactive.endpoints.departed.db":          `[{"relation": "db:1", "unit_name": "mysql/1", "data": {"egress-subnets": "10.3.0.1/32", "host": "\"10.3.0.1\"", "ingress-address": "10.3.0.1", "port": "3306", "private-address": "10.3.0.1", "schema": "{\"name\": \"app\", \"v\": 1}"}}]`,
	}
	for _, key := range []string{"website.changed.ingress-address", "db.changed.egress-subnets", "db.changed.ingress-address", "db.changed.port", "db.changed.private-address", "db.changed.schema"} {
		want["reactive.states.endpoint."+key] = "null"
	}
	if diff := cmp.Diff(want, texts(c.Entries)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if got, want := fmt.Sprintf("%x", c.Seen[unitdata.Bag{Relation: "db:1", Name: "mysql/0"}]["host"]), "3022f586d3d823f53f9860be324285fd"; got != want {
		t.Errorf("sum of host is %s, want %s", got, want)
	}
	n := 0
	for _, sums := range c.Seen {
		n += len(sums)
	}
	if len(c.Seen) != 4 || n != 14 {
		t.Errorf("%d sums in %d bags, want 14 in 4", n, len(c.Seen))
	}
	after, err := os.ReadFile(o.Path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("reading changed the file (error %v)", err)
	}
}

func TestReadOps(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample-ops.db")
	c, err := sqlitefile.Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	const key = sqlitefile.SnapshotPrefix + "CharmBase/LBProvider[lb]/StoredStateData[state]"
	want := `{"response_hashes": {"foo": "076a6df642c391d3d9d21cac01491be8"}, "was_available": true, "was_response_available": true}`
	if got := string(c.Entries[key]); got != want {
		t.Errorf("state of the object is %s, want %s", got, want)
	}
	if len(c.Entries) != 7 || len(c.Unreadable) != 0 {
		t.Errorf("entries %v, unreadable %v", keys(c.Entries), c.Unreadable)
	}
}

func TestReadOddRows(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample-ops.db")
	execSQL(t, o.Path,
		`DELETE FROM kv`,
		`INSERT INTO kv VALUES (NULL, '1'), ('null', NULL), ('nan', '[NaN]'), ('cut', '{'), ('blob', x'00ff'), ('', '""')`,
		`INSERT INTO kv VALUES ('reactive.data_changed.endpoint.db.db:1.a/0.k', '"5"'), ('reactive.data_changed.endpoint.db', '1')`,
		`INSERT INTO snapshot VALUES ('Charm/StoredStateData[evil]', 'cos'), ('Charm/on/install[1]', x'80047d2e')`,
		`INSERT INTO notice (event_path) VALUES ('x')`, `INSERT INTO hooks (hook) VALUES ('x')`, `INSERT INTO kv_revisions VALUES ('a', 1, 'x')`)
	c, err := sqlitefile.Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	delete(c.Entries, sqlitefile.SnapshotPrefix+"CharmBase/LBProvider[lb]/StoredStateData[state]")
	want := map[string]string{
		"nan": "[NaN]", "": `""`,
		"reactive.data_changed.endpoint.db.db:1.a/0.k": `"5"`,
		"reactive.data_changed.endpoint.db":            "1",
	}
	if diff := cmp.Diff(want, texts(c.Entries)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"blob", "cut", "ops.Charm/StoredStateData[evil]"}, c.Unreadable); diff != "" {
		t.Errorf("unreadable (-want +got):\n%s", diff)
	}
	if c.Notices != 1 || c.Hooks != 1 || c.Revisions != 1 {
		t.Errorf("got %d notices, %d hooks, %d revisions, want 1 each", c.Notices, c.Hooks, c.Revisions)
	}
}

// TestReadErrors also shows that nothing is lost: the file stays as it is.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	header := func(offset int, value byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			data[offset] = value
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	statements := func(statements ...string) func(*testing.T, string) {
		return func(t *testing.T, path string) { execSQL(t, path, statements...) }
	}
	content := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		change func(t *testing.T, path string)
		kind   error
		text   string
	}{
		{"text", content("some: yaml\n"), sqlitefile.ErrForeign, "not the unit state of a charm: it is no SQLite database"},
		{"other database", statements("DROP TABLE kv", "DROP TABLE kv_revisions", "DROP TABLE hooks", "CREATE TABLE moz_places (id integer)"),
			sqlitefile.ErrForeign, "it has neither a table kv nor a table snapshot"},
		{"only kv_revisions", statements("DROP TABLE kv"), sqlitefile.ErrForeign, "it has neither a table kv nor a table snapshot"},
		{"kv a view", statements("ALTER TABLE kv RENAME TO kv2", "CREATE VIEW kv AS SELECT * FROM kv2"),
			sqlitefile.ErrForeign, "it has neither a table kv nor a table snapshot"},
		{"empty", content(""), sqlitefile.ErrDamaged, "it is empty; remove it"},
		{"last page cut", func(t *testing.T, path string) {
			if err := os.Truncate(path, 28672-100); err != nil {
				t.Fatal(err)
			}
		}, sqlitefile.ErrDamaged, "it ends after 28572 bytes of 28672"},
		{"user version", statements("PRAGMA user_version = 1"), sqlitefile.ErrFuture, "its version is 1"},
		{"other kv", statements("DROP TABLE kv", "CREATE TABLE kv (k text primary key, v text)"),
			sqlitefile.ErrForeign, "its table kv has not the columns key (primary key) and data"},
		{"kv without primary key", statements("DROP TABLE kv", "CREATE TABLE kv (key text, data text)"),
			sqlitefile.ErrForeign, "its table kv has not the columns key (primary key) and data"},
		{"other snapshot", statements("CREATE TABLE snapshot (id text, data text)"),
			sqlitefile.ErrForeign, "its table snapshot has not the columns handle (primary key) and data"},
		{"cut in the header", content("SQLite form"), sqlitefile.ErrDamaged, "it ends after 11 bytes"},
		{"cut", func(t *testing.T, path string) {
			if err := os.Truncate(path, 9000); err != nil {
				t.Fatal(err)
			}
		}, sqlitefile.ErrDamaged, "damaged"},
		{"broken page", header(3*4096, 0xff), sqlitefile.ErrDamaged, "damaged"},
		{"file format", header(19, 3), sqlitefile.ErrFuture, "SQLite's file format is 3"},
		{"schema format", header(47, 5), sqlitefile.ErrFuture, "SQLite's schema format is 5"},
		{"column more", statements("ALTER TABLE kv ADD COLUMN expires text"), sqlitefile.ErrFuture, "its table kv has 3 columns, not 2"},
		{"later version of this package", statements("CREATE TABLE go_hook (version integer)", "INSERT INTO go_hook VALUES (2)"),
			sqlitefile.ErrFuture, "its table go_hook has version 2"},
		{"directory", func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		}, sqlitefile.ErrForeign, "it is a directory"},
		{"pipe", func(t *testing.T, path string) {
			if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
				t.Fatal(err)
			}
		}, sqlitefile.ErrForeign, "it is a special file"},
		{"missing", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}, os.ErrNotExist, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o, _ := sample(t, "unit-state-sample.db")
			test.change(t, o.Path)
			before, _ := os.ReadFile(regular(o.Path))
			_, err := sqlitefile.Read(t.Context(), o)
			var fileErr *sqlitefile.Error
			if !errors.As(err, &fileErr) || fileErr.Path != o.Path || !errors.Is(err, test.kind) {
				t.Fatalf("error %v is not an Error of the kind %v with the path", err, test.kind)
			}
			if !strings.Contains(err.Error(), o.Path) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %q does not hold the path and %q", err, test.text)
			}
			for name, store := range map[string]unitdata.Store{
				"importer": sqlitefile.Import(&unitdata.Memory{}, o),
				"store":    sqlitefile.NewStore(newAgent().tools(), o),
			} {
				// A missing file is none to import, and made by a store, as
				// is an empty one; and a store does not look through the
				// whole file.
				made := name == "store" && slices.Contains([]string{"empty", "broken page"}, test.name)
				if made {
					continue
				}
				if _, err := store.Load(t.Context()); test.kind != os.ErrNotExist && !errors.Is(err, test.kind) {
					t.Errorf("%s: error %v", name, err)
				}
			}
			if after, _ := os.ReadFile(regular(o.Path)); test.kind != os.ErrNotExist && !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// regular returns path if it is a regular file, which a pipe is not.
func regular(path string) string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return os.DevNull
	}
	return path
}

func TestReadLocked(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample.db")
	o.Wait = -1
	db, err := sql.Open("sqlite", uri(o.Path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	// In a process of its own: closing a file ends all of a process's locks.
	if got := runChild(t, child{Mode: "read", Path: o.Path}); !strings.Contains(got, "locked by another process") {
		t.Errorf("got %s", got)
	}
	if _, err := db.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if got := runChild(t, child{Mode: "read", Path: o.Path}); got != "read" {
		t.Errorf("got %s", got)
	}
}

// TestReadHotJournal reads a file whose writer was killed in the middle of a
// transaction, with half of it in the file already.
func TestReadHotJournal(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample.db")
	want, err := sqlitefile.Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", uri(o.Path)+"?_pragma=cache_size(1)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{"BEGIN", "UPDATE kv SET data = '\"dirty\"'",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO kv SELECT 'dirty' || i, hex(randomblob(50)) FROM n"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	left, _ := options(filepath.Join(t.TempDir(), sqlitefile.FileName))
	for _, suffix := range []string{"", "-journal"} {
		data, err := os.ReadFile(o.Path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if suffix == "" && !bytes.Contains(data, []byte(`"dirty"`)) {
			t.Fatal("nothing of the transaction is in the file")
		}
		if err := os.WriteFile(left.Path+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := sqlitefile.Read(t.Context(), left)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(texts(want.Entries), texts(got.Entries)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// TestReadBroken reads files with random faults. Each is read or an error of
// its own kind, and none is changed.
func TestReadBroken(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/unit-state-sample-ops.db")
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	path := filepath.Join(t.TempDir(), sqlitefile.FileName)
	o, _ := options(path)
	rounds, read := 400, 0
	if testing.Short() {
		rounds = 40
	}
	for range rounds {
		data := bytes.Clone(good)
		switch random.IntN(3) {
		case 0:
			data = data[:random.IntN(len(data))]
		case 1:
			for range 1 + random.IntN(20) {
				data[random.IntN(len(data))] = byte(random.UintN(256))
			}
		case 2:
			binary.BigEndian.PutUint32(data[random.IntN(len(data)/4)*4:], random.Uint32())
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := sqlitefile.Read(t.Context(), o)
		var fileErr *sqlitefile.Error
		switch {
		case err == nil:
			read++
			for key, text := range c.Entries {
				if !json.Valid(text) && !strings.Contains(string(text), "N") && !strings.Contains(string(text), "I") {
					t.Fatalf("entry %q is %q", key, text)
				}
			}
		case !errors.As(err, &fileErr):
			t.Fatalf("error %v", err)
		}
		after, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(data, after) {
			t.Fatalf("the file was changed (error %v)", err)
		}
	}
	t.Logf("%d of %d were read", read, rounds)
}
