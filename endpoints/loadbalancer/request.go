package loadbalancer

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// A Request asks for one load balancer. It has a name, by which the requirer
// knows it, and an ID, which is unique among all requests; both stay the same
// as long as the request is there (Request in the Python library's
// schemas/v1.py).
//
// Fields that are pointers may be left out: null on the wire, which is not the
// same as "". The provider decides what it supports, and says what it does not.
//
// A Request may be printed and logged: the private key is masked.
type Request struct {
	id, name *string

	// Protocol is required.
	Protocol Protocol
	// Backends are the addresses to which requests are distributed. If there
	// are none, the provider takes the ingress addresses of all units of the
	// application that makes the request.
	Backends []string
	// PortMapping has the ports of the backends by those of the load balancer.
	// It is required, but may be empty.
	PortMapping map[int]int
	// Algorithm are the algorithms of distribution, the preferred one first.
	// What their names are is up to the provider.
	Algorithm []string
	// Sticky asks that a client stays with one backend.
	Sticky bool
	// HealthChecks decide which backends get requests.
	HealthChecks []HealthCheck
	// Public asks for an address that can be reached from outside.
	Public bool
	// TLSTermination asks the load balancer to speak TLS to the clients, with
	// the certificate (PEM) and the private key (PEM) of the request, if it has
	// one.
	TLSTermination bool
	TLSCert        *string
	TLSKey         *Secret
	// IngressAddress is the address that the load balancer shall have.
	IngressAddress *string

	sentHash *string
}

// NewRequest returns a request with the default values: a public load balancer
// without anything else. Protocol and PortMapping have no default.
func NewRequest(id, name string) *Request { return &Request{id: &id, name: &name, Public: true} }

// ID returns the request's ID: 32 hexadecimal digits, if the requirer made it.
func (r *Request) ID() string { return value(r.id) }

// Name returns the request's name.
func (r *Request) Name() string { return value(r.name) }

// SentHash returns the hash that the requirer sent with the request, by which
// it knows a response to be about this version of the request. It is "" if the
// request was not sent yet.
func (r *Request) SentHash() string { return value(r.sentHash) }

// SetID sets the request's ID. SetID, SetName and SetSentHash set what identifies
// a request and its version: a [Requirer] does that itself; they are for programs that make requests
// without one.
func (r *Request) SetID(id string) { r.id = &id }

// SetName sets the request's name.
func (r *Request) SetName(name string) { r.name = &name }

// SetSentHash sets the hash that is sent with the request, see [Request.Sent].
func (r *Request) SetSentHash(hash string) { r.sentHash = &hash }

// Sent returns the request as it is sent: with its WireHash as the sent hash.
func (r *Request) Sent() *Request {
	c := r.Clone()
	c.sentHash = nil
	if hash := r.WireHash(); hash != "" {
		c.sentHash = &hash
	}
	return c
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Clone returns a copy that shares nothing with r.
func (r *Request) Clone() *Request {
	c := *r
	c.Backends = slices.Clone(r.Backends)
	c.PortMapping = maps.Clone(r.PortMapping)
	c.Algorithm = slices.Clone(r.Algorithm)
	c.HealthChecks = slices.Clone(r.HealthChecks)
	return &c
}

// String names the request, for messages.
func (r *Request) String() string { return fmt.Sprintf("request %q (%s)", r.Name(), r.ID()) }

// LogValue shows what the request is about.
func (r *Request) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("id", r.ID()), slog.String("name", r.Name()), slog.String("protocol", string(r.Protocol)),
		slog.String("port_mapping", portText(r.PortMapping)), slog.Int("backends", len(r.Backends)),
	)
}

// Validate returns a [*ValidationError] if the request cannot be sent, because
// a required field is missing.
func (r *Request) Validate() error {
	var p problems
	if r.id == nil {
		p.add(isNull, "id")
	}
	if r.name == nil {
		p.add(isNull, "name")
	}
	if r.PortMapping == nil {
		p.add(isNull, "port_mapping")
	}
	checkProtocol(&p, r.Protocol, "protocol")
	for i, hc := range r.HealthChecks {
		checkProtocol(&p, hc.Protocol, "health_checks", strconv.Itoa(i), "protocol")
	}
	return p.err("request")
}

func checkProtocol(p *problems, protocol Protocol, path ...string) {
	switch {
	case protocol == "":
		p.add(isNull, path...)
	case !protocol.known():
		p.add(notEnumValue+quoted(string(protocol)), path...)
	}
}

// Wire returns the text in which the request is published. It holds the private
// key: it belongs into the databag and nowhere else. The error is a
// [*ValidationError] if the request is not valid.
func (r *Request) Wire() (string, error) { return r.wire(r.sentHash) }

func (r *Request) wire(sentHash *string) (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	var o object
	o.add("algorithm", texts(r.Algorithm))
	o.add("backends", texts(r.Backends))
	checks := make([]any, len(r.HealthChecks))
	for i, hc := range r.HealthChecks {
		checks[i] = hc.value()
	}
	o.add("health_checks", checks)
	o.add("id", optional(r.id))
	o.add("ingress_address", optional(r.IngressAddress))
	o.add("name", optional(r.name))
	o.addText("port_mapping", portText(r.PortMapping))
	o.add("protocol", string(r.Protocol))
	o.add("public", r.Public)
	o.add("sent_hash", optional(sentHash))
	o.add("sticky", r.Sticky)
	o.add("tls_cert", optional(r.TLSCert))
	o.add("tls_key", optional(revealed(r.TLSKey)))
	o.add("tls_termination", r.TLSTermination)
	return o.close()
}

// Hash returns the MD5 of the request's text, in hexadecimal digits, or "" if
// the request is not valid. It changes with every field, also with the sent
// hash and with backends that a provider filled in.
func (r *Request) Hash() string { return r.hash(r.sentHash) }

// WireHash is Hash without the sent hash: the sent hash of the request once it
// is sent.
func (r *Request) WireHash() string { return r.hash(nil) }

func (r *Request) hash(sentHash *string) string {
	text, err := r.wire(sentHash)
	if err != nil {
		return ""
	}
	return canonicaljson.Digest(text)
}

// ParseRequest reads a request from the text that somebody published, as
// liberally as the Python library does: numbers and booleans may be strings. No
// other fields than those of a request are accepted, and none is checked for
// its meaning: ports may be out of range and addresses none.
//
// The error is a [*ValidationError], or one of package canonicaljson for what
// is not JSON. Neither shows what may be secret.
func ParseRequest(text string) (*Request, error) {
	v, err := canonicaljson.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("the request is not JSON: %w", err)
	}
	if v == nil {
		v = map[string]any{}
	}
	var p problems
	var known []string
	for _, field := range requestFields() {
		known = append(known, string(field))
	}
	in, ok := readObject(v, nil, known, &p)
	if !ok {
		return nil, p.err("request")
	}
	r := &Request{
		id: in.text("id"), name: in.text("name"), Protocol: in.protocol("protocol"),
		Backends: in.texts("backends"), PortMapping: in.ports("port_mapping"), Algorithm: in.texts("algorithm"),
		Sticky: in.boolean("sticky", false), Public: in.boolean("public", true),
		TLSTermination: in.boolean("tls_termination", false), TLSCert: in.optional("tls_cert"),
		IngressAddress: in.optional("ingress_address"), sentHash: in.optional("sent_hash"),
	}
	if key := in.optional("tls_key"); key != nil {
		r.TLSKey = new(Secret(*key))
	}
	checks, _ := in.list("health_checks")
	for i, item := range checks {
		path := []string{"health_checks", strconv.Itoa(i)}
		if item == nil {
			p.add(isNull, path...)
			continue
		}
		r.HealthChecks = append(r.HealthChecks, readHealthCheck(item, path, &p))
	}
	if err := p.err("request"); err != nil {
		return nil, err
	}
	return r, nil
}

// A HealthCheck says how the load balancer finds out whether a backend works.
type HealthCheck struct {
	// Protocol and Port are required. The port is one of the backend's,
	// whatever the port mapping says.
	Protocol Protocol `json:"protocol"`
	Port     int      `json:"port"`
	// Path is what is asked for with HTTP and HTTPS.
	Path *string `json:"path"`
	// Interval is the time between two checks in seconds, and Retries how many
	// have to fail until a backend gets no more requests.
	Interval int `json:"interval"`
	Retries  int `json:"retries"`
}

// NewHealthCheck returns a check with the default values: every 30 seconds, and
// three times until a backend is given up.
func NewHealthCheck(protocol Protocol, port int) HealthCheck {
	return HealthCheck{Protocol: protocol, Port: port, Interval: 30, Retries: 3}
}

// Wire returns the text in which the check is published, as part of a request.
func (hc HealthCheck) Wire() (string, error) {
	var p problems
	checkProtocol(&p, hc.Protocol, "protocol")
	if err := p.err("health check"); err != nil {
		return "", err
	}
	return canonicaljson.Encode(hc.value())
}

// value returns the check as Encode keeps it to the byte.
func (hc HealthCheck) value() map[string]any {
	return map[string]any{
		"protocol": string(hc.Protocol), "port": hc.Port, "path": optional(hc.Path),
		"interval": hc.Interval, "retries": hc.Retries,
	}
}

// Hash returns the MD5 of the check's text, or "" if it is not valid.
func (hc HealthCheck) Hash() string {
	text, err := hc.Wire()
	if err != nil {
		return ""
	}
	return canonicaljson.Digest(text)
}

// ParseHealthCheck reads a health check as liberally as ParseRequest does.
func ParseHealthCheck(text string) (HealthCheck, error) {
	v, err := canonicaljson.Decode(text)
	if err != nil {
		return HealthCheck{}, fmt.Errorf("the health check is not JSON: %w", err)
	}
	var p problems
	hc := readHealthCheck(v, nil, &p)
	return hc, p.err("health check")
}

func readHealthCheck(v any, path []string, p *problems) HealthCheck {
	in, ok := readObject(v, path, []string{"protocol", "port", "path", "interval", "retries"}, p)
	if !ok {
		return HealthCheck{}
	}
	return HealthCheck{
		Protocol: in.protocol("protocol"), Port: in.integer("port", true, 0), Path: in.optional("path"),
		Interval: in.integer("interval", false, 30), Retries: in.integer("retries", false, 3),
	}
}

// sentHashOf finds the sent hash in a request that is not valid, so that its
// sender knows what is answered.
func sentHashOf(text string) *string {
	members, err := canonicaljson.Members(text)
	if err != nil {
		return nil
	}
	v, err := canonicaljson.Decode(string(members["sent_hash"]))
	s, ok := v.(string)
	if err != nil || !ok {
		return nil
	}
	return &s
}
