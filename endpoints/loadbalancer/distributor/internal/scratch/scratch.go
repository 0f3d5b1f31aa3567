// Package scratch gives tests that kill processes a place for files.
package scratch

import (
	"os"
	"testing"
)

// Dir returns a directory that is removed when the test ends, in memory where the
// machine has a file system there. A process that is killed loses nothing that it
// has written, synced or not, so such a test finds the same in memory as on a
// disk, and does not wait for the disk at each of thousands of records. What a
// power cut takes away has to be taken away by the test.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "scratch")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
