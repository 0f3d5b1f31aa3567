// Package need says what a test needs of the machine.
package need

import (
	"os"
	"os/exec"
	"testing"
)

// Program skips the test if a program is missing, and fails it where that must
// not be: in CI, which sets CI=true.
func Program(t testing.TB, program, debianPackage string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		Unmet(t, "%s is not installed (Debian package %s)", program, debianPackage)
	}
}

// Unmet skips the test, or fails it in CI, for the reason given.
func Unmet(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("CI must be able to run this test: "+format, args...)
	}
	t.Skipf("not tested here: "+format, args...)
}
