package prometheusmanual_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"go.yaml.in/yaml/v2"
)

// checkRoundTrip reads the only job of a configuration with the YAML library
// that Prometheus uses and compares it with what was rendered.
func checkRoundTrip(t *testing.T, text []byte, scrape prometheusmanual.Scrape) {
	t.Helper()
	var document struct {
		ScrapeConfigs []any `yaml:"scrape_configs"`
	}
	if err := yaml.UnmarshalStrict(text, &document); err != nil {
		t.Fatalf("cannot read back: %v\n%s", err, text)
	}
	if len(document.ScrapeConfigs) != 1 {
		t.Fatalf("%d jobs in\n%s", len(document.ScrapeConfigs), text)
	}
	compareYAML(t, "", document.ScrapeConfigs[0], any(scrape.Config))
}

func compareYAML(t *testing.T, path string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		fields, ok := got.(map[any]any)
		if !ok || len(fields) != len(want) {
			t.Errorf("%s: got %#v, want %#v", path, got, want)
			return
		}
		for key, value := range want {
			compareYAML(t, path+"."+key, fields[key], value)
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			t.Errorf("%s: got %#v, want %#v", path, got, want)
			return
		}
		for i := range want {
			compareYAML(t, path+"[]", list[i], want[i])
		}
	case string, bool, nil:
		if got != want {
			t.Errorf("%s: got %#v, want %#v", path, got, want)
		}
	default:
		// Numbers: as YAML reads the same digits.
		digits, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var number any
		if err := yaml.Unmarshal(digits, &number); err != nil || number != got {
			t.Errorf("%s: got %#v, want %s", path, got, digits)
		}
	}
}

func TestRenderKeepsBase(t *testing.T) {
	t.Parallel()
	base := mustBase(t, `# written by the charm
global:
  scrape_interval: 30s # half a minute
  external_labels: {site: "yes"}
rule_files: [rules/*.yml]
scrape_configs:
  - job_name: prometheus
    static_configs: [{targets: ["localhost:9090"]}]
alerting:
  alertmanagers: []
`)
	scrape, err := prometheusmanual.Policy{}.Accept(jobWith(obj("params", obj("on", []any{"no"}))), base.Global(), "/certs")
	if err != nil {
		t.Fatal(err)
	}
	text, err := base.Render([]prometheusmanual.Scrape{scrape})
	if err != nil {
		t.Fatal(err)
	}
	want := `# written by the charm
global:
  scrape_interval: 30s # half a minute
  external_labels: {site: "yes"}
rule_files: [rules/*.yml]
scrape_configs:
  - job_name: prometheus
    static_configs: [{targets: ["localhost:9090"]}]
  - job_name: "web-a1b2"
    metric_relabel_configs:
      - replacement: "evil"
        target_label: "juju_application"
    params:
      "on":
        - "no"
    relabel_configs:
      - replacement: "evil"
        target_label: "juju_application"
      - replacement: "30s"
        target_label: "__scrape_interval__"
      - replacement: "10s"
        target_label: "__scrape_timeout__"
    scheme: "https"
    static_configs:
      - targets:
          - "10.0.0.1:9100"
alerting:
  alertmanagers: []
`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	alone, err := base.RenderAlone(scrape)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(alone), "localhost:9090") || !strings.Contains(string(alone), "scrape_interval: 30s") {
		t.Errorf("alone:\n%s", alone)
	}
	if again, _ := base.Render([]prometheusmanual.Scrape{scrape}); string(again) != want {
		t.Errorf("rendering changed the base:\n%s", again)
	}
	none, err := base.Render(nil)
	if err != nil || strings.Contains(string(none), "web-a1b2") {
		t.Errorf("without jobs: %v\n%s", err, none)
	}
}

func TestParseBase(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "null", "{}", "scrape_configs:\n", "---\nglobal: {}\n"} {
		base := mustBase(t, text)
		scrape, err := prometheusmanual.Policy{}.Accept(jobWith(nil), base.Global(), "/certs")
		if err != nil {
			t.Fatal(err)
		}
		out, err := base.Render([]prometheusmanual.Scrape{scrape})
		if err != nil {
			t.Fatal(err)
		}
		checkRoundTrip(t, stripGlobal(out), scrape)
	}
	for _, text := range []string{"[]", "a: [", "global: {scrape_interval: soon}", "just text"} {
		if _, err := prometheusmanual.ParseBase([]byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func stripGlobal(text []byte) []byte {
	return []byte(strings.Replace(string(text), "global: {}\n", "", 1))
}

func TestInvalidErrorShowsNoValue(t *testing.T) {
	t.Parallel()
	var err error = prometheusmanual.NewInvalidError(
		"yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `s3`cret` into config.plain\n  line 1: field x not found")
	var invalid *prometheusmanual.InvalidError
	if !errors.As(err, &invalid) || invalid.Reason != "cannot unmarshal !!str into config.plain; field x not found" {
		t.Errorf("got %v", err)
	}
}
