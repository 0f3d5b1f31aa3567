// Package magpie is the peer interface "magpie": the units of one application
// know each other, where they can be reached, and who measured the network to
// whom. The package netcheck below it has the measurements.
//
//	type greeter struct {
//		peers *magpie.Peers
//	}
//
//	func New() *reactive.Charm {
//		c := reactive.New("magpie")
//		g := &greeter{peers: magpie.NewPeers(c, "magpie")}
//		c.Handle("greet new peers", flags.When(g.peers.Joined()), g.greet)
//		return c
//	}
//
//	func (g *greeter) greet(ctx context.Context, h *reactive.Hook) error {
//		nodes, err := g.peers.All().Nodes(ctx)
//		if err != nil {
//			return err
//		}
//		var known []string
//		for _, n := range nodes {
//			known = append(known, fmt.Sprintf("%s at %s", n.Unit, n.Address))
//		}
//		h.SetStatus(reactive.Active(strings.Join(known, ", ")))
//		g.peers.DismissJoined()
//		return nil
//	}
//
// # Flags
//
// For an endpoint called NAME:
//
//   - NAME.joined: a peer joined. When a peer joins it leaves NAME.departed.
//     [Peers.DismissJoined] clears it, so that the charm can react when the
//     next peer joins.
//   - NAME.departed: a peer departed. When a peer departs it leaves
//     NAME.joined. [Peers.DismissDeparted] clears it.
//
// Besides, there are the flags that every endpoint has, endpoint.NAME.joined
// and so on; endpoint.NAME.changed is set when a peer publishes something new.
//
// # Groups
//
// What a charm asks or tells peers it asks or tells a [Group] of them: all that
// are there ([Peers.All]), those that joined and were not dismissed
// ([Peers.NewlyJoined]), those that departed ([Peers.NewlyDeparted]), or the
// one that the current hook is about ([Peers.InHook]). In the Python interface
// a handler gets the peers of the flag it waits for, so dismissing a flag makes
// the peers unreachable, and the departed flag has the departed units instead
// of the remaining ones; here every group can be had in any hook.
//
// # Measuring
//
// A unit that runs a responder of package netcheck says so with
// [Group.SetResponder]; [Node] tells its port, from which and the address
// netcheck.PeerAt makes what a netcheck.Suite checks. The units of examples/magpie
// do that.
//
// # Python peers
//
// What is published has the form that the interface layer "magpie" gives it
// (opendev.org/openstack/charm-interface-magpie, commit 3cba94a), and what is
// remembered has the keys of charms.reactive's conversations, so units of both
// kinds understand each other, and one can become the other.
package magpie
