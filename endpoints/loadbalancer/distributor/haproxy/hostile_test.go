package haproxy_test

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// TestHostileTexts: whatever others write into a request, it is refused with its
// field named and the running configuration left alone, or it means to HAProxy
// just what it says.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	asked := make(chan string, 1)
	listener, err := net.Listen("tcp", netip.AddrPortFrom(s.addrs[0], 29091).String())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.RequestURI:
		default:
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })

	config := func() string {
		data, err := os.ReadFile(filepath.Join(s.o.Dir, "haproxy.cfg"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	refused := func(text, field string, n flow.Node, inputs ...flow.Value) {
		t.Helper()
		before := config()
		_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", n), inputs...)
		if distributor.UnsupportedFields(err)[field] == "" {
			t.Errorf("%.40q: %v, want field %s refused", text, err, field)
		}
		if config() != before {
			t.Errorf("%.40q is refused, but the configuration changed", text)
		}
	}
	plain := s.web(distributor.HTTP, 28080, 29090)
	for text, taken := range map[string]bool{
		"a\nglobal\n    user root": false, "a\n": false, "a\r\nHost: other": false, "a b": false, "a\tb": false, "a#b": false,
		`a"b`: false, `a\b`: false, "a\x00b": false, "ä": false, "\xff": false, "a{b}": false, "a|b": false, "a`id`": false,
		strings.Repeat("a", 5000): false,
		"a'b":                     true, "''": true, "$HOME": true, "%[env(HOME)]": false, "%20%0a%0d": true, "a?b=c&d;e": true,
		strings.Repeat("a", 900): true,
	} {
		refused(text, "id", s.d.CreateDistributor(""), distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "x " + text}))
		refused(text, "backends", s.d.RegisterAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: "x " + text, Address: s.addrs[0]})...)
		vip := plain
		vip.ID = "x " + text
		refused(text, "id", s.d.AddVIP(""), trial.VIP(s.id, vip, "", "")...)

		vip = plain
		vip.HealthChecks = []distributor.HealthCheck{{Protocol: distributor.HTTP, Port: 29091, Path: "/" + text, Interval: 100 * time.Millisecond, Retries: 1}}
		if !taken {
			refused(text, "health_checks", s.d.AddVIP(""), trial.VIP(s.id, vip, "", "")...)
			continue
		}
		addVIP(t, s.d, s.id, vip, "", "")
		for uri := ""; uri != "/"+text; {
			select {
			case uri = <-asked:
			case <-time.After(20 * time.Second):
				t.Fatalf("%.40q: HAProxy does not ask for this path, but for %q", text, uri)
			}
		}
	}
}
