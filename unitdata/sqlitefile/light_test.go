package sqlitefile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const module = "github.com/charmed-go/charms/"

// TestOthersStayLight holds that only charms that import this package contain
// SQLite: none of the packages that charms are made of does by itself.
func TestOthersStayLight(t *testing.T) {
	t.Parallel()
	list := func(args ...string) []string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	packages := list(module+"charmfile", module+"flags", module+"hooktool", module+"unitdata", module+"reactive/...", module+"endpoints/...")
	if len(packages) < 10 || !slices.Contains(packages, module+"endpoints/magpie") {
		t.Fatalf("there are only %v", packages)
	}
	for _, dep := range list(append([]string{"-deps"}, packages...)...) {
		if strings.HasPrefix(dep, "modernc.org/") || dep == module+"unitdata/sqlitefile" {
			t.Errorf("a package that charms are made of depends on %s", dep)
		}
	}
	if !slices.Contains(list("-deps", "."), "modernc.org/sqlite") {
		t.Error("this package does not depend on SQLite, so that the test cannot fail")
	}
}

// BenchmarkStart compares a charm that imports this package with one that does
// not: how large the programs are, and how long they take to start and end. The
// yardstick is the one that does not.
func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	size := make(map[string]int64)
	for _, name := range []string{"plain", "upgrade"} {
		cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", dir, "./testdata/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			b.Fatal(err)
		}
		size[name] = info.Size()
	}
	start := func(name string) time.Duration {
		began := time.Now()
		if out, err := exec.CommandContext(b.Context(), filepath.Join(dir, name), "help").CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		return time.Since(began)
	}
	var plain, upgrade []time.Duration
	for b.Loop() {
		plain = append(plain, start("plain"))
		upgrade = append(upgrade, start("upgrade"))
	}
	slices.Sort(plain)
	slices.Sort(upgrade)
	median := func(list []time.Duration) float64 { return float64(list[len(list)/2].Microseconds()) }
	b.ReportMetric(float64(size["plain"])/1e6, "MB-without")
	b.ReportMetric(float64(size["upgrade"])/1e6, "MB-with")
	b.ReportMetric(median(plain), "µs-without")
	b.ReportMetric(median(upgrade), "µs-with")
	b.ReportMetric(median(upgrade)/median(plain), "starts")
	b.ReportMetric(0, "ns/op")
}
