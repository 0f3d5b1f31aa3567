package distributor_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
)

// A load balancer is made, and one of its amphorae is taken out of service.
func ExampleDriver() {
	ctx := context.Background()
	d := haproxy.New(haproxy.Options{Dir: "/var/lib/charm/lb", MasterSocket: "/run/haproxy-master.sock"})
	serve := flow.Linear("serve",
		d.CreateDistributor("web-"),
		d.AddVIP("web-"),
		d.RegisterAmphorae("web-"),
	)
	r := &flow.Runner{Dir: "/var/lib/charm/flows"}
	res, err := r.Run(ctx, "serve-web", serve,
		distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}),
		distributor.VIPKey.Value(distributor.VIP{
			ID:       "web",
			Address:  netip.MustParseAddr("10.0.0.1"),
			Protocol: distributor.HTTP,
			Ports:    []distributor.PortMapping{{Front: 80, Back: 8080}},
		}),
		distributor.VIPAlgorithm.Value(distributor.RoundRobin),
		distributor.VIPPersistence.Value(distributor.NoPersistence),
		distributor.Amphorae.Value([]distributor.Amphora{
			{ID: "web-0", Address: netip.MustParseAddr("10.0.1.1")},
			{ID: "web-1", Address: netip.MustParseAddr("10.0.1.2")},
		}))
	id, _ := distributor.DistributorID.From(res)
	if err != nil {
		log.Fatal(err)
	}
	retired := []distributor.Amphora{{ID: "web-1", Address: netip.MustParseAddr("10.0.1.2")}}
	res, err = r.Run(ctx, "retire-web-1", flow.Linear("retire",
		distributor.DrainThenUnregister("", d, distributor.DrainOptions{Timeout: time.Minute})),
		distributor.DistributorID.Value(id), distributor.Amphorae.Value(retired))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.State)
}
