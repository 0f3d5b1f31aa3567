package promserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
)

// serve serves fixed answers by method and path.
func serve(t *testing.T, answers map[string]string) *promserver.Client {
	t.Helper()
	mux := http.NewServeMux()
	for pattern, text := range answers {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			code := 200
			if n, _ := fmt.Sscanf(text, "%d ", &code); n == 1 {
				text := text[4:]
				http.Error(w, text, code)
				return
			}
			fmt.Fprint(w, text)
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &promserver.Client{URL: server.URL + "/"}
}

func TestReload(t *testing.T) {
	t.Parallel()
	ok := serve(t, map[string]string{"POST /-/reload": ""})
	if err := ok.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	refused := serve(t, map[string]string{"POST /-/reload": "500 failed to reload config: one or more errors"})
	var invalid *prometheusmanual.InvalidError
	if err := refused.Reload(t.Context()); !errors.As(err, &invalid) || invalid.Reason != "one or more errors" {
		t.Errorf("got %v", err)
	}
	disabled := serve(t, map[string]string{"POST /-/reload": "403 Lifecycle API is not enabled."})
	if err := disabled.Reload(t.Context()); !errors.Is(err, promserver.ErrLifecycleDisabled) {
		t.Errorf("got %v", err)
	}
	busy := serve(t, map[string]string{"POST /-/reload": "503 later"})
	var status *promserver.StatusError
	if err := busy.Reload(t.Context()); !errors.As(err, &status) || status.Code != 503 || errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
	if err := (&promserver.Client{URL: "http://127.0.0.1:1"}).Reload(t.Context()); err == nil || errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
}

func TestReloadBySignal(t *testing.T) {
	t.Parallel()
	const metrics = "# HELP x y\nprometheus_config_last_reload_success_timestamp_seconds 1.7e+09\nprometheus_config_last_reload_successful %d\n"
	var invalid *prometheusmanual.InvalidError
	for _, test := range []struct {
		name       string
		successful int
		refused    bool
	}{{"silent", 1, false}, {"refuses again", 0, true}} {
		client := serve(t, map[string]string{"GET /metrics": fmt.Sprintf(metrics, test.successful)})
		client.SignalTimeout = 50 * time.Millisecond
		asked := 0
		client.Signal = func(context.Context) error { asked++; return nil }
		err := client.Reload(t.Context())
		if err == nil || errors.As(err, &invalid) != test.refused || asked != 1 {
			t.Errorf("%s: asked %d times, got %v", test.name, asked, err)
		}
	}
	client := serve(t, map[string]string{"GET /metrics": "other 1\n"})
	client.Signal = func(context.Context) error { return nil }
	if err := client.Reload(t.Context()); err == nil {
		t.Error("a server without metrics has reloaded")
	}
}

func TestPoolsOfOldServers(t *testing.T) {
	t.Parallel()
	client := serve(t, map[string]string{"GET /api/v1/targets": `{"data": {"activeTargets": [
		{"scrapePool": "b"}, {"scrapePool": "a"}, {"scrapePool": "b"}]}}`})
	pools, err := client.Pools(t.Context())
	if err != nil || !slices.Equal(pools, []string{"a", "b"}) {
		t.Errorf("got %q, %v", pools, err)
	}
	targets, err := client.Targets(t.Context(), "b")
	if err != nil || len(targets) != 2 {
		t.Errorf("got %v, %v", targets, err)
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	client := serve(t, map[string]string{"GET /metrics": `# TYPE prometheus_sd_discovered_targets gauge
prometheus_sd_discovered_targets{config="web \"x\"\\",name="scrape"} 0
prometheus_sd_discovered_targets{config="a",name="scrape"} 0
prometheus_sd_discovered_targets{config="full",name="scrape"} 10
prometheus_sd_discovered_targets{config="config-0",name="notify"} 0
`})
	idle, err := client.Idle(t.Context())
	if want := []string{"a", `web "x"\`}; err != nil || !slices.Equal(idle, want) {
		t.Errorf("got %q, %v, want %q", idle, err, want)
	}
}

func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "null", "[]", `{"data": 5}`, `{"data": {"resultType": "vector", "result": [{"value": [1, "x"]}]}}`,
		`{"data": {"resultType": "vector", "result": [{"value": 5}]}}`, `{"data": {"resultType": "matrix"}}`} {
		client := serve(t, map[string]string{"GET /api/v1/query": text})
		if samples, err := client.Query(t.Context(), "up"); err == nil {
			t.Errorf("%s gives %v", text, samples)
		}
	}
}

func TestDaemonThatEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "prometheus")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no way >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	daemon := promserver.Daemon{Path: program, Dir: dir, DataDir: dir, ListenAddress: "127.0.0.1:1"}
	_, err := daemon.Start(t.Context())
	if err == nil || daemon.PID() > 0 {
		t.Fatalf("got %v", err)
	}
}
