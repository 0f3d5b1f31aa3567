// Lb-provider is the basic provider of load balancers of package loadbalancertest, as a
// charm.
package main

import (
	"github.com/charmed-go/charms/endpoints/loadbalancer/loadbalancertest/internal/basic"
	"github.com/charmed-go/charms/reactive"
)

func main() { reactive.Main(basic.NewProvider) }
