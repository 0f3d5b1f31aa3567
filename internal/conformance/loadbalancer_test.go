package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/internal/canonicaljson"
)

// balancerVector is a vector of family loadbalancer about messages (FORMAT.md,
// section 7.1).
type balancerVector struct {
	Kind     string          `json:"kind"`
	Fields   balancerFields  `json:"fields"`
	Request  *string         `json:"request"`
	Response *string         `json:"response"`
	Expect   json.RawMessage `json:"expect"`
}

// balancerFields are fields to be set. What is absent is left as it is.
type balancerFields map[string]json.RawMessage

// balancerExpect is what a vector about messages expects.
type balancerExpect struct {
	Raises   string         `json:"raises"`
	Messages map[string]any `json:"messages"`

	Dumps     any            `json:"dumps"`
	Hash      *string        `json:"hash"`
	SentHash  string         `json:"sent_hash"`
	SentDumps string         `json:"sent_dumps"`
	Request   map[string]any `json:"request"`
	Response  map[string]any `json:"response"`
	Check     map[string]any `json:"health_check"`
}

func runLoadbalancer(t *testing.T, line []byte) {
	var v balancerVector
	decodeVector(t, line, &v)
	var want balancerExpect
	if v.Expect != nil {
		decodeVector(t, v.Expect, &want)
	}
	switch v.Kind {
	case "request_fields":
		request := &loadbalancer.Request{Public: true}
		v.Fields.setRequest(t, request)
		text, err := request.Wire()
		if compareFailure(t, err, want) {
			sent := request.Sent()
			compareWire(t, "text", text, want.Dumps)
			compareWire(t, "hash", request.Hash(), *want.Hash)
			compareWire(t, "sent hash", sent.SentHash(), want.SentHash)
			sentText, err := sent.Wire()
			if err != nil {
				t.Fatal(err)
			}
			compareWire(t, "sent text", sentText, want.SentDumps)
		} else if request.Hash() != "" {
			t.Errorf("a request that is not valid has the hash %s", request.Hash())
		}
	case "response_fields":
		response, err := v.Fields.response(t).Response()
		if compareFailure(t, err, want) {
			text, err := response.Wire()
			if err != nil {
				t.Fatal(err)
			}
			compareWire(t, "text", text, want.Dumps)
			compareWire(t, "hash", response.Hash(), *want.Hash)
		}
	case "health_check":
		check, err := loadbalancer.ParseHealthCheck(mustEncode(t, v.Fields))
		if compareFailure(t, err, want) {
			text, err := check.Wire()
			if err != nil {
				t.Fatal(err)
			}
			compareWire(t, "text", text, want.Dumps)
			compareWire(t, "hash", check.Hash(), *want.Hash)
			compareFields(t, "health check", check, want.Check)
		}
	case "request_load":
		request, err := loadbalancer.ParseRequest(*v.Request)
		var response loadbalancer.Response
		if err == nil && v.Response != nil {
			response, err = loadbalancer.ParseResponse(*v.Response)
		}
		if compareFailure(t, err, want) {
			text, err := request.Wire()
			if err != nil {
				t.Fatal(err)
			}
			compareWire(t, "text", text, want.Dumps)
			compareFields(t, "request", requestValue(request), want.Request)
			compareFields(t, "response", responseValue(request.Name(), response), want.Response)
		}
	case "response_load":
		response, err := loadbalancer.ParseResponse(*v.Response)
		if compareFailure(t, err, want) {
			text, err := response.Wire()
			if err != nil {
				t.Fatal(err)
			}
			compareWire(t, "text", text, want.Dumps)
			compareFields(t, "response", responseValue(want.Response["name"].(string), response), want.Response)
		}
	case "exchange":
		runBalancerExchange(t, line)
	default:
		t.Fatalf("kind %q is not known to the runner", v.Kind)
	}
}

// setRequest sets fields of a request.
func (f balancerFields) setRequest(t testing.TB, r *loadbalancer.Request) {
	t.Helper()
	for name, text := range f {
		var into any
		switch name {
		case "id", "name":
			var s *string
			decodeVector(t, text, &s)
			if s != nil && name == "id" {
				r.SetID(*s)
			} else if s != nil {
				r.SetName(*s)
			}
			continue
		case "sent_hash":
			var s *string
			decodeVector(t, text, &s)
			if s != nil {
				r.SetSentHash(*s)
			}
			continue
		case "health_checks":
			var checks []map[string]any
			decodeVector(t, text, &checks)
			r.HealthChecks = nil
			for _, fields := range checks {
				check, err := loadbalancer.ParseHealthCheck(mustEncode(t, fields))
				if err != nil {
					t.Fatal(err)
				}
				r.HealthChecks = append(r.HealthChecks, check)
			}
			continue
		case "protocol":
			into = &r.Protocol
		case "backends":
			r.Backends = nil
			into = &r.Backends
		case "port_mapping":
			r.PortMapping = nil
			into = &r.PortMapping
		case "algorithm":
			r.Algorithm = nil
			into = &r.Algorithm
		case "sticky":
			into = &r.Sticky
		case "public":
			into = &r.Public
		case "tls_termination":
			into = &r.TLSTermination
		case "tls_cert":
			r.TLSCert = nil
			into = &r.TLSCert
		case "tls_key":
			var s *string
			decodeVector(t, text, &s)
			r.TLSKey = nil
			if s != nil {
				r.TLSKey = new(loadbalancer.Secret(*s))
			}
			continue
		case "ingress_address":
			r.IngressAddress = nil
			into = &r.IngressAddress
		default:
			t.Fatalf("field %q is not known to the runner", name)
		}
		decodeVector(t, text, into)
	}
}

// response returns the fields of a response.
func (f balancerFields) response(t *testing.T) loadbalancer.ResponseFields {
	t.Helper()
	var r loadbalancer.ResponseFields
	f.setResponse(t, &r)
	return r
}

// setResponse sets fields of a response.
func (f balancerFields) setResponse(t testing.TB, r *loadbalancer.ResponseFields) {
	t.Helper()
	for name, text := range f {
		var into any
		switch name {
		case "address":
			r.Address = nil
			into = &r.Address
		case "error":
			r.Error = loadbalancer.NoError
			into = &r.Error
		case "error_message":
			r.ErrorMessage = nil
			into = &r.ErrorMessage
		case "error_fields":
			r.ErrorFields = nil
			into = &r.ErrorFields
		case "received_hash":
			r.ReceivedHash = nil
			into = &r.ReceivedHash
		default:
			t.Fatalf("field %q is not known to the runner", name)
		}
		decodeVector(t, text, into)
	}
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// requestValue shows a request as the vectors do.
func requestValue(r *loadbalancer.Request) map[string]any {
	text, err := r.Wire()
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	v, _ := canonicaljson.Decode(text)
	fields := v.(map[string]any)
	fields["hash"] = nullable(r.Hash())
	return fields
}

// responseValue shows a response as the vectors do, among them none at all.
func responseValue(name string, r loadbalancer.Response) map[string]any {
	fields := map[string]any{
		"address": nil, "error": nil, "error_fields": map[string]any{}, "error_message": nil, "received_hash": nil,
	}
	if text, err := r.Wire(); err == nil {
		v, _ := canonicaljson.Decode(text)
		fields = v.(map[string]any)
	}
	fields["name"] = name
	fields["hash"] = nullable(r.Hash())
	return fields
}

func compareWire(t *testing.T, what, got string, want any) {
	t.Helper()
	if got != want {
		t.Errorf("the %s is\n%s, want\n%v", what, got, want)
	}
}

func compareFields(t *testing.T, what string, got, want any) {
	t.Helper()
	if a, b := mustEncode(t, got), mustEncode(t, want); a != b {
		t.Errorf("the %s is\n%s, want\n%s", what, a, b)
	}
}

// compareError holds an error against the expected one. It reports whether
// there is none and none was expected, so that there is more to compare.
func compareFailure(t *testing.T, err error, want balancerExpect) bool {
	t.Helper()
	var invalid *loadbalancer.ValidationError
	var syntax *canonicaljson.SyntaxError
	switch want.Raises {
	case "":
		if err != nil {
			t.Fatalf("there is an error: %v", err)
		}
		return true
	case "ValidationError":
		if !errors.As(err, &invalid) {
			t.Fatalf("the error is %v, want a validation error", err)
		}
		got := map[string]any{}
		for _, p := range invalid.Problems {
			nest(got, p.Path, p.Message)
		}
		wanted := map[string]any{}
		flatten(wanted, want.Messages)
		if !reflect.DeepEqual(got, wanted) {
			t.Errorf("the problems are %s, want %s", mustEncode(t, got), mustEncode(t, wanted))
		}
	case "JSONDecodeError":
		if !errors.As(err, &syntax) {
			t.Errorf("the error is %v, want a syntax error", err)
		}
	case "AttributeError":
		// The reference fails where it expects an object.
		if !errors.As(err, &invalid) {
			t.Errorf("the error is %v, want a validation error", err)
		}
	default:
		t.Fatalf("error %s is not known to the runner", want.Raises)
	}
	return false
}

// nest puts a message where its path leads.
func nest(into map[string]any, path []string, message string) {
	if len(path) == 1 {
		into[path[0]] = message
		return
	}
	next, _ := into[path[0]].(map[string]any)
	if next == nil {
		next = map[string]any{}
		into[path[0]] = next
	}
	nest(next, path[1:], message)
}

// flatten takes the messages of a vector out of their lists.
func flatten(into map[string]any, messages map[string]any) {
	for field, v := range messages {
		switch v := v.(type) {
		case map[string]any:
			inner := map[string]any{}
			flatten(inner, v)
			into[field] = inner
		case []any:
			into[field] = fmt.Sprint(v[0])
		default:
			into[field] = v
		}
	}
}
