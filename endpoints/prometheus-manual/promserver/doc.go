// Package promserver runs a Prometheus server and speaks to one. It is the
// part of a Prometheus charm that finds out whether the server has really
// taken a job, which no exit status tells:
//
//	client := &promserver.Client{URL: "http://127.0.0.1:9090"}
//	manager := &prometheusmanual.Manager{
//		ConfigFile: "/etc/prometheus/prometheus.yml",
//		Server:     client,
//	}
//
// A [Client] serves every server that speaks Prometheus's HTTP API, version
// 2.27 or later. Where the server does not reload over HTTP, as Debian's does
// not, give the client another way to ask for it:
//
//	client.Signal = func(ctx context.Context) error {
//		return exec.CommandContext(ctx, "systemctl", "reload", "prometheus").Run()
//	}
//
// A [Daemon] keeps a server running from one hook to the next where no
// service manager does.
package promserver
