// Package docs_test runs what the documentation says.
package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Every page is played from its top to its end in a folder of its own:
//
//   - A block "go FILE", "yaml FILE" and the like is written to that file; with
//     "+FILE" it is added to the end.
//   - A block "console" holds commands behind "$ ", and below each what it
//     prints. A line "..." stands for any lines, and "…" for any text in a line.
//     A block "console fails" is for a command that exits with an error.
//   - A block "text" shows something that is not run, such as a table of a real
//     Juju or a sketch.
//
// A block of any other kind fails the test, so nothing goes unchecked.
func TestPages(t *testing.T) {
	t.Parallel()
	pages := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		pages++
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			play(t, path)
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if pages == 0 {
		t.Error("there are no pages")
	}
}

// A block is a fenced block of a page.
type block struct {
	line int
	info []string
	text string
}

func blocks(t *testing.T, path string) []block {
	t.Helper()
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []block
	var open *block
	for i, line := range strings.SplitAfter(string(source), "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{line: i + 1, info: strings.Fields(strings.Trim(line, "` \n"))}
		case fence:
			list = append(list, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block does not end", path, open.line)
	}
	return list
}

func play(t *testing.T, path string) {
	list := blocks(t, path)
	if !slices.ContainsFunc(list, func(b block) bool { return len(b.info) > 0 && b.info[0] != "text" }) {
		return
	}
	// Inside the repository, so that Go code finds this module.
	dir, err := os.MkdirTemp(".", "page-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, b := range list {
		where := fmt.Sprintf("%s:%d", path, b.line)
		switch {
		case len(b.info) == 0:
			t.Fatalf("%s: the block does not say what it is", where)
		case b.info[0] == "text":
		case b.info[0] == "console":
			console(t, where, dir, b.text, len(b.info) > 1 && b.info[1] == "fails")
		case len(b.info) == 2:
			write(t, where, filepath.Join(dir, strings.TrimPrefix(b.info[1], "+")), b.text, strings.HasPrefix(b.info[1], "+"))
		default:
			t.Fatalf("%s: a block of kind %q is not checked: name its file", where, b.info)
		}
		if t.Failed() {
			return
		}
	}
}

func write(t *testing.T, where, path, text string, add bool) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	mode := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if add {
		mode = os.O_APPEND | os.O_WRONLY
	}
	f, err := os.OpenFile(path, mode, 0o644)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	_, err = f.WriteString(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
}

// tool builds the reactive tool once and returns the folder it is in.
var tool = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "reactive-tool")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", filepath.Join(dir, "reactive"), "../cmd/reactive").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build the tool: %w\n%s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := tool(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// console runs the commands of a block. "cd" holds for the rest of the page.
func console(t *testing.T, where, dir, text string, fails bool) {
	t.Helper()
	bin, err := tool()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split("\n"+text, "\n$ ")[1:] {
		command, want, _ := strings.Cut(part, "\n")
		for strings.HasSuffix(command, "\\") {
			var next string
			next, want, _ = strings.Cut(want, "\n")
			command += "\n" + next
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		cmd := exec.CommandContext(ctx, "bash", "-c", "cd \"$(cat .cwd 2>/dev/null || echo .)\" && { "+command+"\n}; code=$?; pwd > \"$PAGE/.cwd\"; exit $code")
		cmd.Dir = dir
		abs, err := filepath.Abs(dir)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "PAGE="+abs, "CHARMS="+root)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err = cmd.Run()
		cancel()
		if (err != nil) != fails {
			t.Errorf("%s: %s: %v\n%s", where, command, err, out.String())
			return
		}
		if want = strings.TrimRight(want, "\n"); want != "" && !matches(want, out.String()) {
			t.Errorf("%s: %s prints\n%s\nthe page says\n%s", where, command, out.String(), want)
			return
		}
	}
}

// matches reports whether what a command printed is what a page says.
func matches(page, out string) bool {
	var pattern strings.Builder
	pattern.WriteString(`(?s)\A`)
	for _, line := range strings.Split(page, "\n") {
		if line == "..." {
			pattern.WriteString(`(?:[^\n]*\n)*?`)
			continue
		}
		parts := strings.Split(strings.TrimRight(line, " "), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		pattern.WriteString(strings.Join(parts, `[^\n]*?`) + ` *\n`)
	}
	pattern.WriteString(`\n*\z`)
	return regexp.MustCompile(pattern.String()).MatchString(strings.TrimRight(out, "\n") + "\n")
}
