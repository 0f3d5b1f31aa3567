// Package netchecktest builds small networks for tests: a few hosts, each a
// Linux network namespace of its own, on one switch, and the faults that real
// networks have.
//
//	network := netchecktest.New(t, 3)
//	host := network.Hosts[1]
//	host.SetMTU(t, 1400)       // a wrong MTU
//	host.LoseOneIn(t, 10)      // packet loss
//	host.Block(t, "tcp", 7117) // a firewall
//	out, err := host.Command(t.Context(), "ip", "link", "show", netchecktest.Interface).Output()
//	if err != nil || !strings.Contains(string(out), "mtu 1400") {
//		t.Errorf("the host's interface is %s: %v", out, err)
//	}
//	host.Mend(t) // all is well again
//
// Everything happens inside the new namespaces, the switch included, which are
// deleted when the test ends, with the processes in them, and by the next test
// if this one is killed.
//
// It takes Linux, root, and the programs ip (iproute2) and nft (nftables).
// Where a machine lacks them tests are skipped, unless the environment variable
// CI is "true": then they fail, so that nobody believes they passed.
package netchecktest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// MTUSlack is by how much a virtual Ethernet cable of Linux takes packets
// larger than its MTU: the room for a VLAN tag. A path MTU found between hosts
// of this package may be larger by it.
const MTUSlack = 4

// Interface is the name of the network interface of every host.
const Interface = "eth0"

const prefix = "nckt"

// A Network is a switch with hosts.
type Network struct {
	// Hosts are the hosts, with the addresses 10.77.0.1, fd77::1 and so on.
	Hosts []*Host
	// Switch is the namespace of the switch.
	Switch string
}

// A Host is a machine on the network.
type Host struct {
	// Namespace is the name of its network namespace.
	Namespace string
	// Addr4 and Addr6 are its addresses.
	Addr4, Addr6 netip.Addr

	number  int
	sw      string
	network *Network
}

// New builds a network of n hosts, at most 250, that lives as long as the
// test.
func New(t testing.TB, n int) *Network {
	t.Helper()
	if err := possible(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("cannot build a network: %v", err)
		}
		t.Skipf("cannot build a network: %v", err)
	}
	removeStale(t)
	id := fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), rand.Text()[:6])
	network := &Network{Switch: id + "-sw"}
	t.Cleanup(func() {
		for _, h := range network.Hosts {
			deleteNamespace(t, h.Namespace)
		}
		deleteNamespace(t, network.Switch)
	})
	ip(t, "netns", "add", network.Switch)
	ip(t, "-n", network.Switch, "link", "add", "br0", "type", "bridge")
	ip(t, "-n", network.Switch, "link", "set", "br0", "mtu", "9000", "up")
	for i := 1; i <= n; i++ {
		h := &Host{
			Namespace: fmt.Sprintf("%s-%d", id, i),
			Addr4:     netip.AddrFrom4([4]byte{10, 77, 0, byte(i)}),
			Addr6:     netip.MustParseAddr(fmt.Sprintf("fd77::%x", i)),
			number:    i, sw: network.Switch, network: network,
		}
		ip(t, "netns", "add", h.Namespace)
		network.Hosts = append(network.Hosts, h)
		ip(t, "link", "add", Interface, "mtu", "1500", "netns", h.Namespace, "type", "veth", "peer", "name", h.port(), "netns", h.sw)
		ip(t, "-n", h.sw, "link", "set", h.port(), "master", "br0", "mtu", "9000", "up")
		ip(t, "-n", h.Namespace, "addr", "add", h.Addr4.String()+"/24", "dev", Interface)
		// Without duplicate address detection the address serves at once.
		ip(t, "-n", h.Namespace, "addr", "add", h.Addr6.String()+"/64", "dev", Interface, "nodad")
		ip(t, "-n", h.Namespace, "link", "set", "lo", "up")
		ip(t, "-n", h.Namespace, "link", "set", Interface, "up")
	}
	return network
}

func (h *Host) port() string { return "p" + strconv.Itoa(h.number) }

// Command returns a command that runs a program on the host. The program also
// sees the network interfaces of the host in /sys.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.Namespace, name}, args...)...)
}

// SetMTU gives the host's interface another MTU; other hosts do not learn
// of it.
func (h *Host) SetMTU(t testing.TB, mtu int) {
	t.Helper()
	ip(t, "-n", h.Namespace, "link", "set", Interface, "mtu", strconv.Itoa(mtu))
}

// SetPortMTU gives the switch's port of the host another MTU.
func (h *Host) SetPortMTU(t testing.TB, mtu int) {
	t.Helper()
	ip(t, "-n", h.sw, "link", "set", h.port(), "mtu", strconv.Itoa(mtu))
}

// Unplug takes the switch's port of the host down.
func (h *Host) Unplug(t testing.TB) {
	t.Helper()
	ip(t, "-n", h.sw, "link", "set", h.port(), "down")
}

// LoseOneIn drops every nth packet that arrives at the host. It is not left to
// chance, so that no test passes or fails by luck: of the requests of each
// protocol from each other host every nth is lost, and so of the answers, and of
// those of DNS, whatever else arrives between them. (An answer is what comes from
// a port below 32768, where those of clients begin.)
func (h *Host) LoseOneIn(t testing.TB, n int) {
	t.Helper()
	var rules []string
	for _, from := range h.network.Hosts {
		if from == h {
			continue
		}
		for _, source := range []string{"ip saddr " + from.Addr4.String(), "ip6 saddr " + from.Addr6.String()} {
			for _, packets := range []string{
				// Without neighbour discovery IPv6 would stop altogether.
				"icmp type echo-request", "icmp type echo-reply", "icmpv6 type echo-request", "icmpv6 type echo-reply",
				"udp sport >= 32768", "udp sport 53", "udp sport != { 53, 32768-65535 }", "tcp sport >= 32768", "tcp sport < 32768",
			} {
				rules = append(rules, fmt.Sprintf("%s %s numgen inc mod %d 0 drop", source, packets, n))
			}
		}
	}
	h.nft(t, rules...)
}

// Block drops what arrives at a port of the host; protocol is "tcp" or "udp".
func (h *Host) Block(t testing.TB, protocol string, port int) {
	t.Helper()
	h.nft(t, fmt.Sprintf("%s dport %d drop", protocol, port))
}

// Reject refuses what arrives at a port of the host.
func (h *Host) Reject(t testing.TB, protocol string, port int) {
	t.Helper()
	h.nft(t, fmt.Sprintf("%s dport %d reject", protocol, port))
}

// Mend undoes every fault of the host.
func (h *Host) Mend(t testing.TB) {
	t.Helper()
	h.SetMTU(t, 1500)
	h.SetPortMTU(t, 9000)
	ip(t, "-n", h.sw, "link", "set", h.port(), "up")
	h.run(t, "nft", "flush", "ruleset")
}

// nft adds rules for packets that arrive, all at once.
func (h *Host) nft(t testing.TB, rules ...string) {
	t.Helper()
	script := "add table inet faults\nadd chain inet faults input { type filter hook input priority 0 ; }\n"
	for _, rule := range rules {
		script += "add rule inet faults input " + rule + "\n"
	}
	h.run(t, "nft", script)
}

func (h *Host) run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := h.Command(context.Background(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("cannot run %s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

func ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("cannot run ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// deleteNamespace also ends the processes that still run in the namespace. That
// it is gone already is no failure: tests that start at once find the same
// stale ones.
func deleteNamespace(t testing.TB, name string) {
	t.Helper()
	if out, err := exec.Command("ip", "netns", "pids", name).Output(); err == nil {
		for _, field := range strings.Fields(string(out)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	out, err := exec.Command("ip", "netns", "del", name).CombinedOutput()
	if err != nil && exec.Command("ip", "netns", "pids", name).Run() == nil {
		t.Errorf("cannot delete network namespace %s: %v: %s", name, err, out)
	}
}

// possible says why this machine cannot build networks, if it cannot.
func possible() error {
	for _, program := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			return err
		}
	}
	name := fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), rand.Text()[:6])
	if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return exec.Command("ip", "netns", "del", name).Run()
}

// removeStale deletes the namespaces of test processes that were killed.
func removeStale(t testing.TB) {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Logf("cannot list the network namespaces: %v", err)
		return
	}
	for _, line := range strings.Split(string(out), "\n") {
		name, _, _ := strings.Cut(line, " ")
		rest, ours := strings.CutPrefix(name, prefix)
		number, _, dash := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(number)
		if !ours || !dash || err != nil || pid <= 0 {
			continue
		}
		if syscall.Kill(pid, 0) == syscall.ESRCH {
			deleteNamespace(t, name)
		}
	}
}
