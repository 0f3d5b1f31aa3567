package promcheck_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, config, reason string
	}{
		{"empty", ``, ""},
		{"static", `scrape_configs: [{job_name: a, static_configs: [{targets: ["a:1"]}]}]`, ""},
		{"kubernetes", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, api_server: "https://a", tls_config: {ca_file: x}, selectors: [{role: pod, label: a=b}], attach_metadata: {node: true}}]}]`, ""},
		{"in cluster", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: endpoints, namespaces: {own_namespace: true}}]}]`, ""},
		{"consul, dns, http", `scrape_configs: [{job_name: a, consul_sd_configs: [{server: "a:1"}], dns_sd_configs: [{names: [a]}], http_sd_configs: [{url: "http://a"}]}]`, ""},
		{"unknown field", `scrape_configs: [{job_name: a, foo: 1}]`, "field foo not found"},
		{"unknown discovery", `scrape_configs: [{job_name: a, ec2_sd_configs: [{}]}]`, "field ec2_sd_configs not found"},
		{"role", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pods}]}]`, `unknown role "pods"`},
		{"no role", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{api_server: "https://a"}]}]`, "role is missing"},
		{"null section", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [null]}]`, "empty or null section"},
		{"kubernetes field", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, foo: 1}]}]`, "field foo not found"},
		{"kubernetes twice authorized", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, api_server: "https://a", bearer_token: s3cret, basic_auth: {username: u}}]}]`, "at most one of"},
		{"client without server", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, bearer_token: s3cret}]}]`, "needs api_server"},
		{"two servers", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, api_server: "https://a", kubeconfig_file: x}]}]`, "exclude each other"},
		{"own namespace", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, api_server: "https://a", namespaces: {own_namespace: true}}]}]`, "own_namespace"},
		{"selector", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: node, selectors: [{role: pod}]}]}]`, "no selectors of role"},
		{"selectors", `scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: node, selectors: [{role: node}, {role: node}]}]}]`, "two selectors"},
		{"timeout", `scrape_configs: [{job_name: a, scrape_timeout: 10m}]`, "scrape timeout greater than scrape interval"},
		{"same names", `scrape_configs: [{job_name: a}, {job_name: a}]`, "multiple scrape configs with job name"},
		{"value", `scrape_configs: [{job_name: a, basic_auth: s3cret}]`, "cannot unmarshal !!str into"},
		{"not YAML", `scrape_configs: [`, "did not find expected"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := promcheck.Validator{}.Validate(t.Context(), []byte(test.config))
			var invalid *prometheusmanual.InvalidError
			switch {
			case test.reason == "" && err != nil:
				t.Error(err)
			case test.reason != "" && (!errors.As(err, &invalid) || !strings.Contains(invalid.Reason, test.reason)):
				t.Errorf("got %v, want %q", err, test.reason)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestValidateEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (promcheck.Validator{}).Validate(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzValidate(f *testing.F) {
	f.Add([]byte(`scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod}], static_configs: [{targets: [a]}]}]`))
	f.Add([]byte(`{scrape_configs: {kubernetes_sd_configs: 1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		err := promcheck.Validator{}.Validate(t.Context(), text)
		var invalid *prometheusmanual.InvalidError
		if err != nil && !errors.As(err, &invalid) {
			t.Errorf("got a %T: %v", err, err)
		}
	})
}
