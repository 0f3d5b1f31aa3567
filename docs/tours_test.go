package docs_test

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTours holds that the Go code in the package comments of the endpoints is
// what compiles: each block stands, as it is, in a test of its package.
func TestTours(t *testing.T) {
	t.Parallel()
	blocks := 0
	err := filepath.WalkDir("../endpoints", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() == "internal" || d.Name() == "testdata" {
			return err
		}
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return err
		}
		var tests, tour strings.Builder
		for _, path := range files {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if strings.HasSuffix(path, "_test.go") {
				tests.WriteString(codeLines(string(text)))
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				return err
			}
			tour.WriteString(packageComment(f))
		}
		for _, b := range new(comment.Parser).Parse(tour.String()).Content {
			code, ok := b.(*comment.Code)
			if !ok || !strings.ContainsAny(code.Text, "{(") {
				continue // prose, or a table
			}
			blocks++
			if !strings.Contains(tests.String(), codeLines(code.Text)) {
				t.Errorf("%s: no test of the package has this block of its comment:\n%s", dir, code.Text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if blocks < 15 {
		t.Errorf("found %d blocks only", blocks)
	}
}

func packageComment(f *ast.File) string {
	if f.Doc == nil {
		return ""
	}
	return f.Doc.Text() + "\n"
}

// codeLines returns the lines of code that are not blank, whatever white space
// they are set in.
func codeLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 0 {
			b.WriteString(strings.Join(words, " ") + "\n")
		}
	}
	return b.String()
}
