// Package scaffold makes new charms that build, test, pack and run.
package scaffold

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
)

// framework is the module that a charm is written with.
const framework = "github.com/charmed-go/charms"

//go:embed all:template
var templates embed.FS

// Options say what charm to make.
type Options struct {
	// Name is the charm's name, as Juju knows it.
	Name string
	// Dir is the directory to make; "" is one called as the charm.
	Dir string
	// Module is the path of the charm's Go module; "" is example.com/NAME.
	Module string
	// Version is the framework's version to require. Without one Replace is
	// needed.
	Version string
	// Replace is a directory with the framework's sources, to be used instead
	// of a version of it.
	Replace string
	// GoTool is the Go command; "" is "go".
	GoTool string
}

// A Result says what was made.
type Result struct {
	// Dir is the new directory, and Files what is in it, by name.
	Dir   string
	Files []string
	// Unresolved is not nil if the Go tool could not find the modules that the
	// charm needs, so that the next "go mod tidy" has to.
	Unresolved error
}

// validName is what juju deploy takes as the name of a charm.
var validName = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*$`)

// Make makes the charm. The directory must not exist, or be empty.
func Make(ctx context.Context, opts Options) (*Result, error) {
	if !validName.MatchString(opts.Name) {
		return nil, fmt.Errorf("cannot call a charm %q: a name is lower-case words of letters and digits joined by hyphens, such as my-server", opts.Name)
	}
	if opts.Dir == "" {
		opts.Dir = opts.Name
	}
	if opts.Module == "" {
		opts.Module = "example.com/" + opts.Name
	}
	if err := empty(opts.Dir); err != nil {
		return nil, err
	}
	if opts.Replace != "" {
		abs, err := filepath.Abs(opts.Replace)
		if err != nil {
			return nil, err
		}
		if mod, err := os.ReadFile(filepath.Join(abs, "go.mod")); err != nil || !strings.HasPrefix(string(mod), "module "+framework+"\n") {
			return nil, fmt.Errorf("cannot use %s: it is not a checkout of %s", opts.Replace, framework)
		}
		opts.Replace = abs
	}
	if opts.Version == "" && opts.Replace == "" {
		return nil, fmt.Errorf("cannot tell which version of %s to use", framework)
	}
	files, err := render(opts)
	if err != nil {
		return nil, err
	}
	r := &Result{Dir: opts.Dir}
	for _, f := range files {
		path := filepath.Join(opts.Dir, filepath.FromSlash(f.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("cannot make the charm: %w", err)
		}
		if err := os.WriteFile(path, f.data, 0o644); err != nil {
			return nil, fmt.Errorf("cannot make the charm: %w", err)
		}
		r.Files = append(r.Files, f.name)
	}
	r.Unresolved = resolve(ctx, opts)
	return r, nil
}

func empty(dir string) error {
	list, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot make the charm: %w", err)
	case len(list) > 0:
		return fmt.Errorf("cannot make the charm: %s is there already, and not empty", dir)
	}
	return nil
}

type rendered struct {
	name string
	data []byte
}

func render(opts Options) ([]rendered, error) {
	words := strings.Split(opts.Name, "-")
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	data := struct{ Name, Title, Module, Binary, Ident string }{
		Name: opts.Name, Title: strings.Join(words, " "), Module: opts.Module, Binary: binary(opts.Module),
		// The charm's type: a word that no keyword or import can be.
		Ident: strings.ToLower(words[0]) + strings.Join(words[1:], "") + "Charm",
	}
	files := []rendered{{"go.mod", []byte(goMod(opts))}}
	if opts.Replace != "" {
		// A charm needs nothing that the framework does not: with its sums the Go
		// tool has no need to ask for them over the network.
		sums, err := os.ReadFile(filepath.Join(opts.Replace, "go.sum"))
		if err != nil {
			return nil, fmt.Errorf("cannot make the charm: %w", err)
		}
		files = append(files, rendered{"go.sum", sums})
	}
	err := fs.WalkDir(templates, "template", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := templates.ReadFile(name)
		if err != nil {
			return err
		}
		t, err := template.New(name).Parse(string(text))
		if err != nil {
			return err
		}
		var b strings.Builder
		if err := t.Execute(&b, data); err != nil {
			return err
		}
		out := strings.TrimSuffix(strings.TrimPrefix(name, "template/"), ".tmpl")
		if out == "gitignore" {
			out = ".gitignore"
		}
		files = append(files, rendered{out, []byte(b.String())})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot make the charm: %w", err)
	}
	return files, nil
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// binary is what go install calls the program of a module.
func binary(module string) string {
	base := path.Base(module)
	if majorVersion.MatchString(base) {
		base = path.Base(path.Dir(module))
	}
	return base
}

func goMod(opts Options) string {
	version := opts.Version
	if opts.Replace != "" {
		version = "v0.0.0"
	}
	mod := fmt.Sprintf("module %s\n\ngo 1.26.0\n\nrequire %s %s\n", opts.Module, framework, version)
	if opts.Replace != "" {
		mod += fmt.Sprintf("\n// The framework as it is on this machine. Once it is released:\n// go mod edit -dropreplace %[1]s && go get %[1]s@latest\nreplace %[1]s => %[2]s\n", framework, opts.Replace)
	}
	return mod
}

// resolve lets the Go tool write down the modules that the charm needs.
func resolve(ctx context.Context, opts Options) error {
	tool := opts.GoTool
	if tool == "" {
		tool = "go"
	}
	cmd := exec.CommandContext(ctx, tool, "mod", "tidy")
	cmd.Dir = opts.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%w: %s", err, lines[len(lines)-1])
	}
	return nil
}
