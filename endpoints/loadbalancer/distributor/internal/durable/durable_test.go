package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/durable"
)

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"one", "", "three"} {
		if err := durable.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		info, err2 := os.Stat(path)
		if err != nil || err2 != nil || string(got) != text || info.Mode().Perm() != 0o600 {
			t.Errorf("wrote %q, read %q of mode %v", text, got, info.Mode())
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	if err := durable.WriteFile(filepath.Join(dir, "no", "f"), nil); err == nil {
		t.Error("wrote into a directory that is not there")
	}
}

// What others have put in the way is not written through.
func TestWriteFileFollowsNoLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, other := filepath.Join(dir, "f"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, path+".new"); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(path, []byte("mine")); err == nil {
		t.Error("wrote through a link")
	}
	if got, err := os.ReadFile(other); err != nil || string(got) != "theirs" {
		t.Errorf("the other file has %q: %v", got, err)
	}
}
