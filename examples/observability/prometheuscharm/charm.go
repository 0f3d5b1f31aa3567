package prometheuscharm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promengine"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promtool"
	"github.com/charmed-go/charms/examples/observability/service"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	"github.com/google/renameio/v2"
)

// New makes the charm of a program that is the charm and nothing else.
func New() *reactive.Charm { return NewIn() }

// NewIn makes the charm of a program that has its command line behind the given
// words.
func NewIn(words ...string) *reactive.Charm { return NewWith(Options{}, words...) }

// A Server is what the charm asks of the server that runs; see
// [promserver.Client].
type Server interface {
	prometheusmanual.Server
	AwaitReady(ctx context.Context, timeout time.Duration, ended <-chan error) error
	Version(ctx context.Context) (string, error)
}

// Options are what a program may put in the place of what the charm has.
type Options struct {
	// Runner, if set, returns what keeps the server running instead of the
	// machine.
	Runner func(service.Service) service.Runner
	// Server, if set, returns the server instead of asking over HTTP.
	Server func(promserver.Daemon) Server
}

// NewWith is NewIn with parts of another program.
func NewWith(o Options, words ...string) *reactive.Charm {
	if o.Runner == nil {
		o.Runner = func(s service.Service) service.Runner { return s }
	}
	if o.Server == nil {
		o.Server = func(d promserver.Daemon) Server { return d.Client() }
	}
	charm := reactive.New("prometheus")
	p := &prometheus{
		options: o,
		words:   words,
		running: charm.Flag("prometheus.running"),
		stopped: charm.Flag("prometheus.stopped"),
		jobs:    prometheusmanual.NewRequirer(charm, "manual-jobs"),
	}
	charm.Handle("run the server", flags.Unless(p.stopped), p.run)
	charm.Handle("apply scrape jobs", flags.When(p.running), p.apply)
	charm.HandleHook("stop the server", "stop", p.stop)
	charm.HandleHook("run the server again", "start", func(_ context.Context, h *reactive.Hook) error {
		h.Clear(p.stopped)
		return nil
	})
	charm.StatusFunc(p.status)
	charm.AddCommand(reactive.Command{
		Name: "engine", Short: "be the Prometheus server", Args: "OPTIONS",
		Run: func(ctx context.Context, p hooktool.Process) error {
			if code := promengine.Main(ctx, p.Args, p.Stderr); code != 0 {
				return fmt.Errorf("the engine ended with status %d", code)
			}
			return nil
		},
	})
	return charm
}

type prometheus struct {
	options Options
	words   []string
	running flags.Flag
	stopped flags.Flag
	jobs    *prometheusmanual.Requirer

	// outcomes are what the last call of apply in this hook did.
	outcomes []prometheusmanual.Outcome
}

// config are the charm's options.
type config struct {
	Address        string `json:"address"`
	Port           int    `json:"port"`
	ScrapeInterval string `json:"scrape-interval"`
	Engine         string `json:"engine"`
	Trusted        string `json:"trusted"`
	ServiceManager string `json:"service-manager"`
}

func (c config) Validate() error {
	switch c.Engine {
	case "auto", "prometheus", "embedded":
		return nil
	}
	return fmt.Errorf("option engine: %q is not auto, prometheus or embedded", c.Engine)
}

func (c config) base() []byte {
	return fmt.Appendf(nil, "# Written by the prometheus charm; changes are lost.\nglobal:\n  scrape_interval: %q\n", c.ScrapeInterval)
}

// run makes the server run, and run anew with another configuration.
func (p *prometheus) run(ctx context.Context, h *reactive.Hook) error {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	daemon, err := p.daemon(h, options)
	if err != nil {
		return err
	}
	if err := writeIfMissing(daemon.ConfigFile, options.base()); err != nil {
		return err
	}
	server := p.service(h, options, daemon)
	_, ended, err := server.Ensure(ctx)
	if err != nil {
		return err
	}
	if err := p.options.Server(daemon).AwaitReady(ctx, 30*time.Second, ended); err != nil {
		return fmt.Errorf("cannot start the server: %w: %s", err, server.LastWords(ctx))
	}
	version, err := p.options.Server(daemon).Version(ctx)
	if err != nil {
		return err
	}
	// The hook that started it may have been killed before it said so.
	news, err := h.DataChanged("prometheus.version", version)
	if err != nil {
		return err
	}
	if news {
		if err := h.Tools().SetApplicationVersion(ctx, version); err != nil {
			return err
		}
	}
	h.Set(p.running)
	return nil
}

// apply has the server scrape what other applications want scraped.
func (p *prometheus) apply(ctx context.Context, h *reactive.Hook) error {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	daemon, err := p.daemon(h, options)
	if err != nil {
		return err
	}
	p.outcomes, err = p.jobs.Apply(ctx, h, &prometheusmanual.Manager{
		Base:         options.base(),
		ConfigFile:   daemon.ConfigFile,
		Certificates: prometheusmanual.CertDir{Path: filepath.Join(daemon.Dir, "certs")},
		Policy:       prometheusmanual.Policy{Trusted: strings.Fields(options.Trusted)},
		Validator:    validator(daemon),
		Server:       p.options.Server(daemon),
	})
	return err
}

func (p *prometheus) stop(ctx context.Context, h *reactive.Hook) error {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return err
	}
	daemon, err := p.daemon(h, options)
	if err != nil {
		return err
	}
	h.Clear(p.running)
	h.Set(p.stopped)
	return p.service(h, options, daemon).Remove(ctx)
}

func (p *prometheus) status(ctx context.Context, h *reactive.Hook) (reactive.Status, error) {
	if h.IsSet(p.stopped) {
		return reactive.Maintenance("stopped"), nil
	}
	if !h.IsSet(p.running) {
		return reactive.Maintenance("starting"), nil
	}
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return reactive.BlockedStatus(err.Error()), nil
	}
	daemon, err := p.daemon(h, options)
	if err != nil {
		return reactive.Status{}, err
	}
	taken, refused := 0, 0
	for _, outcome := range p.outcomes {
		if outcome.Err == nil {
			taken++
		} else {
			refused++
		}
	}
	message := fmt.Sprintf("http://%s scrapes %d jobs", daemon.ListenAddress, taken)
	if refused > 0 {
		message += fmt.Sprintf(", %d refused", refused)
	}
	return reactive.Active(message), nil
}

// daemon says how the server runs.
func (p *prometheus) daemon(h *reactive.Hook, options config) (promserver.Daemon, error) {
	port, err := choosePort(h, options)
	if err != nil {
		return promserver.Daemon{}, err
	}
	dir := h.Path("prometheus")
	daemon := promserver.Daemon{
		Dir:           dir,
		ConfigFile:    filepath.Join(dir, "prometheus.yml"),
		DataDir:       filepath.Join(dir, "data"),
		ListenAddress: net.JoinHostPort(options.Address, strconv.Itoa(port)),
	}
	if options.Engine != "embedded" {
		daemon.Path, err = exec.LookPath("prometheus")
		if err == nil {
			return daemon, nil
		}
		if options.Engine == "prometheus" {
			return daemon, reactive.Blocked("no prometheus executable is installed")
		}
	}
	daemon.Path, err = os.Executable()
	daemon.Args = append(append([]string{}, p.words...), "engine")
	return daemon, err
}

func (p *prometheus) service(h *reactive.Hook, options config, daemon promserver.Daemon) service.Runner {
	return p.options.Runner(service.Service{
		Manager: options.ServiceManager,
		Name:    "prometheus-" + strings.ReplaceAll(h.Unit(), "/", "-"),
		Dir:     daemon.Dir,
		Command: daemon.Command(),
	})
}

// validator asks the promtool that came with the server, if it has one.
func validator(daemon promserver.Daemon) prometheusmanual.Validator {
	tool := filepath.Join(filepath.Dir(daemon.Path), "promtool")
	if len(daemon.Args) == 0 {
		if _, err := os.Stat(tool); err == nil {
			return promtool.Validator{Path: tool}
		}
	}
	return promcheck.Validator{}
}

// choosePort returns the port to serve on. A free one that was chosen is kept.
func choosePort(h *reactive.Hook, options config) (int, error) {
	const key = "prometheus.port"
	if options.Port != 0 {
		return options.Port, nil
	}
	var port int
	if ok, err := h.Data().Get(key, &port); ok || err != nil {
		return port, err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(options.Address, "0"))
	if err != nil {
		return 0, fmt.Errorf("cannot find a free port: %w", err)
	}
	defer listener.Close()
	port = listener.Addr().(*net.TCPAddr).Port
	return port, h.Data().Set(key, port)
}

func writeIfMissing(path string, text []byte) error {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(path), 0o750); err == nil {
			err = renameio.WriteFile(path, text, 0o640)
		}
	}
	if err != nil {
		return fmt.Errorf("cannot write the server's configuration: %w", err)
	}
	return nil
}
