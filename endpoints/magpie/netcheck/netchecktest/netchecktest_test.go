package netchecktest_test

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck/netchecktest"
)

// TestNetwork sees that hosts reach each other, that a fault is one, that
// mending mends, and that nothing is left behind.
func TestNetwork(t *testing.T) {
	t.Parallel()
	var names []string
	t.Run("lifetime", func(t *testing.T) {
		network := netchecktest.New(t, 2)
		a, b := network.Hosts[0], network.Hosts[1]
		names = []string{a.Namespace, b.Namespace, network.Switch}
		list, err := exec.Command("ip", "netns", "list").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			if !strings.Contains(string(list), n) {
				t.Errorf("there is no namespace %s", n)
			}
		}
		interfaces := func() string {
			out, err := a.Command(t.Context(), "cat", "/sys/class/net/eth0/mtu", "/sys/class/net/eth0/operstate").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return strings.Join(strings.Fields(string(out)), " ")
		}
		if got := interfaces(); got != "1500 up" {
			t.Errorf("fresh: %s", got)
		}
		a.SetMTU(t, 1400)
		a.Unplug(t)
		a.Block(t, "tcp", 80)
		if got := interfaces(); !strings.HasPrefix(got, "1400") {
			t.Errorf("with faults: %s", got)
		}
		a.Mend(t)
		if got := interfaces(); !strings.HasPrefix(got, "1500") {
			t.Errorf("mended: %s", got)
		}
		if out, err := a.Command(t.Context(), "nft", "list", "ruleset").CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("mended, but nft has %s %v", out, err)
		}
	})
	list, _ := exec.Command("ip", "netns", "list").Output()
	for _, n := range names {
		if strings.Contains(string(list), n) {
			t.Errorf("namespace %s is left behind", n)
		}
	}
}

// TestStale has tests that start at once after one that was killed: each
// clears what it left, and none fails because another was faster.
func TestStale(t *testing.T) {
	t.Parallel()
	netchecktest.New(t, 0) // says or skips where there can be no namespaces
	killed := exec.Command("true")
	if err := killed.Run(); err != nil {
		t.Fatal(err)
	}
	var stale []string
	for i := range 8 {
		name := fmt.Sprintf("nckt%d-STALE-%d", killed.ProcessState.Pid(), i)
		if out, err := exec.Command("ip", "netns", "add", name).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		stale = append(stale, name)
	}
	t.Run("at once", func(t *testing.T) {
		for i := range 6 {
			t.Run(strconv.Itoa(i), func(t *testing.T) {
				t.Parallel()
				netchecktest.New(t, 0)
			})
		}
	})
	list, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stale {
		if strings.Contains(string(list), name) {
			t.Errorf("stale namespace %s is left behind", name)
		}
	}
}

// TestTour is what the package comment shows.
func TestTour(t *testing.T) {
	t.Parallel()
	network := netchecktest.New(t, 3)
	host := network.Hosts[1]
	host.SetMTU(t, 1400)       // a wrong MTU
	host.LoseOneIn(t, 10)      // packet loss
	host.Block(t, "tcp", 7117) // a firewall
	out, err := host.Command(t.Context(), "ip", "link", "show", netchecktest.Interface).Output()
	if err != nil || !strings.Contains(string(out), "mtu 1400") {
		t.Errorf("the host's interface is %s: %v", out, err)
	}
	host.Mend(t) // all is well again
}
