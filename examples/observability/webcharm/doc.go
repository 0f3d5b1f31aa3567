// Package webcharm is the charm of a small web application that a Prometheus
// server scrapes over mutual TLS. Each unit makes its own certificates, serves
// a page over HTTP and metrics over HTTPS, and registers its own scrape job.
package webcharm
