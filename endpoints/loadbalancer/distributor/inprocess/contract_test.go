package inprocess_test

import (
	"hash/fnv"
	"net/netip"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/distributortest"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
)

// loopback returns addresses that only tests with this directory use.
func loopback(dir string) (vip netip.Addr, amphorae []netip.Addr) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir))
	n := h.Sum32()
	at := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, byte(10 + n%90), byte(n >> 8), last}) }
	return at(1), []netip.Addr{at(2), at(3), at(4)}
}

func TestContract(t *testing.T) {
	distributortest.Run(t, func(t *testing.T, dir string) distributortest.Setup {
		d := inprocess.New(dir)
		t.Cleanup(func() { d.Close() })
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		vip, amphorae := loopback(dir)
		return distributortest.Setup{Driver: d, VIP: vip, Amphorae: amphorae, EveryKill: true}
	})
}
