package reactive_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The charm, its files and its test in the package comment are what they say:
// they build, and the test passes.
func TestTour(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("doc.go")
	must(t, err)
	blocks := regexp.MustCompile(`(?m)(?:^//(?:\t.*)?\n)+`).FindAllString(string(source), -1)
	names := map[string]string{"reactive.Main(New)": "wiki.go", "name: wiki": "charmcraft.yaml", "testing.T": "wiki_test.go"}
	dir, err := os.MkdirTemp(".", "tour")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, block := range blocks {
		for mark, name := range names {
			if strings.Contains(block, mark) {
				text := strings.ReplaceAll(strings.ReplaceAll(block, "//\t", ""), "//\n", "\n")
				must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
				delete(names, mark)
			}
		}
	}
	if len(names) > 0 {
		t.Fatalf("the package comment lacks %v", names)
	}
	out, err := exec.Command("go", "test", "./"+dir).CombinedOutput()
	if err != nil {
		t.Fatalf("the tour does not work: %v\n%s", err, out)
	}
	if lines := lineCount(t, filepath.Join(dir, "wiki.go")); lines > 62 {
		t.Errorf("the tour's charm has %d lines", lines)
	}
}

func lineCount(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return strings.Count(strings.TrimSpace(string(text)), "\n") + 1
}
