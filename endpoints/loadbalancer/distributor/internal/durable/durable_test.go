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
