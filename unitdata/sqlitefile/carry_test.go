package sqlitefile_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// TestCarryOver moves a charm from Juju's charm state to the file: nothing of
// what it knew is lost, also if Juju does not keep the hook that moves it.
func TestCarryOver(t *testing.T) {
	t.Parallel()
	long := unitdata.Bag{Relation: "db:2", Name: strings.Repeat("x", 300) + "/0"}
	bags := []unitdata.Bag{{Relation: "db:1", Name: "mysql/0"}, {Relation: "db:1", Name: "mysql"}, long}
	o, log := options(filepath.Join(t.TempDir(), sqlitefile.FileName))
	a := newAgent()
	data, err := unitdata.Open(t.Context(), unitdata.NewJujuState(a.tools()))
	if err != nil {
		t.Fatal(err)
	}
	if err := data.Set("reactive.states.app.installed", nil); err != nil {
		t.Fatal(err)
	}
	if err := data.Set("text", strings.Repeat("long ", 40_000)); err != nil {
		t.Fatal(err)
	}
	for _, bag := range bags {
		if _, err := data.Seen(t.Context(), bag); err != nil {
			t.Fatal(err)
		}
		data.Note(bag, "host", unitdata.SumOf(`"10.0.0.1"`))
	}
	if err := data.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.commit()

	for i, kept := range []bool{false, true, true, true} {
		store := sqlitefile.NewStore(a.tools(), o)
		data, err := unitdata.Open(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		var text string
		if _, err := data.Get("text", &text); err != nil || len(text) != 200_000 {
			t.Errorf("hook %d: the text has %d bytes, %v", i, len(text), err)
		}
		if !data.Has("reactive.states.app.installed") {
			t.Errorf("hook %d: the flag is gone", i)
		}
		for _, bag := range bags[:2] {
			seen, err := data.Seen(t.Context(), bag)
			if err != nil || !seen.Same("host", unitdata.SumOf(`"10.0.0.1"`)) {
				t.Errorf("hook %d: the host of %s was not seen, %v", i, bag, err)
			}
		}
		seen, err := data.Seen(t.Context(), long)
		if err != nil || (seen.Len() == 1) != (i < 3) {
			t.Errorf("hook %d: %d values of a bag were seen that was forgotten in hook 2, %v", i, seen.Len(), err)
		}
		if err := data.Set("count", i); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			data.Forget(long)
		}
		if err := data.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if kept {
			a.commit()
		} else {
			a.discard()
		}
	}
	if len(a.Committed) != 1 || a.Committed["sqlitefile"] == "" {
		t.Errorf("left in the charm state: %d values", len(a.Committed))
	}
	if n := strings.Count(log.String(), "took over from Juju's charm state"); n != 2 {
		t.Errorf("carried over %d times: %s", n, log)
	}
}

// TestCarryOverCounts says which of two files counts: what the charm state has
// goes over what the file has, unless a Python charm left the file later.
func TestCarryOverCounts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		imported bool   // the charm state was made of such a file
		change   string // what a Python charm did since
		want     string
	}{
		{"file of an earlier charm", false, "", `"go"`},
		{"the same file again", true, "", `"go"`},
		{"a Python charm since", true, `INSERT OR REPLACE INTO kv VALUES ('x', '"python"')`, `"python"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o, _ := sample(t, "unit-state-sample.db")
			a := newAgent()
			var store unitdata.Store = unitdata.NewJujuState(a.tools())
			if test.imported {
				store = sqlitefile.Import(store, o)
			}
			data, err := unitdata.Open(t.Context(), store)
			if err != nil {
				t.Fatal(err)
			}
			if err := data.Set("x", "go"); err != nil {
				t.Fatal(err)
			}
			if err := data.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			a.commit()
			if test.change != "" {
				execSQL(t, o.Path, test.change)
			}
			file := sqlitefile.NewStore(a.tools(), o)
			defer file.Close()
			entries, err := file.Load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got := string(entries["x"]); got != test.want {
				t.Errorf("x is %s, want %s", got, test.want)
			}
			if _, ok := entries["reactive.states.app.installed"]; !ok {
				t.Error("the flag of the Python charm is gone")
			}
			if err := file.Commit(t.Context(), unitdata.Changes{Set: map[string]json.RawMessage{"y": json.RawMessage("1")}}); err != nil {
				t.Fatal(err)
			}
			a.commit()
			again := sqlitefile.NewStore(a.tools(), o)
			defer again.Close()
			entries, err = again.Load(t.Context())
			if got := string(entries["x"]); err != nil || got != test.want {
				t.Errorf("afterwards x is %s, %v, want %s", got, err, test.want)
			}
		})
	}
}

// TestCarryOverKilled kills the hook that carries the charm state over at every
// step. The next one does it again.
func TestCarryOverKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	a := newAgent()
	for number := range 2 {
		if err := hook(t.Context(), unitdata.NewJujuState(a.tools()), number); err != nil {
			t.Fatal(err)
		}
		a.commit()
	}
	was := unit{mode: "store", state: a.Committed}
	first := was.fresh(t, nil)
	first.run(t, 2)
	want := kv(t, first.path)
	if want["count"] != "3" || len(first.state) != 1 {
		t.Fatalf("three hooks counted %s and left %d values in the charm state", want["count"], len(first.state))
	}
	kills := 0
	for step := 1; ; step++ {
		u := was.fresh(t, nil)
		if !u.kill(t, 2, step) {
			break
		}
		kills++
		u.run(t, 2)
		if diff := cmp.Diff(want, kv(t, u.path)); diff != "" || len(u.state) != 1 {
			t.Fatalf("killed at step %d, left %d values in the charm state (-want +got):\n%s", step, len(u.state), diff)
		}
	}
	t.Logf("%d kills", kills)
	if kills < 20 {
		t.Errorf("only %d kills", kills)
	}
}

// TestKeepThenUpgrade moves a charm from Juju's charm state to the file, and
// back: what it had seen, what it made of an ops object and what Juju did not
// keep of its last hook is as it was.
func TestKeepThenUpgrade(t *testing.T) {
	t.Parallel()
	o, log := sample(t, "unit-state-sample-ops.db")
	const ops = sqlitefile.SnapshotPrefix + "CharmBase/LBProvider[lb]/StoredStateData[state]"
	a := newAgent()
	bags := []unitdata.Bag{{Relation: "db:1", Name: "mysql/0"}, {Relation: "db:1", Name: "mysql/1"}}
	run := func(store unitdata.Store, do func(d *unitdata.Data)) {
		t.Helper()
		data, err := unitdata.Open(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		for _, bag := range bags {
			if _, err := data.Seen(t.Context(), bag); err != nil {
				t.Fatal(err)
			}
		}
		do(data)
		if err := data.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s, ok := store.(*sqlitefile.Store); ok {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(unitdata.NewJujuState(a.tools()), func(d *unitdata.Data) {
		for _, bag := range bags {
			d.Note(bag, "host", unitdata.SumOf("1"))
			d.Note(bag, "port", unitdata.SumOf("1"))
		}
		if err := d.Set("x", 1); err != nil {
			t.Error(err)
		}
	})
	a.commit()
	run(sqlitefile.NewStore(a.tools(), o), func(d *unitdata.Data) {
		d.Unset(ops)
		d.Note(bags[0], "port", unitdata.SumOf("2"))
		if err := d.Set("x", 2); err != nil {
			t.Error(err)
		}
	})
	a.commit()
	run(sqlitefile.NewStore(a.tools(), o), func(d *unitdata.Data) {
		d.Note(bags[1], "port", unitdata.SumOf("3"))
		if err := d.Set("x", 3); err != nil {
			t.Error(err)
		}
	})
	a.discard()

	p := hooktool.Process{Dir: filepath.Dir(o.Path)}
	for hook := range 3 {
		store, err := sqlitefile.Upgrade(a.tools(), p)
		if err != nil {
			t.Fatal(err)
		}
		run(store, func(d *unitdata.Data) {
			if text, _ := d.Raw("x"); string(text) != "2" || d.Has(ops) {
				t.Errorf("hook %d: x is %s, the ops object is there: %v", hook, text, d.Has(ops))
			}
			if keys := d.Keys("sqlitefile."); len(keys) != 1 {
				t.Errorf("hook %d: left %q", hook, keys)
			}
			for i, want := range []string{"2", "1"} {
				seen, err := d.Seen(t.Context(), bags[i])
				if err != nil || seen.Len() != 2 || !seen.Same("host", unitdata.SumOf("1")) || !seen.Same("port", unitdata.SumOf(want)) {
					t.Errorf("hook %d: of %s %d values were seen, %v", hook, bags[i], seen.Len(), err)
				}
			}
		})
		a.commit()
	}
	if _, err := os.Stat(o.Path + ".imported"); err != nil {
		t.Errorf("%v; log: %s", err, log)
	}
}
