// Package netcheck checks the network between machines: whether they reach
// each other over TCP, UDP and ICMP, how fast, with which MTU, whether their
// names resolve, and whether the links and bonds below are in order.
//
// Every machine runs a [Responder], and every machine runs a [Suite] of checks
// against the others:
//
//	// On every machine, as long as it is up.
//	func respond(ctx context.Context, mine netip.Addr) error {
//		return netcheck.Responder{Addresses: []netip.Addr{mine}}.Run(ctx)
//	}
//
//	// Whenever the network is to be checked.
//	func report(ctx context.Context) string {
//		suite := netcheck.Suite{
//			TCP:        &netcheck.TCP{},
//			UDP:        &netcheck.UDP{},
//			MTU:        &netcheck.MTU{Required: 9000},
//			Throughput: &netcheck.Throughput{Minimum: 1e9},
//		}
//		report := suite.Run(ctx, []netcheck.Peer{
//			{Name: "magpie/1", Addr: netip.MustParseAddr("10.0.0.2")},
//			{Name: "magpie/2", Addr: netip.MustParseAddr("fd00::3")},
//		})
//		return report.Line() // magpie/2: path mtu 1404, 9000 on eth0 (larger packets vanish)
//	}
//
// A check is a struct of its settings, whose zero value has sensible ones, and
// one method Check that gives a typed result. A result is never an error: what
// went wrong is what a check is there to find. Every result carries an
// [Outcome], which says in a sentence what was found.
//
// Each check ends by itself within its Budget, and at once when its context is
// done: a check that could not finish because of that says so, and blames nobody.
// A Suite runs the checks of different peers at the same time, at most
// Parallel of them, but measures throughput against one peer at a time,
// because two measurements over one link measure each other.
//
// # What the responder costs
//
// A responder serves anybody who can reach its port, so it does little: it
// sends nothing larger than what it got, answers only packets that carry the
// magic of its protocol and never answers an answer, bounds the number of
// connections and how long they last, and discards what it is sent. Allow
// restricts it to the networks of the peers.
//
// Path MTU discovery, and reading links and bonds, work on Linux; elsewhere
// these checks are skipped.
package netcheck
