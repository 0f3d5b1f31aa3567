package promtool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
)

// Validator judges configurations by running "promtool check config
// --syntax-only". It may be used concurrently.
type Validator struct {
	// Path is the promtool to run; by default the one that Find finds.
	Path string

	// Dir is where a configuration is put while it is checked, in a directory
	// of its own that only this process's user can read: it holds tokens. By
	// default that is the system's directory for temporary files. A promtool
	// in a snap sees only the snap's own directories.
	Dir string

	// Timeout bounds a run, by default to 30 seconds.
	Timeout time.Duration
}

// Find returns the path of the installed promtool, from a package or a snap.
// The error is as that of [exec.LookPath].
func Find() (string, error) {
	path, err := exec.LookPath("promtool")
	if err == nil {
		return filepath.Abs(path)
	}
	for _, path := range []string{"/snap/bin/prometheus.promtool", "/snap/bin/promtool"} {
		if path, err := exec.LookPath(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot find promtool: %w", err)
}

// Validate implements [prometheusmanual.Validator]. It does not look at the
// files that the configuration names: certificates need not be there yet, and
// relative paths would be looked for beside a temporary file.
func (v Validator) Validate(ctx context.Context, config []byte) error {
	path := v.Path
	if path == "" {
		found, err := Find()
		if err != nil {
			return err
		}
		path = found
	}
	dir, err := os.MkdirTemp(v.Dir, "promtool-")
	if err != nil {
		return fmt.Errorf("cannot run promtool: %w", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return fmt.Errorf("cannot run promtool: %w", err)
	}

	ctx, cancel := context.WithTimeout(ctx, cmp.Or(v.Timeout, 30*time.Second))
	defer cancel()
	command := exec.CommandContext(ctx, path, "check", "config", "--syntax-only", file)
	command.WaitDelay = time.Second
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	err = command.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("cannot run promtool: %w", ctx.Err())
	case errors.As(err, &exit) && exit.Exited():
		if reason, ok := failure(output.String(), file); ok {
			return prometheusmanual.NewInvalidError(reason)
		}
	}
	return fmt.Errorf("cannot run promtool: %w", err)
}

// failure returns what promtool says is wrong, without the name of the file
// that it was given.
func failure(output, file string) (string, bool) {
	_, reason, ok := strings.Cut(output, "FAILED: ")
	if !ok {
		return "", false
	}
	reason = strings.ReplaceAll(reason, "parsing YAML file "+file+": ", "")
	return strings.TrimSpace(strings.ReplaceAll(reason, file, "prometheus.yml")), true
}
