package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// reportFile is where, in the charm directory, the last report is kept.
const reportFile = "report.json"

// options are what a test may put in the place of what the charm has.
type options struct {
	// service makes the service of the responder.
	service func(manager, unit, charmDir string) (service, error)
}

type charm struct {
	options options
	peers   *magpie.Peers
	metrics *prometheusmanual.Provider

	serving flags.Flag // the responder runs
	due     flags.Flag // the network has to be checked
}

// New makes the charm.
func New() *reactive.Charm { return newWith(options{service: newService}) }

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
	c.Handle("wait for peers", flags.Unless(m.peers.HasPeers()), m.alone)

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

// serve keeps the responder running, with the addresses the unit has now.
func (m *charm) serve(ctx context.Context, h *reactive.Hook) error {
	if leaving(h) {
		return nil
	}
	s, err := readSettings(ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	addrs, err := m.addresses(ctx, s)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	service, err := m.options.service(s.ServiceManager, h.Unit(), h.CharmDir())
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	if err := service.ensure(ctx, responderConfig{
		Addresses: addrs, Port: s.Port, MetricsPort: s.MetricsPort, Report: h.Path(reportFile),
	}); err != nil {
		h.Clear(m.serving)
		return reactive.Blocked(err.Error())
	}
	h.Set(m.serving)
	return nil
}

func (m *charm) stop(ctx context.Context, h *reactive.Hook) error {
	s, err := readSettings(ctx, h)
	if err != nil {
		return err
	}
	service, err := m.options.service(s.ServiceManager, h.Unit(), h.CharmDir())
	if err != nil {
		return err
	}
	if err := service.remove(ctx); err != nil {
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

// announce tells the peers that this unit answers, and under which addresses.
func (m *charm) announce(ctx context.Context, h *reactive.Hook) error {
	if leaving(h) {
		return nil
	}
	all := m.peers.All()
	if err := all.AdvertiseAddresses(ctx); err != nil {
		return err
	}
	return all.SetIperfServerReady(ctx)
}

func (m *charm) registerJob(ctx context.Context, h *reactive.Hook) error {
	s, err := readSettings(ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	if s.MetricsPort == 0 {
		return nil
	}
	addrs, err := m.addresses(ctx, s)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	target := net.JoinHostPort(addrs[0].String(), strconv.Itoa(s.MetricsPort))
	return m.metrics.RegisterJob(ctx, prometheusmanual.Job{
		Name: "magpie-" + strings.ReplaceAll(h.Unit(), "/", "-"),
		Data: map[string]any{
			"metrics_path": "/metrics",
			"static_configs": []any{map[string]any{
				"targets": []any{target},
				"labels":  map[string]any{"juju_unit": h.Unit()},
			}},
		},
	})
}

func (m *charm) alone(_ context.Context, h *reactive.Hook) error {
	if !leaving(h) {
		h.SetStatus(reactive.WaitingStatus("Waiting for peers..."))
	}
	return nil
}

func (m *charm) checkLater(_ context.Context, h *reactive.Hook) error {
	h.Set(m.due)
	return nil
}

func (m *charm) peersChanged(_ context.Context, h *reactive.Hook) error {
	m.peers.DismissJoined()
	m.peers.DismissDeparted()
	h.Set(m.due)
	return nil
}

// peersPublished has the network checked when a peer gets ready, or gets other
// addresses; that it publishes whom it has checked is no reason.
func (m *charm) peersPublished(_ context.Context, h *reactive.Hook) error {
	h.Clear(m.peers.Changed())
	for _, key := range []string{"ingress-address", "iperf_addresses", "iperf.server"} {
		if f := m.peers.Changed(key); h.IsSet(f) {
			h.Clear(f)
			h.Set(m.due)
		}
	}
	return nil
}

// check checks the network to all peers that answer, and says in the unit's
// status what it found.
func (m *charm) check(ctx context.Context, h *reactive.Hook) error {
	h.Clear(m.due)
	if leaving(h) || h.Event().Action != "" {
		return nil
	}
	s, err := readSettings(ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	all := m.peers.All()
	nodes, err := all.ReadyIperfServers(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, u := range all.Units() {
		if !slices.ContainsFunc(nodes, func(n magpie.Node) bool { return n.Unit == u }) {
			missing = append(missing, u)
		}
	}
	if len(nodes) == 0 {
		h.SetStatus(reactive.WaitingStatus("Waiting for peers to be ready: " + strings.Join(missing, ", ")))
		return nil
	}
	if err := h.Progress(ctx, fmt.Sprintf("Checking the network to %d peers", len(nodes))); err != nil {
		return err
	}
	if s.network.IsValid() {
		if nodes, err = m.nodesIn(ctx, s.network, nodes); err != nil {
			return err
		}
	}
	suite, report, err := m.run(ctx, s, s.suite(), nodes)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	if err := saveReport(h.Path(reportFile), report); err != nil {
		return err
	}
	if suite.Throughput != nil {
		// Saying so again would only wake the peers.
		news, err := h.DataChanged("magpie.checked", all.Units())
		if err != nil {
			return err
		}
		if news {
			if err := all.SetIperfChecked(ctx); err != nil {
				return err
			}
		}
	}
	line := report.Line()
	if len(missing) > 0 {
		line += "; waiting for " + strings.Join(missing, ", ")
	}
	if !report.OK() {
		h.Log().WarnContext(ctx, "something is wrong with the network", "found", line)
		h.SetStatus(reactive.BlockedStatus(shorten(line)))
		return nil
	}
	h.SetStatus(reactive.Active(shorten(line)))
	return nil
}

// nodesIn gives nodes the addresses that they have in a network.
func (m *charm) nodesIn(ctx context.Context, network netip.Prefix, nodes []magpie.Node) ([]magpie.Node, error) {
	all, err := m.peers.All().NodesIn(ctx, network)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(n magpie.Node) bool {
		return !slices.ContainsFunc(nodes, func(wanted magpie.Node) bool { return wanted.Unit == n.Unit })
	}), nil
}

// run runs a suite against nodes, within the time that the configuration
// allows.
func (m *charm) run(ctx context.Context, s settings, suite netcheck.Suite, nodes []magpie.Node) (netcheck.Suite, netcheck.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, seconds(s.TotalTimeout))
	defer cancel()
	peers := make([]netcheck.Peer, len(nodes))
	for i, n := range nodes {
		peers[i] = netcheck.Peer{Name: n.Unit, Port: uint16(s.Port)}
		addr, err := resolve(ctx, n.Address)
		if err != nil {
			return suite, netcheck.Report{}, fmt.Errorf("%s: %w", n.Unit, err)
		}
		peers[i].Addr = addr
	}
	if suite.Throughput != nil && len(peers) > 0 {
		minimum, err := s.minimum(peers[0].Addr)
		if err != nil {
			return suite, netcheck.Report{}, err
		}
		suite.Throughput.Minimum = minimum
	}
	return suite, suite.Run(ctx, peers), nil
}

// resolve returns the address of a peer, which may be a name where Juju has no
// address.
func resolve(ctx context.Context, address string) (netip.Addr, error) {
	if address == "" {
		return netip.Addr{}, errors.New("it has published no address")
	}
	if a, err := netip.ParseAddr(address); err == nil {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", address)
	if err != nil || len(addrs) == 0 {
		return netip.Addr{}, fmt.Errorf("its address %q does not resolve", address)
	}
	return addrs[0].Unmap(), nil
}

func saveReport(path string, report netcheck.Report) error {
	data, err := report.JSON()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("cannot keep the report: %w", err)
	}
	return nil
}

// maxStatus is how long a status may be, in bytes; all of it is in the log.
const maxStatus = 600

func shorten(line string) string {
	if len(line) <= maxStatus {
		return line
	}
	return strings.ToValidUTF8(line[:maxStatus], "") + "…"
}

// own returns the path of this program.
func own() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find this program: %w", err)
	}
	// Linux says so of a program that was replaced since it started.
	return strings.TrimSuffix(path, " (deleted)"), nil
}
