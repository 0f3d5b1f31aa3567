// Package inprocess is a distributor driver that is itself the load balancer: a
// proxy for TCP, HTTP and TLS in the process that uses it. It stands in for
// HAProxy where that is not installed, in examples and in tests; it keeps the
// whole contract, but serves only as long as its process lives, which the
// process of a hook does not.
//
//	d := inprocess.New(dir)
//	defer d.Close()
//	if err := d.Start(ctx); err != nil { // serves what dir knows of
//		return err
//	}
//	create := flow.Linear("create", d.CreateDistributor(""))
//	_, err := new(flow.Runner).Run(ctx, "create-web", create,
//		distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}))
package inprocess

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
)

// Driver is the driver and the proxy. Other drivers of the same directory, in
// this process or another, keep the same state, but serve it only when told to
// converge.
type Driver struct {
	*converge.Driver
	p *proxy
}

// New returns a driver that keeps its state in dir, or in memory if dir is "".
// It serves from its first flow, or from Start, until Close.
func New(dir string) *Driver {
	p := &proxy{fronts: map[netip.AddrPort]*front{}, sessions: map[*session]bool{}, checks: map[checkKey]*check{}}
	return &Driver{converge.New(dir, p), p}
}

// Start serves what the driver's state asks for.
func (d *Driver) Start(ctx context.Context) error { return d.Converge(ctx) }

// Close stops serving at once.
func (d *Driver) Close() error {
	d.p.close()
	return nil
}

// proxy is the backend. Its lock orders choosing an amphora and changing which
// there are: a connection that was given an amphora counts as established.
type proxy struct {
	mu       sync.Mutex
	fronts   map[netip.AddrPort]*front
	sessions map[*session]bool
	checks   map[checkKey]*check
	done     bool
	wg       sync.WaitGroup
}

// session is one connection, or one HTTP request, on its way to an amphora.
type session struct {
	distributor string
	amphora     distributor.Amphora
	cancel      context.CancelFunc
}

func (p *proxy) CheckVIP(v distributor.VIP, alg distributor.Algorithm, persistence distributor.Persistence) error {
	var errs []error
	bad := func(field, reason string) {
		errs = append(errs, &distributor.Unsupported{Field: field, Reason: reason})
	}
	if v.Datagram() {
		bad("protocol", "supported: tcp, http, https")
	}
	if v.Protocol == distributor.HTTP && v.TLS != nil {
		bad("tls_termination", "supported for https and tcp")
	}
	switch alg {
	case distributor.AnyAlgorithm, distributor.RoundRobin, distributor.LeastConnections, distributor.SourceIP,
		distributor.Random, distributor.First, distributor.Hash:
	default:
		bad("algorithm", "supported: round_robin, least_connections, source_ip, random, first, hash")
	}
	switch persistence {
	case distributor.NoPersistence, distributor.SourceIPPersistence, distributor.SourceIPAndPortPersistence:
	case distributor.CookiePersistence:
		if !speaksHTTP(v) {
			bad("sticky", "a cookie needs http, or https with tls_termination")
		}
	default:
		bad("sticky", "supported: source_ip, source_ip_and_port, cookie")
	}
	for i, h := range v.HealthChecks {
		if h.Protocol == distributor.UDP {
			bad("health_checks", fmt.Sprintf("[%d]: protocol udp unsupported", i))
		}
	}
	return errors.Join(errs...)
}

func speaksHTTP(v distributor.VIP) bool {
	return v.Protocol == distributor.HTTP || (v.Protocol == distributor.HTTPS && v.TLS != nil)
}

// Converge opens and closes listeners and gives each its new settings.
func (p *proxy) Converge(ctx context.Context, want *converge.State) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return errors.New("cannot serve: the driver is closed")
	}
	next := map[netip.AddrPort]*settings{}
	checks := map[checkKey]bool{}
	for _, d := range want.Sorted() {
		for _, v := range d.SortedVIPs() {
			for _, a := range d.SortedAmphorae() {
				if len(v.HealthChecks) > 0 {
					k := checkKey{d.ID, v.ID, a.ID}
					checks[k] = true
					p.startCheck(k, v.VIP, a.Amphora)
				}
			}
			for _, m := range v.Ports {
				s, err := newSettings(d, v, m.Back)
				if err != nil {
					return err
				}
				next[netip.AddrPortFrom(v.Address, m.Front)] = s
			}
		}
	}
	var opened []*front
	for at, s := range next {
		f := p.fronts[at]
		if f == nil || f.http != s.http || f.http && f.tls != (s.cert != nil) {
			var err error
			if f, err = p.open(at, s, f); err != nil {
				for _, f := range opened {
					f.stop()
					delete(p.fronts, f.at)
				}
				return fmt.Errorf("cannot serve VIP %s: %w", s.vip.ID, err)
			}
			opened = append(opened, f)
		}
	}
	for _, at := range slices.Collect(maps.Keys(p.fronts)) {
		if s := next[at]; s != nil {
			p.fronts[at].set(s)
			continue
		}
		p.fronts[at].stop()
		delete(p.fronts, at)
	}
	for k, c := range p.checks {
		if !checks[k] {
			c.cancel()
			delete(p.checks, k)
		}
	}
	for _, c := range want.Cuts {
		for s := range p.sessions {
			if s.distributor == c.Distributor && s.amphora.ID == c.Amphora.ID && s.amphora.Address == c.Amphora.Address {
				s.cancel()
			}
		}
	}
	return nil
}

// open replaces the front at an address, which a change of protocol needs.
func (p *proxy) open(at netip.AddrPort, s *settings, old *front) (*front, error) {
	if old != nil {
		old.stop()
		delete(p.fronts, at)
	}
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, err
	}
	f := &front{p: p, at: at, http: s.http, tls: s.cert != nil, listener: l}
	f.set(s)
	p.fronts[at] = f
	f.serve()
	return f, nil
}

// Connections counts sessions.
func (p *proxy) Connections(ctx context.Context, d *converge.Distributor) (map[string]int, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	open := map[string]int{}
	for s := range p.sessions {
		if s.distributor == d.ID {
			open[s.amphora.ID]++
		}
	}
	return open, nil
}

// Failing says why amphorae get no traffic.
func (p *proxy) Failing(_ context.Context, d *converge.Distributor) (map[string]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	failing := map[string]string{}
	for k, c := range p.checks {
		if why := c.down.Load(); k.distributor == d.ID && why != nil {
			failing[k.amphora] = (*why).Error()
		}
	}
	return failing, nil
}

func (p *proxy) close() {
	p.mu.Lock()
	p.done = true
	for _, f := range p.fronts {
		f.kill()
	}
	for _, c := range p.checks {
		c.cancel()
	}
	for s := range p.sessions {
		s.cancel()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// begin gives a client an amphora that is not among those tried, or nil. The
// session lasts until end.
func (p *proxy) begin(ctx context.Context, f *front, client netip.AddrPort, cookie string, tried map[string]bool) (context.Context, *session, *settings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := f.settings.Load()
	if p.done {
		return nil, nil, s
	}
	candidates := make([]*converge.Amphora, 0, len(s.amphorae))
	for _, a := range s.amphorae {
		c := p.checks[checkKey{s.distributor, s.vip.ID, a.ID}]
		if !tried[a.ID] && (c == nil || c.down.Load() == nil) {
			candidates = append(candidates, a)
		}
	}
	a := s.pick(candidates, client, cookie, p.load(s.distributor))
	if a == nil {
		return nil, nil, s
	}
	ctx, cancel := context.WithCancel(ctx)
	se := &session{distributor: s.distributor, amphora: a.Amphora, cancel: cancel}
	p.sessions[se] = true
	return ctx, se, s
}

func (p *proxy) load(distributorID string) map[string]int {
	open := map[string]int{}
	for s := range p.sessions {
		if s.distributor == distributorID {
			open[s.amphora.ID]++
		}
	}
	return open
}

func (p *proxy) end(s *session) {
	s.cancel()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.sessions, s)
}

func target(a distributor.Amphora, port uint16) string {
	return net.JoinHostPort(a.Address.String(), strconv.Itoa(int(port)))
}
