// Loadbalancer-consumer is a charm with a web application behind a load balancer
// that another charm makes.
//
// Build it as the dispatch of a charm, or all of the charm:
//
//	go build -o dispatch ./examples/loadbalancer-consumer
//	go run ./cmd/reactive pack ./examples/loadbalancer-consumer
//
// Package consumercharm is the charm.
package main

import (
	"github.com/charmed-go/charms/examples/loadbalancer-consumer/consumercharm"
	"github.com/charmed-go/charms/reactive"
)

func main() { reactive.Main(consumercharm.New) }
