package promserver_test

import (
	"context"
	"os/exec"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
)

func ExampleClient() {
	client := &promserver.Client{URL: "http://127.0.0.1:9090"}
	manager := &prometheusmanual.Manager{
		ConfigFile: "/etc/prometheus/prometheus.yml",
		Server:     client,
	}
	client.Signal = func(ctx context.Context) error {
		return exec.CommandContext(ctx, "systemctl", "reload", "prometheus").Run()
	}
	_ = manager
}
