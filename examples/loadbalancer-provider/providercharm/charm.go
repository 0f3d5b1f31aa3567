package providercharm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// Options are what a program may put in the place of what the charm has.
type Options struct {
	// Driver, if set, makes the drivers instead of those that the configuration
	// can name.
	Driver func(name, dir string) (Driver, error)
	// Listener is told of each step of each flow.
	Listener func(flow.Event)
}

// New makes the charm.
func New() *reactive.Charm { return NewWith(Options{}) }

// NewWith makes the charm with parts of another program.
func NewWith(o Options) *reactive.Charm {
	charm := reactive.New("loadbalancer-provider")
	p := &provider{
		options: o,
		lb:      loadbalancer.NewProvider(charm, "lb-consumers"),
		serving: charm.Flag("loadbalancer.serving"),
		stopped: charm.Flag("loadbalancer.stopped"),
	}
	charm.HandleHook("stop serving", "stop", p.stop)
	charm.HandleHook("serve again", "start", func(_ context.Context, h *reactive.Hook) error {
		h.Clear(p.stopped)
		return nil
	})
	charm.Handle("serve", flags.WhenAny(p.lb.Created(), p.serving).Unless(p.stopped), p.serve)
	charm.StatusFunc(p.status)
	charm.AddCommand(reactive.Command{
		Name: "standin", Args: "DIR", Short: "be the load balancer, for lack of another one", Run: standinCommand,
	})
	return charm
}

type provider struct {
	options          Options
	lb               *loadbalancer.Provider
	serving, stopped flags.Flag

	// What the hook found.
	made, refused     int
	draining, failing []string
	failed            []error
}

type config struct {
	Driver           string `json:"driver"`
	Address          string `json:"address"`
	IngressAddresses string `json:"ingress_addresses"`
	PublicAddress    string `json:"public_address"`
	DrainTimeout     int    `json:"drain_timeout"`
	Masquerade       bool   `json:"masquerade"`
	ServiceManager   string `json:"service_manager"`
}

// addresses returns those that load balancers may receive on.
func (p *provider) addresses(ctx context.Context, h *reactive.Hook, c config) (addresses, error) {
	first := c.Address
	if first == "" {
		network, err := h.Tools().Network(ctx, p.lb.Name())
		if err != nil {
			return nil, err
		}
		if first = network.BindAddress(); first == "" {
			first = network.IngressAddress()
		}
	}
	var at addresses
	for _, text := range append([]string{first}, strings.FieldsFunc(c.IngressAddresses, func(r rune) bool { return r == ',' || r == ' ' })...) {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return nil, reactive.Blocked(fmt.Sprintf("%.60q is not an address", text))
		}
		at = append(at, address)
	}
	return at, nil
}

// open returns what load balancers are made with.
func (p *provider) open(ctx context.Context, h *reactive.Hook) (*balancers, config, addresses, error) {
	c, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return nil, c, nil, err
	}
	at, err := p.addresses(ctx, h, c)
	if err != nil {
		return nil, c, nil, err
	}
	b, err := p.madeBy(h, c, at)
	return b, c, at, err
}

// dir is where this unit keeps what it makes: a directory for each driver, and
// the journals.
func dir(h *reactive.Hook) string { return h.Path("loadbalancers") }

const journals = "journals"

// madeBy returns what load balancers are made with by the driver that c names.
func (p *provider) madeBy(h *reactive.Hook, c config, at addresses) (*balancers, error) {
	if err := os.MkdirAll(dir(h), 0o700); err != nil {
		return nil, fmt.Errorf("cannot keep load balancers: %w", err)
	}
	var driver Driver
	var err error
	if p.options.Driver != nil {
		driver, err = p.options.Driver(c.Driver, filepath.Join(dir(h), c.Driver))
	} else {
		driver, err = openDriver(h, c, dir(h), at)
	}
	if err != nil {
		return nil, reactive.Blocked(err.Error())
	}
	return &balancers{
		driver:       driver,
		runner:       &flow.Runner{Dir: filepath.Join(dir(h), journals), Listener: p.options.Listener},
		drainTimeout: time.Duration(c.DrainTimeout) * time.Second,
		log:          h.Log(),
	}, nil
}

// retire takes away all that was made by drivers other than keep, which the
// configuration named before.
func (p *provider) retire(ctx context.Context, h *reactive.Hook, c config, keep string) error {
	entries, err := os.ReadDir(dir(h))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot find what was made before: %w", err)
	}
	for _, entry := range entries {
		if c.Driver = entry.Name(); c.Driver == keep || c.Driver == journals {
			continue
		}
		b, err := p.madeBy(h, c, nil)
		if err != nil {
			return err
		}
		if err := b.removeAll(ctx); err != nil {
			return fmt.Errorf("cannot take away what was made by %s: %w", c.Driver, err)
		}
		if err := os.RemoveAll(filepath.Join(dir(h), c.Driver)); err != nil {
			return fmt.Errorf("cannot take away what was made by %s: %w", c.Driver, err)
		}
	}
	return nil
}

// serve brings the load balancers in line with the requests, and answers them.
// It begins with removing what nobody wants: its ports may be wanted by others.
func (p *provider) serve(ctx context.Context, h *reactive.Hook) error {
	p.made, p.refused, p.draining, p.failing, p.failed = 0, 0, nil, nil, nil
	b, c, at, err := p.open(ctx, h)
	if err != nil {
		return err
	}
	if err := p.retire(ctx, h, c, c.Driver); err != nil {
		return err
	}
	// Other units than the leader make load balancers too, so they need to know.
	if err := p.lb.FollowersRead(h, true); err != nil {
		return err
	}
	leader, err := h.Leader(ctx)
	if err != nil {
		return err
	}
	if err := b.resume(ctx); err != nil {
		return err
	}
	state, err := b.driver.State(ctx)
	if err != nil {
		return err
	}
	for _, d := range state.Sorted() {
		if p.unwanted(d.LoadBalancer.ID) {
			if err := b.remove(ctx, d); err != nil {
				return err
			}
			delete(state.Distributors, d.ID)
		}
	}
	for _, removed := range p.lb.Removed() {
		if leader != nil {
			err = p.lb.RevokeRemoved(ctx, leader, removed)
		} else {
			err = p.lb.Forget(h, removed)
		}
		if err != nil {
			return err
		}
	}
	responses := make(map[*loadbalancer.Incoming]loadbalancer.Response)
	for _, in := range p.lb.Requests() {
		if responses[in], err = p.answer(ctx, b, in, c, at, state); err != nil {
			return err
		}
	}
	if state, err = b.driver.State(ctx); err != nil {
		return err
	}
	if len(state.Distributors) > 0 {
		if err := b.driver.Converge(ctx); err != nil {
			if ctx.Err() != nil {
				return err
			}
			h.Log().Error("load balancers do not work", "reason", err.Error())
			for in := range responses {
				responses[in] = loadbalancer.Fail(err)
			}
		} else if p.draining, p.failing, err = b.look(ctx, state); err != nil {
			return err
		}
	}
	for _, in := range p.lb.Requests() {
		if err := p.respond(ctx, h, leader, in, responses[in]); err != nil {
			return err
		}
	}
	if len(state.Distributors) > 0 || !h.IsSet(p.serving) {
		h.Toggle(p.serving, len(state.Distributors) > 0)
		return nil
	}
	h.Clear(p.serving)
	return b.driver.Stop(ctx)
}

// unwanted reports whether nobody asks for a load balancer any more. It is not
// known of relations that cannot be read.
func (p *provider) unwanted(id string) bool {
	number, ok := relationOf(id)
	if !ok {
		return true
	}
	var in *reactive.Relation
	for rel := range p.lb.Relations().Values() {
		if rel.Number() == number && !rel.Broken() {
			in = rel
		}
	}
	if in == nil {
		return true
	}
	if !p.lb.Readable(in) {
		return false
	}
	return !slices.ContainsFunc(p.lb.Requests(), func(r *loadbalancer.Incoming) bool {
		return balancerID(r.Relation().Number(), r.Name()) == id
	}) && !slices.ContainsFunc(p.lb.Malformed(), func(m loadbalancer.Malformed) bool {
		return balancerID(m.Relation.Number(), m.Name) == id
	})
}

// answer makes what a request asks for and returns the response to it.
func (p *provider) answer(ctx context.Context, b *balancers, in *loadbalancer.Incoming, c config, at addresses, state *converge.State) (loadbalancer.Response, error) {
	w, err := translate(ctx, in, at, b.driver)
	if err == nil {
		err = b.apply(ctx, w)
	}
	if ctx.Err() != nil {
		return loadbalancer.Response{}, ctx.Err()
	}
	address := w.VIP.Address.String()
	if c.PublicAddress != "" && in.Public {
		address = c.PublicAddress
	}
	if err == nil {
		return loadbalancer.Succeed(address), nil
	}
	response := loadbalancer.Fail(err)
	if fields := distributor.UnsupportedFields(err); len(fields) > 0 {
		unsupported := make(map[loadbalancer.Field]string)
		for field, reason := range fields {
			unsupported[loadbalancer.Field(field)] = reason
		}
		response = loadbalancer.Reject(unsupported)
	}
	if find(state, balancerID(in.Relation().Number(), in.Name())) != nil {
		// What was made for the former version goes on.
		response = response.StillAt(in.Response().Address())
	}
	return response, nil
}

func (p *provider) respond(ctx context.Context, h *reactive.Hook, leader *reactive.Leader, in *loadbalancer.Incoming, r loadbalancer.Response) error {
	p.made++
	if err := r.Err(); err != nil {
		p.made--
		if r.Fields().Error == loadbalancer.Unsupported {
			p.refused++
		} else {
			p.failed = append(p.failed, err)
		}
		h.Log().Warn("a request is not fulfilled", "relation", in.Relation().ID(), "request", in.Request, "reason", err.Error())
	}
	if leader == nil {
		return p.lb.Applied(h, in)
	}
	return p.lb.Respond(ctx, leader, in, r)
}

// stop takes everything away when the unit is removed.
func (p *provider) stop(ctx context.Context, h *reactive.Hook) error {
	h.Set(p.stopped)
	c, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return err
	}
	h.Clear(p.serving)
	return p.retire(ctx, h, c, "")
}

func (p *provider) status(ctx context.Context, h *reactive.Hook) (reactive.Status, error) {
	c, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return reactive.Status{}, err
	}
	text := fmt.Sprintf("%d made by %s", p.made, c.Driver)
	if p.refused > 0 {
		text += fmt.Sprintf(", %d refused", p.refused)
	}
	if len(p.draining) > 0 {
		text += ", draining " + few(p.draining)
	}
	if len(p.failing) > 0 {
		text += ", no backend works for " + few(p.failing)
	}
	if len(p.failed) > 0 {
		// The consumer has done nothing wrong: it is for the operator of this charm.
		return reactive.BlockedStatus(fmt.Sprintf("%s, %d failed: %v", text, len(p.failed), p.failed[0])), nil
	}
	return reactive.Active(text), nil
}
