package jujuc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// binary is the name of the built program among its links.
const binary = "jujuc"

// command is the package that Build compiles.
const command = "github.com/charmed-go/charms/jujusim/cmd/jujuc"

// Link makes dir, and in it a symbolic link to the executable for each tool. A
// link that exists already is replaced.
func Link(dir, executable string, tools []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot install hook tools: %w", err)
	}
	for _, tool := range tools {
		path := filepath.Join(dir, tool)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot install hook tool %s: %w", tool, err)
		}
		if err := os.Symlink(executable, path); err != nil {
			return fmt.Errorf("cannot install hook tool %s: %w", tool, err)
		}
	}
	return nil
}

// Build compiles the hook tools into dir with the go command, which must be
// installed and run in a module that has this one, and links them under all the
// names. Building takes some seconds at first: build once and share the
// directory, which a running simulation only reads.
func Build(ctx context.Context, dir string, tools []string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("cannot build hook tools: %w", err)
	}
	target := filepath.Join(dir, binary)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, command)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build hook tools: %w\n%s", err, out)
	}
	return Link(dir, target, tools)
}
