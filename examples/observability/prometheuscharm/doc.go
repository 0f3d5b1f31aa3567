// Package prometheuscharm is the charm of a Prometheus server that scrapes
// what other applications register through the prometheus-manual interface. It
// runs the prometheus executable where one is installed, else an engine that
// is part of the charm's own program.
package prometheuscharm
