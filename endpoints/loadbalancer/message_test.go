package loadbalancer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
)

// text is a small request as a Python charm publishes it.
const text = `{"algorithm": [], "backends": [], "health_checks": [], "id": "i", "ingress_address": null, "name": "web", ` +
	`"port_mapping": {"80": 8080, "443": 6443}, "protocol": "tcp", "public": true, "sent_hash": null, "sticky": false, ` +
	`"tls_cert": null, "tls_key": null, "tls_termination": false}`

func TestRequestIsWrittenAsItWasRead(t *testing.T) {
	t.Parallel()
	request, err := loadbalancer.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := request.Wire()
	if err != nil || got != text {
		t.Errorf("it is written as\n%s (%v), want\n%s", got, err, text)
	}
	changed := request.Clone()
	changed.PortMapping[80] = 81
	if request.PortMapping[80] != 8080 || changed.Hash() == request.Hash() {
		t.Error("a clone shares the ports of the request")
	}
}

func TestResponses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		response loadbalancer.Response
		ok       bool
		address  string
		wire     string
		err      string
	}{
		{"succeed", loadbalancer.Succeed("192.0.2.1"), true, "192.0.2.1",
			`{"address": "192.0.2.1", "error": null, "error_fields": {}, "error_message": null, "received_hash": null}`, ""},
		{"succeed without address", loadbalancer.Succeed(""), false, "",
			`{"address": null, "error": "provider_error", "error_fields": {}, "error_message": "the load balancer has no address", "received_hash": null}`,
			"provider error: the load balancer has no address"},
		{"reject", loadbalancer.Reject(map[loadbalancer.Field]string{"protocol": "supported: tcp", "public": "no"}), false, "",
			`{"address": null, "error": "unsupported", "error_fields": {"protocol": "supported: tcp", "public": "no"}, "error_message": null, "received_hash": null}`,
			"unsupported; protocol: supported: tcp; public: no"},
		{"reject fields that are none", loadbalancer.Reject(map[loadbalancer.Field]string{"hc[0].protocol": "no", "ca": "no", "public": "no"}), false, "",
			`{"address": null, "error": "unsupported", "error_fields": {"public": "no"}, "error_message": "ca: no; hc[0].protocol: no", "received_hash": null}`,
			"unsupported: ca: no; hc[0].protocol: no; public: no"},
		{"reject nothing", loadbalancer.Reject(nil), false, "",
			`{"address": null, "error": "unsupported", "error_fields": {}, "error_message": "the request is not supported", "received_hash": null}`,
			"unsupported: the request is not supported"},
		{"fail", loadbalancer.Fail(errors.New("no disk")).StillAt("192.0.2.1"), false, "192.0.2.1",
			`{"address": "192.0.2.1", "error": "provider_error", "error_fields": {}, "error_message": "no disk", "received_hash": null}`,
			"provider error: no disk"},
		{"fail without error", loadbalancer.Fail(nil), false, "",
			`{"address": null, "error": "provider_error", "error_fields": {}, "error_message": "the provider failed", "received_hash": null}`,
			"provider error: the provider failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wire, err := tt.response.Wire()
			if err != nil || wire != tt.wire {
				t.Errorf("it is written as\n%s (%v), want\n%s", wire, err, tt.wire)
			}
			if tt.response.OK() != tt.ok || tt.response.Address() != tt.address {
				t.Errorf("OK is %v and the address %q", tt.response.OK(), tt.response.Address())
			}
			if got := fmt.Sprint(tt.response.Err()); tt.err != "" && got != tt.err || tt.err == "" && tt.response.Err() != nil {
				t.Errorf("the error is %q, want %q", got, tt.err)
			}
			again, err := loadbalancer.ParseResponse(wire)
			if err != nil || again.Hash() != tt.response.Hash() {
				t.Errorf("read again it is %v (%v)", again, err)
			}
		})
	}
	if _, err := (loadbalancer.Response{}).Wire(); err == nil {
		t.Error("no response at all can be written")
	}
	var failure *loadbalancer.ResponseError
	if err := loadbalancer.Reject(nil).Err(); !errors.As(err, &failure) || failure.Kind != loadbalancer.Unsupported {
		t.Errorf("the error of a rejection is %v", err)
	}
}

func TestProblemsNameTheirField(t *testing.T) {
	t.Parallel()
	_, err := loadbalancer.ParseRequest(`{"id": "i", "name": null, "protocol": "TCP", "port_mapping": {"80": true}, "health_checks": [{"port": 1}]}`)
	want := "the request is not valid: health_checks.0.protocol: Missing data for required field; name: Field may not be null; " +
		"port_mapping.80.value: Not a valid integer; protocol: Invalid enum value TCP"
	if fmt.Sprint(err) != want {
		t.Errorf("the error is\n%v, want\n%s", err, want)
	}
}

// secret is a key that must not be seen anywhere.
const secret = "-----BEGIN PRIVATE KEY-----\nMIIBVgIBADANBgkq\n-----END PRIVATE KEY-----\n"

// sees reports whether something of the secret is in a text, in whatever
// spelling.
func sees(text string) bool {
	hex := fmt.Sprintf("%x", "MIIBVgIBADANBgkq")
	return strings.Contains(text, "MIIBVgIBADANBgkq") || strings.Contains(strings.ToLower(text), hex)
}

func TestPrivateKeyIsMasked(t *testing.T) {
	t.Parallel()
	request := loadbalancer.NewRequest("i", "web")
	request.Protocol, request.PortMapping = loadbalancer.HTTPS, map[int]int{443: 80}
	request.TLSTermination, request.TLSCert = true, new("certificate")
	request.TLSKey = new(loadbalancer.Secret(secret))

	wire, err := request.Wire()
	if err != nil || !sees(wire) {
		t.Fatalf("the key does not reach the wire: %v", err)
	}
	var out bytes.Buffer
	values := []any{*request.TLSKey, request.TLSKey, *request, request, []any{request}, struct{ inner loadbalancer.Request }{*request}}
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(handler).Info("a request", "request", v)
		}
		encoded, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
	}
	if sees(out.String()) {
		t.Errorf("the key is seen:\n%s", out.String())
	}

	// Errors about a request do not show what is in it.
	for _, bad := range []string{
		strings.Replace(wire, `"tls_termination": true`, `"tls_termination": 7`, 1),
		strings.Replace(wire, `"tls_key": "`, `"tls_key": ["`, 1),
		strings.Replace(strings.Replace(wire, `"tls_key": "`, `"tls_key": ["`, 1), `\n", "tls_t`, `\n"], "tls_t`, 1),
		wire[:len(wire)-30],
	} {
		_, err := loadbalancer.ParseRequest(bad)
		if err == nil {
			t.Fatalf("this is read: %s", bad)
		}
		if sees(fmt.Sprintf("%v %+v %#v", err, err, err)) {
			t.Errorf("the key is seen in the error %v", err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(text)
	f.Add(`{"id": "i", "name": "n", "protocol": "udp", "port_mapping": {" 7_0 ": "4", "-1": 2.9}, "sticky": "Yes", "health_checks": [{"protocol": "http", "port": 1}]}`)
	f.Add(`{"id": "\ud800", "name": "\u0000", "protocol": "http", "port_mapping": {}, "tls_key": "k"}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		request, err := loadbalancer.ParseRequest(text)
		if err != nil {
			return
		}
		wire, err := request.Wire()
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", text, err)
		}
		again, err := loadbalancer.ParseRequest(wire)
		if err != nil {
			t.Fatalf("%q is written as %q, which cannot be read: %v", text, wire, err)
		}
		if again.Hash() != request.Hash() || request.Hash() == "" {
			t.Fatalf("%q is another request once it is written", text)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	f.Add(`{"address": "192.0.2.1"}`)
	f.Add(`{"error": "unsupported", "error_fields": {"public": 123}, "received_hash": ""}`)
	f.Add(`{"error": "provider_error", "error_message": "\ud800"}`)
	f.Fuzz(func(t *testing.T, text string) {
		response, err := loadbalancer.ParseResponse(text)
		if err != nil {
			if !response.IsZero() {
				t.Fatalf("%q is not read and gives %v", text, response)
			}
			return
		}
		wire, err := response.Wire()
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", text, err)
		}
		if again, err := loadbalancer.ParseResponse(wire); err != nil || again.Hash() != response.Hash() {
			t.Fatalf("%q is written as %q, which is another response: %v", text, wire, err)
		}
	})
}

func FuzzParseHealthCheck(f *testing.F) {
	f.Add(`{"protocol": "http", "port": "80", "path": "/", "interval": 1.5}`)
	f.Fuzz(func(t *testing.T, text string) {
		check, err := loadbalancer.ParseHealthCheck(text)
		if err != nil {
			return
		}
		wire, err := check.Wire()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := loadbalancer.ParseHealthCheck(wire); err != nil || again.Hash() != check.Hash() {
			t.Fatalf("%q is written as %q, which is another check: %v", text, wire, err)
		}
	})
}
