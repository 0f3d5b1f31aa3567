package haproxy_test

import (
	"hash/fnv"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/distributortest"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/need"
)

// loopback returns addresses that only tests with this directory use.
func loopback(dir string) (vip netip.Addr, amphorae []netip.Addr) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	n := h.Sum32()
	at := func(last byte) netip.Addr {
		return netip.AddrFrom4([4]byte{127, byte(110 + n%90), byte(n >> 8), last})
	}
	return at(1), []netip.Addr{at(2), at(3), at(4), at(5), at(6)}
}

// launch runs an HAProxy for the driver of a directory until the test ends.
func launch(t testing.TB, dir string) haproxy.Options {
	t.Helper()
	need.Program(t, "haproxy", "haproxy")
	vip, _ := loopback(dir)
	// A test's own directory is too long for the name of a socket.
	sockets := filepath.Join(os.TempDir(), "lb-"+vip.String())
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		t.Fatal(err)
	}
	o := haproxy.Options{Dir: dir, PeerAddress: netip.AddrPortFrom(vip, 20000),
		MasterSocket: filepath.Join(sockets, "m"), StatsSocket: filepath.Join(sockets, "s")}
	p, err := haproxy.Launch(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		os.RemoveAll(sockets)
	})
	return o
}

func TestContract(t *testing.T) {
	need.Program(t, "haproxy", "haproxy")
	distributortest.Run(t, func(t *testing.T, dir string) distributortest.Setup {
		vip, amphorae := loopback(dir)
		return distributortest.Setup{Driver: haproxy.New(launch(t, dir)), VIP: vip, Amphorae: amphorae, EveryKill: everyKill()}
	})
}

// everyKill reports whether the driver is to be killed at every point, which takes
// many minutes, and not at every eighth.
func everyKill() bool { return os.Getenv("DISTRIBUTORTEST_EVERY_KILL") == "true" }
