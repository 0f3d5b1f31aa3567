package haproxy_test

import (
	"context"
	"os/exec"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
)

func ExampleNew() {
	d := haproxy.New(haproxy.Options{
		Dir:          "/var/lib/charm/lb",
		ConfigFile:   "/etc/haproxy/haproxy.cfg",
		MasterSocket: "/run/haproxy-master.sock",
		User:         "haproxy",
		Group:        "haproxy",
		Start: func(ctx context.Context) error {
			return exec.CommandContext(ctx, "systemctl", "restart", "haproxy").Run()
		},
	})
	var _ distributor.Driver = d
}
