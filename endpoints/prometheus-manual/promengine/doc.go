// Package promengine runs Prometheus inside a program: its scraping, storage
// and query language, from the libraries of Prometheus itself. It is for
// tests and examples on machines without a prometheus executable; a real
// server should be a process of its own.
//
//	engine, err := promengine.Start(ctx, promengine.Options{ConfigFile: "prometheus.yml"})
//	if err != nil {
//		return err
//	}
//	defer engine.Close()
//	samples, err := engine.Client().Query(ctx, "up")
//
// The engine serves the parts of Prometheus's HTTP API that a
// [promserver.Client] uses, so whatever is tried with it works with a real
// server. [Main] is a stand-in for the prometheus executable itself, with the
// few flags that a [promserver.Daemon] gives it.
//
// Of a configuration it uses the global section and the scrape jobs, which
// can find their targets by static_configs, files, HTTP, DNS and Consul. It
// reads rules, alerting and remote storage and does nothing about them.
//
// It adds about 27 MB to a program.
package promengine
