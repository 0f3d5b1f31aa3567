package nftables_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/distributortest"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/need"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/nftables"
)

// network is a client, a distributor and three amphorae, each in a network
// namespace of its own, with links between the distributor and the others.
type network struct {
	name     string
	vip      netip.Addr
	client   netip.Addr
	amphorae []netip.Addr
}

// newNetwork makes the network of a directory, or finds it if another process
// of the same test has made it. The process that is not killed takes it away.
func newNetwork(t testing.TB, dir string) *network {
	t.Helper()
	needNetwork(t)
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	n := &network{name: fmt.Sprintf("lbt%08x", h.Sum32()), vip: netip.MustParseAddr("10.99.9.9"),
		client: netip.MustParseAddr("10.99.0.2")}
	for i := range 3 {
		n.amphorae = append(n.amphorae, netip.AddrFrom4([4]byte{10, 99, byte(i + 1), 2}))
	}
	// One process for many commands: a test makes hundreds of networks.
	batch := func(ns string, lines ...string) error {
		args := []string{"-batch", "-"}
		if ns != "" {
			args = append([]string{"-n", ns}, args...)
		}
		cmd := exec.Command("ip", args...)
		cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	each := func(format string) (lines []string) {
		for _, ns := range n.namespaces() {
			lines = append(lines, fmt.Sprintf(format, ns))
		}
		return lines
	}
	t.Cleanup(func() {
		if err := batch("", each("netns del %s")...); err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(filepath.Join("/run/netns", n.ready())); err == nil {
		return n
	}
	ip := func(ns string, lines ...string) {
		t.Helper()
		if err := batch(ns, lines...); err != nil {
			if strings.Contains(err.Error(), "Operation not permitted") {
				need.Unmet(t, "no network namespaces: %v", err)
			}
			t.Fatal(err)
		}
	}
	lb := n.name + "lb"
	ip("", slices.DeleteFunc(each("netns add %s"), func(line string) bool { return strings.HasSuffix(line, n.ready()) })...)
	if out, err := exec.Command("ip", "netns", "exec", lb, "sysctl", "-q", "-w",
		"net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1").CombinedOutput(); err != nil {
		t.Fatalf("sysctl: %v: %s", err, out)
	}
	here := []string{"link set lo up"}
	for i, ns := range n.leaves() {
		here = append(here,
			fmt.Sprintf("link add l%d type veth peer name wire netns %s", i, ns),
			fmt.Sprintf("address add 10.99.%d.1/24 dev l%d", i, i),
			fmt.Sprintf("link set l%d up", i),
			fmt.Sprintf("address add fd99:%d::1/64 dev l%d nodad", i, i))
	}
	ip(lb, here...)
	for i, ns := range n.leaves() {
		ip(ns,
			fmt.Sprintf("address add 10.99.%d.2/24 dev wire", i), "link set wire up", "link set lo up",
			fmt.Sprintf("route add default via 10.99.%d.1", i),
			fmt.Sprintf("address add fd99:%d::2/64 dev wire nodad", i),
			fmt.Sprintf("route add default via fd99:%d::1", i))
	}
	ip("", "netns add "+n.ready())
	return n
}

// needNetwork skips or fails the test where there can be no such network.
func needNetwork(t testing.TB) {
	t.Helper()
	for _, p := range [][2]string{{"nft", "nftables"}, {"ip", "iproute2"}, {"conntrack", "conntrack"}} {
		need.Program(t, p[0], p[1])
	}
	if os.Geteuid() != 0 {
		need.Unmet(t, "network namespaces need root")
	}
}

// ready is a namespace that says the network is whole.
func (n *network) ready() string { return n.name + "ok" }

// leaves are the client and the amphorae.
func (n *network) leaves() []string {
	return []string{n.name + "c", n.name + "a0", n.name + "a1", n.name + "a2"}
}

func (n *network) namespaces() []string {
	return append([]string{n.ready(), n.name + "lb"}, n.leaves()...)
}

// in runs f in a namespace, on a thread that ends with it.
func in[T any](ns string, f func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread has another namespace than others.
		runtime.LockOSThread()
		var r result
		fd, err := os.Open(filepath.Join("/run/netns", ns))
		if err == nil {
			err = unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET)
			fd.Close()
		}
		if err == nil {
			r.v, err = f()
		}
		r.err = err
		done <- r
	}()
	r := <-done
	return r.v, r.err
}

// listen listens where the address is.
func (n *network) listen(network, address string) (net.Listener, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	for i, a := range n.amphorae {
		if a == at.Addr() {
			return in(n.leaves()[i+1], func() (net.Listener, error) { return net.Listen(network, address) })
		}
	}
	return nil, errors.New("nobody has the address " + address)
}

// dial dials from the client.
func (n *network) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return in(n.leaves()[0], func() (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, network, address) })
}

func TestContract(t *testing.T) {
	needNetwork(t)
	for _, plugged := range []bool{false, true} {
		name := "routed"
		o := nftables.Options{}
		if plugged {
			name = "plugged and masqueraded"
			o.Interface, o.Masquerade = "l0", true
		}
		t.Run(name, func(t *testing.T) {
			distributortest.Run(t, func(t *testing.T, dir string) distributortest.Setup {
				n := newNetwork(t, dir)
				o := o
				o.Dir, o.Namespace = dir, n.name+"lb"
				return distributortest.Setup{Driver: nftables.New(o), VIP: n.vip, Amphorae: n.amphorae, Listen: n.listen, Dial: n.dial, EveryKill: everyKill()}
			})
		})
	}
}

// everyKill reports whether the driver is to be killed at every point, which takes
// many minutes, and not at every eighth.
func everyKill() bool { return os.Getenv("DISTRIBUTORTEST_EVERY_KILL") == "true" }
