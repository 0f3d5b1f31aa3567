package sqlitefile_test

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// TestStoreStory is a unit that is upgraded from a Python charm to a Go charm,
// and back.
func TestStoreStory(t *testing.T) {
	t.Parallel()
	o, log := sample(t, "unit-state-sample.db")
	before := kv(t, o.Path)
	a := newAgent()
	run := func(do func(d *unitdata.Data)) {
		t.Helper()
		store := sqlitefile.NewStore(a.tools(), o)
		data, err := unitdata.Open(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		do(data)
		if err := errors.Join(data.Commit(t.Context()), store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	mysql0 := unitdata.Bag{Relation: "db:1", Name: "mysql/0"}
	mysql1 := unitdata.Bag{Relation: "db:1", Name: "mysql/1"}

	// The first hook finds what the Python charm left. What that saw is not new.
	run(func(d *unitdata.Data) {
		if !d.Has("reactive.states.db.available") || d.Has("reactive.data_changed.endpoint.db.db:1.mysql/0.host") {
			t.Error("flags or sums of the Python charm are not as they should")
		}
		seen, err := d.Seen(t.Context(), mysql0)
		if err != nil || !seen.Same("host", unitdata.SumOf(`"10.2.0.1"`)) && seen.Len() != 6 {
			t.Errorf("%d values seen, error %v", seen.Len(), err)
		}
	})
	if diff := cmp.Diff(before, kv(t, o.Path)); diff != "" {
		t.Errorf("a hook that changed nothing changed the file (-want +got):\n%s", diff)
	}
	if _, ok := a.Pending["sqlitefile"]; ok {
		t.Error("a hook that changed nothing stored a token")
	}

	// The second changes something, for the Python charm to find.
	run(func(d *unitdata.Data) {
		d.Unset("reactive.states.db.available")
		if err := errors.Join(d.Set("own", map[string]any{"b": 1, "a": "é"}), d.Set("reactive.states.app.ready", nil)); err != nil {
			t.Error(err)
		}
		if _, err := d.Seen(t.Context(), mysql0); err != nil {
			t.Error(err)
		}
		d.Note(mysql0, "a.new.key", unitdata.SumOf("1"))
		d.Forget(mysql1)
	})
	a.commit()
	want := maps.Clone(before)
	delete(want, "reactive.states.db.available")
	maps.DeleteFunc(want, func(key, _ string) bool {
		return strings.HasPrefix(key, "reactive.data_changed.endpoint.db.db:1.mysql/1.")
	})
	want["own"] = `{"a": "\u00e9", "b": 1}`
	want["reactive.states.app.ready"] = "null"
	want["reactive.data_changed.endpoint.db.db:1.mysql/0.a.new.key"] = `"c4ca4238a0b923820dcc509a6f75849b"`
	if diff := cmp.Diff(want, kv(t, o.Path)); diff != "" {
		t.Errorf("after the second hook (-want +got):\n%s", diff)
	}

	// Juju does not keep the third: the fourth starts from the second.
	run(func(d *unitdata.Data) {
		if err := errors.Join(d.Set("own", 2), d.Set("other", 3)); err != nil {
			t.Error(err)
		}
		d.Unset("reactive.states.app.ready")
	})
	a.discard()
	run(func(d *unitdata.Data) {
		if d.Has("other") || !d.Has("reactive.states.app.ready") {
			t.Error("the fourth hook sees what the dropped one did")
		}
	})
	if diff := cmp.Diff(want, kv(t, o.Path)); diff != "" {
		t.Errorf("after the dropped hook (-want +got):\n%s", diff)
	}
	if !strings.Contains(log.String(), "undoing its 3 changes") {
		t.Errorf("log: %s", log)
	}

	// Juju does not keep the fifth either, but a Python charm ran since.
	run(func(d *unitdata.Data) {
		if err := d.Set("own", 4); err != nil {
			t.Error(err)
		}
	})
	a.discard()
	execSQL(t, o.Path, `INSERT OR REPLACE INTO kv VALUES ('python', 'true')`)
	for range 2 {
		run(func(d *unitdata.Data) {
			if text, _ := d.Raw("own"); string(text) != "4" || !d.Has("python") {
				t.Errorf("own is %s, python %v", text, d.Has("python"))
			}
		})
	}
	if got := strings.Count(log.String(), "was written since"); got != 1 {
		t.Errorf("said %d times: log: %s", got, log)
	}
	info, err := os.Stat(o.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
}

// TestStoreNew shows that a file made by this package has the form that
// charmhelpers gives it, to the letter.
func TestStoreNew(t *testing.T) {
	t.Parallel()
	o, _ := options(filepath.Join(t.TempDir(), sqlitefile.FileName))
	// An empty file is what charmhelpers leaves if it is killed very early.
	if err := os.WriteFile(o.Path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	store := sqlitefile.NewStore(newAgent().tools(), o)
	entries, err := store.Load(t.Context())
	if err != nil || len(entries) != 0 {
		t.Errorf("entries %v, error %v", entries, err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(schema(t, "testdata/unit-state-sample.db"), schema(t, o.Path)); diff != "" {
		t.Errorf("schema (-python +go):\n%s", diff)
	}
	info, err := os.Stat(o.Path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	o.Path = filepath.Join(o.Path, "x")
	if _, err := sqlitefile.NewStore(newAgent().tools(), o).Load(t.Context()); err == nil {
		t.Error("no error for a path below a file")
	}
}

// TestStoreOps shows that the state of an ops object is there as an entry, and
// is no longer read once it was stored as one, unless it changes.
func TestStoreOps(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample-ops.db")
	const key = sqlitefile.SnapshotPrefix + "CharmBase/LBProvider[lb]/StoredStateData[state]"
	a := newAgent()
	load := func(changes *unitdata.Changes) map[string]json.RawMessage {
		t.Helper()
		store := sqlitefile.NewStore(a.tools(), o)
		entries, err := store.Load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if changes != nil {
			if err := store.Commit(t.Context(), *changes); err != nil {
				t.Fatal(err)
			}
			a.commit()
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		return entries
	}
	if entries := load(nil); !strings.Contains(string(entries[key]), "response_hashes") {
		t.Errorf("entries %v", keys(entries))
	}
	load(&unitdata.Changes{Delete: []string{key}})
	if entries := load(nil); entries[key] != nil || len(entries) != 6 {
		t.Errorf("deleted, but %v", keys(entries))
	}
	execSQL(t, o.Path, `UPDATE snapshot SET data = x'80047d2e' WHERE handle LIKE 'CharmBase%'`)
	if entries := load(nil); string(entries[key]) != "{}" {
		t.Errorf("changed by ops, but %s", entries[key])
	}
	if diff := cmp.Diff(6, len(kv(t, o.Path))-1); diff != "" {
		t.Errorf("rows besides the digest (-want +got):\n%s", diff)
	}
}

// TestStoreTwice shows that a second commit in a hook is undone with the first.
func TestStoreTwice(t *testing.T) {
	t.Parallel()
	o, _ := sample(t, "unit-state-sample.db")
	before := kv(t, o.Path)
	a := newAgent()
	store := sqlitefile.NewStore(a.tools(), o)
	for _, value := range []string{"1", "2"} {
		err := store.Commit(t.Context(), unitdata.Changes{Set: map[string]json.RawMessage{"twice": json.RawMessage(value)}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := kv(t, o.Path)["twice"]; got != "2" {
		t.Errorf("got %s", got)
	}
	a.discard()
	next := sqlitefile.NewStore(a.tools(), o)
	if _, err := next.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, kv(t, o.Path)); diff != "" {
		t.Errorf("after the dropped hook (-want +got):\n%s", diff)
	}
	if err := errors.Join(next.Close(), store.Close()); err != nil {
		t.Error(err)
	}
}

func TestStoreUnreadable(t *testing.T) {
	t.Parallel()
	o, log := sample(t, "unit-state-sample.db")
	execSQL(t, o.Path, `INSERT INTO kv VALUES ('cut', '{"secret')`)
	store := sqlitefile.NewStore(newAgent().tools(), o)
	entries, err := store.Load(t.Context())
	if err != nil || entries["cut"] != nil || len(entries) == 0 {
		t.Errorf("entries %v, error %v", keys(entries), err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if got := log.String(); !strings.HasSuffix(got, "because they are not JSON of at most 16 MiB: cut") {
		t.Errorf("log: %s", got)
	}
	if got := kv(t, o.Path)["cut"]; got != `{"secret` {
		t.Errorf("the row is now %s", got)
	}
}

func TestPath(t *testing.T) {
	t.Parallel()
	tests := []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"UNIT_STATE_DB": "/x/y.db", "CHARM_DIR": "/c"}, "/x/y.db"},
		{map[string]string{"CHARM_DIR": "/c", "JUJU_CHARM_DIR": "/j"}, "/c/.unit-state.db"},
		{map[string]string{"JUJU_CHARM_DIR": "/j"}, "/j/.unit-state.db"},
		{nil, ".unit-state.db"},
	}
	for _, test := range tests {
		if got := sqlitefile.Path(func(key string) string { return test.env[key] }); got != test.want {
			t.Errorf("%v: got %s, want %s", test.env, got, test.want)
		}
	}
}
