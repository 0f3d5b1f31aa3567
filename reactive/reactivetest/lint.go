package reactivetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/charmlint"
	"github.com/charmed-go/charms/internal/picture"
	"github.com/charmed-go/charms/reactive"
)

// Lint fails the test for each mistake in the charm that the compiler cannot
// see: a handler that waits for a flag nobody sets, a flag nobody reads, an
// endpoint, option or action that differs between the code and charmcraft.yaml,
// handlers that can keep each other awake, unit data that grows without end.
// "reactive lint" finds the same, and lists the rules.
//
// It reads the charm's sources and its charmcraft.yaml: the test must be in a
// package of the charm, in the directory with that file or below it. Rules
// named in skip are left out.
//
//	func TestLint(t *testing.T) { reactivetest.Lint(t, charm.New) }
func Lint(t testing.TB, newCharm func() *reactive.Charm, skip ...string) {
	t.Helper()
	dir, err := charmDir()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	process := hooktool.Process{Args: []string{"graph", "--json"}, Dir: dir, Stdout: &stdout, Stderr: &stderr}
	if code := reactive.Run(t.Context(), newCharm, process); code != 0 {
		t.Fatalf("cannot lint the charm: %s", strings.TrimSpace(stderr.String()))
	}
	var g picture.Graph
	if err := json.Unmarshal(stdout.Bytes(), &g); err != nil {
		t.Fatalf("cannot lint the charm: %v", err)
	}
	found, err := charmlint.Check(t.Context(), charmlint.Options{Dir: dir, Graph: g, Skip: skip})
	if err != nil {
		t.Fatalf("cannot lint the charm: %v", err)
	}
	for _, f := range found {
		t.Errorf("%s\n  %s", f, f.Rule.Sentence)
	}
}

// charmDir returns the charm's directory: the working directory or the first
// above it that describes a charm.
func charmDir() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the charm: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		for _, name := range []string{charmfile.CharmcraftFile, charmfile.MetadataFile} {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return dir, nil
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || filepath.Dir(dir) == dir {
			return "", errors.New("cannot find the charm: neither " + start + " nor a directory of its module above it has a charmcraft.yaml")
		}
	}
}
