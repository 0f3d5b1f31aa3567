package nftables

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/durable"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
)

// Options say where the rules go. Only Dir is needed.
type Options struct {
	// Dir is a directory of the driver's own, made when it is missing.
	Dir string
	// Table is the name of the tables, ip and ip6, that the driver owns; ""
	// means "charm_lb". Two drivers in one network namespace need two names.
	Table string
	// Namespace is the name of a network namespace, as "ip netns" knows it, to
	// work in; "" is that of the process.
	Namespace string
	// Interface, if set, gets the addresses of VIPs. Without it they must be on
	// the machine, or be routed to it, already.
	Interface string
	// Masquerade has amphorae see the distributor as the client. It is needed
	// where their replies would not come back through it.
	Masquerade bool
	// Addresses, if any, are those that VIPs may receive on.
	Addresses []netip.Addr
}

// Driver is the driver.
type Driver struct{ *converge.Driver }

// New returns a driver. It does nothing before its first flow runs.
func New(o Options) *Driver {
	if o.Table == "" {
		o.Table = "charm_lb"
	}
	return &Driver{converge.New(o.Dir, &backend{o})}
}

type backend struct{ o Options }

// CheckVIP names everything that packet rules cannot do.
func (b *backend) CheckVIP(v distributor.VIP, alg distributor.Algorithm, p distributor.Persistence) error {
	var errs []error
	bad := func(field, reason string) {
		errs = append(errs, &distributor.Unsupported{Field: field, Reason: reason})
	}
	switch v.Protocol {
	case distributor.TCP, distributor.UDP, distributor.HTTPS:
	default:
		bad("protocol", "supported: tcp, udp, https without tls_termination")
	}
	if v.TLS != nil {
		bad("tls_termination", "unsupported")
	}
	if len(v.HealthChecks) > 0 {
		bad("health_checks", "unsupported")
	}
	if v.Address.IsUnspecified() {
		bad("ingress_address", "must be one address")
	}
	if len(b.o.Addresses) > 0 && !slices.Contains(b.o.Addresses, v.Address) {
		bad("ingress_address", "not one of the VIPs of this load balancer")
	}
	switch alg {
	case distributor.AnyAlgorithm, distributor.RoundRobin, distributor.Random, distributor.SourceIP, distributor.Hash:
	default:
		bad("algorithm", "supported: round_robin, random, source_ip, hash")
	}
	switch p {
	case distributor.NoPersistence, distributor.SourceIPPersistence, distributor.SourceIPAndPortPersistence:
	default:
		bad("sticky", "supported: source_ip, source_ip_and_port")
	}
	return errors.Join(errs...)
}

// Converge replaces the driver's tables at once. Packets of established
// connections do not come by them: connection tracking remembers where those
// go.
func (b *backend) Converge(ctx context.Context, want *converge.State) error {
	if err := b.o.check(); err != nil {
		return err
	}
	rules, vips, err := b.render(want)
	if err != nil {
		return err
	}
	if len(vips) > 0 {
		if err := b.forwards(ctx, vips); err != nil {
			return err
		}
	}
	if err := b.plug(ctx, vips); err != nil {
		return err
	}
	probe.Hit(ctx, "nftables: before the rules are replaced")
	if _, err := b.run(ctx, rules, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("cannot load packet rules: %w", err)
	}
	probe.Hit(ctx, "nftables: rules replaced")
	for _, c := range want.Cuts {
		if err := b.cut(ctx, want.Distributors[c.Distributor], c.Amphora); err != nil {
			return err
		}
	}
	return nil
}

var validName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,30}$`)

func (o Options) check() error {
	for what, name := range map[string]string{"table": o.Table, "namespace": o.Namespace, "interface": o.Interface} {
		if name != "" && !validName.MatchString(name) {
			return fmt.Errorf("cannot load packet rules: %q is not the name of a %s", name, what)
		}
	}
	return nil
}

// run runs a program in the driver's namespace.
func (b *backend) run(ctx context.Context, stdin string, argv ...string) (string, error) {
	if b.o.Namespace != "" {
		argv = append([]string{"ip", "netns", "exec", b.o.Namespace}, argv...)
	}
	var out, diag bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &diag
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		text := strings.TrimSpace(diag.String())
		if len(text) > 500 {
			text = text[:500]
		}
		return out.String(), &commandError{argv[0], text, err}
	}
	return out.String(), nil
}

type commandError struct {
	program, text string
	err           error
}

func (e *commandError) Error() string { return fmt.Sprintf("%s: %v: %s", e.program, e.err, e.text) }
func (e *commandError) Unwrap() error { return e.err }

// forwards checks that the machine passes packets on, without which rules are
// in vain.
func (b *backend) forwards(ctx context.Context, vips []netip.Addr) error {
	for _, f := range []struct {
		path string
		is4  bool
	}{{"/proc/sys/net/ipv4/ip_forward", true}, {"/proc/sys/net/ipv6/conf/all/forwarding", false}} {
		if !slices.ContainsFunc(vips, func(a netip.Addr) bool { return a.Is4() == f.is4 }) {
			continue
		}
		text, err := b.run(ctx, "", "cat", f.path)
		if err != nil {
			return fmt.Errorf("cannot see whether packets are forwarded: %w", err)
		}
		if strings.TrimSpace(text) != "1" {
			return fmt.Errorf("cannot load packet rules: the machine does not forward packets (%s is %s)", f.path, strings.TrimSpace(text))
		}
	}
	return nil
}

// plug gives the interface the addresses of VIPs and takes those away that it
// was given before.
func (b *backend) plug(ctx context.Context, vips []netip.Addr) error {
	if b.o.Interface == "" {
		return nil
	}
	path := filepath.Join(b.o.Dir, "plugged.json")
	var had []netip.Addr
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &had)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read which addresses are plugged: %w", err)
	}
	note := func(addrs []netip.Addr) error {
		text, err := json.Marshal(addrs)
		if err == nil {
			err = durable.WriteFile(path, text)
		}
		if err != nil {
			return fmt.Errorf("cannot note which addresses are plugged: %w", err)
		}
		return nil
	}
	all := slices.Clone(had)
	for _, a := range vips {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	// Noted first, an address that a killed process has plugged is known.
	if len(all) != len(had) {
		if err := note(all); err != nil {
			return err
		}
	}
	for _, a := range vips {
		if _, err := b.run(ctx, "", "ip", "address", "replace", prefix(a), "dev", b.o.Interface); err != nil {
			return fmt.Errorf("cannot plug %s: %w", a, err)
		}
		probe.Hit(ctx, "nftables: address plugged")
	}
	for _, a := range had {
		if slices.Contains(vips, a) {
			continue
		}
		_, err := b.run(ctx, "", "ip", "address", "del", prefix(a), "dev", b.o.Interface)
		if err != nil && b.isPlugged(ctx, a) {
			return fmt.Errorf("cannot unplug %s: %w", a, err)
		}
		probe.Hit(ctx, "nftables: address unplugged")
	}
	if len(all) != len(vips) {
		return note(vips)
	}
	return nil
}

// isPlugged reports whether the interface has the address, as far as that can be
// told. What ip says when it takes away one that is gone, as after a kill right
// behind that, differs from version to version.
func (b *backend) isPlugged(ctx context.Context, a netip.Addr) bool {
	out, err := b.run(ctx, "", "ip", "-oneline", "address", "show", "dev", b.o.Interface, "to", prefix(a))
	return err != nil || strings.TrimSpace(out) != ""
}

func prefix(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }
