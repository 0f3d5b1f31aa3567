package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// responderConfig is what the responder is told, in a file.
type responderConfig struct {
	Addresses   []netip.Addr `json:"addresses"`
	Port        int          `json:"port"`
	MetricsPort int          `json:"metrics_port"`
	// Allow are the networks whose checks are answered; none means all.
	Allow []netip.Prefix `json:"allow,omitempty"`
	// Report is the file whose results are served as metrics.
	Report string `json:"report"`
	// PidFile, if there is one, ends the responder when it is gone or names
	// another process.
	PidFile string `json:"pid_file,omitempty"`
	// Program identifies the program, so that another one is started anew.
	Program string `json:"program"`
}

// A responder is the responder as a hook sees it.
type responder interface {
	// ensure makes it run under a manager, with a configuration. It does nothing
	// if it does already.
	ensure(ctx context.Context, manager string, config responderConfig) error
	// remove ends it for good.
	remove(ctx context.Context) error
}

// managers are what can run the responder after the hook. Only one of them does.
type managers struct {
	systemd systemd
	process process
}

func newManagers(unit, charmDir string) responder {
	config := filepath.Join(charmDir, "responder.json")
	return managers{
		systemd{name: "magpie-responder-" + strings.ReplaceAll(unit, "/", "-"), config: config, units: systemdUnits, systemctl: "systemctl"},
		process{dir: charmDir, config: config},
	}
}

func (m managers) ensure(ctx context.Context, manager string, config responderConfig) error {
	if manager == "auto" {
		manager = "process"
		// As sd_booted(3) has it.
		if _, err := os.Lstat("/run/systemd/system"); err == nil {
			manager = "systemd"
		}
	}
	if manager == "systemd" {
		if err := m.process.remove(ctx); err != nil {
			return err
		}
		return m.systemd.ensure(ctx, config)
	}
	if err := m.systemd.remove(ctx); err != nil {
		return err
	}
	return m.process.ensure(ctx, config)
}

func (m managers) remove(ctx context.Context) error {
	return errors.Join(m.systemd.remove(ctx), m.process.remove(ctx))
}

// fingerprint identifies the content of a program without reading all of it.
func fingerprint(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("cannot look at this program: %w", err)
	}
	return fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano()), nil
}

// writeConfig writes the configuration if it is another one, and reports
// whether it was. It also returns the path of the program to run.
func writeConfig(path string, config responderConfig) (program string, changed bool, err error) {
	if program, err = own(); err != nil {
		return "", false, err
	}
	if config.Program, err = fingerprint(program); err != nil {
		return "", false, err
	}
	text, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return "", false, fmt.Errorf("cannot write the responder's configuration: %w", err)
	}
	changed, err = writeChanged(path, append(text, '\n'))
	return program, changed, err
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

// systemd runs the responder as a service of systemd, so that it survives a
// reboot.
type systemd struct {
	name, config string
	// units is the directory of unit files, and systemctl the program.
	units, systemctl string
}

const systemdUnits = "/etc/systemd/system"

func (s systemd) unitFile() string { return filepath.Join(s.units, s.name+".service") }

func (s systemd) ensure(ctx context.Context, config responderConfig) error {
	program, changed, err := writeConfig(s.config, config)
	if err != nil {
		return err
	}
	quote := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(s) + `"`
	}
	text := `[Unit]
Description=Answers the network checks of magpie's peers
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart=` + quote(program) + ` responder ` + quote(s.config) + `
Restart=always
RestartSec=2
DynamicUser=yes
ProtectSystem=strict
NoNewPrivileges=yes

[Install]
WantedBy=multi-user.target
`
	unitChanged, err := writeChanged(s.unitFile(), []byte(text))
	if err != nil {
		return err
	}
	if unitChanged {
		if err := s.run(ctx, "daemon-reload"); err != nil {
			return err
		}
		if err := s.run(ctx, "enable", s.name); err != nil {
			return err
		}
	}
	if changed || unitChanged {
		return s.run(ctx, "restart", s.name)
	}
	return s.run(ctx, "start", s.name)
}

func (s systemd) remove(ctx context.Context) error {
	if _, err := os.Stat(s.unitFile()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := s.run(ctx, "disable", "--now", s.name); err != nil {
		return err
	}
	if err := os.Remove(s.unitFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the service: %w", err)
	}
	return s.run(ctx, "daemon-reload")
}

func (s systemd) run(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, s.systemctl, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run systemctl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// process runs the responder as a plain process in the background. Each hook
// sees to it that it is there.
type process struct {
	dir, config string
}

func (p process) pidFile() string { return filepath.Join(p.dir, "responder.pid") }

// running returns the process that the PID file names, if that is a responder
// of this unit; 0 otherwise.
func (p process) running() int {
	text, err := os.ReadFile(p.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0
	}
	// Another process may have got the number.
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(args, []byte("\x00responder\x00"+p.config+"\x00")) {
		return 0
	}
	return pid
}

func (p process) ensure(ctx context.Context, config responderConfig) error {
	config.PidFile = p.pidFile()
	program, changed, err := writeConfig(p.config, config)
	if err != nil {
		return err
	}
	if p.running() != 0 {
		if !changed {
			return nil
		}
		if err := p.remove(ctx); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(filepath.Join(p.dir, "responder.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("cannot start the responder: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(program, "responder", p.config)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the responder: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	// The responder writes its PID once it serves.
	for {
		if p.running() == cmd.Process.Pid {
			return nil
		}
		select {
		case <-exited:
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("cannot start the responder: %s", bytes.TrimPrefix(bytes.TrimSpace(said), []byte("ERROR ")))
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return fmt.Errorf("cannot start the responder: %w", ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p process) remove(ctx context.Context) error {
	pid := p.running()
	if err := os.Remove(p.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot stop the responder: %w", err)
	}
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot stop the responder: %w", err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return nil
		}
	}
	return fmt.Errorf("cannot stop the responder: process %d goes on", pid)
}

// String describes the configuration in short.
func (c responderConfig) String() string {
	sum := sha256.Sum256([]byte(c.Program))
	return fmt.Sprintf("addresses %v, port %d, metrics port %d, for %v, program %x", c.Addresses, c.Port, c.MetricsPort, c.Allow, sum[:4])
}

// own returns the path of this program.
func own() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find this program: %w", err)
	}
	// Linux says so of a program that was replaced since it started.
	return strings.TrimSuffix(path, " (deleted)"), nil
}
