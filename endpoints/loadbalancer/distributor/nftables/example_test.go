package nftables_test

import (
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/nftables"
)

func ExampleNew() {
	d := nftables.New(nftables.Options{Dir: "/var/lib/charm/lb", Interface: "eth0", Masquerade: true})
	var _ distributor.Driver = d
}
