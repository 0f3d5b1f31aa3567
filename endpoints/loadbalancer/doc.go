// Package loadbalancer is both ends of the Juju interface "loadbalancer": a
// charm asks for load balancers, another one makes them.
//
// The consumer asks once it can, and uses the address that it is given:
//
//	type web struct{ lb *loadbalancer.Requirer }
//
//	func NewWeb() *reactive.Charm {
//		charm := reactive.New("web")
//		w := &web{lb: loadbalancer.NewRequirer(charm, "lb-provider")}
//		charm.HandleLeader("ask for a load balancer", flags.When(w.lb.Available()), w.ask)
//		charm.Handle("use the load balancer", flags.When(w.lb.ResponseChanged()), w.use)
//		return charm
//	}
//
//	func (w *web) ask(ctx context.Context, l *reactive.Leader) error {
//		request, err := w.lb.Request(ctx, l, "site")
//		if err != nil {
//			return err
//		}
//		request.Protocol = loadbalancer.HTTP
//		request.PortMapping = map[int]int{80: 8080}
//		return w.lb.Send(ctx, l, request) // publishes nothing if nothing changed
//	}
//
//	func (w *web) use(ctx context.Context, h *reactive.Hook) error {
//		answer, ok, err := w.lb.Response(ctx, h, "site")
//		if err != nil || !ok {
//			return err
//		}
//		if answer.Err() != nil {
//			return reactive.Blocked(answer.Err().Error())
//		}
//		h.SetStatus(reactive.Active("at " + answer.Address()))
//		return w.lb.Acknowledge(ctx, h, "site")
//	}
//
// The provider makes what is asked for, and says where it is or why there is
// none. What is no longer asked for it takes away:
//
//	type balancer struct{ lb *loadbalancer.Provider }
//
//	func NewBalancer() *reactive.Charm {
//		charm := reactive.New("balancer")
//		b := &balancer{lb: loadbalancer.NewProvider(charm, "lb-consumers")}
//		charm.HandleLeader("serve", flags.When(b.lb.RequestsChanged()), b.serve)
//		return charm
//	}
//
//	func (b *balancer) serve(ctx context.Context, l *reactive.Leader) error {
//		for _, request := range b.lb.NewRequests() {
//			response := loadbalancer.Succeed("192.0.2.1")
//			if request.Protocol == loadbalancer.UDP {
//				response = loadbalancer.Reject(map[loadbalancer.Field]string{
//					loadbalancer.FieldProtocol: "supported: tcp, http, https",
//				})
//			} else if err := b.balance(request); err != nil {
//				response = loadbalancer.Fail(err)
//			}
//			if err := b.lb.Respond(ctx, l, request, response); err != nil {
//				return err
//			}
//		}
//		for _, removed := range b.lb.Removed() {
//			if err := b.takeAway(removed.RelationID, removed.Name); err != nil {
//				return err
//			}
//			if err := b.lb.RevokeRemoved(ctx, l, removed); err != nil {
//				return err
//			}
//		}
//		return nil
//	}
//
// Package distributor below makes the load balancers themselves, package
// loadbalancertest has a consumer and a provider to test a charm with, and
// examples/loadbalancer-provider and examples/loadbalancer-consumer are whole
// charms.
//
// # On the wire
//
// It is version 1 of the Python library loadbalancer_interface, byte for byte:
// a charm can be upgraded from Python without a hash changing. All data is in
// application databags: "version" on both sides, which the leader publishes in
// any hook that finds it missing, the consumer's request_NAME and the provider's
// response_NAME. A request carries its own hash, and a response the hash of the
// request that it answers, so each side knows what the other one has seen.
//
// What the library gets wrong is right here; docs/reference/deviations.md lists
// it. [Provider.AsReference] brings the faults back, for comparison.
//
// # Private keys
//
// Version 1 of the interface publishes the private key of a request that ends
// TLS as it is. Here it is a [Secret], which cannot be printed or logged.
package loadbalancer
