package netcheck_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
)

// A responder on one machine, a suite on another one; here both are this one.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	mine := netip.MustParseAddr("127.0.0.1")
	running, err := netcheck.Responder{Addresses: []netip.Addr{mine}}.StartAnyPort(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	suite := netcheck.Suite{TCP: &netcheck.TCP{}, UDP: &netcheck.UDP{}, MTU: &netcheck.MTU{}}
	report := suite.Run(ctx, []netcheck.Peer{
		{Name: "magpie/1", Addr: mine, Port: running.AddrPorts()[0].Port()},
	})
	fmt.Println(report.Line())
	// Output: tcp ok, udp ok, mtu ok
}

// What is wrong stands in one line, which can serve as a unit's status.
func ExampleReport_Line() {
	report := netcheck.Report{Peers: []netcheck.PeerReport{
		{
			Peer: netcheck.Peer{Name: "magpie/1"},
			UDP:  &netcheck.UDPResult{Outcome: netcheck.Outcome{Check: netcheck.KindUDP, Peer: "magpie/1", State: netcheck.Failed, Sentence: "udp: 5 of 50 packets lost"}},
		},
		{
			Peer: netcheck.Peer{Name: "magpie/2"},
			MTU:  &netcheck.MTUResult{Outcome: netcheck.Outcome{Check: netcheck.KindMTU, Peer: "magpie/2", State: netcheck.Failed, Sentence: "path mtu 1404, 1500 on eth0 (larger packets vanish)"}},
		},
	}}
	fmt.Println(report.Line())
	// Output: magpie/1: udp: 5 of 50 packets lost; magpie/2: path mtu 1404, 1500 on eth0 (larger packets vanish)
}

// One check by itself.
func ExampleTCP_Check() {
	peer := netcheck.Peer{Name: "magpie/1", Addr: netip.MustParseAddr("127.0.0.1"), Port: 1}
	result := netcheck.TCP{Budget: 2 * time.Second}.Check(context.Background(), peer)
	fmt.Println(result.State, "-", result.Sentence)
	// Output: failed - tcp port 1: refused
}

// On every machine, as long as it is up.
func respond(ctx context.Context, mine netip.Addr) error {
	return netcheck.Responder{Addresses: []netip.Addr{mine}}.Run(ctx)
}

// Whenever the network is to be checked.
func report(ctx context.Context) string {
	suite := netcheck.Suite{
		TCP:        &netcheck.TCP{},
		UDP:        &netcheck.UDP{},
		MTU:        &netcheck.MTU{Required: 9000},
		Throughput: &netcheck.Throughput{Minimum: 1e9},
	}
	report := suite.Run(ctx, []netcheck.Peer{
		{Name: "magpie/1", Addr: netip.MustParseAddr("10.0.0.2")},
		{Name: "magpie/2", Addr: netip.MustParseAddr("fd00::3")},
	})
	return report.Line() // magpie/2: path mtu 1404, 9000 on eth0 (larger packets vanish)
}

// What the machines of the package's tour do.
func ExampleSuite() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	go func() {
		if err := respond(ctx, netip.MustParseAddr("10.0.0.1")); err != nil {
			fmt.Println(err)
		}
	}()
	fmt.Println(report(ctx))
}
