// Package consumercharm is the charm of examples/loadbalancer-consumer: a web
// application, and the request for a load balancer in front of it.
package consumercharm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/examples/observability/service"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
)

// requestName is the name of the application's one request.
const requestName = "web"

// Options are what a program may put in the place of what the charm has.
type Options struct {
	// Runner, if set, returns what keeps the web application running instead of
	// the machine.
	Runner func(service.Service) service.Runner
	// Await, if set, waits until the web application serves at an address,
	// instead of connecting to it. The channel gets how the application ended.
	Await func(ctx context.Context, at string, ended <-chan error) error
}

type consumer struct {
	options Options
	stopped flags.Flag
	lb      *loadbalancer.Requirer
}

// New makes the charm.
func New() *reactive.Charm { return NewWith(Options{}) }

// NewWith makes the charm with parts of another program.
func NewWith(o Options) *reactive.Charm {
	if o.Runner == nil {
		o.Runner = func(s service.Service) service.Runner { return s }
	}
	if o.Await == nil {
		o.Await = await
	}
	charm := reactive.New("loadbalancer-consumer")
	c := &consumer{
		options: o,
		stopped: charm.Flag("web.stopped"),
		lb:      loadbalancer.NewRequirer(charm, "lb-provider"),
	}
	charm.HandleHook("stop serving", "stop", c.stop)
	charm.HandleHook("serve again", "start", func(_ context.Context, h *reactive.Hook) error {
		h.Clear(c.stopped)
		return nil
	})
	charm.Handle("serve", flags.Unless(c.stopped), c.serve)
	charm.HandleLeader("ask for a load balancer", flags.When(c.lb.Available()).Unless(c.stopped), c.ask)
	charm.Handle("take note of the answer", flags.When(c.lb.ResponseChanged()), c.acknowledge)
	charm.StatusFunc(c.status)
	charm.AddCommand(reactive.Command{Name: "serve", Args: "OPTIONS", Short: "be the web application", Run: serveCommand})
	return charm
}

type config struct {
	Port           int                 `json:"port"`
	Address        string              `json:"address"`
	LBPort         int                 `json:"lb_port"`
	Backends       string              `json:"backends"`
	Public         bool                `json:"public"`
	Sticky         bool                `json:"sticky"`
	TLSCert        string              `json:"tls_cert"`
	TLSKey         loadbalancer.Secret `json:"tls_key"`
	ServiceManager string              `json:"service_manager"`
}

// service is the web application.
func (c *consumer) service(ctx context.Context, h *reactive.Hook) (service.Runner, string, error) {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return nil, "", err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, "", fmt.Errorf("cannot find this program: %w", err)
	}
	at := net.JoinHostPort(options.Address, strconv.Itoa(options.Port))
	return c.options.Runner(service.Service{
		Manager: options.ServiceManager,
		Name:    "web-" + strings.ReplaceAll(h.Unit(), "/", "-"),
		Dir:     h.Path("run"),
		Command: []string{program, "serve", "--address=" + at, "--unit=" + h.Unit()},
	}), at, nil
}

// serve makes the application run, and run anew with another configuration.
func (c *consumer) serve(ctx context.Context, h *reactive.Hook) error {
	app, at, err := c.service(ctx, h)
	if err != nil {
		return err
	}
	started, ended, err := app.Ensure(ctx)
	if err != nil {
		return err
	}
	if started {
		if err := c.options.Await(ctx, at, ended); err != nil {
			return fmt.Errorf("cannot start the web application: %w: %s", err, app.LastWords(ctx))
		}
	}
	return c.openPort(ctx, h)
}

// await waits until the application serves.
func await(ctx context.Context, at string, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case err := <-ended:
			return errors.Join(errors.New("it ended"), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// openPort opens the port of the application, and closes those it had before.
func (c *consumer) openPort(ctx context.Context, h *reactive.Hook) error {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return err
	}
	// Not only in the hook that started the application: what that opened is
	// lost, and this memory too, if it was killed.
	if news, err := h.DataChanged("web.port", options.Port); err != nil || !news {
		return err
	}
	opened, err := h.Tools().OpenedPorts(ctx)
	if err != nil {
		return err
	}
	if len(opened) > 0 {
		if err := h.Tools().ClosePorts(ctx, opened...); err != nil {
			return err
		}
	}
	return h.Tools().OpenPorts(ctx, hooktool.PortRange{From: options.Port, To: options.Port, Protocol: "tcp"})
}

// ask asks for a load balancer in front of all units. In a hook in which nothing
// changed it publishes nothing.
func (c *consumer) ask(ctx context.Context, l *reactive.Leader) error {
	options, err := reactive.DecodeConfig[config](ctx, l.Hook)
	if err != nil {
		return err
	}
	request, err := c.lb.Request(ctx, l, requestName)
	if err != nil {
		return err
	}
	health := loadbalancer.NewHealthCheck(loadbalancer.HTTP, options.Port)
	health.Path, health.Interval, health.Retries = new("/health"), 2, 2
	request.Protocol = loadbalancer.HTTP
	request.PortMapping = map[int]int{options.LBPort: options.Port}
	request.HealthChecks = []loadbalancer.HealthCheck{health}
	request.Backends = strings.FieldsFunc(options.Backends, func(r rune) bool { return r == ',' || r == ' ' })
	request.Public, request.Sticky = options.Public, options.Sticky
	request.TLSTermination, request.TLSCert, request.TLSKey = false, nil, nil
	if options.TLSCert != "" {
		request.Protocol, request.TLSTermination = loadbalancer.HTTPS, true
		request.TLSCert, request.TLSKey = &options.TLSCert, &options.TLSKey
	}
	return c.lb.Send(ctx, l, request)
}

// acknowledge takes note of what the provider answered or took back; the status
// says what it is.
func (c *consumer) acknowledge(ctx context.Context, h *reactive.Hook) error {
	names, err := c.lb.Revoked(ctx, h)
	if err != nil {
		return err
	}
	for _, answer := range c.lb.New() {
		h.Log().Info("the provider answered", "request", answer.Name, "answer", answer.Response)
		names = append(names, answer.Name)
	}
	return c.lb.Acknowledge(ctx, h, names...)
}

// stop ends the application, and takes the request back with its last unit: Juju
// does that when the relation goes.
func (c *consumer) stop(ctx context.Context, h *reactive.Hook) error {
	h.Set(c.stopped)
	app, _, err := c.service(ctx, h)
	if err != nil {
		return err
	}
	return app.Remove(ctx)
}

func (c *consumer) status(ctx context.Context, h *reactive.Hook) (reactive.Status, error) {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return reactive.Status{}, err
	}
	here := fmt.Sprintf("serving on port %d", options.Port)
	if !c.lb.IsAvailable() {
		return reactive.Active(here + ", without a load balancer"), nil
	}
	answer, ok, err := c.lb.Response(ctx, h, requestName)
	switch {
	case err != nil:
		return reactive.Status{}, err
	case !ok || answer.Stale:
		return reactive.WaitingStatus("for the load balancer"), nil
	case answer.Err() != nil:
		return reactive.BlockedStatus("no load balancer: " + answer.Err().Error()), nil
	}
	scheme, port := "http", 80
	if options.TLSCert != "" {
		scheme, port = "https", 443
	}
	at := answer.Address()
	if options.LBPort != port {
		at = net.JoinHostPort(at, strconv.Itoa(options.LBPort))
	}
	return reactive.Active(fmt.Sprintf("%s://%s/", scheme, at)), nil
}
