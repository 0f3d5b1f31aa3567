// Package nftables is a distributor driver that has the kernel rewrite packets:
// tcp and udp, spread in turn, by chance, or by the client's address, with or
// without its port.
//
//	d := nftables.New(nftables.Options{Dir: "/var/lib/charm/lb", Interface: "eth0", Masquerade: true})
//
// It looks into no connection, so it can neither end TLS nor check health, and
// says so. The machine must forward packets, and replies must come back through
// it: because it is the amphorae's way out, or by Options.Masquerade.
//
// All rules are replaced in one transaction. They decide about new connections
// only; where established ones go is remembered by connection tracking, so a
// drained amphora keeps what it has. To cut connections the kernel is made to
// forget them. It counts them as well, which for datagrams means whoever sent
// one in the last half minute or so.
//
// Rules do not outlive the machine: call Converge when it has started.
//
// Clients are hashed into 1,024 buckets that are dealt to amphorae by rendezvous
// hashing: one that comes or goes moves its own buckets only, and one that takes
// over the position of another gets exactly its buckets.
//
// # Why programs and not a library
//
// google/nftables v0.3.0 adds 0.3 MB, which is little, but rules made of its
// expressions are several times as long as the text that "nft list" shows, and
// connection tracking needs another library. The driver runs nft, ip and
// conntrack, of the Debian packages nftables, iproute2 and conntrack.
package nftables
