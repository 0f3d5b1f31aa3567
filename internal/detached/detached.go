// Package detached runs a process that outlives the one that starts it, where
// no service manager does that: a workload that a hook starts and the next hook
// finds again. Linux only.
//
// A process is noted in a file. It is known again by its start time as well as
// by its number, which another process may have got since.
package detached

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a process, running or not.
type Process struct {
	// Dir is where the process runs and where its note and its log are kept,
	// under Name.
	Dir, Name string

	// Command is the program and its arguments.
	Command []string
}

// LogFile is the file that the process writes its output to.
func (p Process) LogFile() string { return filepath.Join(p.Dir, p.Name+".log") }

func (p Process) noteFile() string { return filepath.Join(p.Dir, p.Name+".pid") }

// digest tells one command from another, and from one with a newer program.
func (p Process) digest() string {
	command := strings.Join(p.Command, "\x00")
	if info, err := os.Stat(p.Command[0]); err == nil {
		command = fmt.Sprint(command, "\x00", info.Size(), info.ModTime().UnixNano())
	}
	sum := sha256.Sum256([]byte(command))
	return hex.EncodeToString(sum[:8])
}

// PID returns the number of the process, 0 if it does not run.
func (p Process) PID() int {
	pid, _ := p.find()
	return pid
}

// Current reports whether the process runs with this very command and program.
func (p Process) Current() bool {
	pid, command := p.find()
	return pid > 0 && len(p.Command) > 0 && command == p.digest()
}

// Start starts the process, which must not run. Its output replaces that of
// the last time. The channel gets how the process ended, if that happens while
// this one lasts.
func (p Process) Start() (ended <-chan error, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot start %s: %w", p.Name, err)
		}
	}()
	if err := os.MkdirAll(p.Dir, 0o750); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(p.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	command := exec.Command(p.Command[0], p.Command[1:]...)
	command.Stdout, command.Stderr, command.Dir = log, log, p.Dir
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, err
	}
	end := make(chan error, 1)
	go func() { end <- command.Wait() }()
	if err := p.note(command.Process.Pid); err != nil {
		_ = command.Process.Kill()
		return nil, err
	}
	return end, nil
}

// Stop ends the process if it runs, and waits until it has ended: by SIGTERM,
// and after 20 seconds by SIGKILL.
func (p Process) Stop(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot stop %s: %w", p.Name, err)
		}
	}()
	kill := func(pid int, signal syscall.Signal) error {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		return nil
	}
	pid := p.PID()
	if pid > 0 {
		if err := kill(pid, syscall.SIGTERM); err != nil {
			return err
		}
	}
	grace := time.NewTimer(20 * time.Second)
	defer grace.Stop()
	for p.PID() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grace.C:
			if err := kill(pid, syscall.SIGKILL); err != nil {
				return err
			}
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := os.Remove(p.noteFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// LastWords returns the end of the process's log, for an error.
func (p Process) LastWords() string {
	text, err := os.ReadFile(p.LogFile())
	if err != nil {
		return err.Error()
	}
	const longest = 1000
	text = text[max(0, len(text)-longest):]
	return strings.TrimSpace(strings.ToValidUTF8(string(text), ""))
}

// note writes down which process it is.
func (p Process) note(pid int) error {
	start, err := startTime(pid)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return nil // it has ended already, as whoever waits for it learns
	}
	if err != nil {
		return err
	}
	return os.WriteFile(p.noteFile(), fmt.Appendf(nil, "%d %s %s\n", pid, start, p.digest()), 0o644)
}

func (p Process) find() (pid int, command string) {
	text, err := os.ReadFile(p.noteFile())
	if err != nil {
		return 0, ""
	}
	fields := strings.Fields(string(text))
	if len(fields) != 3 {
		return 0, ""
	}
	pid, err = strconv.Atoi(fields[0])
	if err != nil || pid <= 1 {
		return 0, ""
	}
	if start, err := startTime(pid); err != nil || start != fields[1] {
		return 0, ""
	}
	return pid, fields[2]
}

// startTime returns when a process started, in the kernel's clock ticks, if it
// is there and not a zombie (proc_pid_stat(5)).
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The name of the program, in parentheses, may hold anything.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return "", fs.ErrNotExist
	}
	return fields[19], nil
}
