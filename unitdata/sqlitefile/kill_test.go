package sqlitefile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// unit is a unit whose hooks run as processes, with the charm state that Juju
// has of it.
type unit struct {
	mode  string
	path  string
	state map[string]string
}

func (u *unit) child(hook, killAt int) child {
	return child{Mode: u.mode, Path: u.path, State: u.state, Hook: hook, KillAt: killAt}
}

// run runs a hook that ends well, and which Juju keeps.
func (u *unit) run(t *testing.T, hook int) {
	t.Helper()
	out, state, err := u.child(hook, 0).start(t)
	if err != nil {
		t.Fatalf("hook %d: %v: %s", hook, err, out)
	}
	u.state = state
}

// kill runs a hook that is killed at a step, and reports whether it had one.
func (u *unit) kill(t *testing.T, hook, step int) bool {
	t.Helper()
	out, _, err := u.child(hook, step).start(t)
	if err != nil && !killed(err) {
		t.Fatalf("hook %d, to be killed at step %d: %v: %s", hook, step, err, out)
	}
	return err != nil
}

// copyFile gives the unit a file of its own in a state that was reached before.
func (u unit) fresh(t *testing.T, data []byte) *unit {
	t.Helper()
	u.path = filepath.Join(t.TempDir(), sqlitefile.FileName)
	if err := os.WriteFile(u.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return &u
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestStoreKilled kills a hook at every step of what it does to the file, and
// then the next one, which has to undo it, at every step. In the end there is
// what would be there without any of these.
func TestStoreKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	first := unit{mode: "store"}.fresh(t, readFile(t, "testdata/unit-state-sample.db"))
	first.run(t, 1)
	after1 := readFile(t, first.path)
	one := *first
	first.run(t, 2)
	want := kv(t, first.path)
	if want["count"] != "2" {
		t.Fatalf("two hooks counted %s", want["count"])
	}

	kills := 0
	for step := 1; ; step++ {
		u := one.fresh(t, after1)
		if !u.kill(t, 2, step) {
			break
		}
		kills++
		u.run(t, 2)
		if diff := cmp.Diff(want, kv(t, u.path)); diff != "" {
			t.Fatalf("after a hook killed at step %d (-want +got):\n%s", step, diff)
		}
	}

	// A hook that ended well but that Juju did not keep, and the kills of the
	// one that undoes it.
	dropped := one.fresh(t, after1)
	if dropped.kill(t, 2, 0) {
		t.Fatal("killed at no step")
	}
	if got := kv(t, dropped.path)["count"]; got != "2" {
		t.Fatalf("the file of the dropped hook counts %s", got)
	}
	afterDropped := readFile(t, dropped.path)
	for step := 1; ; step++ {
		u := one.fresh(t, afterDropped)
		if !u.kill(t, 2, step) {
			break
		}
		kills++
		u.run(t, 2)
		if diff := cmp.Diff(want, kv(t, u.path)); diff != "" {
			t.Fatalf("after the hook that undoes was killed at step %d (-want +got):\n%s", step, diff)
		}
	}
	t.Logf("%d kills", kills)
	if kills < 40 {
		t.Errorf("only %d kills", kills)
	}
}

// TestImportKilled kills the hook that imports and the one that puts the file
// away at every step.
func TestImportKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	sample := readFile(t, "testdata/unit-state-sample.db")
	first := unit{mode: "import"}.fresh(t, sample)
	first.run(t, 1)
	one := *first
	first.run(t, 2)
	want := first.state

	kills := 0
	check := func(u *unit, what string) {
		t.Helper()
		if diff := cmp.Diff(want, u.state); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", what, diff)
		}
		if _, err := os.Lstat(u.path); !os.IsNotExist(err) {
			t.Fatalf("%s: the file is still there (error %v)", what, err)
		}
		names, err := filepath.Glob(u.path + "*")
		if err != nil || len(names) != 1 || !bytes.Equal(readFile(t, names[0]), sample) {
			t.Fatalf("%s: the file was not kept: %v, %v", what, names, err)
		}
	}
	check(first, "undisturbed")
	for step := 1; ; step++ {
		u := unit{mode: "import"}.fresh(t, sample)
		if !u.kill(t, 1, step) {
			break
		}
		kills++
		if !bytes.Equal(readFile(t, u.path), sample) {
			t.Fatalf("killed at step %d, the import changed the file", step)
		}
		u.run(t, 1)
		u.run(t, 2)
		check(u, "importing, killed at step "+strconv.Itoa(step))
	}
	for step := 1; ; step++ {
		u := one.fresh(t, sample)
		if !u.kill(t, 2, step) {
			break
		}
		kills++
		u.run(t, 2)
		check(u, "putting away, killed at step "+strconv.Itoa(step))
	}
	t.Logf("%d kills", kills)
	if kills < 8 {
		t.Errorf("only %d kills", kills)
	}
}
