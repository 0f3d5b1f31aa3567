// Package service keeps the workload of a charm running after the hook: under
// systemd where the machine has it, else as a process of its own.
package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/charmed-go/charms/internal/detached"
	"github.com/google/renameio/v2"
)

// A Runner keeps a workload running: a [Service] does, and tests have one that
// starts nothing. Its methods are described there.
type Runner interface {
	Ensure(ctx context.Context) (started bool, ended <-chan error, err error)
	Remove(ctx context.Context) error
	LastWords(ctx context.Context) string
}

// Service is a workload.
type Service struct {
	// Manager is "systemd", "process", or "auto" for systemd where it runs.
	Manager string

	// Name is the name of the service, unique on the machine.
	Name string

	// Command is the program, by its absolute path, and its arguments.
	Command []string

	// Dir is where the service runs, and the only directory it can write to.
	Dir string
}

// Ensure makes the service run with its command. It reports whether it had to
// start it, or start it anew with another command. The channel, which can be
// nil, gets how the service ended if it does so at once.
func (s Service) Ensure(ctx context.Context) (started bool, ended <-chan error, err error) {
	if !s.bySystemd() {
		process := s.process()
		if process.Current() {
			return false, nil, nil
		}
		if err := process.Stop(ctx); err != nil {
			return false, nil, err
		}
		ended, err := process.Start()
		return err == nil, ended, err
	}
	if err := os.MkdirAll(s.Dir, 0o750); err != nil {
		return false, nil, fmt.Errorf("cannot start %s: %w", s.Name, err)
	}
	changed, err := writeChanged(s.unitFile(), s.unit())
	if err != nil {
		return false, nil, err
	}
	if !changed && systemctl(ctx, "is-active", "--quiet", s.Name) == nil {
		return false, nil, nil
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", s.Name}, {"restart", s.Name}} {
		if err := systemctl(ctx, args...); err != nil {
			return false, nil, err
		}
	}
	return true, nil, nil
}

// Remove ends the service for good. One that does not run is no error.
func (s Service) Remove(ctx context.Context) error {
	if !s.bySystemd() {
		return s.process().Stop(ctx)
	}
	if _, err := os.Stat(s.unitFile()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := systemctl(ctx, "disable", "--now", s.Name); err != nil {
		return err
	}
	if err := os.Remove(s.unitFile()); err != nil {
		return fmt.Errorf("cannot remove %s: %w", s.Name, err)
	}
	return systemctl(ctx, "daemon-reload")
}

// LastWords returns the end of what the service printed.
func (s Service) LastWords(ctx context.Context) string {
	if !s.bySystemd() {
		return s.process().LastWords()
	}
	out, err := exec.CommandContext(ctx, "journalctl", "-u", s.Name, "-n", "5", "-o", "cat").CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(out))
}

// bySystemd tells whether systemd runs, as sd_booted(3) has it.
func (s Service) bySystemd() bool {
	if s.Manager == "systemd" || s.Manager == "process" {
		return s.Manager == "systemd"
	}
	_, err := os.Lstat("/run/systemd/system")
	return err == nil
}

func (s Service) process() detached.Process {
	return detached.Process{Dir: s.Dir, Name: s.Name, Command: s.Command}
}

func (s Service) unitFile() string {
	return filepath.Join("/etc/systemd/system", s.Name+".service")
}

// unit is the service as systemd.service(5) wants it described.
func (s Service) unit() []byte {
	quoted := make([]string, len(s.Command))
	for i, word := range s.Command {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(word) + `"`
	}
	var program string // another one makes another unit, which is restarted
	if info, err := os.Stat(s.Command[0]); err == nil {
		program = fmt.Sprint(info.Size(), " ", info.ModTime().UnixNano())
	}
	return fmt.Appendf(nil, `# program %s
[Unit]
Description=Workload of a charm: %s
After=network-online.target
Wants=network-online.target

[Service]
ExecStart=%s
WorkingDirectory=%s
ReadWritePaths=%s
Restart=always
RestartSec=2
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_NET_BIND_SERVICE

[Install]
WantedBy=multi-user.target
`, program, s.Name, strings.Join(quoted, " "), s.Dir, s.Dir)
}

func systemctl(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot run systemctl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// writeChanged writes a file if it has another content.
func writeChanged(path string, text []byte) (bool, error) {
	if was, err := os.ReadFile(path); err == nil && bytes.Equal(was, text) {
		return false, nil
	}
	if err := renameio.WriteFile(path, text, 0o644); err != nil {
		return false, fmt.Errorf("cannot write %s: %w", path, err)
	}
	return true, nil
}
