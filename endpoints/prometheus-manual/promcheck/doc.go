// Package promcheck judges Prometheus configurations with Prometheus's own
// parser, linked into the program. It is the [prometheusmanual.Validator] for
// a charm whose server brings no promtool, and for tests:
//
//	manager := &prometheusmanual.Manager{
//		ConfigFile: "/etc/prometheus/prometheus.yml",
//		Validator:  promcheck.Validator{},
//	}
//
// Where the deployed server has a promtool, package promtool is the better
// judge: it has the server's version and kinds of service discovery.
//
// # What it costs
//
// Prometheus's parser adds about 13 MB to a program, for the clouds that its
// remote write can sign in to; Prometheus itself registers what it can
// discover when the program starts (about 3 ms). A charm that only registers
// jobs imports prometheusmanual alone and has none of that.
//
// # Service discovery
//
// Linked in are static, file, HTTP, DNS and Consul. Kubernetes is checked
// here by the same fields and rules as Prometheus's own, whose client would
// add another 28 MB; that needs no registration, so it does no harm in a
// program that links the real one too. All other kinds are refused as
// unknown.
package promcheck
