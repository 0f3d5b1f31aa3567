// Package distributor is the contract between those who want load balanced and
// the drivers that do it, after Octavia's DistributorDriver.
//
// A distributor receives on VIPs and sends to amphorae. A [Driver] offers seven
// operations on distributors, each as a flow that can be run by itself, put
// into a bigger one, undone, and gone on with after a kill:
//
//	d := haproxy.New(haproxy.Options{Dir: "/var/lib/charm/lb", MasterSocket: "/run/haproxy-master.sock"})
//	serve := flow.Linear("serve",
//		d.CreateDistributor("web-"),
//		d.AddVIP("web-"),
//		d.RegisterAmphorae("web-"),
//	)
//	r := &flow.Runner{Dir: "/var/lib/charm/flows"}
//	res, err := r.Run(ctx, "serve-web", serve,
//		distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}),
//		distributor.VIPKey.Value(distributor.VIP{
//			ID:       "web",
//			Address:  netip.MustParseAddr("10.0.0.1"),
//			Protocol: distributor.HTTP,
//			Ports:    []distributor.PortMapping{{Front: 80, Back: 8080}},
//		}),
//		distributor.VIPAlgorithm.Value(distributor.RoundRobin),
//		distributor.VIPPersistence.Value(distributor.NoPersistence),
//		distributor.Amphorae.Value([]distributor.Amphora{
//			{ID: "web-0", Address: netip.MustParseAddr("10.0.1.1")},
//			{ID: "web-1", Address: netip.MustParseAddr("10.0.1.2")},
//		}))
//	id, _ := distributor.DistributorID.From(res)
//
// Later, an amphora is taken out of service without anybody noticing:
//
//	res, err = r.Run(ctx, "retire-web-1", flow.Linear("retire",
//		distributor.DrainThenUnregister("", d, distributor.DrainOptions{Timeout: time.Minute})),
//		distributor.DistributorID.Value(id), distributor.Amphorae.Value(retired))
//
// The names that flows require and provide are those of Octavia's documentation
// (load_balancer, distributor_id, vip, vip_alg, vip_persistence, amphorae). Where
// that leaves something open, or where Octavia's own no-op driver does not keep
// it, the contract here decides; package distributortest is its letter, and any
// driver can be tested with it.
//
// What a driver cannot do is an [*Unsupported] that names the field of the
// loadbalancer interface it comes from; [UnsupportedFields] gives what a
// provider answers. Ask with [Checker] before running a flow: the journal of a
// resumed flow has the text of an error only.
//
// # Drivers
//
//	haproxy     tcp, http, https and TLS termination; the one to use
//	nftables    tcp and udp by the kernel's packet rules
//	inprocess   tcp, http and TLS termination in this process; a stand-in
//	noop        moves nothing and says what it was asked for
//
// They rest on package converge, which makes a driver out of something that can
// be brought into a wanted state.
package distributor
