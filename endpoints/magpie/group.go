package magpie

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/reactive"
)

// The keys of the databag.
const (
	keyAddresses     = "iperf_addresses"
	keyServer        = "iperf.server"
	keyServerChecked = "iperf.server.checked"
	keyChecked       = "iperf.checked"
	keyResponder     = "netcheck.port"
)

// Peers quote each other under iperf.checked, so it grows. These bound how much
// is quoted of all peers together, and how much of one is read, in bytes.
const (
	maxQuoted  = 64 << 10
	maxChecked = 1 << 20
)

// A Group is some of the peers. What it is asked it answers for each of them,
// in order; what it publishes it publishes in their relations, where all peers
// see it.
type Group struct {
	peers     *Peers
	units     []*reactive.Unit
	relations []string
	all       bool
}

func (g *Group) add(u *reactive.Unit) {
	if u == nil {
		return
	}
	g.units = append(g.units, u)
	if !slices.Contains(g.relations, u.RelationID()) {
		g.relations = append(g.relations, u.RelationID())
	}
}

// Len returns the number of peers in the group.
func (g *Group) Len() int { return len(g.units) }

// Units returns the names of the units in the group.
func (g *Group) Units() []string {
	names := make([]string, len(g.units))
	for i, u := range g.units {
		names[i] = u.Name()
	}
	return names
}

// Only returns those of the group that have one of the given names.
func (g *Group) Only(units ...string) *Group {
	some := &Group{peers: g.peers}
	for _, u := range g.units {
		if slices.Contains(units, u.Name()) {
			some.add(u)
		}
	}
	return some
}

// DismissJoined takes the peers of the group out of the flag NAME.joined, which
// that clears if no other is in it (dismiss_joined in the reference). See
// [Peers.DismissJoined] for all of them.
func (g *Group) DismissJoined() { g.dismiss(func(key string) { g.peers.leave(g.peers.joined, key) }) }

// DismissDeparted takes the peers of the group out of the flag NAME.departed,
// which that clears if no other is in it (dismiss_departed in the reference).
// See [Peers.DismissDeparted] for all of them.
func (g *Group) DismissDeparted() {
	g.dismiss(func(key string) { g.peers.leave(g.peers.departed, key) })
}

func (g *Group) dismiss(leave func(key string)) {
	for _, u := range g.units {
		leave(conversationKey(u.RelationID(), u.Name()))
	}
}

// A Node is a peer and where it is.
type Node struct {
	// Unit is the name of the peer's unit, such as "magpie/1".
	Unit string `json:"unit"`
	// Address is an IPv4 or IPv6 address, or a host name if that is what Juju
	// has. It is empty if the peer published none.
	Address string `json:"address"`
	// Port is the port of the peer's responder, see [Group.SetResponder]. It is 0
	// if the peer has none, as peers in Python, or none yet.
	Port uint16 `json:"port,omitempty"`
}

// Nodes returns the peers and the addresses under which they can be reached
// (get_nodes in the reference): the ingress address of the peer's side of the
// relation, else the advertised address in a network to which the local unit's
// endpoint is bound, else the private address. The first is what Juju has for
// the space to which the endpoint is bound; Juju before 2.3 had the last only.
func (g *Group) Nodes(ctx context.Context) ([]Node, error) {
	return g.nodes(ctx, func(b bag) (string, error) { return g.address(ctx, b) })
}

// NodesIn is Nodes, but prefers the first of a peer's advertised addresses that
// is in the given network, IPv4 or IPv6; see [ParseNetwork].
func (g *Group) NodesIn(ctx context.Context, network netip.Prefix) ([]Node, error) {
	return g.nodes(ctx, func(b bag) (string, error) {
		if a := b.advertisedIn(network); a != "" {
			return a, nil
		}
		return g.address(ctx, b)
	})
}

// A bag is what one peer published.
type bag struct {
	unit string
	data *reactive.Databag
}

// node is the peer at an address. A port that is none is not there.
func (b bag) node(address string) Node {
	port, err := strconv.ParseUint(b.data.Raw(keyResponder), 10, 16)
	if err != nil {
		port = 0
	}
	return Node{b.unit, address, uint16(port)}
}

// bags returns what the peers of the group published.
func (g *Group) bags(ctx context.Context) ([]bag, error) {
	if g.all {
		if err := g.peers.Fetch(ctx); err != nil {
			return nil, fmt.Errorf("endpoint %q: %w", g.peers.Name(), err)
		}
	}
	bags := make([]bag, len(g.units))
	for i, u := range g.units {
		data, err := u.Received(ctx)
		if err != nil {
			return nil, fmt.Errorf("endpoint %q: cannot read the data of %s: %w", g.peers.Name(), u.Name(), err)
		}
		bags[i] = bag{u.Name(), data}
	}
	return bags, nil
}

func (g *Group) nodes(ctx context.Context, address func(b bag) (string, error)) ([]Node, error) {
	bags, err := g.bags(ctx)
	if err != nil {
		return nil, err
	}
	nodes := make([]Node, len(bags))
	for i, b := range bags {
		a, err := address(b)
		if err != nil {
			return nil, err
		}
		nodes[i] = b.node(a)
	}
	return nodes, nil
}

// address returns where a peer can be reached.
func (g *Group) address(ctx context.Context, b bag) (string, error) {
	if a := b.data.Raw("ingress-address"); a != "" {
		return a, nil
	}
	if len(b.advertised()) > 0 {
		network, err := g.peers.Network(ctx)
		if err != nil {
			return "", err
		}
		for _, bound := range network.BindAddresses {
			for _, a := range bound.Addresses {
				if prefix, err := netip.ParsePrefix(a.CIDR); err == nil {
					if found := b.advertisedIn(prefix); found != "" {
						return found, nil
					}
				}
			}
		}
	}
	return b.data.Raw("private-address"), nil
}

// advertised returns the addresses that the peer advertises. What is not a
// list, and what in it is no address, is left out.
func (b bag) advertised() []string {
	var list []any
	if err := json.Unmarshal([]byte(b.data.Raw(keyAddresses)), &list); err != nil {
		return nil
	}
	var addrs []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			if _, err := netip.ParseAddr(s); err == nil {
				addrs = append(addrs, s)
			}
		}
	}
	return addrs
}

func (b bag) advertisedIn(network netip.Prefix) string {
	for _, s := range b.advertised() {
		if a, err := netip.ParseAddr(s); err == nil && network.Contains(a.Unmap()) {
			return s
		}
	}
	return ""
}

// ParseNetwork reads a network as people write it: as CIDR, also with host
// bits, or as one address.
func ParseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("cannot use %q as a network: want something like 10.0.0.0/24 or fd00::/64", s)
	}
	return p.Masked(), nil
}

// AdvertiseAddresses publishes addresses under which the local unit can be
// reached, for peers to choose from (advertise_addresses in the reference,
// which knows IPv4 only). Without any it publishes those of the machine, see
// [MachineAddresses].
func (g *Group) AdvertiseAddresses(ctx context.Context, addrs ...netip.Addr) error {
	if len(addrs) == 0 {
		var err error
		if addrs, err = MachineAddresses(); err != nil {
			return err
		}
	}
	list := make([]string, len(addrs))
	for i, a := range addrs {
		list[i] = a.Unmap().String()
	}
	slices.Sort(list)
	text, err := canonicaljson.Encode(list)
	if err != nil {
		return fmt.Errorf("cannot advertise addresses: %w", err)
	}
	return g.publish(ctx, keyAddresses, text)
}

// MachineAddresses returns the addresses of the machine's network interfaces:
// all of IPv4, as the reference has it, and those of IPv6 that can be reached
// from elsewhere.
func MachineAddresses() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("cannot list the machine's addresses: %w", err)
	}
	var addrs []netip.Addr
	for _, a := range all {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(ipnet.IP)
		if ip = ip.Unmap(); ok && (ip.Is4() || ip.IsGlobalUnicast()) {
			addrs = append(addrs, ip)
		}
	}
	return addrs, nil
}

// SetResponder publishes the port on which the local unit runs a responder of
// package netcheck, or with 0 that it runs none. The reference does not have it:
// its servers are of iperf.
func (g *Group) SetResponder(ctx context.Context, port uint16) error {
	value := ""
	if port != 0 {
		value = strconv.Itoa(int(port))
	}
	return g.publish(ctx, keyResponder, value)
}

// SetIperfServerReady publishes that the local unit answers measurements.
func (g *Group) SetIperfServerReady(ctx context.Context) error {
	return g.publish(ctx, keyServer, "True")
}

// SetIperfServerChecked takes back that the local unit's server was checked,
// which nobody publishes (set_iperf_server_checked in the reference, which
// publishes a null).
func (g *Group) SetIperfServerChecked(ctx context.Context) error {
	return g.publish(ctx, keyServerChecked, "")
}

// ReadyIperfServers returns those of the peers that answer measurements
// (check_ready_iperf_servers in the reference).
func (g *Group) ReadyIperfServers(ctx context.Context) ([]Node, error) {
	bags, err := g.bags(ctx)
	if err != nil {
		return nil, err
	}
	nodes := []Node{}
	for _, b := range bags {
		if b.data.Raw(keyServer) == "" {
			continue
		}
		a, err := g.address(ctx, b)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, b.node(a))
	}
	return nodes, nil
}

// SetIperfChecked publishes that the local unit has measured the network to the
// peers of the group. It takes the place of what was published before.
//
// As the reference does, it quotes for every peer what that had published
// itself, but not more than 64 KiB in all.
func (g *Group) SetIperfChecked(ctx context.Context) error {
	bags, err := g.bags(ctx)
	if err != nil {
		return err
	}
	var list []string
	room := maxQuoted
	for i, b := range bags {
		theirs := b.data.Raw(keyChecked)
		if theirs == "" || len(theirs) > room {
			theirs = "None"
		} else {
			room -= len(theirs)
		}
		list = append(list, theirs+" "+b.unit)
		if err := g.publishIn(ctx, g.units[i].RelationID(), keyChecked, formatList(list)); err != nil {
			return err
		}
	}
	return nil
}

// IperfChecked returns what each of the peers published of whom it has checked,
// as it stands (get_iperf_checked in the reference); "" for a peer that
// published nothing. [Group.CheckedBy] reads it.
func (g *Group) IperfChecked(ctx context.Context) ([]string, error) {
	bags, err := g.bags(ctx)
	if err != nil {
		return nil, err
	}
	values := make([]string, len(bags))
	for i, b := range bags {
		values[i] = b.data.Raw(keyChecked)
	}
	return values, nil
}

// CheckedBy returns those of the peers that have measured the network to a
// unit. (The reference looks for the name anywhere in what a peer published, so
// it takes magpie/10 for magpie/1.)
func (g *Group) CheckedBy(ctx context.Context, unit string) ([]string, error) {
	bags, err := g.bags(ctx)
	if err != nil {
		return nil, err
	}
	var by []string
	for _, b := range bags {
		value := b.data.Raw(keyChecked)
		if len(value) > maxChecked {
			continue
		}
		// What cannot be read names nobody.
		list, _ := parseList(value)
		for _, entry := range list {
			if entry[strings.LastIndexByte(entry, ' ')+1:] == unit {
				by = append(by, b.unit)
				break
			}
		}
	}
	return by, nil
}

// publish writes a value into the local unit's data of the group's relations;
// "" removes it.
func (g *Group) publish(ctx context.Context, key, value string) error {
	for _, id := range g.relations {
		if err := g.publishIn(ctx, id, key, value); err != nil {
			return err
		}
	}
	return nil
}

func (g *Group) publishIn(ctx context.Context, relation, key, value string) error {
	fail := func(err error) error {
		return fmt.Errorf("endpoint %q: cannot publish %s in relation %s: %w", g.peers.Name(), key, relation, err)
	}
	rel, ok := g.peers.Relations().Get(relation)
	if !ok {
		// The last peer is departing; the next one will find what is published.
		if err := g.peers.hook.Tools().RelationSet(ctx, relation, map[string]string{key: value}); err != nil {
			return fail(err)
		}
		return nil
	}
	data, err := rel.ToPublish(ctx)
	if err != nil {
		return fail(err)
	}
	if data.Raw(key) == value {
		return nil
	}
	if key == keyAddresses {
		err = data.Set(key, json.RawMessage(value))
	} else {
		err = data.SetRaw(key, value)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}
