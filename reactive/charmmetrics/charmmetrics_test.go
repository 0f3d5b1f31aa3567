package charmmetrics_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/charmmetrics"
)

type question struct{ Text string }
type answer struct{ Text string }

// charm asks something over a relation, and fails its config-changed hook as
// often as failures says.
func charm(dir string, failures *int) func() *reactive.Charm {
	return func() *reactive.Charm {
		charm := reactive.New("web")
		requester := reactive.NewRequester[question, answer](charm.Endpoint("oracle", charmfile.Requirer, "oracle"))
		charmmetrics.Register(charm, charmmetrics.Options{
			Dir:      dir,
			Requests: []charmmetrics.Requests{charmmetrics.RequestsOf("oracle", requester)},
		})
		asked := charm.Flag("web.asked")
		charm.HandleHook("reconfigure", "config-changed", func(context.Context, *reactive.Hook) error {
			if *failures > 0 {
				*failures--
				return errors.New("no")
			}
			return nil
		})
		charm.Handle("ask \"why\"", flags.When(requester.Joined()).Unless(asked), func(ctx context.Context, h *reactive.Hook) error {
			for rel := range requester.Relations().Values() {
				if _, err := requester.Create(ctx, rel, question{"why"}); err != nil {
					return err
				}
			}
			h.Set(asked)
			return nil
		})
		return charm
	}
}

func oracle() *reactive.Charm {
	charm := reactive.New("oracle")
	charm.Endpoint("ask", charmfile.Provider, "oracle")
	return charm
}

func files(yaml string) fstest.MapFS {
	return fstest.MapFS{"metadata.yaml": {Data: []byte("summary: s\ndescription: d\n" + yaml)}, "version": {Data: []byte("1.2-\"3\"\n")}}
}

func deploy(t *testing.T, dir string, failures *int) *jujusim.Model {
	t.Helper()
	juju, err := jujusim.New(jujusim.Options{Retries: 3, Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { juju.Close() })
	web := jujusim.Charm{Files: files("name: web\nrequires: {oracle: {interface: oracle}}\n"), Run: reactive.Program(charm(dir, failures))}
	if err := juju.Deploy("web", web, jujusim.DeployOptions{}); err != nil {
		t.Fatal(err)
	}
	other := jujusim.Charm{Files: files("name: oracle\nprovides: {ask: {interface: oracle}}\n"), Run: reactive.Program(oracle)}
	if err := juju.Deploy("oracle", other, jujusim.DeployOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := juju.Relate("web", "oracle"); err != nil {
		t.Fatal(err)
	}
	settle(t, juju)
	return juju
}

func settle(t *testing.T, juju *jujusim.Model) {
	t.Helper()
	if err := juju.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// read parses the file as the collector does.
func read(t *testing.T, dir string) map[string]*dto.MetricFamily {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "juju_web-0.prom"))
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	problems, err := promlint.New(bytes.NewReader(data)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint says %v, %v", problems, err)
	}
	return families
}

// value returns the value of a sample, or -1.
func value(families map[string]*dto.MetricFamily, name string, pairs ...string) float64 {
	family := families[name]
	if family == nil {
		return -1
	}
metrics:
	for _, m := range family.Metric {
		labels := make(map[string]string)
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		for i := 0; i < len(pairs); i += 2 {
			if labels[pairs[i]] != pairs[i+1] {
				continue metrics
			}
		}
		return m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return -1
}

func TestCountsHooksHandlersAndRequests(t *testing.T) {
	t.Parallel()
	dir, failures := t.TempDir(), 2
	juju := deploy(t, dir, &failures)
	families := read(t, dir)
	for _, want := range []struct {
		value float64
		name  string
		pairs []string
	}{
		{1, "juju_charm_hook_runs_total", []string{"hook", "install", "juju_model", "shop", "juju_application", "web", "juju_unit", "web/0", "juju_charm", "web"}},
		{3, "juju_charm_hook_runs_total", []string{"hook", "config-changed"}},
		{2, "juju_charm_hook_failures_total", []string{"hook", "config-changed"}},
		{0, "juju_charm_hook_failures_total", []string{"hook", "install"}},
		{3, "juju_charm_handler_runs_total", []string{"handler", "reconfigure"}},
		{1, "juju_charm_handler_runs_total", []string{"handler", `ask "why"`}},
		{1, "juju_charm_relation_requests", []string{"endpoint", "oracle", "state", "unanswered"}},
		{0, "juju_charm_relation_requests", []string{"endpoint", "oracle", "state", "answered"}},
		{1, "juju_charm_info", []string{"charm_version", `1.2-"3"`}},
	} {
		if got := value(families, want.name, want.pairs...); got != want.value {
			t.Errorf("%s%v is %v, want %v", want.name, want.pairs, got, want.value)
		}
	}
	if got := value(families, "juju_charm_hook_last_success_timestamp_seconds", "hook", "config-changed"); got < 1e9 {
		t.Errorf("the last success was at %v", got)
	}
	if got := value(families, "juju_charm_flags"); got < 1 {
		t.Errorf("%v flags are set", got)
	}

	// Counters go on, whatever process counts.
	for range 3 {
		if err := juju.UpdateStatus(); err != nil {
			t.Fatal(err)
		}
		settle(t, juju)
	}
	if got := value(read(t, dir), "juju_charm_hook_runs_total", "hook", "update-status"); got != 3 {
		t.Errorf("update-status ran %v times, want 3", got)
	}

	// A unit that is gone has no series.
	if err := juju.RemoveApplication("web"); err != nil {
		t.Fatal(err)
	}
	settle(t, juju)
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("left behind are %v (%v)", list, err)
	}
}

func TestKilledHooks(t *testing.T) {
	t.Parallel()
	dir, failures := t.TempDir(), 0
	juju := deploy(t, dir, &failures)
	// What a hook left that was killed while it wrote the file.
	if err := os.WriteFile(filepath.Join(dir, "juju_web-0.prom.new"), []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	for call := range 6 {
		juju.KillAt(jujusim.Point{Unit: "web/0", At: "update-status", Call: call})
		if err := juju.UpdateStatus("web/0"); err != nil {
			t.Fatal(err)
		}
		settle(t, juju)
	}
	families := read(t, dir)
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("the directory holds %v (%v), want the one file", list, err)
	}
	runs := value(families, "juju_charm_hook_runs_total", "hook", "update-status")
	failed := value(families, "juju_charm_hook_failures_total", "hook", "update-status")
	// Killed after it wrote its record, a hook counts as one that went well.
	if runs-failed < 6 || runs-failed > 7 {
		t.Errorf("update-status counts %v times, %v of them failed; want 6 or 7 that went well", runs, failed)
	}
}

func TestNothingWithoutTheDirectory(t *testing.T) {
	t.Parallel()
	dir, failures := filepath.Join(t.TempDir(), "absent"), 0
	juju := deploy(t, dir, &failures)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
	state := juju.Snapshot().Applications["web"].Units["web/0"].State
	for k, v := range state {
		if strings.Contains(k+v, "charmmetrics") {
			t.Errorf("the charm state holds %s", k)
		}
	}
}
