package nftables

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
)

// tracked is a connection that the kernel tracks: where the client sent it and
// who answers.
type tracked struct {
	protocol, state string
	dst             netip.AddrPort
	server          netip.AddrPort
}

// open reports whether the connection can still carry anything.
func (t tracked) open() bool {
	switch t.state {
	case "TIME_WAIT", "CLOSE":
		return false
	}
	return true
}

// parseTracked reads a line of "conntrack -L". Others than TCP and UDP have no
// ports and are not ok.
func parseTracked(line string) (t tracked, ok bool) {
	f := strings.Fields(line)
	if len(f) < 4 || (f[0] != "tcp" && f[0] != "udp") {
		return t, false
	}
	t.protocol = f[0]
	if f[0] == "tcp" && !strings.Contains(f[3], "=") {
		t.state = f[3]
	}
	// The first src, dst, sport and dport are as sent, the second as answered.
	seen := map[string][]string{}
	for _, w := range f[3:] {
		if name, value, found := strings.Cut(w, "="); found {
			seen[name] = append(seen[name], value)
		}
	}
	if len(seen["src"]) < 2 || len(seen["dst"]) < 2 || len(seen["sport"]) < 2 || len(seen["dport"]) < 2 {
		return t, false
	}
	var err1, err2 error
	t.dst, err1 = addrPort(seen["dst"][0], seen["dport"][0])
	t.server, err2 = addrPort(seen["src"][1], seen["sport"][1])
	return t, err1 == nil && err2 == nil
}

func addrPort(addr, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	p, err := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(a, uint16(p)), err
}

// Connections counts what the kernel tracks.
func (b *backend) Connections(ctx context.Context, d *converge.Distributor) (map[string]int, error) {
	open := map[string]int{}
	for _, v := range d.SortedVIPs() {
		text, err := b.run(ctx, "", "conntrack", "-L", "-f", family(v.Address), "-p", transport(v.VIP), "--orig-dst", v.Address.String())
		if err != nil {
			return nil, fmt.Errorf("cannot list tracked connections: %w", err)
		}
		for line := range strings.Lines(text) {
			t, ok := parseTracked(line)
			if !ok || !t.open() {
				continue
			}
			for _, p := range v.Ports {
				if t.dst.Port() != p.Front || t.server.Port() != p.Back {
					continue
				}
				for _, a := range d.Amphorae {
					if a.Address == t.server.Addr() {
						open[a.ID]++
					}
				}
			}
		}
	}
	return open, nil
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// cut has the kernel forget the connections to an amphora. The next packet of
// the client is that of an unknown connection, which whoever gets it refuses.
func (b *backend) cut(ctx context.Context, d *converge.Distributor, a distributor.Amphora) error {
	if d == nil {
		return nil
	}
	for _, v := range d.SortedVIPs() {
		if v.Address.Is4() != a.Address.Is4() {
			continue
		}
		_, err := b.run(ctx, "", "conntrack", "-D", "-f", family(v.Address), "-p", transport(v.VIP),
			"--orig-dst", v.Address.String(), "--reply-src", a.Address.String())
		var failed *commandError
		if errors.As(err, &failed) && strings.Contains(failed.text, "0 flow entries have been deleted") {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot cut the connections to %s: %w", a.ID, err)
		}
	}
	return nil
}
