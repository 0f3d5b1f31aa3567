package promengine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promengine"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
)

// TestMain makes this program an engine of its own if it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		os.Exit(promengine.Main(context.Background(), os.Args[2:], os.Stderr))
	}
	os.Exit(m.Run())
}

func exporter(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "answer 42")
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func config(name, target string) string {
	return fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: %s, static_configs: [{targets: [%q]}]}]\n", name, target)
}

func await(t *testing.T, client *promserver.Client, query string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		samples, err := client.Query(t.Context(), query)
		if err == nil && len(samples) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s has not come true: %v, %v", query, samples, err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestEngine(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	target := exporter(t)
	write(t, file, config("one", target))
	engine, err := promengine.Start(t.Context(), promengine.Options{ConfigFile: file})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(engine.Close(), engine.Close()); err != nil {
			t.Error(err)
		}
		if err := engine.Client().Ready(context.WithoutCancel(t.Context())); err == nil {
			t.Error("a closed engine is ready")
		}
	}()
	client := engine.Client()
	if err := client.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, client, `answer{job="one"} == 42`)
	await(t, client, `up{job="one"} == 1`)

	write(t, file, config("two", target))
	if err := client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, client, `up{job="two"} == 1`)
	pools, err := client.Pools(t.Context())
	if err != nil || len(pools) != 1 || pools[0] != "two" {
		t.Errorf("pools %q, %v", pools, err)
	}

	write(t, file, "scrape_configs: [{job_name: a, foo: 1}]")
	for _, reload := range []func(context.Context) error{client.Reload, engine.Reload} {
		var invalid *prometheusmanual.InvalidError
		if err := reload(t.Context()); !errors.As(err, &invalid) || !strings.Contains(invalid.Reason, "field foo not found") {
			t.Errorf("got %v", err)
		}
	}
	await(t, client, `up{job="two"} == 1`)

	var status *promserver.StatusError
	if _, err := client.Query(t.Context(), `up{`); !errors.As(err, &status) || status.Code != 400 ||
		!strings.Contains(status.Message, "parse error") {
		t.Errorf("got %v", err)
	}
	if _, err := client.Query(t.Context(), `1`); err == nil {
		t.Error("a scalar is taken for samples")
	}
	if version, err := client.Version(t.Context()); err != nil || version == "" {
		t.Errorf("version %q, %v", version, err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	write(t, file, "nonsense: 1")
	_, err := promengine.Start(t.Context(), promengine.Options{ConfigFile: file})
	var invalid *prometheusmanual.InvalidError
	if !errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	write(t, file, "")
	if _, err := promengine.Start(t.Context(), promengine.Options{ConfigFile: file, ListenAddress: listener.Addr().String()}); err == nil {
		t.Error("two servers have the same address")
	}
	var stderr bytes.Buffer
	if code := promengine.Main(t.Context(), []string{"--no-such-flag"}, &stderr); code != 2 || stderr.Len() == 0 {
		t.Errorf("code %d, %s", code, &stderr)
	}
}

// TestDaemon runs an engine as a process of its own, which outlives what
// started it.
func TestDaemon(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	daemon := promserver.Daemon{
		Path: program, Args: []string{"engine"}, Dir: dir, DataDir: filepath.Join(dir, "data"),
		ConfigFile: filepath.Join(dir, "prometheus.yml"), ListenAddress: listener.Addr().String(),
	}
	write(t, daemon.ConfigFile, config("one", exporter(t)))
	t.Cleanup(func() {
		if err := daemon.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})

	if _, err := daemon.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Fatalf("got %v", err)
	}
	listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	started, err := daemon.Start(ctx)
	cancel()
	if err != nil || !started || daemon.PID() == 0 {
		t.Fatalf("started is %v: %v", started, err)
	}
	if started, err := daemon.Start(t.Context()); err != nil || started {
		t.Errorf("started again is %v: %v", started, err)
	}
	client := daemon.Client()
	await(t, client, `up{job="one"} == 1`)

	pid := pidOf(t, dir)
	client.Signal = func(context.Context) error { return syscall.Kill(pid, syscall.SIGHUP) }
	write(t, daemon.ConfigFile, config("two", exporter(t)))
	if err := client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, client, `up{job="two"} == 1`)
	client.SignalTimeout = 2 * time.Second
	for range 2 {
		write(t, daemon.ConfigFile, "nonsense: 1")
		var invalid *prometheusmanual.InvalidError
		if err := client.Reload(t.Context()); !errors.As(err, &invalid) {
			t.Errorf("got %v", err)
		}
	}
	if err := daemon.Stop(t.Context()); err != nil || daemon.PID() > 0 {
		t.Errorf("stopped: %v, pid is %d", err, daemon.PID())
	}
	if err := daemon.Stop(t.Context()); err != nil {
		t.Errorf("stopped again: %v", err)
	}
}

func pidOf(t *testing.T, dir string) (pid int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "prometheus.pid"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}
