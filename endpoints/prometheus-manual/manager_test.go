package prometheusmanual_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/internal/certtest"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promengine"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promtool"
)

const baseConfig = "global:\n  scrape_interval: 1s\n"

// target is an exporter that asks for a client certificate, and the request
// with which its charm would register it.
func target(t *testing.T, name string) prometheusmanual.RemoteJob {
	t.Helper()
	ca := certtest.New(t)
	cert, key := ca.Issue(t, name)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(ca.PEM))
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, `answer 42`)
	}))
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    pool,
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	clientCert, clientKey := ca.Issue(t, "prometheus")
	return prometheusmanual.RemoteJob{
		Request: prometheusmanual.Request{
			ID: "id-" + name, JobName: name, CACert: ca.PEM, ClientCert: clientCert, ClientKey: clientKey,
			JobData: map[string]any{
				"scheme":         "https",
				"static_configs": []any{map[string]any{"targets": []any{server.Listener.Addr().String()}}},
			},
		},
		Relation: "manual-jobs:1", Application: "app-" + name, Unit: "app-" + name + "/0",
	}
}

// servers are the ways to run Prometheus: in this process, and the executable
// where one is installed. Each starts one with a manager for it.
func servers(t *testing.T) map[string]func(t *testing.T) (*prometheusmanual.Manager, *promserver.Client) {
	embedded := func(t *testing.T) (*prometheusmanual.Manager, *promserver.Client) {
		manager := newManager(t)
		engine, err := promengine.Start(t.Context(), promengine.Options{ConfigFile: manager.ConfigFile})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := engine.Close(); err != nil {
				t.Error(err)
			}
		})
		manager.Server, manager.Validator = engine, promcheck.Validator{}
		return manager, engine.Client()
	}
	executable := func(t *testing.T) (*prometheusmanual.Manager, *promserver.Client) {
		path, err := exec.LookPath("prometheus")
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("no prometheus executable is installed")
			}
			t.Skip("no prometheus executable is installed; the embedded engine is tested instead")
		}
		manager := newManager(t)
		daemon := promserver.Daemon{
			Path: path, ConfigFile: manager.ConfigFile, DataDir: t.TempDir(), Dir: t.TempDir(),
			ListenAddress: freeAddress(t),
		}
		if started, err := daemon.Start(t.Context()); err != nil || !started {
			t.Fatalf("started is %v: %v", started, err)
		}
		t.Cleanup(func() {
			if err := daemon.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		})
		manager.Server = daemon.Client()
		if _, err := promtool.Find(); err == nil {
			manager.Validator = promtool.Validator{}
		}
		return manager, daemon.Client()
	}
	return map[string]func(t *testing.T) (*prometheusmanual.Manager, *promserver.Client){
		"embedded": embedded, "executable": executable,
	}
}

func newManager(t *testing.T) *prometheusmanual.Manager {
	t.Helper()
	dir := t.TempDir()
	manager := &prometheusmanual.Manager{
		Base:         []byte(baseConfig),
		ConfigFile:   filepath.Join(dir, "prometheus.yml"),
		Certificates: prometheusmanual.CertDir{Path: filepath.Join(dir, "certs")},
	}
	if err := os.WriteFile(manager.ConfigFile, manager.Base, 0o600); err != nil {
		t.Fatal(err)
	}
	return manager
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// TestStory is the life of scrape jobs at a server: they come, one of them is
// bad, one changes, one goes.
func TestStory(t *testing.T) {
	t.Parallel()
	for name, start := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manager, client := start(t)
			web, db := target(t, "web"), target(t, "db/0")
			bad := target(t, "bad")
			bad.JobData.(map[string]any)["metric_relabel_configs"] = []any{map[string]any{"regex": "("}}

			outcomes := apply(t, manager, web, bad, db)
			if outcomes[0].Err != nil || outcomes[2].Err != nil {
				t.Fatalf("good jobs are refused: %v, %v", outcomes[0].Err, outcomes[2].Err)
			}
			if err := outcomes[1].Err; err == nil || !strings.Contains(err.Error(), `"bad"`) ||
				!strings.Contains(err.Error(), "missing closing )") {
				t.Errorf("the bad job: %v", err)
			}
			awaitUp(t, client, outcomes[0].Name, outcomes[2].Name)
			samples, err := client.Query(t.Context(), `answer`)
			if err != nil || len(samples) != 2 {
				t.Errorf("answers: %v, %v", samples, err)
			}
			for _, sample := range samples {
				if sample.Value != 42 || sample.Labels["juju_application"] == "" {
					t.Errorf("sample %v", sample)
				}
			}
			checkModes(t, manager, 6)

			before := snapshot(t, manager)
			web.Response = &prometheusmanual.Response{Success: true}
			apply(t, manager, web, bad, db)
			if after := snapshot(t, manager); after != before {
				t.Errorf("a second run writes:\n%s\nbefore\n%s", after, before)
			}

			web.JobData.(map[string]any)["metrics_path"] = "/other"
			outcomes = apply(t, manager, web)
			if outcomes[0].Err != nil {
				t.Fatal(outcomes[0].Err)
			}
			pools, err := client.Pools(t.Context())
			if err != nil || !slices.Equal(pools, []string{"web-id-web"}) {
				t.Errorf("pools are %v, %v", pools, err)
			}
			await(t, "the changed path", func() (bool, string) {
				targets, err := client.Targets(t.Context(), "web-id-web")
				ok := err == nil && len(targets) == 1 && strings.HasSuffix(targets[0].URL, "/other")
				return ok, fmt.Sprintf("%+v, %v", targets, err)
			})
			checkModes(t, manager, 3)

			apply(t, manager)
			checkModes(t, manager, 0)
			if text, _ := os.ReadFile(manager.ConfigFile); string(text) != baseConfig {
				t.Errorf("left is\n%s", text)
			}
		})
	}
}

// TestJobThatDoesNotRun is about a job that the server takes without a word
// and then does not run.
func TestJobThatDoesNotRun(t *testing.T) {
	t.Parallel()
	for name, start := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manager, client := start(t)
			manager.Validator = nil
			manager.Policy.Trusted = []string{"app-dead"}
			manager.TakeTimeout = 7 * time.Second
			web, dead := target(t, "web"), target(t, "dead")
			dead.CACert, dead.ClientCert, dead.ClientKey = "", "", ""
			dead.JobData.(map[string]any)["tls_config"] = map[string]any{"ca_file": "/nowhere"}
			outcomes := apply(t, manager, dead, web)
			if err := outcomes[0].Err; err == nil || !strings.Contains(err.Error(), "does not run the job") {
				t.Errorf("the dead job: %v", err)
			}
			if outcomes[1].Err != nil {
				t.Errorf("the good job: %v", outcomes[1].Err)
			}
			awaitUp(t, client, "web-id-web")
			text, err := os.ReadFile(manager.ConfigFile)
			if err != nil || strings.Contains(string(text), "dead") {
				t.Errorf("%v, left is\n%s", err, text)
			}
		})
	}
}

// TestDiscoveryThatFindsNothing is about a job that the server may not run before
// it has something to scrape, and whose sender wants it looked for all the time.
func TestDiscoveryThatFindsNothing(t *testing.T) {
	t.Parallel()
	for name, start := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manager, client := start(t)
			web := target(t, "web")
			web.JobData = map[string]any{"http_sd_configs": []any{
				map[string]any{"url": "http://" + freeAddress(t) + "/", "refresh_interval": "0s"},
			}}
			// The second time nothing is waited for, and nothing written.
			var before string
			for i, timeout := range []time.Duration{time.Second, time.Nanosecond} {
				manager.TakeTimeout = timeout
				outcomes := apply(t, manager, web)
				if outcomes[0].Err != nil {
					t.Fatalf("time %d: %v", i, outcomes[0].Err)
				}
				if after := snapshot(t, manager); i > 0 && after != before {
					t.Errorf("a second run writes:\n%s\nbefore\n%s", after, before)
				}
				before = snapshot(t, manager)
			}
			if err := client.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestServerRefuses is about what only the server finds wrong.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	for name, start := range servers(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			manager, client := start(t)
			manager.Validator = nil
			web, bad := target(t, "web"), target(t, "bad")
			bad.JobData.(map[string]any)["scrape_timeout"] = "10m"
			outcomes := apply(t, manager, bad, web)
			if err := outcomes[0].Err; err == nil || !strings.Contains(err.Error(), "timeout greater than") {
				t.Errorf("the bad job: %v", err)
			}
			if outcomes[1].Err != nil {
				t.Errorf("the good job: %v", outcomes[1].Err)
			}
			awaitUp(t, client, "web-id-web")

			manager.Base = []byte("global: {scrape_interval: 1s, nonsense: 1}")
			before, _ := os.ReadFile(manager.ConfigFile)
			if _, err := manager.Apply(t.Context(), []prometheusmanual.RemoteJob{web}); err == nil {
				t.Error("a broken base is accepted")
			}
			if after, _ := os.ReadFile(manager.ConfigFile); string(after) != string(before) {
				t.Errorf("the server is left with\n%s", after)
			}
			if err := client.Reload(t.Context()); err != nil {
				t.Errorf("the server does not start with what it is left: %v", err)
			}
		})
	}
}

func apply(t *testing.T, manager *prometheusmanual.Manager, jobs ...prometheusmanual.RemoteJob) []prometheusmanual.Outcome {
	t.Helper()
	outcomes, err := manager.Apply(t.Context(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != len(jobs) {
		t.Fatalf("%d outcomes for %d jobs", len(outcomes), len(jobs))
	}
	for i := range jobs {
		if outcomes[i].Job.ID != jobs[i].ID {
			t.Errorf("outcome %d is that of %v", i, outcomes[i].Job.Request)
		}
	}
	return outcomes
}

func awaitUp(t *testing.T, client *promserver.Client, names ...string) {
	t.Helper()
	for _, name := range names {
		query := fmt.Sprintf("up{job=%q} == 1", name)
		await(t, query, func() (bool, string) {
			samples, err := client.Query(t.Context(), query)
			if err == nil && len(samples) == 1 {
				return true, ""
			}
			targets, _ := client.Targets(t.Context(), name)
			return false, fmt.Sprintf("%v, %v, targets %+v", samples, err, targets)
		})
	}
}

func await(t *testing.T, what string, done func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		ok, state := done()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has not come true: %s", what, state)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// checkModes checks who can read what a manager wrote, and how many
// certificate files there are.
func checkModes(t *testing.T, manager *prometheusmanual.Manager, files int) {
	t.Helper()
	entries, err := os.ReadDir(manager.Certificates.Path)
	if err != nil || len(entries) != files {
		t.Errorf("certificate files: %v, %v, want %d", entries, err, files)
	}
	paths := map[string]fs.FileMode{manager.Certificates.Path: 0o750 | fs.ModeDir, manager.ConfigFile: 0o640}
	for _, entry := range entries {
		paths[filepath.Join(manager.Certificates.Path, entry.Name())] = 0o640
	}
	for path, mode := range paths {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want mode %v", path, info.Mode(), err, mode)
		}
	}
}

// snapshot describes the files of a manager, so that any writing shows.
func snapshot(t *testing.T, manager *prometheusmanual.Manager) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(filepath.Dir(manager.ConfigFile), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err == nil {
			fmt.Fprintln(&all, path, info.ModTime().UnixNano(), info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
