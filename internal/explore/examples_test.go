package explore_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/noop"
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
	"github.com/charmed-go/charms/examples/loadbalancer-consumer/consumercharm"
	"github.com/charmed-go/charms/examples/loadbalancer-provider/providercharm"
	"github.com/charmed-go/charms/examples/observability/prometheuscharm"
	"github.com/charmed-go/charms/examples/observability/service"
	"github.com/charmed-go/charms/examples/observability/webcharm"
	"github.com/charmed-go/charms/internal/explore"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
	"gopkg.in/yaml.v3"
)

// manyRuns is how many orders each endpoint and each example is run in.
// EXPLORE=full asks for 1000.
func manyRuns() int {
	if os.Getenv("EXPLORE") == "full" {
		return 1000
	}
	if testing.Short() {
		return 10
	}
	return 50
}

// A workload is a service that starts nothing. As one that runs, it outlives a
// hook that is killed: a file says with which command it runs.
type workload struct {
	service.Service
	// start, if not nil, does what the program does once it runs.
	start func(service.Service) error
}

func (w workload) path() string { return filepath.Join(w.Dir, "runs.json") }

func (w workload) Ensure(context.Context) (bool, <-chan error, error) {
	command, err := json.Marshal(w.Command)
	if err != nil {
		return false, nil, err
	}
	if was, err := os.ReadFile(w.path()); err == nil && string(was) == string(command) {
		return false, nil, nil
	}
	if err := os.MkdirAll(w.Dir, 0o700); err != nil {
		return false, nil, err
	}
	if w.start != nil {
		if err := w.start(w.Service); err != nil {
			return false, nil, err
		}
	}
	return true, nil, os.WriteFile(w.path(), command, 0o600)
}

func (w workload) Remove(context.Context) error {
	if err := os.Remove(w.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (w workload) LastWords(context.Context) string { return "" }

func started(s service.Service) service.Runner { return workload{Service: s} }

// listening is a web application: it writes where it serves.
func listening(s service.Service) service.Runner {
	return workload{s, func(s service.Service) error {
		options := make(map[string]string)
		for _, arg := range s.Command {
			if name, value, ok := strings.Cut(arg, "="); ok {
				options[name] = value
			}
		}
		text := `{"http": ` + options["--http-port"] + `, "metrics": ` + options["--metrics-port"] + `, "host": "127.0.0.1"}`
		return os.WriteFile(options["--ports"], []byte(text), 0o600)
	}}
}

// A server is a Prometheus server that scrapes what its file said when it was
// told to read it; running, in a file beside it, is what it scrapes.
type server struct{ config, running string }

func newServer(d promserver.Daemon) prometheuscharm.Server {
	return server{d.ConfigFile, filepath.Join(d.Dir, "running.yml")}
}

func (s server) Reload(context.Context) error {
	text, err := os.ReadFile(s.config)
	if err != nil {
		return err
	}
	return os.WriteFile(s.running, text, 0o600)
}

func (s server) Idle(context.Context) ([]string, error) { return nil, nil }

func (s server) Pools(context.Context) ([]string, error) {
	text, err := os.ReadFile(s.running)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var config struct {
		Jobs []struct {
			Name string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, prometheusmanual.NewInvalidError(err.Error())
	}
	var names []string
	for _, job := range config.Jobs {
		names = append(names, job.Name)
	}
	return names, nil
}

func (server) AwaitReady(context.Context, time.Duration, <-chan error) error { return nil }

func (server) Version(context.Context) (string, error) { return "3.15.0", nil }

// silent makes load balancers that move no traffic.
type silent struct{ *noop.Driver }

func (silent) Stop(context.Context) error { return nil }

// example is an example charm that runs in this process. Of its files it needs
// only what Juju reads.
func example(dir string, build func() *reactive.Charm) jujusim.Charm {
	text, err := os.ReadFile(filepath.Join("../../examples", dir, "charmcraft.yaml"))
	if err != nil {
		panic(err)
	}
	return jujusim.Charm{Files: fstest.MapFS{"charmcraft.yaml": {Data: text}}, Run: reactive.Program(build)}
}

func exampleProvider() jujusim.Charm {
	return example("loadbalancer-provider", func() *reactive.Charm {
		return providercharm.NewWith(providercharm.Options{Driver: func(_, dir string) (providercharm.Driver, error) {
			return silent{noop.New(dir)}, nil
		}})
	})
}

func exampleConsumer() jujusim.Charm {
	return example("loadbalancer-consumer", func() *reactive.Charm {
		return consumercharm.NewWith(consumercharm.Options{
			Runner: started,
			Await:  func(context.Context, string, <-chan error) error { return nil },
		})
	})
}

func exampleWeb() jujusim.Charm {
	return example("observability/web", func() *reactive.Charm {
		return webcharm.NewWith(webcharm.Options{
			Runner:  listening,
			Healthy: func(context.Context, string) error { return nil },
		})
	})
}

func examplePrometheus() jujusim.Charm {
	return example("observability/prometheus", func() *reactive.Charm {
		return prometheuscharm.NewWith(prometheuscharm.Options{Runner: started, Server: newServer})
	})
}

func deployExample(name string, charm jujusim.Charm, o jujusim.DeployOptions) explore.Step {
	return func(m *jujusim.Model) error { return m.Deploy(name, charm, o) }
}

func configure(app string, values map[string]any) explore.Step {
	return func(m *jujusim.Model) error { return m.Configure(app, values) }
}

func unrelate(a, b string) explore.Step {
	return func(m *jujusim.Model) error { return m.RemoveRelation(a, b) }
}

// seenFlag matches flags that stay after a relation that a unit has seen.
var seenFlag = regexp.MustCompile(`^reactive\.states\.endpoint\.metrics\.(changed|departed)`)

// TestExamplesInManyOrders runs the example charms, without what they would
// start, in many orders and with kills.
func TestExamplesInManyOrders(t *testing.T) {
	t.Parallel()
	embedded := jujusim.DeployOptions{Config: map[string]any{"engine": "embedded"}}
	tests := map[string]struct {
		steps []explore.Step
		// ignore says what is not compared, and because why not; the test
		// prints that.
		ignore  func(explore.Item) bool
		because string
	}{
		"loadbalancer-consumer and loadbalancer-provider": {steps: []explore.Step{
			deployExample("lb", exampleProvider(), jujusim.DeployOptions{Units: 2}),
			deployExample("site", exampleConsumer(), jujusim.DeployOptions{Units: 2}),
			deployExample("shop", exampleConsumer(), jujusim.DeployOptions{Config: map[string]any{"lb_port": 81}}),
			relate("site", "lb"), relate("shop", "lb"),
			configure("site", map[string]any{"port": 8081, "sticky": true}),
			scale("site", 3), scale("lb", 1), unrelate("shop", "lb"), scale("site", 2),
		}},
		"web": {steps: []explore.Step{
			deployExample("web", exampleWeb(), jujusim.DeployOptions{Units: 2}),
			deployExample("lb", exampleProvider(), jujusim.DeployOptions{}),
			deployExample("prometheus", examplePrometheus(), embedded),
			relate("web:loadbalancer", "lb"), relate("web:metrics", "prometheus"),
			configure("web", map[string]any{"http-port": 8081, "scrape-interval": "20s"}),
			scale("web", 3), scale("web", 2),
		}},
		"prometheus": {steps: []explore.Step{
			deployExample("prometheus", examplePrometheus(), embedded),
			deploy("scraped", "provides: {metrics: {interface: prometheus-manual}}\n", scraped, 2),
			deploy("other", "provides: {metrics: {interface: prometheus-manual}}\n", scraped, 1),
			relate("prometheus", "scraped"), relate("prometheus", "other"),
			configure("prometheus", map[string]any{"scrape-interval": "30s"}),
			scale("scraped", 3), unrelate("prometheus", "other"), scale("scraped", 1),
		}, ignore: func(i explore.Item) bool {
			return strings.HasPrefix(i.Owner, "other/") && i.Kind == "state" && seenFlag.MatchString(i.Key)
		}, because: "flags of other/0: whether it saw its relation before that was removed is chance"},
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			test, begin := tests[name], time.Now()
			result, err := explore.Run(t.Context(), explore.Options{Runs: manyRuns(), Seed: 1, Steps: test.steps, Ignore: test.ignore})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %d runs, %d orders, %d hooks, %d kills in %.1f s",
				name, result.Runs, result.Orders, result.Hooks, result.Kills, time.Since(begin).Seconds())
			if test.because != "" {
				t.Log("not compared: " + test.because)
			}
			if result.Difference != nil {
				t.Fatal(result.Difference)
			}
		})
	}
}
