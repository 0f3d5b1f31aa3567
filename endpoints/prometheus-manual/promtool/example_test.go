package promtool_test

import (
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promtool"
)

// The server's own promtool judges, or Prometheus's parser where there is none.
func Example() {
	var validator prometheusmanual.Validator = promcheck.Validator{}
	if path, err := promtool.Find(); err == nil {
		validator = promtool.Validator{Path: path}
	}
	_ = &prometheusmanual.Manager{Validator: validator}
}
