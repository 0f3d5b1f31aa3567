package providercharm_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/examples/loadbalancer-provider/providercharm"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// TestHostileRequests puts whatever another charm may write into a request, with
// HAProxy itself behind the charm. It is refused with its field named, or it means
// no more than a request of that kind does: no line of the configuration comes
// from it, the load balancer of a neighbour goes on, and no private key gets out.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("haproxy"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("haproxy is not installed")
		}
		t.Skip("haproxy is not installed")
	}
	s, other := newSite(t), newSite(t)
	dir := t.TempDir()
	charm := reactivetest.Charm{Dir: dir, Files: os.DirFS(".."), New: func() *reactive.Charm { return providercharm.New() }}
	state := requested(s)
	state.Config["driver"] = "haproxy"
	rel := state.Relations[0]
	own := filepath.Join(dir, "loadbalancers", "haproxy")
	t.Cleanup(func() {
		p, err := haproxy.Running(context.Background(), haproxy.Options{Dir: own})
		if err != nil || p == nil {
			t.Errorf("HAProxy does not run any more (%v)", err)
			return
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	taken := ""
	config := func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(own, "haproxy.cfg"))
		must(t, err)
		if string(text) == taken {
			return taken
		}
		taken = string(text)
		if out, err := exec.Command("haproxy", "-c", "-f", filepath.Join(own, "haproxy.cfg")).CombinedOutput(); err != nil {
			t.Errorf("HAProxy does not take the configuration: %v: %s\n%s", err, out, text)
		}
		return string(text)
	}
	base := map[string]json.RawMessage{}
	must(t, json.Unmarshal([]byte(rel.RemoteAppData["request_web"]), &base))
	delete(base, "sent_hash")
	value := func(v any) json.RawMessage {
		text, err := json.Marshal(v)
		must(t, err)
		return text
	}
	base["port_mapping"] = value(map[int]int{other.front: other.back})

	// ask has a second request beside the first one, and returns the answer to it.
	var secrets []string
	ask := func(t *testing.T, name string, change map[string]any) loadbalancer.Response {
		t.Helper()
		request := maps.Clone(base)
		request["name"] = value(name)
		for field, v := range change {
			request[field] = value(v)
		}
		in := state
		in.Relations = []reactivetest.Relation{rel}
		in.Relations[0].RemoteAppData = map[string]string{"version": "1", "request_web": rel.RemoteAppData["request_web"]}
		if change != nil {
			in.Relations[0].RemoteAppData["request_"+name] = string(value(request))
		}
		result := reactivetest.Run(t, charm, in, reactivetest.RelationChanged(rel, "web/0"))
		state = result.State
		said := state.Status.Message
		for _, line := range result.Log {
			said += "\n" + line.Message
		}
		for _, secret := range secrets {
			if strings.Contains(said, secret) {
				t.Errorf("a private key is in the log or status: %s", said)
			}
		}
		if strings.ContainsAny(state.Status.Message, "\n\r\x00") || len(state.Status.Message) > 2000 {
			t.Errorf("the status is %.300q", state.Status.Message)
		}
		answers := state.Relations[0].LocalAppData
		if response, err := loadbalancer.ParseResponse(answers["response_web"]); err != nil || !response.OK() {
			t.Errorf("the neighbour is answered %s", answers["response_web"])
		}
		if change == nil {
			return loadbalancer.Response{}
		}
		response, err := loadbalancer.ParseResponse(answers["response_"+name])
		if err != nil {
			t.Fatalf("the answer is %q: %v (all: %.1000q)", answers["response_"+name], err, answers)
		}
		return response
	}

	ask(t, "", nil)
	alone := config()
	// shape is the first words of all lines. Load balancers are in no order.
	shape := func(text string) string {
		var first []string
		for line := range strings.Lines(text) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			first = append(first, word)
		}
		slices.Sort(first)
		return strings.Join(first, " ")
	}
	check := func(path string) map[string]any {
		return map[string]any{"health_checks": []any{map[string]any{"protocol": "http", "port": other.back, "path": path, "interval": 30, "retries": 3}}}
	}
	if r := ask(t, "x", check("/")); !r.OK() {
		t.Fatalf("a request without anything wrong: %v", r.Err())
	}
	usual := shape(config())
	ask(t, "", nil)

	hostile := []string{
		"a\nglobal\n    user root", "\n", "a\r\nb", "a b", "a'b", "a'\n  log stdout\n'", `a"b`, `a\`, "a#b", "a\x00b", "ä€", "a\u2028b", "\ufffd",
		"${HOME}", "%[env(HOME)]", "`id`", "../../x", "-x", strings.Repeat("a", 100_000),
	}
	cert, key := certificate(t)
	foreign, foreignKey := certificate(t)
	for _, k := range []string{key, foreignKey} {
		secrets = append(secrets, strings.Split(k, "\n")[1])
	}
	tls := func(cert, key string) map[string]any {
		return map[string]any{"protocol": "https", "tls_termination": true, "tls_cert": cert, "tls_key": key}
	}
	type row struct {
		name   string
		change map[string]any
		field  loadbalancer.Field // "" is harmless
	}
	rows := []row{
		{"x", map[string]any{"port_mapping": map[string]any{}}, loadbalancer.FieldPortMapping},
		{"x", map[string]any{"port_mapping": map[string]any{"0": 80}}, loadbalancer.FieldPortMapping},
		{"x", map[string]any{"port_mapping": map[string]any{"80": 65536}}, loadbalancer.FieldPortMapping},
		{"x", map[string]any{"port_mapping": map[string]any{"80": -1}}, loadbalancer.FieldPortMapping},
		{"x", map[string]any{"sticky": true, "protocol": "udp"}, loadbalancer.FieldProtocol},
		{"x", tls(cert, foreignKey), loadbalancer.FieldTLSCert},
		{"x", tls(cert, cert), loadbalancer.FieldTLSCert},
		{"x", tls(key, key), loadbalancer.FieldTLSCert},
		{"x", tls(cert+key, key), loadbalancer.FieldTLSCert},
		{"x", tls(cert+foreignKey, key), loadbalancer.FieldTLSCert},
		{"x", tls(foreignKey+cert, key), loadbalancer.FieldTLSCert},
		{"x", tls(cert+"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key), loadbalancer.FieldTLSCert},
		{"x", tls(cert, key+foreignKey), ""},
		{"x", tls(cert, foreign+key), ""},
		{"x", tls("text\nbefore\n"+cert+"\nset server x state maint\n\nafter", "text\n"+key+"\n\nafter\n"), ""},
		{"x", tls(cert+strings.Repeat(foreign, 500), key), ""},
		// The same again with another certificate is a rotation.
		{"x", tls(foreign+strings.Repeat(cert, 500), foreignKey), ""},
	}
	for _, text := range hostile {
		rows = append(rows,
			row{text, check("/"), ""},
			row{"x", map[string]any{"backends": []string{text}}, loadbalancer.FieldBackends},
			row{"x", map[string]any{"backends": []string{"127.0.0.2" + text}}, loadbalancer.FieldBackends},
			row{"x", map[string]any{"ingress_address": text}, loadbalancer.FieldIngressAddress},
			row{"x", map[string]any{"algorithm": []string{text}}, loadbalancer.FieldAlgorithm})
		if r := text; !strings.Contains("a'b ../../x -x", r) {
			rows = append(rows, row{"x", check("/" + text), loadbalancer.FieldHealthChecks})
		} else {
			rows = append(rows, row{"x", check("/" + text), ""})
		}
	}
	refused := 0
	for i, r := range rows {
		response := ask(t, r.name, r.change)
		text := config()
		shown := string(value(r.change))
		shown = shown[:min(len(shown), 60)]
		if r.field != "" {
			refused++
			if response.Fields().Error != loadbalancer.Unsupported || response.Fields().ErrorFields[r.field] == nil {
				t.Errorf("%d: %.40q %s: answered %v, want the field %s refused", i, r.name, shown, response.Fields(), r.field)
			}
			if text != alone && !strings.Contains(shown, "tls_cert") {
				t.Errorf("%d: %.40q %s: refused, and in the configuration:\n%s", i, r.name, shown, text)
			}
			continue
		}
		if !response.OK() {
			t.Errorf("%d: %.40q %s: answered %v", i, r.name, shown, response.Err())
		}
		if got := shape(text); got != usual && r.change["tls_cert"] == nil {
			t.Errorf("%d: %.40q %s: the configuration is\n%s", i, r.name, shown, text)
		}
		if i+1 < len(rows) && rows[i+1].change["tls_cert"] != nil {
			continue
		}
		ask(t, "", nil)
		if config() != alone {
			t.Errorf("%d: %.40q %s: withdrawn, it leaves\n%s", i, r.name, shown, config())
		}
	}
	t.Logf("%d refused, %d harmless", refused, len(rows)-refused)
	s.awaitBackends(t, "127.0.0.2 127.0.0.3")

	// What is written is for nobody else.
	if r := ask(t, "x", tls(cert, key)); !r.OK() {
		t.Fatal(r.Err())
	}
	held := 0
	must(t, filepath.WalkDir(filepath.Join(dir, "loadbalancers"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		must(t, err)
		// HAProxy itself writes the number of its process, which is no secret.
		if info.Mode().Perm()&0o077 != 0 && entry.Name() != "haproxy.pid" {
			t.Errorf("%s is %v", path, info.Mode())
		}
		if entry.Type().IsRegular() {
			text, err := os.ReadFile(path)
			must(t, err)
			if strings.Contains(string(text), secrets[0]) {
				held++
				if strings.HasSuffix(path, ".json") || strings.HasSuffix(path, ".jsonl") || strings.HasSuffix(path, ".log") {
					t.Errorf("the private key is in %s", path)
				}
			}
			if strings.Contains(string(text), secrets[1]) {
				t.Errorf("a private key that nobody uses any more is in %s", path)
			}
		}
		return nil
	}))
	if held != 2 {
		t.Errorf("the private key is in %d files, want HAProxy's and the driver's", held)
	}
}
