package prometheusmanual_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing/fstest"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

// Two charms meet in a simulated model: one registers a job that the policy
// accepts and one that it refuses.
func Example() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	web := func() *reactive.Charm {
		charm := reactive.New("web")
		metrics := prometheusmanual.NewProvider(charm, "metrics")
		charm.Handle("register jobs", flags.When(metrics.Joined()), func(ctx context.Context, h *reactive.Hook) error {
			targets := []any{map[string]any{"targets": []string{"10.0.0.1:9100"}}}
			for name, data := range map[string]map[string]any{
				"good": {"static_configs": targets},
				"nosy": {"static_configs": targets, "bearer_token_file": "/etc/shadow"},
			} {
				job := prometheusmanual.Job{Name: name, Data: data, Stable: true}
				if err := metrics.RegisterJob(ctx, job); err != nil {
					return err
				}
			}
			return nil
		})
		return charm
	}
	prometheus := func() *reactive.Charm {
		charm := reactive.New("prometheus")
		jobs := prometheusmanual.NewRequirer(charm, "manual-jobs")
		manager := &prometheusmanual.Manager{
			ConfigFile:   filepath.Join(dir, "prometheus.yml"),
			Certificates: prometheusmanual.CertDir{Path: filepath.Join(dir, "certs")},
			Validator:    promcheck.Validator{},
		}
		charm.Handle("apply jobs", flags.When(jobs.NewJobs()), func(ctx context.Context, h *reactive.Hook) error {
			outcomes, err := jobs.Apply(ctx, h, manager)
			for _, outcome := range outcomes {
				fmt.Println(outcome.Job.JobName, "is refused:", outcome.Err)
			}
			return err
		})
		return charm
	}

	model, err := jujusim.New(jujusim.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	deploy := func(name string, newCharm func() *reactive.Charm, metadata string) {
		charm := jujusim.Charm{
			Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(metadata)}},
			Run:   func(ctx context.Context, p hooktool.Process) int { return reactive.Run(ctx, newCharm, p) },
		}
		if err := model.Deploy(name, charm, jujusim.DeployOptions{Units: 1}); err != nil {
			log.Fatal(err)
		}
	}
	deploy("web", web, "{name: web, summary: s, description: d, provides: {metrics: {interface: prometheus-manual}}}")
	deploy("prometheus", prometheus, "{name: prometheus, summary: s, description: d, requires: {manual-jobs: {interface: prometheus-manual}}}")
	if _, err := model.Relate("web:metrics", "prometheus:manual-jobs"); err != nil {
		log.Fatal(err)
	}
	if err := model.Settle(context.Background()); err != nil {
		log.Fatal(err)
	}

	// Unordered output:
	// good is refused: <nil>
	// nosy is refused: cannot take scrape job "nosy": bearer_token_file is not allowed in a scrape job of another application
}

// What one job becomes.
func ExamplePolicy_Accept() {
	base, err := prometheusmanual.ParseBase([]byte("global: {scrape_interval: 30s}\n"))
	if err != nil {
		log.Fatal(err)
	}
	job := prometheusmanual.RemoteJob{
		Request: prometheusmanual.Request{
			ID:      "c6b4e5f0-2f6e-4a3b-9f57-9c60b3a2c111",
			JobName: "node",
			JobData: map[string]any{
				"honor_labels":   true,
				"static_configs": []any{map[string]any{"targets": []any{"10.0.0.1:9100"}}},
			},
		},
		Relation:    "manual-jobs:3",
		Application: "web",
		Unit:        "web/0",
	}
	scrape, err := prometheusmanual.Policy{}.Accept(job, base.Global(), "/etc/prometheus/juju-certs")
	if err != nil {
		log.Fatal(err)
	}
	text, err := base.Render([]prometheusmanual.Scrape{scrape})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(scrape.Notes)
	fmt.Print(string(text))
	// Output:
	// [honor_labels is set to false]
	// global: {scrape_interval: 30s}
	// scrape_configs:
	//   - honor_labels: false
	//     job_name: "node-c6b4e5f0-2f6e-4a3b-9f57-9c60b3a2c111"
	//     metric_relabel_configs:
	//       - replacement: "web"
	//         target_label: "juju_application"
	//     relabel_configs:
	//       - replacement: "web"
	//         target_label: "juju_application"
	//       - replacement: "30s"
	//         target_label: "__scrape_interval__"
	//       - replacement: "10s"
	//         target_label: "__scrape_timeout__"
	//     static_configs:
	//       - targets:
	//           - "10.0.0.1:9100"
}
