package pack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
)

// A builder runs the Go tool.
type builder struct {
	goTool string
	outDir string
	tmp    string
	report func(Event)
}

// A program is a main package.
type program struct {
	path string // its import path
	name string // what go install would call it
}

// buildPart builds the programs of a part, as "go install ./..." in its
// source would, into bin/.
func (b *builder) buildPart(ctx context.Context, files archive.Files, p *project, x part, pl platform) error {
	if len(x.generate) > 0 {
		return errors.New("go-generate: is not something reactive pack does; run go generate beforehand")
	}
	if slices.Contains(x.env, "CGO_ENABLED=1") {
		return errors.New("build-environment: CGO_ENABLED=1 needs a C compiler for every platform; reactive pack builds without C")
	}
	dir := filepath.Join(p.dir, x.source)
	env := b.environment(x, pl)
	programs, err := b.programs(ctx, dir, x, env)
	if err != nil {
		return err
	}
	if len(programs) == 0 {
		return fmt.Errorf("there is no Go program (package main) in %s", dir)
	}
	for _, prog := range programs {
		out := filepath.Join(b.tmp, pl.file, x.name, prog.name)
		args := append([]string{"build", "-v", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"}, tagFlags(x)...)
		args = append(args, "-o", out, prog.path)
		b.report(Event{Platform: pl.name, Step: Building, Program: prog.path})
		if err := b.run(ctx, dir, env, args, func(line string) {
			b.report(Event{Platform: pl.name, Step: Compiling, Program: prog.path, Package: line})
		}); err != nil {
			return fmt.Errorf("cannot build %s for %s: %w", prog.path, pl.name, err)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			return err
		}
		files["bin/"+prog.name] = archive.File{Data: data, Executable: true}
	}
	return nil
}

func tagFlags(x part) []string {
	if len(x.tags) == 0 {
		return nil
	}
	return []string{"-tags=" + strings.Join(x.tags, ",")}
}

// environment returns the environment of the Go tool. What would make the
// same sources give other bytes on another machine is fixed.
func (b *builder) environment(x part, pl platform) []string {
	goarch, _ := archive.GOARCH(pl.arch)
	env := slices.Concat(os.Environ(), x.env, []string{
		"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + goarch,
		"GO386=", "GOAMD64=", "GOARM=7", "GOARM64=", "GOPPC64=", "GORISCV64=", "GOEXPERIMENT=", "GOFIPS140=",
	})
	// The part's flags are for charmcraft, which knows no others; ours say
	// the same.
	if !slices.ContainsFunc(x.env, func(e string) bool { return strings.HasPrefix(e, "GOFLAGS=") }) {
		return env
	}
	return append(env, "GOFLAGS="+os.Getenv("GOFLAGS"))
}

func (b *builder) programs(ctx context.Context, dir string, x part, env []string) ([]program, error) {
	args := append([]string{"list", "-f", "{{if eq .Name \"main\"}}{{.ImportPath}}\t{{.Target}}{{end}}"}, tagFlags(x)...)
	cmd := exec.CommandContext(ctx, b.goTool, append(args, "./...")...)
	cmd.Dir, cmd.Env = dir, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the Go packages in %s: %w\n%s", dir, err, strings.TrimSpace(stderr.String()))
	}
	var programs []program
	for line := range strings.Lines(string(out)) {
		importPath, target, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		// Without a place to install to the target is empty.
		name := path.Base(filepath.ToSlash(target))
		if target == "" {
			name = path.Base(importPath)
		}
		programs = append(programs, program{importPath, name})
	}
	return programs, nil
}

// run runs the Go tool and hands on the packages it says it compiles. What
// else it prints becomes the error when it fails.
func (b *builder) run(ctx context.Context, dir string, env, args []string, compiled func(string)) error {
	cmd := exec.CommandContext(ctx, b.goTool, args...)
	cmd.Dir, cmd.Env = dir, env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var rest []string
	r := bufio.NewReader(stderr)
	for {
		line, err := r.ReadString('\n')
		if line = strings.TrimRight(line, "\n"); line != "" {
			// go build -v prints one import path a line.
			if !strings.ContainsAny(line, " \t:#") {
				compiled(line)
			} else {
				rest = append(rest, line)
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = io.Copy(io.Discard, r)
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if len(rest) > 0 {
			return errors.New(strings.Join(rest, "\n"))
		}
		return err
	}
	return nil
}
