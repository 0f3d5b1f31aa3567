// Package webcharm is the charm of a small web application that a Prometheus
// server scrapes over mutual TLS, and that may be behind a load balancer. Each
// unit makes its own certificates, serves a page over HTTP and metrics over
// HTTPS, and registers its own scrape job. The units know each other; their
// leader asks for the load balancer, and says which units it sends requests to.
// A unit that is drained, or that ends, takes leave of it first.
package webcharm
