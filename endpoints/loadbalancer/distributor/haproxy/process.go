package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Process is an HAProxy that runs without a service manager, for tests and
// examples. It outlives the process that launched it.
type Process struct{ pid int }

// Running returns the HAProxy that was launched for a driver of the same options,
// or nil if none runs.
func Running(ctx context.Context, o Options) (*Process, error) {
	o = o.withDefaults()
	b := &backend{o: o, master: socket{o.MasterSocket}}
	if _, err := b.status(ctx); err != nil {
		return nil, ctx.Err()
	}
	pid, err := b.launched()
	if err != nil {
		return nil, fmt.Errorf("cannot find the running HAProxy: %w", err)
	}
	return &Process{pid}, nil
}

// Launch starts an HAProxy master for a driver of the same options, unless one
// runs already, with the configuration that is there or an empty one. Its output
// goes to haproxy.log in the driver's directory.
func Launch(ctx context.Context, o Options) (*Process, error) {
	if p, err := Running(ctx, o); p != nil || err != nil {
		return p, err
	}
	o = o.withDefaults()
	b := &backend{o: o, master: socket{o.MasterSocket}}
	pidFile := b.pidFile()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot start HAProxy: %w", err)
	}
	if _, err := os.Stat(o.ConfigFile); errors.Is(err, os.ErrNotExist) {
		global := "global\n    stats socket " + quote(o.StatsSocket) + " mode 600 level admin expose-fd listeners\n"
		if err := os.WriteFile(o.ConfigFile, []byte(global), 0o600); err != nil {
			return nil, fmt.Errorf("cannot start HAProxy: %w", err)
		}
	}
	log, err := os.OpenFile(filepath.Join(o.Dir, "haproxy.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot start HAProxy: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(o.Binary, "-W", "-S", o.MasterSocket+",mode,600", "-p", pidFile, "-f", o.ConfigFile)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start HAProxy: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	p := &Process{cmd.Process.Pid}
	err = b.await(ctx, func() (bool, error) {
		if _, err := b.master.do(ctx, "show proc"); err == nil {
			return true, nil
		}
		if !p.alive() {
			text, _ := os.ReadFile(log.Name())
			return false, fmt.Errorf("it ended: %s", firstLines(string(text), 10))
		}
		return false, nil
	}, "it does not answer")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start HAProxy: %w", err), p.Stop())
	}
	return p, nil
}

func (b *backend) pidFile() string { return b.path("haproxy.pid") }

// launched returns the master that was launched last.
func (b *backend) launched() (pid int, err error) {
	text, err := os.ReadFile(b.pidFile())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// alive reports whether a master that was launched may be running. Of one that a
// service manager runs nothing is known.
func (b *backend) alive() bool {
	pid, err := b.launched()
	return err != nil || (&Process{pid}).alive()
}

// alive reports whether the process exists and is no zombie.
func (p *Process) alive() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// Stop ends HAProxy and all its workers at once.
func (p *Process) Stop() error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot stop HAProxy: %w", err)
	}
	for end := time.Now().Add(10 * time.Second); p.alive(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("cannot stop HAProxy: process %d goes on", p.pid)
		}
	}
	return nil
}
