package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/durable"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
)

// Options say where HAProxy is and how it is to behave. Only Dir is needed.
type Options struct {
	// Dir is a directory of the driver's own, made when it is missing, for its
	// state, certificates and what HAProxy keeps over reloads.
	Dir string
	// Binary is the program; "" means "haproxy" on the PATH.
	Binary string
	// ConfigFile is the configuration, all of which the driver writes; ""
	// means haproxy.cfg in Dir.
	ConfigFile string
	// MasterSocket is where the running master listens, as its option -S says;
	// "" means master.sock in Dir. StatsSocket is where its workers do; ""
	// means admin.sock in Dir.
	MasterSocket, StatsSocket string
	// PeerAddress is a loopback address for handing tables of clients to a new
	// worker; the zero value means 127.0.0.1:10000. It is used only while a
	// VIP has SourceIPPersistence.
	PeerAddress netip.AddrPort
	// Addresses, if any, are those that VIPs may receive on.
	Addresses []netip.Addr
	// User and Group are whom workers run as; "" leaves them as the master.
	User, Group string
	// HardStopAfter ends connections that are still open so long after a
	// reload. 0 lets them go on; each reload then leaves a worker behind until
	// the last of its connections has ended.
	HardStopAfter time.Duration
	// IdleTimeout ends connections without traffic; 0 means an hour.
	IdleTimeout time.Duration
	// ReloadTimeout bounds a reload; 0 means ten seconds.
	ReloadTimeout time.Duration
	// Start, if set, starts HAProxy when it does not run, as by systemctl.
	Start func(context.Context) error
	// Logger is told what an operator should know; nil means nobody is.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&o.Binary, "haproxy")
	def(&o.ConfigFile, filepath.Join(o.Dir, "haproxy.cfg"))
	def(&o.MasterSocket, filepath.Join(o.Dir, "master.sock"))
	def(&o.StatsSocket, filepath.Join(o.Dir, "admin.sock"))
	if !o.PeerAddress.IsValid() {
		o.PeerAddress = netip.MustParseAddrPort("127.0.0.1:10000")
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = time.Hour
	}
	if o.ReloadTimeout <= 0 {
		o.ReloadTimeout = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Driver is the driver.
type Driver struct{ *converge.Driver }

// New returns a driver. It does nothing before its first flow runs.
func New(o Options) *Driver {
	o = o.withDefaults()
	return &Driver{converge.New(o.Dir, &backend{o: o, master: socket{o.MasterSocket}})}
}

type backend struct {
	o      Options
	master socket
}

// validPath is what HAProxy takes for a path and nothing else, in every place
// that the configuration has for one.
var validPath = regexp.MustCompile(`^/[A-Za-z0-9/_.+=-]+$`)

func (b *backend) path(name string) string   { return filepath.Join(b.o.Dir, name) }
func (b *backend) certPath(id string) string { return filepath.Join(b.o.Dir, "certs", id+".pem") }

// CheckVIP names everything that HAProxy cannot do.
func (b *backend) CheckVIP(v distributor.VIP, alg distributor.Algorithm, p distributor.Persistence) error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &distributor.Unsupported{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
	if v.Datagram() {
		bad("protocol", "supported: tcp, http, https")
	}
	if v.Protocol == distributor.HTTP && v.TLS != nil {
		bad("tls_termination", "supported for https and tcp")
	}
	if _, ok := algorithms[alg]; !ok {
		bad("algorithm", "supported: round_robin, least_connections, source_ip, random, first, hash")
	}
	switch p {
	case distributor.NoPersistence, distributor.SourceIPPersistence:
	case distributor.CookiePersistence:
		if !speaksHTTP(v) {
			bad("sticky", "a cookie needs http, or https with tls_termination")
		}
	default:
		bad("sticky", "supported: source_ip, cookie")
	}
	if len(b.o.Addresses) > 0 && !slices.Contains(b.o.Addresses, v.Address) {
		bad("ingress_address", "not one of the VIPs of this load balancer")
	}
	for i, h := range v.HealthChecks {
		if h.Protocol == distributor.UDP {
			bad("health_checks", "[%d]: protocol udp unsupported", i)
		}
	}
	return errors.Join(errs...)
}

// Converge writes the configuration, reloads HAProxy if it runs another one,
// and sets what needs no reload in every worker.
func (b *backend) Converge(ctx context.Context, want *converge.State) error {
	if err := os.MkdirAll(b.path("certs"), 0o700); err != nil {
		return fmt.Errorf("cannot configure HAProxy: %w", err)
	}
	for _, p := range []string{b.o.Dir, b.o.StatsSocket} {
		if !validPath.MatchString(p) {
			return fmt.Errorf("cannot configure HAProxy: the path %q may hold letters, digits and '/', '_', '.', '-', '+', '=' only", p)
		}
	}
	cfg := b.render(want)
	st, err := b.status(ctx)
	up := err == nil
	if ctx.Err() != nil {
		return ctx.Err()
	}
	running := ""
	if up {
		if running, err = b.running(ctx, st.workers[0].pid); err != nil {
			return fmt.Errorf("cannot ask HAProxy: %w", err)
		}
	}
	b.warnEmpty(want)
	reload := !up || running != cfg.id
	written, undo, err := b.certificates(ctx, want, reload)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(b.o.ConfigFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read HAProxy's configuration: %w", err)
	}
	changed := string(old) != cfg.text
	if changed {
		if err := b.verify(ctx, cfg.text, written); err != nil {
			return errors.Join(err, undo())
		}
	}
	if up && reload {
		if err := b.bindable(ctx, want, st.workers[0].pid); err != nil {
			return errors.Join(err, undo())
		}
	}
	if up {
		// Before a new worker takes over: what must not get traffic does
		// not, and the state that it inherits is the one wanted.
		if err := b.states(ctx, want); err != nil {
			return errors.Join(err, undo())
		}
	}
	kept := false
	if up && reload {
		// It can take seconds, in which nobody gets traffic who must not.
		if kept, err = b.keepTables(ctx, st); err != nil {
			return errors.Join(fmt.Errorf("cannot keep HAProxy's tables of clients: %w", err), undo())
		}
	}
	if changed {
		probe.Hit(ctx, "haproxy: before the configuration is replaced")
		if err := durable.WriteFile(b.o.ConfigFile, []byte(cfg.text)); err != nil {
			return errors.Join(fmt.Errorf("cannot write HAProxy's configuration: %w", err), undo())
		}
		probe.Hit(ctx, "haproxy: configuration replaced")
	}
	switch {
	case !up:
		if err := b.start(ctx, want, cfg); err != nil {
			return err
		}
	case reload:
		if err := b.reload(ctx, cfg, st); err != nil {
			return errors.Join(err, undo(), b.rollBack(ctx, old, running))
		}
	}
	if kept {
		if st, err = b.status(ctx); err != nil {
			return fmt.Errorf("cannot ask HAProxy: %w", err)
		}
		if err := b.awaitTables(ctx, st, handOverTime); err != nil {
			return fmt.Errorf("cannot keep HAProxy's tables of clients: %w", err)
		}
	}
	if up {
		if err := b.states(ctx, want); err != nil {
			return err
		}
	}
	return b.dropCertificates(want)
}

// warnEmpty tells the operator of VIPs that nobody serves any more.
func (b *backend) warnEmpty(want *converge.State) {
	for _, d := range want.Sorted() {
		if len(d.VIPs) > 0 && len(d.Amphorae) > 0 && len(d.InService()) == 0 {
			b.o.Logger.Warn("every amphora is draining: new connections are refused", "distributor", d.ID, "load_balancer", d.LoadBalancer.ID)
		}
	}
}

// verify has HAProxy check a configuration without touching the one in use.
// Certificates are those that are new in it.
func (b *backend) verify(ctx context.Context, text string, certificates []string) error {
	candidate := b.path("candidate.cfg")
	if err := durable.WriteFile(candidate, []byte(text)); err != nil {
		return fmt.Errorf("cannot write HAProxy's configuration: %w", err)
	}
	defer os.Remove(candidate)
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, b.o.Binary, "-c", "-f", candidate)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for line := range strings.Lines(out.String()) {
			for _, path := range certificates {
				if strings.Contains(line, "'"+path+"'") {
					return fmt.Errorf("cannot configure HAProxy: %w", refusedCert(path, line))
				}
			}
		}
		return fmt.Errorf("cannot configure HAProxy: %w: %s", err, strings.ReplaceAll(firstLines(out.String(), 6), candidate, "the configuration"))
	}
	return nil
}

func firstLines(s string, n int) string {
	lines := strings.SplitN(strings.TrimSpace(s), "\n", n+1)
	return strings.Join(lines[:min(len(lines), n)], "; ")
}

// start starts HAProxy if it is to, and waits until it runs the configuration.
func (b *backend) start(ctx context.Context, want *converge.State, cfg config) error {
	vips := 0
	for _, d := range want.Distributors {
		vips += len(d.VIPs)
	}
	if b.o.Start == nil {
		if vips == 0 {
			return nil
		}
		return fmt.Errorf("cannot reach HAProxy at %s: it does not run", b.o.MasterSocket)
	}
	if err := b.o.Start(ctx); err != nil {
		return fmt.Errorf("cannot start HAProxy: %w", err)
	}
	return b.await(ctx, func() (bool, error) {
		st, err := b.status(ctx)
		if err != nil {
			return false, nil
		}
		id, err := b.running(ctx, st.workers[0].pid)
		return err == nil && id == cfg.id, nil
	}, "HAProxy does not run the configuration that it was started with")
}

// await polls until done, an error, or the time is over.
func (b *backend) await(ctx context.Context, done func() (bool, error), late string) error {
	deadline := time.Now().Add(b.o.ReloadTimeout)
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s after %v", late, b.o.ReloadTimeout)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// reload has the master start a worker with the configuration in the file. It
// takes over the listening sockets, so no connection is refused meanwhile.
func (b *backend) reload(ctx context.Context, cfg config, before status) error {
	if text, err := b.worker(ctx, before.workers[0].pid, "show servers state"); err == nil {
		// Else a server that is down would be sent to until it is checked.
		if err := durable.WriteFile(b.path("server-state"), []byte(text+"\n")); err != nil {
			return fmt.Errorf("cannot keep the states of HAProxy's servers: %w", err)
		}
	}
	probe.Hit(ctx, "haproxy: before reload")
	// The master ends the connection by replacing itself.
	_, _ = b.master.do(ctx, "reload")
	if err := ctx.Err(); err != nil {
		return err
	}
	probe.Hit(ctx, "haproxy: reload asked for")
	err := b.await(ctx, func() (bool, error) {
		st, err := b.status(ctx)
		if err != nil || st.reloads == before.reloads {
			return false, nil
		}
		if st.failed > 0 {
			return false, errors.New("HAProxy cannot load the configuration, most likely because an address or port cannot be bound")
		}
		if st.workers[0].old || st.workers[0].pid == before.workers[0].pid {
			return false, nil
		}
		id, err := b.running(ctx, st.workers[0].pid)
		return err == nil && id == cfg.id, nil
	}, "HAProxy has no new worker")
	if err != nil {
		return fmt.Errorf("cannot reload HAProxy: %w", err)
	}
	probe.Hit(ctx, "haproxy: reloaded")
	return nil
}

// rollBack restores the configuration that HAProxy still runs, so that the next
// reload or restart loads that.
func (b *backend) rollBack(ctx context.Context, old []byte, running string) error {
	ctx = context.WithoutCancel(ctx)
	if old == nil {
		return os.Remove(b.o.ConfigFile)
	}
	if err := durable.WriteFile(b.o.ConfigFile, old); err != nil {
		return fmt.Errorf("cannot restore HAProxy's configuration: %w", err)
	}
	st, err := b.status(ctx)
	if err != nil {
		return fmt.Errorf("cannot ask HAProxy after a failed reload: %w", err)
	}
	if err := b.reload(ctx, config{id: running}, st); err != nil {
		return fmt.Errorf("cannot go back to the configuration before: %w", err)
	}
	return nil
}

// states sets which servers take new traffic, and cuts what is to be cut in every
// worker: those from before a reload still serve connections that clients keep.
func (b *backend) states(ctx context.Context, want *converge.State) error {
	st, err := b.status(ctx)
	if err != nil {
		return fmt.Errorf("cannot ask HAProxy: %w", err)
	}
	for _, w := range st.workers {
		if err := b.workerStates(ctx, w, want); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if now, e := b.status(ctx); e == nil && !slices.ContainsFunc(now.workers, func(p process) bool { return p.pid == w.pid }) {
				continue // it has ended meanwhile
			}
			return fmt.Errorf("cannot set the states of HAProxy's servers: %w", err)
		}
	}
	return nil
}

func (b *backend) workerStates(ctx context.Context, w process, want *converge.State) error {
	servers, err := b.servers(ctx, w)
	if err != nil {
		return err
	}
	for _, s := range servers {
		part := strings.Split(s.backend, ":")
		if len(part) != 4 || part[0] != "b" {
			continue
		}
		target := s.backend + "/" + s.name
		var a *converge.Amphora
		d := want.Distributors[part[1]]
		if d != nil {
			a = d.Amphorae[s.name]
		}
		serves := a != nil && a.Address == s.addr && !a.Draining
		// What goes on in workers of before a distributor was removed is
		// left to end by itself.
		switch {
		case d == nil:
		case w.old:
			// It takes no orders for servers any more, and no new
			// connections either.
		case !serves && !s.maint:
			err = b.command(ctx, w.pid, "set server "+target+" state maint")
		case serves && (s.maint || s.drained):
			err = b.command(ctx, w.pid, "set server "+target+" state ready")
		}
		if err != nil {
			return err
		}
		if slices.ContainsFunc(want.Cuts, func(c converge.Cut) bool {
			return c.Distributor == part[1] && c.Amphora.ID == s.name && c.Amphora.Address == s.addr
		}) {
			probe.Hit(ctx, "haproxy: before a cut")
			if w.old {
				err = b.cutOld(ctx, w.pid, s.backend, s.name)
			} else {
				err = b.command(ctx, w.pid, "shutdown sessions server "+target)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Connections counts the sessions of all workers.
func (b *backend) Connections(ctx context.Context, d *converge.Distributor) (map[string]int, error) {
	open := map[string]int{}
	err := b.stats(ctx, d, func(_ process, s stat) { open[s.server] += s.sessions })
	return open, err
}

// Failing says why servers are down. Only the current worker checks them.
func (b *backend) Failing(ctx context.Context, d *converge.Distributor) (map[string]string, error) {
	failing := map[string]string{}
	err := b.stats(ctx, d, func(w process, s stat) {
		if !w.old && s.down != "" {
			failing[s.server] = s.down
		}
	})
	return failing, err
}

// stats tells see what each worker says of each server of a distributor.
func (b *backend) stats(ctx context.Context, d *converge.Distributor, see func(process, stat)) error {
	st, err := b.status(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if len(d.VIPs) == 0 {
			return nil
		}
		return fmt.Errorf("cannot reach HAProxy: %w", err)
	}
	for _, w := range st.workers {
		text, err := b.worker(ctx, w.pid, "show stat")
		if err != nil {
			return err
		}
		if gone(text) || text == "" {
			continue
		}
		stats, err := parseStats(text)
		if err != nil {
			return err
		}
		for _, s := range stats {
			if strings.HasPrefix(s.backend, "b:"+d.ID+":") {
				see(w, s)
			}
		}
	}
	return nil
}
