package promserver

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/charmed-go/charms/internal/detached"
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
func (d Daemon) LogFile() string { return d.process().LogFile() }

// PID returns the number of the server's process, 0 if it does not run.
func (d Daemon) PID() int { return d.process().PID() }

func (d Daemon) process() detached.Process {
	return detached.Process{Dir: d.Dir, Name: "prometheus", Command: d.Command()}
}

// Command returns the server's executable and its arguments, for a service
// manager.
func (d Daemon) Command() []string {
	command := append([]string{d.Path}, d.Args...)
	return append(command,
		"--config.file="+d.ConfigFile,
		"--storage.tsdb.path="+d.DataDir,
		"--web.listen-address="+d.ListenAddress,
		"--web.enable-lifecycle",
	)
}

// Start starts the server, waits until it is ready, and reports whether it
// started it: not if it runs already, with the same command. If the server
// ends instead, the error has the last lines of its log.
func (d Daemon) Start(ctx context.Context) (started bool, err error) {
	process := d.process()
	if process.Current() {
		return false, d.awaitReady(ctx, nil)
	}
	if err := process.Stop(ctx); err != nil {
		return false, err
	}
	if err := os.MkdirAll(d.DataDir, 0o750); err != nil {
		return false, fmt.Errorf("cannot start prometheus: %w", err)
	}
	ended, err := process.Start()
	if err != nil {
		return false, err
	}
	return true, d.awaitReady(ctx, ended)
}

// Stop ends the server if it runs, and waits until it has ended.
func (d Daemon) Stop(ctx context.Context) error { return d.process().Stop(ctx) }

func (d Daemon) awaitReady(ctx context.Context, ended <-chan error) error {
	err := d.Client().AwaitReady(ctx, cmp.Or(d.StartTimeout, 30*time.Second), ended)
	if err != nil {
		return fmt.Errorf("cannot start prometheus: %w; its last words: %s", err, d.process().LastWords())
	}
	return nil
}
