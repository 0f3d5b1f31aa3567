// Package charmmetrics writes metrics about a charm's own hooks for Prometheus:
// a file for the textfile collector of the node exporter on the unit's machine,
// written once at the end of each hook. No process stays behind, and no port is
// opened.
//
//	func New() *reactive.Charm {
//		charm := reactive.New("web")
//		lb := loadbalancer.NewRequirer(charm, "lb-provider")
//		charmmetrics.Register(charm, charmmetrics.Options{
//			Requests: []charmmetrics.Requests{charmmetrics.RequestsOf("lb-provider", lb)},
//		})
//		// handlers …
//		return charm
//	}
//
// It does nothing on machines without the collector's directory, so that it
// costs nothing where nobody looks, in tests least of all. Where it is there,
// each hook stores its counters with the charm state, one write more than the
// charm makes by itself.
//
// # The metrics
//
//	juju_charm_hook_runs_total{hook}                        hooks that ran to their end, failed ones included
//	juju_charm_hook_failures_total{hook}                    those that failed
//	juju_charm_hook_last_duration_seconds{hook}             how long the last one took
//	juju_charm_hook_last_success_timestamp_seconds{hook}    when one last went well
//	juju_charm_handler_runs_total{handler}                  runs of handlers
//	juju_charm_flags                                        flags that are set
//	juju_charm_relation_requests{endpoint,state}            requests: answered, unanswered, malformed
//	juju_charm_info{charm_version,charm_revision,framework_version}
//
// All have the labels juju_model, juju_model_uuid, juju_application, juju_unit
// and juju_charm of Juju's topology. An alert on a hook that fails:
//
//	increase(juju_charm_hook_failures_total[15m]) > 0
//
// A hook that was terminated counts as failed; one that was killed outright
// leaves nothing behind and counts nowhere. A charm that has not run for long
// shows in node_textfile_mtime_seconds.
package charmmetrics
