package promengine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	// What a scrape job may use to find its targets, beside static_configs.
	_ "github.com/prometheus/prometheus/discovery/consul"
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
)

// Options say what an engine reads, where it keeps data and where it serves.
type Options struct {
	// ConfigFile is the prometheus.yml to read, at the start and at reloads.
	ConfigFile string

	// DataDir is where samples are kept; by default a temporary directory
	// that Close removes.
	DataDir string

	// ListenAddress is where the HTTP API is served, by default a free port
	// of the loopback.
	ListenAddress string

	// Logger is told what Prometheus logs; by default nobody is.
	Logger *slog.Logger

	// DiscoveryInterval is how often new jobs and targets are looked for. By
	// default it is 50 ms, so that tests need not wait; Prometheus takes 5
	// seconds.
	DiscoveryInterval time.Duration
}

// Engine is a running Prometheus. Its methods may be called concurrently.
type Engine struct {
	opts      Options
	registry  *prometheus.Registry
	db        *tsdb.DB
	queries   *promql.Engine
	discovery *discovery.Manager
	scrape    *scrape.Manager
	server    *http.Server
	url       string

	reloading sync.Mutex
	loaded    prometheus.Gauge
	loadTime  prometheus.Gauge

	stop    context.CancelFunc
	running sync.WaitGroup
	failed  chan error
	closed  sync.Once
	tempDir string
}

// Start starts an engine, which runs until Close whatever becomes of ctx. The
// error is an *[prometheusmanual.InvalidError] if the configuration is not
// valid.
func Start(ctx context.Context, opts Options) (*Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.ListenAddress == "" {
		opts.ListenAddress = "127.0.0.1:0"
	}
	if opts.DiscoveryInterval <= 0 {
		opts.DiscoveryInterval = 50 * time.Millisecond
	}
	e := &Engine{
		opts:     opts,
		registry: prometheus.NewRegistry(),
		failed:   make(chan error, 3),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prometheus_config_last_reload_successful",
			Help: "Whether the last configuration reload attempt was successful.",
		}),
		loadTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "prometheus_config_last_reload_success_timestamp_seconds",
			Help: "Timestamp of the last successful configuration reload.",
		}),
	}
	e.registry.MustRegister(e.loaded, e.loadTime)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	if err := e.start(running); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the engine: %w", err), e.Close())
	}
	return e, nil
}

func (e *Engine) start(ctx context.Context) error {
	if e.opts.DataDir == "" {
		dir, err := os.MkdirTemp("", "promengine-")
		if err != nil {
			return err
		}
		e.tempDir, e.opts.DataDir = dir, dir
	}
	db, err := tsdb.Open(e.opts.DataDir, e.opts.Logger, e.registry, tsdb.DefaultOptions(), nil)
	if err != nil {
		return err
	}
	e.db = db
	e.queries = promql.NewEngine(promql.EngineOpts{
		Logger:               e.opts.Logger,
		Reg:                  e.registry,
		MaxSamples:           1_000_000,
		Timeout:              30 * time.Second,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
	})
	sdMetrics, err := discovery.CreateAndRegisterSDMetrics(e.registry)
	if err != nil {
		return err
	}
	e.discovery = discovery.NewManager(ctx, e.opts.Logger, e.registry, sdMetrics,
		discovery.Updatert(e.opts.DiscoveryInterval))
	if e.discovery == nil {
		return errors.New("the discovery manager's metrics cannot be registered")
	}
	e.scrape, err = scrape.NewManager(&scrape.Options{
		DiscoveryReloadInterval:  model.Duration(e.opts.DiscoveryInterval),
		DiscoveryReloadOnStartup: true,
	}, e.opts.Logger, nil, nil, e.db, e.registry)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", e.opts.ListenAddress)
	if err != nil {
		return err
	}
	e.url = "http://" + listener.Addr().String()
	e.server = &http.Server{Handler: e.handler(), ReadHeaderTimeout: 10 * time.Second}

	if err := e.Reload(ctx); err != nil {
		return errors.Join(err, listener.Close())
	}
	e.run("discovery", e.discovery.Run)
	e.run("scraping", func() error { return e.scrape.Run(e.discovery.SyncCh()) })
	e.run("serving", func() error { return e.server.Serve(listener) })
	return nil
}

// run runs a part of the engine and notes how it ended.
func (e *Engine) run(what string, part func() error) {
	e.running.Go(func() {
		if err := part(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, context.Canceled) {
			e.failed <- fmt.Errorf("%s ended: %w", what, err)
		}
	})
}

// URL is where the engine serves its HTTP API.
func (e *Engine) URL() string { return e.url }

// Client returns a client of the engine's HTTP API.
func (e *Engine) Client() *promserver.Client { return &promserver.Client{URL: e.url} }

// Reload reads the configuration again. See [prometheusmanual.Server].
func (e *Engine) Reload(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.reloading.Lock()
	defer e.reloading.Unlock()
	defer func() {
		if err != nil {
			e.loaded.Set(0)
		}
	}()
	loaded, err := config.LoadFile(e.opts.ConfigFile, false, e.opts.Logger)
	if err != nil {
		return prometheusmanual.NewInvalidError(err.Error())
	}
	jobs, err := loaded.GetScrapeConfigs()
	if err != nil {
		return prometheusmanual.NewInvalidError(err.Error())
	}
	targets := make(map[string]discovery.Configs, len(jobs))
	for _, job := range jobs {
		targets[job.JobName] = job.ServiceDiscoveryConfigs
	}
	err = errors.Join(e.scrape.ApplyConfig(loaded), e.discovery.ApplyConfig(targets))
	if err != nil {
		return prometheusmanual.NewInvalidError(err.Error())
	}
	e.loaded.Set(1)
	e.loadTime.SetToCurrentTime()
	return nil
}

// Pools returns the names of the jobs that the engine runs, sorted. See
// [prometheusmanual.Server].
func (e *Engine) Pools(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pools := e.scrape.ScrapePools()
	slices.Sort(pools)
	return pools, nil
}

// Idle returns nothing: the engine runs every job, whether it has targets or not.
// See [prometheusmanual.Server].
func (e *Engine) Idle(ctx context.Context) ([]string, error) { return nil, ctx.Err() }

// Close stops the engine and waits until nothing of it runs any more.
func (e *Engine) Close() error {
	var errs []error
	e.closed.Do(func() {
		e.stop()
		if e.server != nil {
			errs = append(errs, e.server.Close())
		}
		if e.scrape != nil {
			e.scrape.Stop()
		}
		e.running.Wait()
		if e.queries != nil {
			errs = append(errs, e.queries.Close())
		}
		if e.db != nil {
			errs = append(errs, e.db.Close())
		}
		if e.tempDir != "" {
			errs = append(errs, os.RemoveAll(e.tempDir))
		}
		close(e.failed)
		for err := range e.failed {
			errs = append(errs, err)
		}
	})
	return errors.Join(errs...)
}
