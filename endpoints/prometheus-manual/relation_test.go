package prometheusmanual_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
	"gopkg.in/yaml.v3"
)

// fakeServer runs the jobs of its configuration file, as far as it tells.
type fakeServer struct {
	file    string
	reloads int
}

func (s *fakeServer) Reload(context.Context) error { s.reloads++; return nil }

func (s *fakeServer) Pools(context.Context) ([]string, error) {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, err
	}
	var config struct {
		ScrapeConfigs []struct {
			JobName string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	err = yaml.Unmarshal(text, &config)
	var pools []string
	for _, job := range config.ScrapeConfigs {
		pools = append(pools, job.JobName)
	}
	return pools, err
}

func (s *fakeServer) Idle(context.Context) ([]string, error) { return nil, nil }

const webMetadata = `
name: web
summary: s
description: d
provides:
  metrics: {interface: prometheus-manual}
config:
  options:
    jobs: {type: string, default: '{"web": {"static_configs": [{"targets": ["10.0.0.1:80"]}]}}'}
`

const serverMetadata = `
name: prometheus
summary: s
description: d
requires:
  manual-jobs: {interface: prometheus-manual}
`

// webCharm registers the jobs that its config option says, and keeps in the
// unit's status what the servers answered.
func webCharm(leaderOnly, stable bool) func() *reactive.Charm {
	return func() *reactive.Charm {
		charm := reactive.New("web")
		metrics := prometheusmanual.NewProvider(charm, "metrics")
		register := func(ctx context.Context, h *reactive.Hook) error {
			config, err := h.Config(ctx)
			if err != nil {
				return err
			}
			var jobs map[string]map[string]any
			if err := json.Unmarshal([]byte(config["jobs"].(string)), &jobs); err != nil {
				return err
			}
			for _, job := range metrics.Jobs() {
				if jobs[job.Name] == nil {
					if err := metrics.WithdrawJob(ctx, nil, job.Name); err != nil {
						return err
					}
				}
			}
			for _, name := range slices.Sorted(maps.Keys(jobs)) {
				if err := metrics.RegisterJob(ctx, prometheusmanual.Job{Name: name, Data: jobs[name], Stable: stable}); err != nil {
					return err
				}
			}
			return nil
		}
		if leaderOnly {
			metrics.LeaderOnly()
			charm.HandleLeader("register jobs", flags.When(metrics.Joined()), func(ctx context.Context, l *reactive.Leader) error {
				return register(ctx, l.Hook)
			})
		} else {
			charm.Handle("register jobs", flags.When(metrics.Joined()), register)
		}
		charm.StatusFunc(func(context.Context, *reactive.Hook) (reactive.Status, error) {
			var answers []string
			for _, job := range metrics.Jobs() {
				if job.Response == nil {
					continue
				}
				answers = append(answers, strings.TrimSpace(fmt.Sprint(job.Name, " ", job.Response.Success, " ", job.Response.Reason)))
			}
			slices.Sort(answers)
			return reactive.Active(strings.Join(answers, "; ")), nil
		})
		return charm
	}
}

func serverCharm(manager *prometheusmanual.Manager) func() *reactive.Charm {
	return func() *reactive.Charm {
		charm := reactive.New("prometheus")
		jobs := prometheusmanual.NewRequirer(charm, "manual-jobs")
		charm.HandleEvery("apply jobs", func(ctx context.Context, h *reactive.Hook) error {
			_, err := jobs.Apply(ctx, h, manager)
			return err
		})
		return charm
	}
}

func deploy(t *testing.T, m *jujusim.Model, name, metadata string, units int, newCharm func() *reactive.Charm) {
	t.Helper()
	charm := jujusim.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(metadata)}},
		Run:   func(ctx context.Context, p hooktool.Process) int { return reactive.Run(ctx, newCharm, p) },
	}
	if err := m.Deploy(name, charm, jujusim.DeployOptions{Units: units}); err != nil {
		t.Fatal(err)
	}
}

// server deploys a server whose jobs are those of the file that is returned.
func server(t *testing.T, m *jujusim.Model, name string) (*prometheusmanual.Manager, *fakeServer) {
	t.Helper()
	dir := t.TempDir()
	fake := &fakeServer{file: filepath.Join(dir, "prometheus.yml")}
	manager := &prometheusmanual.Manager{
		ConfigFile:   fake.file,
		Certificates: prometheusmanual.CertDir{Path: filepath.Join(dir, "certs")},
		Validator:    promcheck.Validator{},
		Server:       fake,
	}
	deploy(t, m, name, serverMetadata, 1, serverCharm(manager))
	return manager, fake
}

func newModel(t *testing.T, seed uint64) *jujusim.Model {
	t.Helper()
	m, err := jujusim.New(jujusim.Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func settle(t *testing.T, m *jujusim.Model, change func() error) {
	t.Helper()
	if err := change(); err != nil {
		t.Fatal(err)
	}
	if err := m.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func relate(m *jujusim.Model, a, b string) func() error {
	return func() error {
		_, err := m.Relate(a, b)
		return err
	}
}

func pools(t *testing.T, server *fakeServer) []string {
	t.Helper()
	names, err := server.Pools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func status(t *testing.T, m *jujusim.Model, unit string) string {
	t.Helper()
	var message string
	m.View(func(data *model.Model) {
		app, _, _ := strings.Cut(unit, "/")
		message = data.Applications[app].Units[unit].Status.Message
	})
	return message
}

func TestRelation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, seed)
			deploy(t, m, "web", webMetadata, 1, webCharm(false, false))
			_, first := server(t, m, "prometheus")
			_, second := server(t, m, "backup")
			settle(t, m, relate(m, "web:metrics", "prometheus:manual-jobs"))
			settle(t, m, relate(m, "web:metrics", "backup:manual-jobs"))

			one, two := pools(t, first), pools(t, second)
			if len(one) != 1 || len(two) != 1 || !strings.HasPrefix(one[0], "web-") || one[0] == two[0] {
				t.Fatalf("the servers run %q and %q", one, two)
			}
			if got := status(t, m, "web/0"); got != "web true; web true" {
				t.Errorf("the answers are %q", got)
			}

			reloads := first.reloads
			settle(t, m, func() error { return m.UpdateStatus() })
			if first.reloads != reloads {
				t.Error("the server is reloaded though nothing changed")
			}

			settle(t, m, func() error {
				return m.Configure("web", map[string]any{"jobs": `{
					"web": {"metrics_path": "/new", "static_configs": [{"targets": ["10.0.0.1:80"]}]},
					"evil": {"bearer_token_file": "/etc/shadow", "static_configs": [{"targets": ["10.0.0.1:80"]}]}}`})
			})
			if again := pools(t, first); !slices.Equal(again, one) {
				t.Errorf("after an update the server runs %q, before %q", again, one)
			}
			if text, _ := os.ReadFile(first.file); !strings.Contains(string(text), "/new") || strings.Contains(string(text), "shadow") {
				t.Errorf("the configuration is\n%s", text)
			}
			refusal := `evil false cannot take scrape job "evil": bearer_token_file is not allowed in a scrape job of another application`
			if got := status(t, m, "web/0"); !strings.HasPrefix(got, refusal) || !strings.HasSuffix(got, "web true; web true") {
				t.Errorf("the answers are %q", got)
			}

			settle(t, m, func() error { return m.RemoveRelation("web:metrics", "prometheus:manual-jobs") })
			if left := pools(t, first); len(left) != 0 {
				t.Errorf("without a relation the server runs %q", left)
			}
			if other := pools(t, second); !slices.Equal(other, two) {
				t.Errorf("the other server runs %q", other)
			}
			settle(t, m, func() error { return m.Configure("web", map[string]any{"jobs": "{}"}) })
			if left := pools(t, second); len(left) != 0 {
				t.Errorf("after withdrawal the server runs %q", left)
			}
		})
	}
}

func TestLeadershipChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name               string
		leaderOnly, stable bool
	}{
		{"each leader its own", false, false},
		{"leader only", true, false},
		{"stable", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			m := newModel(t, 1)
			deploy(t, m, "web", webMetadata, 2, webCharm(test.leaderOnly, test.stable))
			_, server := server(t, m, "prometheus")
			settle(t, m, relate(m, "web:metrics", "prometheus:manual-jobs"))
			before := pools(t, server)
			if len(before) != 1 {
				t.Fatalf("the server runs %q", before)
			}
			leader, follower := "web/0", "web/1"
			m.View(func(data *model.Model) {
				if data.Applications["web"].Leader == follower {
					leader, follower = follower, leader
				}
			})
			settle(t, m, func() error { return m.SetLeader(follower) })
			settle(t, m, func() error { return m.UpdateStatus() })
			after := pools(t, server)
			if len(after) != 1 {
				t.Errorf("the server runs %q", after)
			}
			if test.stable && after[0] != before[0] {
				t.Errorf("the job's name changes from %q to %q", before[0], after[0])
			}
			if got := status(t, m, leader); test.leaderOnly && got != "" {
				t.Errorf("the former leader still has jobs: %q", got)
			}
		})
	}
}

// TestRequestsForTheSameJob is about what is left of a job when its sender
// makes a new request for it and forgets the old one.
func TestRequestsForTheSameJob(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fake := &fakeServer{file: filepath.Join(dir, "prometheus.yml")}
	manager := &prometheusmanual.Manager{ConfigFile: fake.file, Server: fake,
		Certificates: prometheusmanual.CertDir{Path: filepath.Join(dir, "certs")}}
	jobs := []prometheusmanual.RemoteJob{jobWith(nil), jobWith(nil)}
	jobs[0].ID, jobs[1].ID = "b-old", "a-new"
	taken := prometheusmanual.Response{Success: true}
	jobs[0].Response = &taken
	remember := func(outcomes []prometheusmanual.Outcome) {
		for i, outcome := range outcomes {
			jobs[i].Response = &prometheusmanual.Response{Success: outcome.Err == nil}
			if outcome.Err != nil {
				jobs[i].Response.Reason = outcome.Err.Error()
			}
		}
	}
	for range 3 {
		outcomes := apply(t, manager, jobs...)
		if outcomes[1].Err != nil || outcomes[1].Name != "web-a-new" {
			t.Fatalf("the new request: %v", outcomes[1].Err)
		}
		if err := outcomes[0].Err; err == nil || !strings.Contains(err.Error(), `superseded by request "a-new" of unit evil/0`) {
			t.Fatalf("the old request: %v", err)
		}
		remember(outcomes)
	}

	// If the new one becomes bad, the old one counts again, until it is mended.
	jobs[1].JobData.(map[string]any)["nonsense"] = true
	outcomes := apply(t, manager, jobs...)
	if outcomes[0].Err != nil || outcomes[1].Err == nil {
		t.Errorf("outcomes %v, %v", outcomes[0].Err, outcomes[1].Err)
	}
	remember(outcomes)
	delete(jobs[1].JobData.(map[string]any), "nonsense")
	outcomes = apply(t, manager, jobs...)
	if outcomes[0].Err == nil || outcomes[1].Err != nil {
		t.Errorf("outcomes %v, %v", outcomes[0].Err, outcomes[1].Err)
	}

	// The same ID from another application takes nothing from anybody.
	other := jobWith(nil)
	other.ID, other.Application, other.Unit, other.Relation = "a-new", "thief", "thief/0", "manual-jobs:0"
	outcomes = apply(t, manager, append(jobs, other)...)
	if outcomes[1].Err != nil || outcomes[2].Err != nil || outcomes[1].Name == outcomes[2].Name {
		t.Errorf("outcomes %v", outcomes)
	}
}

// TestAnswers: what cannot be read as a request is answered too, and the answer
// to a request that is gone does not stay.
func TestAnswers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	manager := &prometheusmanual.Manager{ConfigFile: filepath.Join(dir, "prometheus.yml"),
		Certificates: prometheusmanual.CertDir{Path: filepath.Join(dir, "certs")}}
	charm := reactivetest.Charm{New: serverCharm(manager), Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(serverMetadata)}}}
	good := `{"job_name": "web", "job_data": {"static_configs": [{"targets": ["10.0.0.1:80"]}]}}`
	state := reactivetest.State{Relations: []reactivetest.Relation{{
		Endpoint:  "manual-jobs",
		LocalData: map[string]string{"response_gone": `{"success": true}`, "other": "x"},
		Units: map[string]map[string]string{"web/0": {
			"request_good": good, "request_text": "s3cret", "request_list": "[]",
			"request_key":   `{"job_name": "web", "job_data": {}, "client_key": ["s3cret"]}`,
			"request_alias": strings.Replace(good, "{", `{"request_id": "good", `, 1),
		}},
	}}}
	result := reactivetest.Run(t, charm, state, reactivetest.UpdateStatus())
	got := result.State.Relations[0].LocalData
	want := map[string]string{
		"response_good":  `{"reason": null, "success": true}`,
		"response_text":  `cannot take scrape job \"text\": not JSON`,
		"response_list":  `cannot take scrape job \"list\": it is not a JSON object`,
		"response_key":   `cannot take scrape job \"key\": client_key is not a string`,
		"response_alias": `cannot take scrape job \"web\": request_id is not that of its key`,
		"other":          "x",
	}
	for key, text := range want {
		if !strings.Contains(got[key], text) || strings.Contains(got[key], "s3cret") {
			t.Errorf("%s is %q, want %q", key, got[key], text)
		}
	}
	if len(got) != len(want) {
		t.Errorf("published is %v", got)
	}
	again := reactivetest.Run(t, charm, result.State, reactivetest.UpdateStatus())
	if !maps.Equal(again.State.Relations[0].LocalData, got) {
		t.Errorf("the second time published is %v", again.State.Relations[0].LocalData)
	}
}

// poisoned is a validator that breaks over some configurations.
type poisoned struct{ broken bool }

func (p poisoned) Validate(_ context.Context, config []byte) error {
	if p.broken || strings.Contains(string(config), "poison") {
		return errors.New("it has crashed")
	}
	return nil
}

func TestValidatorThatBreaks(t *testing.T) {
	t.Parallel()
	manager := &prometheusmanual.Manager{ConfigFile: filepath.Join(t.TempDir(), "prometheus.yml"), Validator: poisoned{}}
	bad, good := jobWith(nil), jobWith(nil)
	bad.JobName = "poison"
	outcomes := apply(t, manager, bad, good)
	if err := outcomes[0].Err; err == nil || !strings.Contains(err.Error(), "it has crashed") || outcomes[1].Err != nil {
		t.Errorf("outcomes %v", outcomes)
	}
	good.JobName = "other"
	manager.Validator = poisoned{broken: true}
	if outcomes, err := manager.Apply(t.Context(), []prometheusmanual.RemoteJob{good}); err == nil {
		t.Errorf("without a validator that works: %v", outcomes)
	}
}

func TestTooManyJobs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	manager := &prometheusmanual.Manager{ConfigFile: filepath.Join(dir, "prometheus.yml"),
		Policy: prometheusmanual.Policy{MaxJobs: 3}}
	var jobs []prometheusmanual.RemoteJob
	for i := range 5 {
		job := jobWith(nil)
		job.JobName = fmt.Sprint("job", i)
		jobs = append(jobs, job)
	}
	other := jobWith(nil)
	other.Relation = "manual-jobs:2"
	refused := 0
	outcomes := apply(t, manager, append(jobs, other)...)
	for _, outcome := range outcomes {
		if outcome.Err != nil {
			refused++
		}
	}
	if refused != 2 || outcomes[5].Err != nil {
		t.Errorf("outcomes %v", outcomes)
	}
}

// TestSameRequestID is about an application that sends requests with the IDs of
// another one's.
func TestSameRequestID(t *testing.T) {
	t.Parallel()
	m := newModel(t, 3)
	_, fake := server(t, m, "prometheus")
	for _, name := range []string{"honest", "thief"} {
		deploy(t, m, name, webMetadata, 1, func() *reactive.Charm {
			charm := webCharm(false, false)()
			charm.RequestIDs(func() string { return "predictable" })
			return charm
		})
	}
	if err := m.Configure("thief", map[string]any{"jobs": `{"web": {"static_configs": 5}}`}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"honest", "thief"} {
		settle(t, m, relate(m, name+":metrics", "prometheus:manual-jobs"))
	}
	if got := pools(t, fake); !slices.Equal(got, []string{"web-predictable"}) {
		t.Errorf("the server runs %q", got)
	}
	if got := status(t, m, "honest/0"); got != "web true" {
		t.Errorf("the honest one is told %q", got)
	}
	if got := status(t, m, "thief/0"); !strings.HasPrefix(got, "web false") {
		t.Errorf("the thief is told %q", got)
	}
	settle(t, m, func() error { return m.Configure("thief", map[string]any{"jobs": `{"web": {}}`}) })
	if got := pools(t, fake); len(got) != 2 || got[0] != "web-predictable" {
		t.Errorf("the server runs %q", got)
	}
}
