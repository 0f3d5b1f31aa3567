package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("`[^`]*`")
	heading = regexp.MustCompile(`^#+ +(.*)`)
	// What GitHub leaves out of a heading when it makes an anchor of it.
	noAnchor = regexp.MustCompile(`[^\pL\pN_ -]`)
)

// TestLinks holds that the links between the repository's pages, and from them
// to its files, lead somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	links := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), "page-")):
			return fs.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		for i, line := range proseOf(t, path) {
			for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, "code"), -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				links++
				to, anchor, _ := strings.Cut(m[1], "#")
				target := path
				if to != "" {
					target = filepath.Join(filepath.Dir(path), filepath.FromSlash(to))
				}
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s:%d: the link %s leads nowhere", path, i+1, m[1])
				} else if anchor != "" && !hasAnchor(t, target, anchor) {
					t.Errorf("%s:%d: there is no heading for the link %s", path, i+1, m[1])
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if links < 50 {
		t.Errorf("there are only %d links", links)
	}
}

// proseOf returns the lines of a page; those of its blocks of code are empty.
func proseOf(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines, inside := strings.Split(string(text), "\n"), false
	for i, line := range lines {
		fence := strings.HasPrefix(line, "```")
		if fence || inside {
			lines[i] = ""
		}
		inside = inside != fence
	}
	return lines
}

func hasAnchor(t *testing.T, path, anchor string) bool {
	t.Helper()
	for _, line := range proseOf(t, path) {
		if m := heading.FindStringSubmatch(line); m != nil {
			text := noAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
			if strings.ReplaceAll(text, " ", "-") == anchor {
				return true
			}
		}
	}
	return false
}
