package converge_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// hardware is a load balancer whose whole configuration is sent to it.
type hardware struct{ send func(config string) error }

func (h *hardware) CheckVIP(v distributor.VIP, _ distributor.Algorithm, _ distributor.Persistence) error {
	if v.Protocol != distributor.TCP {
		return &distributor.Unsupported{Field: "protocol", Reason: "supported: tcp"}
	}
	return nil
}

func (h *hardware) Converge(_ context.Context, want *converge.State) error {
	var config strings.Builder
	for _, d := range want.Sorted() {
		for _, v := range d.SortedVIPs() {
			for _, a := range d.InService() {
				fmt.Fprintln(&config, v.Address, v.Ports[0].Front, "to", a.Address, v.Ports[0].Back)
			}
		}
	}
	return h.send(config.String())
}

func (h *hardware) Connections(context.Context, *converge.Distributor) (map[string]int, error) {
	return nil, nil // it cannot count them
}

func NewDriver(dir string, send func(config string) error) distributor.Driver {
	return converge.New(dir, &hardware{send})
}

func Example() {
	d := NewDriver("", func(config string) error {
		fmt.Printf("send %q\n", config)
		return nil
	})
	serve := flow.Linear("serve", d.CreateDistributor(""), d.AddVIP(""), d.RegisterAmphorae(""))
	_, err := new(flow.Runner).Run(context.Background(), "serve-web", serve,
		distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}),
		distributor.VIPKey.Value(distributor.VIP{
			ID: "web", Address: netip.MustParseAddr("10.0.0.1"), Protocol: distributor.TCP,
			Ports: []distributor.PortMapping{{Front: 80, Back: 8080}},
		}),
		distributor.VIPAlgorithm.Value(distributor.AnyAlgorithm),
		distributor.VIPPersistence.Value(distributor.NoPersistence),
		distributor.Amphorae.Value([]distributor.Amphora{{ID: "web-0", Address: netip.MustParseAddr("10.0.1.1")}}))
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// send ""
	// send ""
	// send "10.0.0.1 80 to 10.0.1.1 8080\n"
}
