// Loadbalancer-provider is a charm that makes the load balancers that other
// charms ask for, with HAProxy, nftables or a stand-in of its own.
//
// Build it as the dispatch of a charm, or all of the charm:
//
//	go build -o dispatch ./examples/loadbalancer-provider
//	go run ./cmd/reactive pack ./examples/loadbalancer-provider
//
// Package providercharm is the charm.
package main

import (
	"github.com/charmed-go/charms/examples/loadbalancer-provider/providercharm"
	"github.com/charmed-go/charms/reactive"
)

func main() { reactive.Main(providercharm.New) }
