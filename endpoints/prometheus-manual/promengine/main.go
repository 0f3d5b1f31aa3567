package promengine

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Main runs an engine as the prometheus executable runs a server: it takes
// the flags --config.file, --storage.tsdb.path and --web.listen-address (and
// --web.enable-lifecycle, which is always so), reads its configuration again
// on SIGHUP, and ends on SIGTERM, SIGINT or when ctx is done. It writes its log to
// stderr and returns the status to exit with.
//
// It looks for new targets every second, so that a person does not wait.
func Main(ctx context.Context, args []string, stderr io.Writer) int {
	set := flag.NewFlagSet("prometheus", flag.ContinueOnError)
	set.SetOutput(stderr)
	opts := Options{
		Logger:            slog.New(slog.NewTextHandler(stderr, nil)),
		DiscoveryInterval: time.Second,
	}
	set.StringVar(&opts.ConfigFile, "config.file", "prometheus.yml", "the configuration to read")
	set.StringVar(&opts.DataDir, "storage.tsdb.path", "", "where samples are kept")
	set.StringVar(&opts.ListenAddress, "web.listen-address", "127.0.0.1:9090", "where to serve")
	set.Bool("web.enable-lifecycle", true, "accepted; reloading over HTTP is always possible")
	if err := set.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)

	engine, err := Start(ctx, opts)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	opts.Logger.Info("ready", "address", engine.URL())
	for {
		select {
		case <-ctx.Done():
			if err := engine.Close(); err != nil {
				fmt.Fprintln(stderr, err)
				return 1
			}
			return 0
		case <-reload:
			if err := engine.Reload(ctx); err != nil {
				opts.Logger.Error("cannot reload", "error", err)
			}
		case err := <-engine.failed:
			fmt.Fprintln(stderr, err)
			_ = engine.Close()
			return 1
		}
	}
}
