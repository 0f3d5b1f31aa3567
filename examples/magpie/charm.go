package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/endpoints/magpie"
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// options are what a test may put in the place of what the charm has.
type options struct {
	// responder makes what runs the responder.
	responder func(unit, charmDir string) responder
}

type charm struct {
	options options
	peers   *magpie.Peers
	metrics *prometheusmanual.Provider

	serving flags.Flag // the responder runs
	due     flags.Flag // the network has to be checked

	// What is due if the flag was set in this hook for some peers only. Of a check
	// that was due before, nobody remembers for whom: it is of all.
	partly bool
	some   []string
}

// New makes the charm.
func New() *reactive.Charm { return newWith(options{responder: newManagers}) }

// newWith makes the charm with parts of a test.
func newWith(o options) *reactive.Charm {
	c := reactive.New("magpie")
	m := &charm{
		options: o,
		peers:   magpie.NewPeers(c, "magpie"),
		metrics: prometheusmanual.NewProvider(c, "metrics"),
		serving: c.Flag("magpie.serving"),
		due:     c.Flag("magpie.check-due"),
	}
	c.HandleHook("stop the responder", "stop", m.stop)
	c.HandleEvery("keep the responder running", m.serve)
	c.Handle("announce", flags.When(m.serving), m.announce)
	c.Handle("register the scrape job", flags.When(m.serving, m.metrics.Joined()), m.registerJob)
	c.Handle("wait for peers", flags.When(m.serving).Unless(m.peers.HasPeers()), m.alone)

	c.HandleHook("check now and then", "{upgrade-charm,update-status}", m.checkLater)
	c.Handle("configuration changed", flags.When(c.ConfigChanged()), m.checkLater)
	c.Handle("peers joined or departed", flags.WhenAny(m.peers.Joined(), m.peers.Departed()), m.peersChanged)
	c.Handle("peers published", flags.When(m.peers.Changed()), m.peersPublished)
	c.Handle("check peers", flags.When(m.due, m.serving, m.peers.HasPeers()), m.check)

	reactive.HandleAction(c, "ping", m.ping)
	reactive.HandleAction(c, "iperf", m.iperf)
	reactive.HandleAction(c, "info", m.info)
	return c
}

// leaving is whether the unit is on its way out.
func leaving(h *reactive.Hook) bool {
	e := h.Event()
	return e.Hook == "stop" || e.Hook == "remove" || e.DepartingUnit == h.Unit()
}

// serve keeps the responder running, with the addresses the unit has now. What
// keeps it from that blocks the unit, but does not end the hook: peers come and go
// all the same.
func (m *charm) serve(ctx context.Context, h *reactive.Hook) error {
	if leaving(h) {
		return nil
	}
	if err := m.ensure(ctx, h); err != nil {
		h.Clear(m.serving)
		h.SetStatus(reactive.BlockedStatus(err.Error()))
		return nil
	}
	if !h.IsSet(m.serving) && h.IsSet(m.peers.HasPeers()) {
		h.Set(m.due)
	}
	h.Set(m.serving)
	return nil
}

func (m *charm) ensure(ctx context.Context, h *reactive.Hook) error {
	s, err := readSettings(ctx, h)
	if err != nil {
		return err
	}
	addrs, err := m.addresses(ctx, s)
	if err != nil {
		return err
	}
	return m.options.responder(h.Unit(), h.CharmDir()).ensure(ctx, s.ServiceManager, responderConfig{
		Addresses: addrs, Port: s.Port, MetricsPort: s.MetricsPort, Allow: s.allowed, Report: h.Path(reportFile),
	})
}

// stop ends the responder, however it runs, and whatever the options are.
func (m *charm) stop(ctx context.Context, h *reactive.Hook) error {
	if err := m.options.responder(h.Unit(), h.CharmDir()).remove(ctx); err != nil {
		return err
	}
	h.Clear(m.serving)
	return nil
}

// addresses returns the unit's own addresses in the network to check.
func (m *charm) addresses(ctx context.Context, s settings) ([]netip.Addr, error) {
	var addrs []netip.Addr
	if s.network.IsValid() {
		all, err := magpie.MachineAddresses()
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			if s.network.Contains(a) {
				addrs = append(addrs, a)
			}
		}
		if len(addrs) == 0 {
			return nil, fmt.Errorf("no address in network %s", s.network)
		}
		return addrs, nil
	}
	n, err := m.peers.Network(ctx)
	if err != nil {
		return nil, err
	}
	for _, bound := range n.BindAddresses {
		for _, b := range bound.Addresses {
			if a, err := netip.ParseAddr(b.Value); err == nil && !slices.Contains(addrs, a) {
				addrs = append(addrs, a)
			}
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("the endpoint %s is bound to no address", m.peers.Name())
	}
	return addrs, nil
}

// announce tells the peers that this unit answers, on which port, and under which
// addresses. It does not tell peers in Python that it serves iperf.
func (m *charm) announce(ctx context.Context, h *reactive.Hook) error {
	if leaving(h) {
		return nil
	}
	s, err := readSettings(ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	all := m.peers.All()
	if err := all.AdvertiseAddresses(ctx); err != nil {
		return err
	}
	return all.SetResponder(ctx, uint16(s.Port))
}

func (m *charm) registerJob(ctx context.Context, h *reactive.Hook) error {
	s, err := readSettings(ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	name := "magpie-" + strings.ReplaceAll(h.Unit(), "/", "-")
	if s.MetricsPort == 0 {
		return m.metrics.WithdrawJob(ctx, nil, name)
	}
	addrs, err := m.addresses(ctx, s)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	target := net.JoinHostPort(addrs[0].String(), strconv.Itoa(s.MetricsPort))
	return m.metrics.RegisterJob(ctx, prometheusmanual.Job{
		Name: name,
		Data: map[string]any{
			"metrics_path": "/metrics",
			"static_configs": []any{map[string]any{
				"targets": []any{target},
				"labels":  map[string]any{"juju_unit": h.Unit()},
			}},
		},
	})
}

// alone says that there is nobody to check; what was found of former peers is no
// longer told.
func (m *charm) alone(_ context.Context, h *reactive.Hook) error {
	if !leaving(h) {
		h.SetStatus(reactive.WaitingStatus("Waiting for peers..."))
	}
	if err := os.Remove(h.Path(reportFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the last report: %w", err)
	}
	return nil
}

// checkLater has all peers checked.
func (m *charm) checkLater(_ context.Context, h *reactive.Hook) error {
	h.Set(m.due)
	m.partly = false
	return nil
}

// checkSome has some peers checked: one that comes among hundreds does not have
// all of them checked again.
func (m *charm) checkSome(h *reactive.Hook, units ...string) {
	if !h.IsSet(m.due) {
		m.partly = true
	}
	m.some = append(m.some, units...)
	h.Set(m.due)
}

func (m *charm) peersChanged(_ context.Context, h *reactive.Hook) error {
	m.checkSome(h, m.peers.NewlyJoined().Units()...)
	m.peers.DismissJoined()
	m.peers.DismissDeparted()
	return nil
}

// peersPublished has a peer checked when it gets ready, gets other addresses or
// another port; that it publishes whom it has checked is no reason.
func (m *charm) peersPublished(ctx context.Context, h *reactive.Hook) error {
	h.Clear(m.peers.Changed())
	news := false
	for _, key := range []string{"ingress-address", "iperf_addresses", "netcheck.port"} {
		if f := m.peers.Changed(key); h.IsSet(f) {
			h.Clear(f)
			news = true
		}
	}
	switch unit := h.Event().RemoteUnit; {
	case !news:
	case unit == "":
		return m.checkLater(ctx, h)
	default:
		m.checkSome(h, unit)
	}
	return nil
}
