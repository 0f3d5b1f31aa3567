package loadbalancer

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// A Response is a provider's answer to a request. There are three kinds, made
// by Succeed, Reject and Fail; none is ever half one and half another
// (Response in the Python library's schemas/v1.py). The zero Response is that
// there is none.
type Response struct{ fields ResponseFields }

// ResponseFields are the fields of a response as they are on the wire. Pointers
// may be null, which is not the same as "".
type ResponseFields struct {
	// Address is an IP address or a host name.
	Address *string
	Error   ErrorKind
	// ErrorMessage is for people; ErrorFields says what is wrong with which
	// field of the request. By habit the values are strings, but nobody checks
	// that.
	ErrorMessage *string
	ErrorFields  map[Field]any
	// ReceivedHash is the sent hash of the request that is answered.
	ReceivedHash *string
}

// Succeed answers that the load balancer can be reached at an address, which is
// an IP address or a host name. Without one it is a failure that says so.
func Succeed(address string) Response {
	if address == "" {
		return Fail(fmt.Errorf("the load balancer has no address"))
	}
	return Response{ResponseFields{Address: &address}}
}

// Reject answers that something in the request is not supported: what, by
// field. Name all fields at once. What is no field of a request stands in the
// message.
func Reject(unsupported map[Field]string) Response {
	r := Response{ResponseFields{Error: Unsupported, ErrorFields: make(map[Field]any)}}
	var others []string
	for _, field := range slices.Sorted(maps.Keys(unsupported)) {
		if slices.Contains(requestFields(), field) {
			r.fields.ErrorFields[field] = unsupported[field]
		} else {
			others = append(others, string(field)+": "+unsupported[field])
		}
	}
	if len(unsupported) == 0 {
		others = []string{"the request is not supported"}
	}
	if len(others) > 0 {
		r.fields.ErrorMessage = new(strings.Join(others, "; "))
	}
	return r
}

// Fail answers that the provider could not do what was requested, and why. The
// text of err is read by another application.
func Fail(err error) Response {
	text := "the provider failed"
	if err != nil && err.Error() != "" {
		text = err.Error()
	}
	return Response{ResponseFields{Error: ProviderError, ErrorMessage: &text}}
}

// StillAt returns the response with the address of a load balancer that works
// on as it was requested before, although there is an error now.
func (r Response) StillAt(address string) Response {
	if address != "" {
		r.fields.Address = &address
	}
	return r
}

// Response returns a response with just these fields, or a [*ValidationError]:
// there must be an address or an error, and an error must have a message or
// fields.
func (f ResponseFields) Response() (Response, error) {
	f.ErrorFields = maps.Clone(f.ErrorFields)
	if err := f.validate(); err != nil {
		return Response{}, err
	}
	return Response{f}, nil
}

func (f ResponseFields) validate() error {
	var p problems
	if f.Error != NoError && !f.Error.known() {
		p.add(notMember+quoted(string(f.Error)), "error")
	}
	switch {
	case len(p) > 0:
	case f.Error == NoError && value(f.Address) == "":
		p.add(noAddress, schema)
	case f.Error != NoError && value(f.ErrorMessage) == "" && len(f.ErrorFields) == 0:
		p.add(noReason, schema)
	default:
		for _, field := range slices.Sorted(maps.Keys(f.ErrorFields)) {
			if !slices.Contains(requestFields(), field) {
				p.add("Unknown field: "+quoted(string(field)), "error_fields")
				break
			}
		}
	}
	return p.err("response")
}

// Fields returns a copy of the response's fields.
func (r Response) Fields() ResponseFields {
	f := r.fields
	f.ErrorFields = maps.Clone(f.ErrorFields)
	return f
}

// IsZero reports whether there is no response.
func (r Response) IsZero() bool { return r.fields.validate() != nil }

// OK reports whether the request was fulfilled.
func (r Response) OK() bool { return !r.IsZero() && r.fields.Error == NoError }

// Address returns the address of the load balancer. There may be one although
// there is an error: then the load balancer works on as it was.
func (r Response) Address() string { return value(r.fields.Address) }

// ReceivedHash returns the sent hash of the request that was answered.
func (r Response) ReceivedHash() string { return value(r.fields.ReceivedHash) }

// Err returns nil if the request was fulfilled, and a [*ResponseError]
// otherwise.
func (r Response) Err() error {
	if r.OK() {
		return nil
	}
	return &ResponseError{
		Kind: r.fields.Error, Message: value(r.fields.ErrorMessage), Fields: maps.Clone(r.fields.ErrorFields),
	}
}

// A ResponseError says why a request was not fulfilled.
type ResponseError struct {
	// Kind is NoError if there is no response.
	Kind    ErrorKind
	Message string
	Fields  map[Field]any
}

// Error gives the provider's reasons.
func (e *ResponseError) Error() string {
	if e.Kind == NoError {
		return "there is no response"
	}
	text := "unsupported"
	if e.Kind == ProviderError {
		text = "provider error"
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	for _, field := range slices.Sorted(maps.Keys(e.Fields)) {
		text += fmt.Sprintf("; %s: %v", field, e.Fields[field])
	}
	return text
}

// String says what the response is, for messages.
func (r Response) String() string {
	if r.OK() {
		return "load balancer at " + r.Address()
	}
	return r.Err().Error()
}

// LogValue shows what String says.
func (r Response) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Wire returns the text in which the response is published, or a
// [*ValidationError] for the zero Response.
func (r Response) Wire() (string, error) {
	if err := r.fields.validate(); err != nil {
		return "", err
	}
	var o object
	o.add("address", optional(r.fields.Address))
	var kind any
	if r.fields.Error != NoError {
		kind = string(r.fields.Error)
	}
	o.add("error", kind)
	fields := make(map[string]any)
	for field, v := range r.fields.ErrorFields {
		fields[string(field)] = v
	}
	o.add("error_fields", fields)
	o.add("error_message", optional(r.fields.ErrorMessage))
	o.add("received_hash", optional(r.fields.ReceivedHash))
	return o.close()
}

// Hash returns the MD5 of the response's text, in hexadecimal digits, or "" for
// the zero Response.
func (r Response) Hash() string {
	text, err := r.Wire()
	if err != nil {
		return ""
	}
	return canonicaljson.Digest(text)
}

// ParseResponse reads a response from the text that somebody published. The
// error is a [*ValidationError], or one of package canonicaljson for what is
// not JSON.
func ParseResponse(text string) (Response, error) {
	v, err := canonicaljson.Decode(text)
	if err != nil {
		return Response{}, fmt.Errorf("the response is not JSON: %w", err)
	}
	var p problems
	in, ok := readObject(v, nil, []string{"address", "error", "error_fields", "error_message", "received_hash"}, &p)
	if !ok {
		return Response{}, p.err("response")
	}
	f := ResponseFields{
		Address: in.optional("address"), Error: in.errorKind("error"), ErrorMessage: in.optional("error_message"),
		ErrorFields: in.errorFields("error_fields"), ReceivedHash: in.optional("received_hash"),
	}
	if err := p.err("response"); err != nil {
		return Response{}, err
	}
	return f.Response()
}

// errorKind reads the name of an error, which may be null.
func (r reader) errorKind(name string) ErrorKind {
	v := r.fields[name]
	if v == nil {
		return NoError
	}
	s, ok := v.(string)
	switch kind := ErrorKind(s); {
	case !ok:
		r.wrong(notEnumName, name)
	case !kind.known():
		r.wrong(notMember+quoted(s), name)
	default:
		return kind
	}
	return NoError
}

func (r reader) errorFields(name string) map[Field]any {
	mapping, ok := r.mapping(name, false)
	if !ok {
		return nil
	}
	fields := make(map[Field]any, len(mapping))
	for key, v := range mapping {
		fields[Field(key)] = v
	}
	return fields
}
