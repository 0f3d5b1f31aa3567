// Package prometheusmanual speaks the prometheus-manual interface: a charm
// that has something to scrape registers scrape jobs, in Prometheus's own
// language, with a charm that runs a Prometheus server.
//
// # Registering jobs
//
// A [Provider] registers jobs. This charm lets itself be scraped over mutual
// TLS:
//
//	func NewWeb() *reactive.Charm {
//		charm := reactive.New("web")
//		metrics := prometheusmanual.NewProvider(charm, "metrics")
//		charm.Handle("register scrape job", flags.When(metrics.Joined()),
//			func(ctx context.Context, h *reactive.Hook) error {
//				return metrics.RegisterJob(ctx, prometheusmanual.Job{
//					Name: h.Unit(),
//					Data: map[string]any{
//						"scheme":         "https",
//						"static_configs": []any{map[string]any{"targets": []string{"10.0.0.1:9100"}}},
//					},
//					CA: caPEM, ClientCert: certPEM, ClientKey: keyPEM,
//				})
//			})
//		return charm
//	}
//
// Registering a job again updates it; a run in which nothing changed writes
// nothing. What the server's charm answered is in [Provider.Jobs].
//
// # Running the server
//
// A [Requirer] receives the jobs of all related applications, and a [Manager]
// makes them the jobs of a server:
//
//	func NewPrometheus() *reactive.Charm {
//		charm := reactive.New("prometheus")
//		jobs := prometheusmanual.NewRequirer(charm, "manual-jobs")
//		manager := &prometheusmanual.Manager{
//			Base:         []byte("global:\n  scrape_interval: 30s\n"),
//			ConfigFile:   "/etc/prometheus/prometheus.yml",
//			Certificates: prometheusmanual.CertDir{Path: "/etc/prometheus/juju-certs", Group: "prometheus"},
//			Validator:    promtool.Validator{},
//			Server:       &promserver.Client{URL: "http://127.0.0.1:9090"},
//		}
//		charm.HandleEvery("apply scrape jobs", func(ctx context.Context, h *reactive.Hook) error {
//			_, err := jobs.Apply(ctx, h, manager)
//			return err
//		})
//		return charm
//	}
//
// Apply checks each job against the [Policy], has it validated, writes its
// certificates and the whole configuration, reloads the server, waits until
// the server really runs the job, and only then answers that it is taken. A
// job that is refused is answered with the reason and changes nothing for the
// others.
//
// # Jobs are other people's
//
// Prometheus's language can read any file that the server can, send it
// anywhere, and forge series. The zero [Policy] leaves a job what the charms
// that use the interface need and no more. An operator who needs the whole
// language for an application names it in [Policy.Trusted].
//
// # What it costs
//
// This package, promserver and promtool need only the standard library and
// three small modules. Prometheus's own code is in packages of its own:
// promcheck has its parser, promengine all of it.
//
// Semantics are those of the Python interface prometheus-manual (requires.py,
// provides.py, common.py) on charms.reactive's request_response.py; where
// they differ, docs/reference/deviations.md says why.
package prometheusmanual
