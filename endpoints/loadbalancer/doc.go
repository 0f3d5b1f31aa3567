// Package loadbalancer is the loadbalancer interface.
package loadbalancer
