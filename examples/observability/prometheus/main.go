// Prometheus is the charm of the Prometheus server, and an engine for machines
// that have none installed.
package main

import (
	"github.com/charmed-go/charms/examples/observability/prometheuscharm"
	"github.com/charmed-go/charms/reactive"
)

func main() { reactive.Main(prometheuscharm.New) }
