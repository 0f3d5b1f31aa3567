// Package haproxy is a distributor driver for HAProxy 2.6 and later: tcp, http
// and https, TLS termination, health checks, sticky sessions.
//
//	d := haproxy.New(haproxy.Options{
//		Dir:          "/var/lib/charm/lb",
//		ConfigFile:   "/etc/haproxy/haproxy.cfg",
//		MasterSocket: "/run/haproxy-master.sock",
//		User:         "haproxy",
//		Group:        "haproxy",
//		Start: func(ctx context.Context) error {
//			return exec.CommandContext(ctx, "systemctl", "restart", "haproxy").Run()
//		},
//	})
//
// HAProxy runs in master-worker mode with a master socket, as the packages of
// Debian and Ubuntu run it. The driver owns the whole configuration.
//
// # What a change does
//
// The configuration of everything that is wanted is rendered, the same text for
// the same wishes; checked by "haproxy -c"; put in place at once; and loaded by a
// reload, in which a new worker takes over the listening sockets and the old one
// finishes what it has. A configuration carries its own name, which the running
// worker tells, so the driver reloads if and only if another one runs, also after
// a kill. A reload that fails is rolled back. States of servers, client tables
// and their health are handed over. A worker that got no table from the one before
// it hands its own over only ten seconds after it has started, so a reload waits
// that long if there are clients in the table.
//
// No reload is needed to drain an amphora, to put it back, and to rotate a
// certificate, unless its chain is longer than HAProxy takes at run time: some 12
// KB. Draining uses HAProxy's state "maint": its "drain" goes on sending
// persistent clients, which the contract forbids. Connections to an amphora that
// is unregistered are cut in workers from before a reload too.
//
// # What to know
//
// HTTP frontends carry "option idle-close-on-response": without it a reload
// closes idle connections on which a client may be about to send.
// TestNoRequestIsDropped counts requests with it, and without.
//
// A worker from before a reload takes no more orders about its servers. A client
// that has kept an HTTP connection to it since before the drain of an amphora can
// bring one more request there; if the amphora has gone, HAProxy sends the
// request to another.
//
// Each reload leaves a worker behind while connections from before it last. Long
// ones, as to databases, are bounded with Options.HardStopAfter.
//
// An address that is in use is found before HAProxy is asked to reload: HAProxy
// 2.6 would stop the running worker's listeners for about a second while it tries
// to bind, and refuse every new connection meanwhile.
//
// # Why not a library
//
// A stripped program with client-native v6.2.0, HAProxy's own Go library, has 8.7
// MB, and 8.2 MB with its client for the runtime socket alone. One with this whole
// driver has 4.9 MB, 4.2 MB of which are the standard library's TLS, network and
// logging. The library brings 25 modules along, this driver one, for ids. The
// client here is some 200 lines; the configuration is one function, and what the
// library would parse is never parsed.
//
// Registering many amphorae by runtime commands, without a reload, is not faster
// than a reload unless commands are sent by the dozen, and the configuration must
// be written all the same; see BenchmarkRegister1000.
package haproxy
