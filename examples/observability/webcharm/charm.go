package webcharm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/magpie"
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/examples/observability/service"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
)

// New makes the charm of a program that is the charm and nothing else.
func New() *reactive.Charm { return NewIn() }

// NewIn makes the charm of a program that has its command line behind the given
// words.
func NewIn(words ...string) *reactive.Charm { return NewWith(Options{}, words...) }

// Options are what a program may put in the place of what the charm has.
type Options struct {
	// Runner, if set, returns what keeps the web application running instead of
	// the machine. It has the file of its option --ports written.
	Runner func(service.Service) service.Runner
	// Healthy, if set, says whether the web application serves at an URL,
	// instead of getting it.
	Healthy func(ctx context.Context, url string) error
}

// NewWith is NewIn with parts of another program.
func NewWith(o Options, words ...string) *reactive.Charm {
	if o.Runner == nil {
		o.Runner = func(s service.Service) service.Runner { return s }
	}
	if o.Healthy == nil {
		o.Healthy = healthy
	}
	charm := reactive.New("web")
	w := &web{
		options:   o,
		words:     words,
		certified: charm.Flag("web.certified"),
		serving:   charm.Flag("web.serving"),
		stopped:   charm.Flag("web.stopped"),
		metrics:   prometheusmanual.NewProvider(charm, "metrics"),
		drained:   charm.Flag("web.drained"),
		peers:     magpie.NewPeers(charm, "peers"),
		balancer:  loadbalancer.NewRequirer(charm, "loadbalancer"),
	}
	charm.HandleEvery("check certificates", w.checkCertificates)
	charm.Handle("make certificates", flags.Unless(w.certified), w.makeCertificates)
	charm.Handle("serve", flags.When(w.certified).Unless(w.stopped), w.serve)
	charm.Handle("register scrape job", flags.When(w.serving, w.metrics.Joined()), w.register)
	charm.Handle("tell the peers", flags.When(w.serving, w.peers.HasPeers()), w.tellPeers)
	charm.Handle("learn of peers", flags.When(w.serving), w.learnOfPeers)
	charm.HandleLeader("ask for a load balancer", flags.When(w.serving, w.balancer.Available()), w.ask)
	charm.Handle("note the load balancer", flags.When(w.balancer.ResponseChanged()), w.note)
	reactive.HandleAction(charm, "drain", w.drain)
	reactive.HandleAction(charm, "resume", w.resume)
	charm.HandleHook("stop serving", "stop", w.stop)
	charm.HandleHook("serve again", "start", func(_ context.Context, h *reactive.Hook) error {
		h.Clear(w.stopped)
		return nil
	})
	charm.StatusFunc(w.status)
	charm.AddCommand(reactive.Command{
		Name: "serve", Short: "be the web application", Args: "OPTIONS", Run: serveCommand,
	})
	return charm
}

type web struct {
	options   Options
	words     []string
	certified flags.Flag
	serving   flags.Flag
	stopped   flags.Flag
	drained   flags.Flag
	metrics   *prometheusmanual.Provider
	peers     *magpie.Peers
	balancer  *loadbalancer.Requirer
}

// config are the charm's options.
type config struct {
	Address        string `json:"address"`
	HTTPPort       int    `json:"http-port"`
	MetricsPort    int    `json:"metrics-port"`
	BalancerPort   int    `json:"loadbalancer-port"`
	ScrapeInterval string `json:"scrape-interval"`
	ServiceManager string `json:"service-manager"`
}

// address is the address to serve on, "" for all.
func (c config) address(unit string) (string, error) {
	network, err := netip.ParsePrefix(c.Address)
	if err != nil {
		return c.Address, nil
	}
	_, number, _ := strings.Cut(unit, "/")
	n, err := strconv.Atoi(number)
	address := network.Masked().Addr()
	for range n + 1 {
		address = address.Next()
	}
	if err != nil || !network.Contains(address) {
		return "", reactive.Blocked(fmt.Sprintf("option address: %s has no address for unit %s", network, unit))
	}
	return address.String(), nil
}

func (w *web) checkCertificates(ctx context.Context, h *reactive.Hook) error {
	host, err := w.host(ctx, h)
	if err != nil {
		return err
	}
	h.Toggle(w.certified, certificates{h.Path("tls")}.valid(host, time.Now()))
	return nil
}

func (w *web) makeCertificates(ctx context.Context, h *reactive.Hook) error {
	host, err := w.host(ctx, h)
	if err != nil {
		return err
	}
	if err := (certificates{h.Path("tls")}).make(h.Unit(), host, time.Now()); err != nil {
		return err
	}
	h.Set(w.certified)
	return nil
}

// serve makes the application run, and run anew with another configuration.
func (w *web) serve(ctx context.Context, h *reactive.Hook) error {
	app, err := w.service(ctx, h)
	if err != nil {
		return err
	}
	_, ended, err := app.Ensure(ctx)
	if err != nil {
		return err
	}
	at, err := awaitServing(ctx, h.Path("run/ports.json"), ended, w.options.Healthy)
	if err != nil {
		return fmt.Errorf("cannot start the web application: %w: %s", err, app.LastWords(ctx))
	}
	// Not only in the hook that started it: what that opened is lost, and this
	// memory too, if it was killed.
	news, err := h.DataChanged("web.ports", at)
	if err != nil {
		return err
	}
	if news {
		if err := w.openPorts(ctx, h, at); err != nil {
			return err
		}
	}
	h.Set(w.serving)
	return nil
}

func (w *web) service(ctx context.Context, h *reactive.Hook) (service.Runner, error) {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return nil, err
	}
	address, err := options.address(h.Unit())
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	command := append([]string{program}, w.words...)
	return w.options.Runner(service.Service{
		Manager: options.ServiceManager,
		Name:    "web-" + strings.ReplaceAll(h.Unit(), "/", "-"),
		Dir:     h.Path("run"),
		Command: append(command, "serve",
			"--unit="+h.Unit(),
			"--address="+address,
			"--http-port="+strconv.Itoa(options.HTTPPort),
			"--metrics-port="+strconv.Itoa(options.MetricsPort),
			"--tls="+h.Path("tls"),
			"--ports="+h.Path("run/ports.json"),
			"--peers="+h.Path("run/peers.json"),
		),
	}), nil
}

// openPorts opens the ports that the application has now, and closes those
// that it had before.
func (w *web) openPorts(ctx context.Context, h *reactive.Hook, at ports) error {
	opened, err := h.Tools().OpenedPorts(ctx)
	if err != nil {
		return err
	}
	if err := h.Tools().ClosePorts(ctx, opened...); err != nil {
		return err
	}
	return h.Tools().OpenPorts(ctx, hooktool.PortRange{From: at.HTTP}, hooktool.PortRange{From: at.Metrics})
}

// register tells the Prometheus charms how to scrape this unit.
func (w *web) register(ctx context.Context, h *reactive.Hook) error {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return err
	}
	host, err := w.host(ctx, h)
	if err != nil {
		return err
	}
	at, err := readPorts(h.Path("run/ports.json"))
	if err != nil {
		return err
	}
	tls, err := certificates{h.Path("tls")}.forScraper()
	if err != nil {
		return err
	}
	return w.metrics.RegisterJob(ctx, prometheusmanual.Job{
		Name: h.Unit(),
		Data: map[string]any{
			"scheme":          "https",
			"scrape_interval": options.ScrapeInterval,
			"static_configs": []any{map[string]any{
				"targets": []string{net.JoinHostPort(host, strconv.Itoa(at.Metrics))},
				"labels":  map[string]string{"juju_unit": h.Unit()},
			}},
		},
		CA: tls.ca, ClientCert: tls.cert, ClientKey: tls.key,
	})
}

func (w *web) stop(ctx context.Context, h *reactive.Hook) error {
	app, err := w.service(ctx, h)
	if err != nil {
		return err
	}
	h.Clear(w.serving)
	h.Set(w.stopped)
	return app.Remove(ctx)
}

// host is where Prometheus reaches this unit.
func (w *web) host(ctx context.Context, h *reactive.Hook) (string, error) {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return "", err
	}
	address, err := options.address(h.Unit())
	if err != nil || address != "" {
		return address, err
	}
	network, err := h.Tools().Network(ctx, w.metrics.Name())
	if err != nil {
		return "", err
	}
	if len(network.IngressAddresses) == 0 {
		return "", errors.New("this unit has no address yet")
	}
	return network.IngressAddresses[0], nil
}

// status says where the page is, and what became of what others were asked for.
func (w *web) status(ctx context.Context, h *reactive.Hook) (reactive.Status, error) {
	if h.IsSet(w.stopped) {
		return reactive.Maintenance("stopped"), nil
	}
	if !h.IsSet(w.serving) {
		return reactive.Maintenance("starting"), nil
	}
	at, err := readPorts(h.Path("run/ports.json"))
	if err != nil {
		return reactive.Status{}, err
	}
	balanced, err := w.balanced(ctx, h, at.HTTP)
	if err != nil || balanced.State != "active" {
		return balanced, err
	}
	text := balanced.Message
	if n := w.peers.All().Len(); n > 0 {
		text += fmt.Sprintf(", %d peers", n)
	}
	scraped := 0
	for _, job := range w.metrics.Jobs() {
		switch {
		case job.Response == nil:
		case job.Response.Success:
			scraped++
		default:
			return reactive.BlockedStatus("Prometheus refuses: " + job.Response.Reason), nil
		}
	}
	switch {
	case scraped > 0:
		text += ", scraped"
	case h.IsSet(w.metrics.Joined()):
		text += ", not scraped yet"
	}
	return reactive.Active(text), nil
}
