package prometheusmanual_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/internal/certtest"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
)

// realJobs returns the jobs that charms in the wild send, by a name for each.
func realJobs(t testing.TB) map[string]prometheusmanual.RemoteJob {
	t.Helper()
	text, err := os.ReadFile("testdata/scrape-jobs.json")
	if err != nil {
		t.Fatal(err)
	}
	var samples []struct {
		Source    string          `json:"source"`
		JobName   string          `json:"job_name"`
		JobData   json.RawMessage `json:"job_data"`
		CA        int             `json:"ca"`
		Client    int             `json:"client"`
		RequestID string          `json:"request_id"`
		Extra     map[string]any  `json:"extra"`
	}
	if err := json.Unmarshal(text, &samples); err != nil {
		t.Fatal(err)
	}
	ca := certtest.New(t)
	cert, key := ca.Issue(t, "prometheus")
	jobs := make(map[string]prometheusmanual.RemoteJob)
	for i, s := range samples {
		wire := map[string]any{
			"request_id": s.RequestID, "job_name": s.JobName, "job_data": s.JobData,
			"ca_cert": nil, "client_cert": nil, "client_key": nil,
		}
		maps.Copy(wire, s.Extra)
		if s.RequestID == "" {
			wire["request_id"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
		}
		if s.CA > 0 {
			wire["ca_cert"] = ca.PEM
		}
		if s.Client > 0 {
			wire["client_cert"], wire["client_key"] = cert, key
		}
		raw, err := json.Marshal(wire)
		if err != nil {
			t.Fatal(err)
		}
		job := prometheusmanual.RemoteJob{
			Relation:    fmt.Sprintf("manual-jobs:%d", i),
			Application: "app",
			Unit:        "app/0",
		}
		if err := json.Unmarshal(raw, &job.Request); err != nil {
			t.Fatalf("%s: %v", s.Source, err)
		}
		jobs[s.Source+" "+s.JobName] = job
	}
	return jobs
}

// inCluster is the one real job that the policy refuses: it would make the
// server use its own host's identity in a cluster.
const inCluster = "interface README kubernetes-apiservers"

func TestPolicyAcceptsWhatCharmsSend(t *testing.T) {
	t.Parallel()
	jobs := realJobs(t)
	if len(jobs) != 10 {
		t.Fatalf("there are %d samples", len(jobs))
	}
	base, err := prometheusmanual.ParseBase([]byte("global:\n  scrape_interval: 15s\n"))
	if err != nil {
		t.Fatal(err)
	}
	var all []prometheusmanual.Scrape
	for _, source := range slices.Sorted(maps.Keys(jobs)) {
		scrape, err := prometheusmanual.Policy{}.Accept(jobs[source], base.Global(), "/certs")
		if source == inCluster {
			var refusal *prometheusmanual.Refusal
			if !errors.As(err, &refusal) || refusal.Field != "kubernetes_sd_configs[0].api_server" {
				t.Errorf("%s: refused with %v", source, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		text, err := base.RenderAlone(scrape)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if err := (promcheck.Validator{}).Validate(t.Context(), text); err != nil {
			t.Errorf("%s: %v\n%s", source, err, text)
		}
		if strings.Contains(string(text), "__placeholder__") || strings.Contains(string(text), "__ca_file__") {
			t.Errorf("%s: a placeholder is left in\n%s", source, text)
		}
		all = append(all, scrape)
	}
	text, err := base.Render(all)
	if err != nil {
		t.Fatal(err)
	}
	if err := (promcheck.Validator{}).Validate(t.Context(), text); err != nil {
		t.Errorf("all together: %v", err)
	}
	again := slices.Clone(all)
	slices.Reverse(again)
	if same, _ := base.Render(again); string(same) != string(text) {
		t.Error("the order of jobs changes the configuration")
	}
}

func TestPolicyTrusted(t *testing.T) {
	t.Parallel()
	job := realJobs(t)[inCluster]
	for _, trusted := range []string{job.Application, job.Relation} {
		policy := prometheusmanual.Policy{Trusted: []string{trusted}}
		scrape, err := policy.Accept(job, prometheusmanual.Global{}, "/certs")
		if err != nil {
			t.Fatalf("trusted by %s: %v", trusted, err)
		}
		if _, ok := scrape.Config["metric_relabel_configs"]; ok {
			t.Errorf("trusted by %s: labels are changed: %v", trusted, scrape.Config)
		}
	}
}

func TestCertificatesWithoutTLSConfig(t *testing.T) {
	t.Parallel()
	job := realJobs(t)["etcd (current) etcd"]
	scrape, err := prometheusmanual.Policy{}.Accept(job, prometheusmanual.Global{}, "/certs")
	if err != nil {
		t.Fatal(err)
	}
	tls, _ := scrape.Config["tls_config"].(map[string]any)
	for _, file := range scrape.Files {
		if !slices.Contains(slices.Collect(maps.Values(tls)), any(file.Path)) {
			t.Errorf("file %s is not in %v", file, tls)
		}
	}
	if len(scrape.Files) != 3 || len(tls) != 3 {
		t.Errorf("files %v, tls_config %v", scrape.Files, tls)
	}
}

// job returns an honest job with some of its data replaced; a nil value
// removes the field.
func jobWith(change map[string]any) prometheusmanual.RemoteJob {
	data := map[string]any{
		"scheme":         "https",
		"static_configs": []any{map[string]any{"targets": []any{"10.0.0.1:9100"}}},
	}
	for key, value := range change {
		if value == nil {
			delete(data, key)
			continue
		}
		data[key] = value
	}
	return prometheusmanual.RemoteJob{
		Request:     prometheusmanual.Request{ID: "a1b2", JobName: "web", JobData: data},
		Relation:    "manual-jobs:1",
		Application: "evil",
		Unit:        "evil/0",
	}
}

func obj(pairs ...any) map[string]any {
	m := make(map[string]any)
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}

func section(pairs ...any) []any { return []any{obj(pairs...)} }

func TestPolicyRefuses(t *testing.T) {
	t.Parallel()
	api := "https://10.0.0.1:6443"
	tests := []struct {
		name  string
		data  map[string]any
		field string
	}{
		{"bearer token file", obj("bearer_token_file", "/etc/shadow"), "bearer_token_file"},
		{"credentials file", obj("authorization", obj("credentials_file", "/etc/shadow")), "authorization.credentials_file"},
		{"password file", obj("basic_auth", obj("username", "u", "password_file", "/etc/shadow")), "basic_auth.password_file"},
		{"username file", obj("basic_auth", obj("username_file", "/etc/shadow")), "basic_auth.username_file"},
		{"header files", obj("http_headers", obj("X", obj("files", []any{"/etc/shadow"}))), "http_headers"},
		{"oauth2", obj("oauth2", obj("client_secret_file", "/etc/shadow")), "oauth2"},
		{"CA file", obj("tls_config", obj("ca_file", "/etc/shadow")), "tls_config.ca_file"},
		{"key file", obj("tls_config", obj("key_file", "/etc/ssl/private/k")), "tls_config.key_file"},
		{"key reference", obj("tls_config", obj("key_ref", "k")), "tls_config.key_ref"},
		{"inline key", obj("tls_config", obj("key", "k")), "tls_config.key"},
		{"failure log", obj("scrape_failure_log_file", "/etc/cron.d/x"), "scrape_failure_log_file"},
		{"file discovery", obj("file_sd_configs", section("files", []any{"/etc/*.json"})), "file_sd_configs"},
		{"kubeconfig", obj("kubernetes_sd_configs", section("role", "pod", "api_server", api, "kubeconfig_file", "/x")), "kubernetes_sd_configs[0].kubeconfig_file"},
		{"in cluster", obj("kubernetes_sd_configs", section("role", "pod")), "kubernetes_sd_configs[0].api_server"},
		{"discovery token file", obj("kubernetes_sd_configs", section("role", "pod", "api_server", api, "bearer_token_file", "/x")), "kubernetes_sd_configs[0].bearer_token_file"},
		{"discovery CA file", obj("http_sd_configs", section("url", "http://x/", "tls_config", obj("ca_file", "/x"))), "http_sd_configs[0].tls_config.ca_file"},
		{"second section", obj("http_sd_configs", []any{obj("url", "http://x/"), obj("url", "http://x/", "proxy_url", "http://y")}), "http_sd_configs[1].proxy_url"},
		{"consul environment", obj("consul_sd_configs", section("server", "x:8500")), "consul_sd_configs[0].token"},
		{"consul socket", obj("consul_sd_configs", section("server", "unix:///run/x.sock", "token", "t")), "consul_sd_configs[0].server"},
		{"consul server", obj("consul_sd_configs", section("server", "x:y", "token", "t")), "consul_sd_configs[0].server"},
		{"ec2", obj("ec2_sd_configs", section("profile", "admin")), "ec2_sd_configs"},
		{"docker socket", obj("docker_sd_configs", section("host", "unix:///var/run/docker.sock")), "docker_sd_configs"},
		{"proxy", obj("proxy_url", "http://10.0.0.9"), "proxy_url"},
		{"proxy from environment", obj("proxy_from_environment", true), "proxy_from_environment"},
		{"unknown field", obj("scrape_everything", true), "scrape_everything"},
		{"interval label", obj("static_configs", section("targets", []any{"a:1"}, "labels", obj("__scrape_interval__", "1ms"))), "static_configs[0].labels.__scrape_interval__"},
		{"scheme", obj("scheme", "ftp"), "scheme"},
		{"bad target", obj("static_configs", section("targets", []any{"bad host:1"})), "static_configs[0].targets[0]"},
		{"URL as target", obj("static_configs", section("targets", []any{"http://10.0.0.1:9100/metrics"})), "static_configs[0].targets[0]"},
		{"bad interval", obj("scrape_interval", "15"), "scrape_interval"},
		{"fractional limit", obj("sample_limit", 0.5), "sample_limit"},
		{"too many rules", obj("relabel_configs", slices.Repeat([]any{obj("action", "drop")}, 101)), "relabel_configs"},
		{"unpaired surrogate", obj("metrics_path", "/\xed\xa0\x80"), "metrics_path"},
		{"too deep", obj("params", nested(30)), "job_data"},
		{"too big", obj("params", obj("a", []any{strings.Repeat("x", 300<<10)})), "job_data"},
		{"key with a dot", obj("a.b", 1), `"a.b"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := prometheusmanual.Policy{}.Accept(jobWith(test.data), prometheusmanual.Global{}, "/certs")
			var refusal *prometheusmanual.Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if refusal.Field != test.field || refusal.Job != "web" || refusal.Reason == "" {
				t.Errorf("got field %q, want %q: %v", refusal.Field, test.field, err)
			}
		})
	}
}

func nested(depth int) any {
	var v any = "x"
	for range depth {
		v = []any{v}
	}
	return v
}

func TestPolicyRefusesRequests(t *testing.T) {
	t.Parallel()
	ca := certtest.New(t)
	cert, key := ca.Issue(t, "a")
	_, otherKey := ca.Issue(t, "b")
	tests := []struct {
		name   string
		change func(*prometheusmanual.Request)
		field  string
	}{
		{"no name", func(r *prometheusmanual.Request) { r.JobName = "" }, "job_name"},
		{"newline in name", func(r *prometheusmanual.Request) { r.JobName = "a\nb" }, "job_name"},
		{"long ID", func(r *prometheusmanual.Request) { r.ID = strings.Repeat("x", 300) }, "request_id"},
		{"data is a list", func(r *prometheusmanual.Request) { r.JobData = []any{} }, "job_data"},
		{"password in a target", func(r *prometheusmanual.Request) {
			r.JobData = obj("static_configs", section("targets", []any{"u:s3cret@10.0.0.1"}))
		}, "static_configs[0].targets[0]"},
		{"CA is no PEM", func(r *prometheusmanual.Request) { r.CACert = "s3cret" }, "ca_cert"},
		{"CA with a key", func(r *prometheusmanual.Request) { r.CACert = ca.PEM + key }, "ca_cert"},
		{"huge CA", func(r *prometheusmanual.Request) { r.CACert = strings.Repeat("x", 65<<10) }, "ca_cert"},
		{"certificate alone", func(r *prometheusmanual.Request) { r.ClientCert = cert }, "client_key"},
		{"key alone", func(r *prometheusmanual.Request) { r.ClientKey = key }, "client_cert"},
		{"wrong key", func(r *prometheusmanual.Request) { r.ClientCert, r.ClientKey = cert, otherKey }, "client_cert"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			job := jobWith(nil)
			test.change(&job.Request)
			policy := prometheusmanual.Policy{Trusted: []string{"evil"}}
			if test.name == "password in a target" {
				policy.Trusted = nil
			}
			_, err := policy.Accept(job, prometheusmanual.Global{}, "/certs")
			var refusal *prometheusmanual.Refusal
			if !errors.As(err, &refusal) || refusal.Field != test.field {
				t.Fatalf("got %v, want a refusal of %s", err, test.field)
			}
			if strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "BEGIN") {
				t.Errorf("the refusal shows what was sent: %v", err)
			}
		})
	}
}

func TestPolicyOptions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		policy prometheusmanual.Policy
		data   map[string]any
		field  string // refused all the same
	}{
		{"oauth2", prometheusmanual.Policy{OAuth2: true},
			obj("oauth2", obj("client_id", "i", "client_secret", "s", "token_url", "https://x/")), ""},
		{"oauth2 file", prometheusmanual.Policy{OAuth2: true},
			obj("oauth2", obj("client_secret_file", "/x")), "oauth2.client_secret_file"},
		{"oauth2 CA", prometheusmanual.Policy{OAuth2: true},
			obj("oauth2", obj("tls_config", obj("ca_file", "/x"))), "oauth2.tls_config.ca_file"},
		{"proxy", prometheusmanual.Policy{Proxy: true}, obj("proxy_url", "http://x"), ""},
		{"proxy from environment", prometheusmanual.Policy{Proxy: true},
			obj("proxy_from_environment", true), "proxy_from_environment"},
		{"headers", prometheusmanual.Policy{HTTPHeaders: true},
			obj("http_headers", obj("X-Scope", obj("values", []any{"a"}))), ""},
		{"header files", prometheusmanual.Policy{HTTPHeaders: true},
			obj("http_headers", obj("X", obj("files", []any{"/x"}))), "http_headers.X.files"},
		{"ec2", prometheusmanual.Policy{Discovery: []string{"ec2"}},
			obj("ec2_sd_configs", section("region", "eu", "filters", section("name", "n", "values", []any{"v"}))), ""},
		{"a file in ec2", prometheusmanual.Policy{Discovery: []string{"ec2"}},
			obj("ec2_sd_configs", section("authorization", obj("credentials_file", "/x"))), "ec2_sd_configs[0].authorization.credentials_file"},
		{"a file in scaleway", prometheusmanual.Policy{Discovery: []string{"scaleway"}},
			obj("scaleway_sd_configs", section("secret_key_file", "/x")), "scaleway_sd_configs[0].secret_key_file"},
		{"file discovery", prometheusmanual.Policy{Discovery: []string{"file"}},
			obj("file_sd_configs", section("files", []any{"/x"})), "file_sd_configs[0].files"},
		{"a file deep in ec2", prometheusmanual.Policy{Discovery: []string{"ec2"}},
			obj("ec2_sd_configs", section("filters", []any{[]any{obj("tls_config", obj("ca_file", "/x"))}})),
			"ec2_sd_configs[0].filters[0][0].tls_config.ca_file"},
		{"a socket in docker", prometheusmanual.Policy{Discovery: []string{"docker"}},
			obj("docker_sd_configs", section("host", "unix:///var/run/docker.sock")), "docker_sd_configs[0].host"},
		{"proxy that is no URL", prometheusmanual.Policy{Proxy: true},
			obj("proxy_url", "http://u:s3cret@[x"), "proxy_url"},
		{"inline certificates", prometheusmanual.Policy{InlineCertificates: true},
			obj("tls_config", obj("ca", "PEM")), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			job := jobWith(test.data)
			if test.name == "a file deep in ec2" { // also where the request carries one
				job.CACert = certtest.New(t).PEM
			}
			_, err := test.policy.Accept(job, prometheusmanual.Global{}, "/certs")
			var refusal *prometheusmanual.Refusal
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the refusal shows what was sent: %v", err)
			}
			switch {
			case test.field == "" && err != nil:
				t.Error(err)
			case test.field != "" && (!errors.As(err, &refusal) || refusal.Field != test.field):
				t.Errorf("got %v, want a refusal of %s", err, test.field)
			}
		})
	}
}

func TestPolicyRestricts(t *testing.T) {
	t.Parallel()
	policy := prometheusmanual.Policy{
		MinScrapeInterval: 5 * time.Second,
		Limits:            prometheusmanual.Limits{SampleLimit: 1000, TargetLimit: 10, BodySizeLimit: 1 << 20},
		Labels:            map[string]string{"juju_model": "prod$1"},
	}
	job := jobWith(obj(
		"honor_labels", true,
		"scrape_interval", "100ms",
		"sample_limit", 5000,
		"target_limit", 3,
		"body_size_limit", "1GiB",
		"metric_relabel_configs", section("target_label", "juju_application", "replacement", "victim"),
		"http_sd_configs", section("url", "http://x/", "refresh_interval", "1ms"),
		"dns_sd_configs", section("names", []any{"x"}, "refresh_interval", "0s"),
	))
	scrape, err := policy.Accept(job, prometheusmanual.Global{ScrapeTimeout: 20 * time.Second}, "/certs")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(scrape.Config)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"body_size_limit":"1048576B","dns_sd_configs":[{"names":["x"],"refresh_interval":"5s"}],"honor_labels":false,` +
		`"http_sd_configs":[{"refresh_interval":"5s","url":"http://x/"}],"job_name":"web-a1b2",` +
		`"metric_relabel_configs":[{"replacement":"victim","target_label":"juju_application"},` +
		`{"replacement":"evil","target_label":"juju_application"},{"replacement":"prod$$1","target_label":"juju_model"}],` +
		`"relabel_configs":[{"replacement":"evil","target_label":"juju_application"},` +
		`{"replacement":"prod$$1","target_label":"juju_model"},` +
		`{"replacement":"5s","target_label":"__scrape_interval__"},{"replacement":"5s","target_label":"__scrape_timeout__"}],` +
		`"sample_limit":1000,"scheme":"https","scrape_interval":"5s",` +
		`"static_configs":[{"targets":["10.0.0.1:9100"]}],"target_limit":3}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(scrape.Notes) != 6 {
		t.Errorf("notes: %q", scrape.Notes)
	}
	text, err := mustBase(t, "").RenderAlone(scrape)
	if err != nil {
		t.Fatal(err)
	}
	if err := (promcheck.Validator{}).Validate(t.Context(), text); err != nil {
		t.Error(err)
	}
}

func mustBase(t testing.TB, text string) *prometheusmanual.Base {
	t.Helper()
	base, err := prometheusmanual.ParseBase([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return base
}

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	job := jobWith(obj("bearer_token", "s3cret"))
	job.ClientKey = "s3cret"
	scrape, err := prometheusmanual.Policy{Trusted: []string{"none"}}.Accept(jobWith(nil), prometheusmanual.Global{}, "/c")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{job, &job, job.Request, scrape.Files} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, "s3cret") {
				t.Errorf("%s of %T: %s", format, v, text)
			}
		}
	}
}

func FuzzPolicy(f *testing.F) {
	for _, job := range realJobs(f) {
		text, err := json.Marshal(job.Request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(`{"request_id":"a","job_name":"b","job_data":{"<<":{"scheme":"http"},"params":{"é\ud83d\ude00":["~","0x1f","2001-01-01"]}}}`)
	base, err := prometheusmanual.ParseBase(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var job prometheusmanual.RemoteJob
		if json.Unmarshal([]byte(text), &job.Request) != nil {
			return
		}
		job.Application = "fuzz"
		scrape, err := prometheusmanual.Policy{}.Accept(job, base.Global(), "/certs")
		if err != nil {
			var refusal *prometheusmanual.Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("refused with a %T: %v", err, err)
			}
			return
		}
		out, err := base.RenderAlone(scrape)
		if err != nil {
			t.Fatalf("cannot render what was accepted: %v", err)
		}
		checkRoundTrip(t, out, scrape)
	})
}
