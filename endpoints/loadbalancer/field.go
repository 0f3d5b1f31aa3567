package loadbalancer

import (
	"fmt"
	"io"
	"log/slog"
)

// Interface is the name of the relation interface.
const Interface = "loadbalancer"

// A Protocol is what a load balancer, or one of its health checks, speaks.
type Protocol string

// The protocols. HTTPS without termination of TLS is passed through to the
// backends as it is.
const (
	TCP   Protocol = "tcp"
	UDP   Protocol = "udp"
	HTTP  Protocol = "http"
	HTTPS Protocol = "https"
)

func (p Protocol) known() bool { return p == TCP || p == UDP || p == HTTP || p == HTTPS }

// An ErrorKind says why a request is not fulfilled. Its text is what is on the
// wire.
type ErrorKind string

const (
	// NoError is the kind of a response with success.
	NoError ErrorKind = ""
	// Unsupported means that the provider cannot do what the request asks for.
	Unsupported ErrorKind = "unsupported"
	// ProviderError means that the provider could, but failed.
	ProviderError ErrorKind = "provider_error"
)

func (k ErrorKind) known() bool { return k == Unsupported || k == ProviderError }

// A Field is the name of a field of a request, by which a response says what of
// it is not supported. There are no other names: of a health check, say in the
// text which one is meant.
type Field string

// The fields of a request.
const (
	FieldAlgorithm      Field = "algorithm"
	FieldBackends       Field = "backends"
	FieldHealthChecks   Field = "health_checks"
	FieldID             Field = "id"
	FieldIngressAddress Field = "ingress_address"
	FieldName           Field = "name"
	FieldPortMapping    Field = "port_mapping"
	FieldProtocol       Field = "protocol"
	FieldPublic         Field = "public"
	FieldSentHash       Field = "sent_hash"
	FieldSticky         Field = "sticky"
	FieldTLSCert        Field = "tls_cert"
	FieldTLSKey         Field = "tls_key"
	FieldTLSTermination Field = "tls_termination"
)

// requestFields are the fields of a request in the order in which they are
// written.
func requestFields() []Field {
	return []Field{
		FieldAlgorithm, FieldBackends, FieldHealthChecks, FieldID, FieldIngressAddress, FieldName, FieldPortMapping,
		FieldProtocol, FieldPublic, FieldSentHash, FieldSticky, FieldTLSCert, FieldTLSKey, FieldTLSTermination,
	}
}

// masked is what is shown of a secret.
const masked = "[secret]"

// A Secret is a text that is not shown: package fmt with any verb, log/slog and
// encoding/json all get a mask. [Secret.Reveal] returns the text.
type Secret string

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask.
func (s Secret) String() string { return masked }

// GoString returns a mask.
func (s Secret) GoString() string { return masked }

// Format writes a mask, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// LogValue returns a mask.
func (s Secret) LogValue() slog.Value { return slog.StringValue(masked) }

// MarshalText returns a mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(masked), nil }
