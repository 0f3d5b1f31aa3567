package netcheck

import (
	"context"
	"net"
	"os"
	"time"
)

// Hostname checks that the machine can resolve its own name, in whatever way
// its programs do, /etc/hosts included.
type Hostname struct {
	// Name is the name to resolve. "" means the name of the machine.
	Name string
	// Resolver is used to resolve it. Nil means [net.DefaultResolver].
	Resolver *net.Resolver `json:"-"`
	// Budget is how long the check may take. Zero means 5 s.
	Budget time.Duration
}

// A HostnameResult is what [Hostname] finds.
type HostnameResult struct {
	Outcome
	// Hostname is what was resolved, and Addresses what it resolves to.
	Hostname  string   `json:"hostname"`
	Addresses []string `json:"addresses,omitempty"`
}

// Check resolves the name.
func (c Hostname) Check(ctx context.Context) HostnameResult {
	r := begin(ctx, KindHostname, Peer{}, c.Budget, 5*time.Second)
	result := HostnameResult{Hostname: c.Name}
	if result.Hostname == "" {
		name, err := os.Hostname()
		if err != nil {
			result.Outcome = r.end(Failed, "local hostname: %v", err)
			return result
		}
		result.Hostname = name
	}
	resolver := c.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addrs, err := resolver.LookupHost(r.ctx, result.Hostname)
	if err != nil || len(addrs) == 0 {
		result.Outcome = r.end(Failed, "local hostname %s does not resolve", result.Hostname)
		return result
	}
	result.Addresses = addrs
	result.Outcome = r.end(OK, "local hostname ok (%s)", result.Hostname)
	return result
}
