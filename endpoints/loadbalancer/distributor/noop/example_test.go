package noop_test

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/noop"
)

func Example() {
	ctx := context.Background()
	d := noop.New("")
	serve := flow.Linear("serve", d.CreateDistributor(""), d.RegisterAmphorae(""))
	res, err := new(flow.Runner).Run(ctx, "serve-web", serve,
		distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}),
		distributor.Amphorae.Value([]distributor.Amphora{{ID: "web-0", Address: netip.MustParseAddr("10.0.0.2")}}))
	for _, record := range d.Records() {
		fmt.Println(record)
	}
	fmt.Println(res.State, err)
}
