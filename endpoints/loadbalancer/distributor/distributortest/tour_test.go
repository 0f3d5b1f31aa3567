package distributortest_test

import (
	"net/netip"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/distributortest"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/noop"
)

func TestDriver(t *testing.T) {
	distributortest.Run(t, func(t *testing.T, dir string) distributortest.Setup {
		return distributortest.Setup{
			Driver:    noop.New(dir), // the driver to be tested
			VIP:       netip.MustParseAddr("127.80.0.1"),
			Amphorae:  []netip.Addr{netip.MustParseAddr("127.80.0.2"), netip.MustParseAddr("127.80.0.3"), netip.MustParseAddr("127.80.0.4")},
			NoTraffic: true, // as this one moves none
		}
	})
}
