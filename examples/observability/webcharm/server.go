package webcharm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/google/renameio/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// ports are where the application serves.
type ports struct {
	HTTP    int `json:"http"`
	Metrics int `json:"metrics"`

	// Host is where the application itself is reached on its machine.
	Host string `json:"host"`
}

func readPorts(path string) (ports, error) {
	var p ports
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("cannot read where the application serves: %w", err)
	}
	return p, nil
}

// serveCommand is the web application.
func serveCommand(ctx context.Context, p hooktool.Process) error {
	set := flag.NewFlagSet("serve", flag.ContinueOnError)
	set.SetOutput(p.Stderr)
	unit := set.String("unit", "", "the unit to show on the page")
	address := set.String("address", "", "the address to listen on, empty for all")
	httpPort := set.Int("http-port", 8080, "the port of the page, 0 for a free one")
	metricsPort := set.Int("metrics-port", 9443, "the port of the metrics, 0 for a free one")
	tlsDir := set.String("tls", "tls", "the directory of the certificates")
	portsFile := set.String("ports", "ports.json", "where to write the ports that are used")
	peersFile := set.String("peers", "peers.json", "where the peers are listed")
	if err := set.Parse(p.Args); err != nil {
		return err
	}

	was, err := readPorts(*portsFile)
	if err != nil {
		was = ports{}
	}
	page, err := listen(*address, *httpPort, was.HTTP)
	if err != nil {
		return err
	}
	defer page.Close()
	metrics, err := listen(*address, *metricsPort, was.Metrics)
	if err != nil {
		return err
	}
	defer metrics.Close()
	now := ports{HTTP: portOf(page), Metrics: portOf(metrics), Host: cmp.Or(*address, "127.0.0.1")}
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(*portsFile, text, 0o644); err != nil {
		return fmt.Errorf("cannot write where the application serves: %w", err)
	}

	registry := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "web_requests_total", Help: "Pages served, by path.",
	}, []string{"path"})
	registry.MustRegister(requests, collectors.NewGoCollector())
	var ready readiness
	pages := http.NewServeMux()
	pages.HandleFunc("GET /{$}", ready.note(func(w http.ResponseWriter, _ *http.Request) {
		requests.WithLabelValues("/").Inc()
		fmt.Fprintf(w, "This is %s.\n", *unit)
		peers, err := readPeers(*peersFile)
		if err != nil {
			fmt.Fprintln(w, "It has lost sight of its peers.")
		}
		for _, peer := range peers {
			fmt.Fprintf(w, "It knows %s at %s.\n", peer.Unit, peer.Address)
		}
	}))
	pages.HandleFunc("POST /echo", ready.note(func(w http.ResponseWriter, r *http.Request) {
		requests.WithLabelValues("/echo").Inc()
		said, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s %s", *unit, said)
	}))
	pages.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	pages.Handle("GET /readyz", &ready)
	numbers := http.NewServeMux()
	numbers.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	servers := []*http.Server{
		{Handler: pages, ReadHeaderTimeout: 10 * time.Second},
		{Handler: numbers, ReadHeaderTimeout: 10 * time.Second, TLSConfig: certificates{*tlsDir}.serverConfig()},
	}
	var running errgroup.Group
	running.Go(func() error { return servers[0].Serve(page) })
	running.Go(func() error { return servers[1].ServeTLS(metrics, "", "") })
	running.Go(func() error {
		<-ctx.Done()
		ready.end()
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err := servers[0].Shutdown(ending)
		return errors.Join(err, servers[0].Close(), servers[1].Close())
	})
	if err := running.Wait(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// listen listens on a port; if that is 0, on the one it had before, else on any.
func listen(address string, port, before int) (net.Listener, error) {
	if port == 0 && before != 0 {
		if listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(before))); err == nil {
			return listener, nil
		}
	}
	return net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port)))
}

func portOf(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }

// awaitServing waits until the application serves, and returns where.
func awaitServing(ctx context.Context, portsFile string, ended <-chan error, healthy func(ctx context.Context, url string) error) (ports, error) {
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	for {
		at, err := readPorts(portsFile)
		if err == nil {
			err = healthy(ctx, fmt.Sprintf("http://%s/healthz", net.JoinHostPort(at.Host, strconv.Itoa(at.HTTP))))
		}
		if err == nil {
			return at, nil
		}
		select {
		case <-ctx.Done():
			return ports{}, ctx.Err()
		case end := <-ended:
			return ports{}, fmt.Errorf("it ended (%v)", end)
		case <-deadline.C:
			return ports{}, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// healthy gets an URL, for what it says of the application.
func healthy(ctx context.Context, url string) error {
	client := http.Client{Timeout: time.Second}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the application answers %s", response.Status)
	}
	return nil
}
