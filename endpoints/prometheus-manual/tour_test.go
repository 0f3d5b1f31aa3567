package prometheusmanual_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/internal/certtest"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promtool"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

func NewWeb() *reactive.Charm {
	charm := reactive.New("web")
	metrics := prometheusmanual.NewProvider(charm, "metrics")
	charm.Handle("register scrape job", flags.When(metrics.Joined()),
		func(ctx context.Context, h *reactive.Hook) error {
			return metrics.RegisterJob(ctx, prometheusmanual.Job{
				Name: h.Unit(),
				Data: map[string]any{
					"scheme":         "https",
					"static_configs": []any{map[string]any{"targets": []string{"10.0.0.1:9100"}}},
				},
				CA: caPEM, ClientCert: certPEM, ClientKey: keyPEM,
			})
		})
	return charm
}

func NewPrometheus() *reactive.Charm {
	charm := reactive.New("prometheus")
	jobs := prometheusmanual.NewRequirer(charm, "manual-jobs")
	manager := &prometheusmanual.Manager{
		Base:         []byte("global:\n  scrape_interval: 30s\n"),
		ConfigFile:   "/etc/prometheus/prometheus.yml",
		Certificates: prometheusmanual.CertDir{Path: "/etc/prometheus/juju-certs", Group: "prometheus"},
		Validator:    promtool.Validator{},
		Server:       &promserver.Client{URL: "http://127.0.0.1:9090"},
	}
	charm.HandleEvery("apply scrape jobs", func(ctx context.Context, h *reactive.Hook) error {
		_, err := jobs.Apply(ctx, h, manager)
		return err
	})
	return charm
}

// The certificates of the web charm of the package's tour.
var caPEM, certPEM, keyPEM string

// A charm whose metrics are scraped over mutual TLS.
func ExampleProvider() { reactive.Main(NewWeb) }

// A charm that runs a Prometheus server.
func ExampleManager() { reactive.Main(NewPrometheus) }

// TestTour: the job of the tour's web charm gets to a server's configuration,
// with its certificates.
func TestTour(t *testing.T) {
	t.Parallel()
	ca := certtest.New(t)
	caPEM = ca.PEM
	certPEM, keyPEM = ca.Issue(t, "web")
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	server := func() *reactive.Charm {
		charm := reactive.New("prometheus")
		jobs := prometheusmanual.NewRequirer(charm, "manual-jobs")
		manager := &prometheusmanual.Manager{
			ConfigFile:   file,
			Certificates: prometheusmanual.CertDir{Path: filepath.Join(dir, "certs")},
			Validator:    promcheck.Validator{},
		}
		charm.HandleEvery("apply scrape jobs", func(ctx context.Context, h *reactive.Hook) error {
			_, err := jobs.Apply(ctx, h, manager)
			return err
		})
		return charm
	}
	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for name, charm := range map[string]jujusim.Charm{
		"web":        {Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(webMetadata)}}, Run: reactive.Program(NewWeb)},
		"prometheus": {Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(serverMetadata)}}, Run: reactive.Program(server)},
	} {
		if err := m.Deploy(name, charm, jujusim.DeployOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Relate("web:metrics", "prometheus:manual-jobs"); err != nil {
		t.Fatal(err)
	}
	if err := m.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"10.0.0.1:9100", "scheme: \"https\"", "ca_file:", "cert_file:", "key_file:"} {
		if !strings.Contains(string(config), want) {
			t.Errorf("the configuration has no %s:\n%s", want, config)
		}
	}
}
