package promcheck_test

import (
	"fmt"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
)

func Example() {
	manager := &prometheusmanual.Manager{
		ConfigFile: "/etc/prometheus/prometheus.yml",
		Validator:  promcheck.Validator{},
	}
	fmt.Printf("%T\n", manager.Validator)
	// Output: promcheck.Validator
}
