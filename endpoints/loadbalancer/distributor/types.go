package distributor

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// A LoadBalancer is what a distributor is created for.
type LoadBalancer struct {
	// ID identifies the load balancer for good. Creating a distributor for the
	// same ID again gives the same distributor.
	ID string `json:"id"`
	// Name is for people.
	Name string `json:"name,omitempty"`
}

// Protocol is what a VIP speaks, or what a health check asks with.
type Protocol string

// The protocols of the loadbalancer interface.
const (
	TCP   Protocol = "tcp"
	UDP   Protocol = "udp"
	HTTP  Protocol = "http"
	HTTPS Protocol = "https"
)

// Algorithm chooses the amphora for a new connection, or for a new request
// where a driver looks into HTTP. The zero value is the driver's own choice,
// which every driver has.
type Algorithm string

// The algorithms that have a name here. Hash is the one that Octavia's
// active-active specification allows: the VIP's [Persistence] says over what.
const (
	AnyAlgorithm     Algorithm = ""
	RoundRobin       Algorithm = "round_robin"
	LeastConnections Algorithm = "least_connections"
	SourceIP         Algorithm = "source_ip"
	Random           Algorithm = "random"
	First            Algorithm = "first"
	Hash             Algorithm = "hash"
)

// ParseAlgorithm returns the algorithm that name means in the load balancers
// that charms have asked so far: letter case, '_', '-' and spaces do not count,
// and the names of Octavia, HAProxy and Azure are known. An unknown name is an
// [*Unsupported] of the field "algorithm".
func ParseAlgorithm(name string) (Algorithm, error) {
	plain := strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(name))
	switch plain {
	case "", "default", "any":
		return AnyAlgorithm, nil
	case "roundrobin", "rr":
		return RoundRobin, nil
	case "leastconnections", "leastconn":
		return LeastConnections, nil
	case "sourceip", "source", "sourceipprotocol":
		return SourceIP, nil
	case "random":
		return Random, nil
	case "first":
		return First, nil
	case "hash":
		return Hash, nil
	}
	return "", &Unsupported{Field: "algorithm", Reason: fmt.Sprintf("unknown: %q", name)}
}

// Persistence says which connections keep going to the same amphora.
type Persistence string

// NoPersistence spreads every connection, SourceIPPersistence keeps the
// connections of one address together, SourceIPAndPortPersistence those of one
// address and port, and CookiePersistence the requests of one HTTP client.
const (
	NoPersistence              Persistence = ""
	SourceIPPersistence        Persistence = "source_ip"
	SourceIPAndPortPersistence Persistence = "source_ip_and_port"
	CookiePersistence          Persistence = "cookie"
)

// A VIP is an address that a distributor receives on.
type VIP struct {
	// ID identifies the VIP in its driver. Adding a VIP of a known ID changes
	// that VIP.
	ID string `json:"id"`
	// Address is the address to receive on.
	Address netip.Addr `json:"address"`
	// Protocol is what clients speak. HTTPS without TLS is passed through.
	Protocol Protocol `json:"protocol"`
	// Ports says which port of the amphorae each port of the VIP leads to, at most
	// [MaxPorts].
	Ports []PortMapping `json:"ports"`
	// TLS, if set, has the distributor end TLS and speak plainly to the
	// amphorae.
	TLS *TLS `json:"tls,omitempty"`
	// HealthChecks must all pass for an amphora to get traffic. Without any,
	// every amphora that is registered gets traffic.
	HealthChecks []HealthCheck `json:"health_checks,omitempty"`
}

// Secrets returns the VIP's private key, for the flow's runs to keep.
func (v *VIP) Secrets() []*flow.Secret {
	if v.TLS == nil {
		return nil
	}
	return []*flow.Secret{&v.TLS.Key}
}

// A PortMapping leads from a port of the VIP to one of the amphorae.
type PortMapping struct {
	// Front is the VIP's port, Back that of every amphora.
	Front uint16 `json:"front"`
	Back  uint16 `json:"back"`
}

// TLS is a certificate and its private key.
type TLS struct {
	// Certificate is the certificate and those between it and the root, in PEM.
	Certificate string `json:"certificate"`
	// Key is the private key in PEM.
	Key flow.Secret `json:"key"`
}

// A HealthCheck asks an amphora whether it can take traffic.
type HealthCheck struct {
	// Protocol is how, and Port is where, the amphora is asked.
	Protocol Protocol `json:"protocol"`
	Port     uint16   `json:"port"`
	// Path is asked for with HTTP and HTTPS, "" meaning "/". Answers of 200 to
	// 399 are good. Certificates are not verified.
	Path string `json:"path,omitempty"`
	// Interval is the time between two checks, and Retries how many must fail
	// in a row.
	Interval time.Duration `json:"interval"`
	Retries  int           `json:"retries"`
}

// An Amphora is a member that a distributor sends to. The word is Octavia's;
// elsewhere it is called a backend.
type Amphora struct {
	// ID identifies the amphora within its distributor. Registering a known ID
	// changes that amphora.
	ID      string     `json:"id"`
	Address netip.Addr `json:"address"`
	// Position, if positive, is the amphora's place for hashing: one that takes
	// over the place of another gets its clients, and nobody else moves. Two
	// amphorae of a distributor do not share one, and none is beyond
	// [MaxPosition]. 0 hashes by ID.
	Position int `json:"position,omitempty"`
}

// MaxPorts is how many ports a VIP may have: each takes a listener of its own and
// a check of every amphora, and those who ask are others.
const MaxPorts = 256

// MaxPosition is the highest position of an amphora.
const MaxPosition = 1 << 16

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

func checkID(field, id string) error {
	if !validID.MatchString(id) {
		return &Unsupported{Field: field, Reason: fmt.Sprintf("%.120q may hold letters, digits, '_', '.' and '-' only", id)}
	}
	return nil
}

// Validate reports what is wrong with the load balancer whatever the driver,
// as [*Unsupported].
func (l LoadBalancer) Validate() error { return checkID("id", l.ID) }

// Validate reports everything that is wrong with the amphora whatever the
// driver, as joined [*Unsupported] errors.
func (a Amphora) Validate() error {
	var errs []error
	errs = append(errs, checkID("backends", a.ID))
	if !a.Address.IsValid() || a.Address.IsUnspecified() || a.Address.IsMulticast() || a.Address.Zone() != "" {
		errs = append(errs, &Unsupported{Field: "backends", Reason: fmt.Sprintf("not the address of an amphora: %q", a.Address)})
	}
	if a.Position < 0 || a.Position > MaxPosition {
		errs = append(errs, &Unsupported{Field: "backends", Reason: fmt.Sprintf("position %d is not between 0 and %d", a.Position, MaxPosition)})
	}
	return errors.Join(errs...)
}

var validPath = regexp.MustCompile(`^/[A-Za-z0-9_.~!$&'()*+,;=:@%/?-]{0,1000}$`)

// Validate reports everything that is wrong with the VIP whatever the driver,
// as joined [*Unsupported] errors. After it, no text of the VIP can be anything
// but what it is meant to be in a configuration file or a rule.
func (v VIP) Validate() error {
	errs := []error{checkID("id", v.ID)}
	bad := func(field, format string, args ...any) {
		errs = append(errs, &Unsupported{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
	if !v.Address.IsValid() || v.Address.IsMulticast() || v.Address.Zone() != "" {
		bad("ingress_address", "not an address: %q", v.Address)
	}
	switch v.Protocol {
	case TCP, UDP, HTTP, HTTPS:
	default:
		bad("protocol", "unknown: %.50q", string(v.Protocol))
	}
	switch {
	case len(v.Ports) == 0:
		bad("port_mapping", "empty")
	case len(v.Ports) > MaxPorts:
		bad("port_mapping", "%d ports, more than %d", len(v.Ports), MaxPorts)
	}
	fronts := map[uint16]bool{}
	for _, p := range v.Ports {
		if p.Front == 0 || p.Back == 0 {
			bad("port_mapping", "%d to %d: a port is between 1 and 65535", p.Front, p.Back)
		}
		if fronts[p.Front] {
			bad("port_mapping", "port %d is mapped twice", p.Front)
		}
		fronts[p.Front] = true
	}
	for i, h := range v.HealthChecks {
		if why := h.problem(); why != "" {
			bad("health_checks", "[%d]: %s", i, why)
		}
	}
	errs = append(errs, v.TLS.validate())
	return errors.Join(errs...)
}

func (h HealthCheck) problem() string {
	switch h.Protocol {
	case HTTP, HTTPS:
		if h.Path != "" && !validPath.MatchString(h.Path) {
			return fmt.Sprintf("not a path: %.100q", h.Path)
		}
	case TCP, UDP:
		if h.Path != "" {
			return fmt.Sprintf("protocol %s has no path", h.Protocol)
		}
	default:
		return fmt.Sprintf("unknown protocol %.50q", string(h.Protocol))
	}
	switch {
	case h.Port == 0:
		return "a port is between 1 and 65535"
	case h.Interval < 100*time.Millisecond || h.Interval > 24*time.Hour:
		return fmt.Sprintf("interval %v is not between 100ms and 24h", h.Interval)
	case h.Retries < 1 || h.Retries > 1000:
		return fmt.Sprintf("retries %d is not between 1 and 1000", h.Retries)
	}
	return ""
}

func (t *TLS) validate() error {
	if t == nil {
		return nil
	}
	key, err := t.Key.Reveal()
	if err != nil {
		return fmt.Errorf("cannot check tls_key: %w", err)
	}
	switch {
	case t.Certificate == "" && len(key) == 0:
		return errors.Join(&Unsupported{Field: "tls_cert", Reason: "missing"}, &Unsupported{Field: "tls_key", Reason: "missing"})
	case t.Certificate == "":
		return &Unsupported{Field: "tls_cert", Reason: "missing"}
	case len(key) == 0:
		return &Unsupported{Field: "tls_key", Reason: "missing"}
	}
	// Journals keep certificates as they are, and private keys never.
	for block, rest := pem.Decode([]byte(t.Certificate)); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return &Unsupported{Field: "tls_cert", Reason: "it holds a private key, which belongs in tls_key"}
		}
	}
	// The library's texts speak of positions and types, never of content.
	pair, err := tls.X509KeyPair([]byte(t.Certificate), key)
	if err != nil {
		return &Unsupported{Field: "tls_cert", Reason: fmt.Sprintf("certificate and key do not make a pair: %v", err)}
	}
	for i, der := range pair.Certificate {
		if _, err := x509.ParseCertificate(der); err != nil {
			return &Unsupported{Field: "tls_cert", Reason: fmt.Sprintf("certificate %d of %d is none: %v", i+1, len(pair.Certificate), err)}
		}
	}
	return nil
}

// Canonical returns v with its ports sorted, so that equal VIPs look equal.
func (v VIP) Canonical() VIP {
	v.Ports = slices.Clone(v.Ports)
	slices.SortFunc(v.Ports, func(a, b PortMapping) int { return cmp.Compare(a.Front, b.Front) })
	return v
}

// Datagram reports whether the VIP is for datagrams.
func (v VIP) Datagram() bool { return v.Protocol == UDP }
