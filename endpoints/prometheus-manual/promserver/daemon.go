package promserver

import (
	"bytes"
	"cmp"
	"context"
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

// Daemon is a Prometheus server that runs on when the hook that started it is
// over, where no service manager does that. A note of its process is kept in a
// file, so that the next hook finds it. It is known to be a process that a
// Daemon started by its start time as well as by its number, which another
// process may have got since. Linux only.
type Daemon struct {
	// Path is the server's executable, and Args come before the flags that
	// follow from the other fields: --config.file, --storage.tsdb.path,
	// --web.listen-address and --web.enable-lifecycle.
	Path string
	Args []string

	// ConfigFile is the server's configuration, which must be there, DataDir
	// where it keeps its data, and ListenAddress, such as 127.0.0.1:9090,
	// where it serves.
	ConfigFile    string
	DataDir       string
	ListenAddress string

	// Dir is where the note of the process and the server's log are kept.
	Dir string

	// StartTimeout is how long the server may take until it is ready, by
	// default 30 seconds.
	StartTimeout time.Duration
}

// Client returns a client of the server.
func (d Daemon) Client() *Client { return &Client{URL: "http://" + d.ListenAddress} }

// LogFile returns the path of the file that the server writes its log to.
func (d Daemon) LogFile() string { return filepath.Join(d.Dir, "prometheus.log") }

func (d Daemon) pidFile() string { return filepath.Join(d.Dir, "prometheus.pid") }

// Running reports whether the server's process is there.
func (d Daemon) Running() bool { return d.pid() > 0 }

// Start starts the server if it does not run, waits until it is ready, and
// reports whether it started it. If the server ends instead, the error has the
// last lines of its log.
func (d Daemon) Start(ctx context.Context) (started bool, err error) {
	if d.Running() {
		return false, d.awaitReady(ctx, nil)
	}
	for _, dir := range []string{d.Dir, d.DataDir} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return false, fmt.Errorf("cannot start Prometheus: %w", err)
		}
	}
	log, err := os.OpenFile(d.LogFile(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return false, fmt.Errorf("cannot start Prometheus: %w", err)
	}
	defer log.Close()
	args := append(append([]string{}, d.Args...),
		"--config.file="+d.ConfigFile,
		"--storage.tsdb.path="+d.DataDir,
		"--web.listen-address="+d.ListenAddress,
		"--web.enable-lifecycle",
	)
	// The context ends with the hook; the server does not.
	command := exec.Command(d.Path, args...)
	command.Stdout, command.Stderr = log, log
	command.Dir = d.Dir
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return false, fmt.Errorf("cannot start Prometheus: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	if err := d.note(command.Process.Pid); err != nil {
		_ = command.Process.Kill()
		return false, err
	}
	return true, d.awaitReady(ctx, ended)
}

// Stop ends the server if it runs, and waits until it has ended.
func (d Daemon) Stop(ctx context.Context) error {
	pid := d.pid()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("cannot stop Prometheus: %w", err)
	}
	grace := time.NewTimer(20 * time.Second)
	defer grace.Stop()
	for d.Running() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-grace.C:
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("cannot kill Prometheus: %w", err)
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := os.Remove(d.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot stop Prometheus: %w", err)
	}
	return nil
}

func (d Daemon) awaitReady(ctx context.Context, ended <-chan error) error {
	deadline := time.NewTimer(cmp.Or(d.StartTimeout, 30*time.Second))
	defer deadline.Stop()
	client := d.Client()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		err := client.Ready(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case end := <-ended:
			return fmt.Errorf("cannot start Prometheus: it ended (%v), its last words: %s", end, d.lastWords())
		case <-deadline.C:
			return fmt.Errorf("cannot start Prometheus: it is not ready: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastWords returns the end of the log.
func (d Daemon) lastWords() string {
	text, err := os.ReadFile(d.LogFile())
	if err != nil {
		return err.Error()
	}
	const longest = 1000
	text = text[max(0, len(text)-longest):]
	return strings.TrimSpace(strings.ToValidUTF8(string(text), ""))
}

// note writes down which process the server is.
func (d Daemon) note(pid int) error {
	start, err := startTime(pid)
	if err == nil {
		err = os.WriteFile(d.pidFile(), []byte(fmt.Sprintf("%d %s\n", pid, start)), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot note the process of Prometheus: %w", err)
	}
	return nil
}

// pid returns the number of the server's process, 0 if it does not run.
func (d Daemon) pid() int {
	text, err := os.ReadFile(d.pidFile())
	if err != nil {
		return 0
	}
	number, start, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 {
		return 0
	}
	if now, err := startTime(pid); err != nil || now != start {
		return 0
	}
	return pid
}

// startTime returns when a process started, in the kernel's clock ticks, if it
// is there and not a zombie.
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
