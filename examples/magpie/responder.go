package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/google/renameio/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
)

// respond is the command "responder": it answers the checks of the peers, and
// serves the results of this unit's own checks as metrics, until ctx is done.
func respond(ctx context.Context, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	var config responderConfig
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("cannot read the configuration %s: %w", path, err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	group, ctx := errgroup.WithContext(ctx)
	running, err := netcheck.Responder{Addresses: config.Addresses, Port: uint16(config.Port), Allow: config.Allow, Logger: log}.Start(ctx)
	if err != nil {
		return err
	}
	group.Go(running.Wait)
	if config.MetricsPort != 0 {
		registry := prometheus.NewRegistry()
		registry.MustRegister(reportCollector{config.Report})
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
		for _, addr := range config.Addresses {
			l, err := net.Listen("tcp", net.JoinHostPort(addr.String(), strconv.Itoa(config.MetricsPort)))
			if err != nil {
				return fmt.Errorf("cannot serve metrics: %w", err)
			}
			server := &http.Server{
				Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
			}
			group.Go(func() error {
				if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
					return fmt.Errorf("cannot serve metrics: %w", err)
				}
				return nil
			})
			context.AfterFunc(ctx, func() { server.Close() })
		}
	}
	log.Info("serving", "config", config.String())
	if config.PidFile != "" {
		mine := strconv.Itoa(os.Getpid())
		if err := renameio.WriteFile(config.PidFile, []byte(mine+"\n"), 0o644); err != nil {
			return fmt.Errorf("cannot write the PID file: %w", err)
		}
		group.Go(func() error { return untilReplaced(ctx, config.PidFile, mine) })
	}
	// Whoever started it as a service of systemd waits for this.
	if _, err := daemon.SdNotify(true, daemon.SdNotifyReady); err != nil {
		return fmt.Errorf("cannot tell systemd that the responder is ready: %w", err)
	}
	if err := group.Wait(); err != nil && !errors.Is(err, errReplaced) {
		return err
	}
	return nil
}

var errReplaced = errors.New("the PID file is gone or names another process")

// untilReplaced ends when the PID file no longer names this process: the charm
// does not want it any more, or is gone.
func untilReplaced(ctx context.Context, path, mine string) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			text, err := os.ReadFile(path)
			if err != nil || strings.TrimSpace(string(text)) != mine {
				return errReplaced
			}
		}
	}
}

// A reportCollector makes metrics of the last report.
type reportCollector struct {
	path string
}

var (
	checkOK    = prometheus.NewDesc("magpie_check_ok", "Whether a check found nothing wrong (1) or something (0). Skipped checks have no value.", []string{"check", "peer"}, nil)
	roundTrip  = prometheus.NewDesc("magpie_round_trip_seconds", "Round trips, by check and statistic: min, median, p99 and max.", []string{"check", "peer", "stat"}, nil)
	lossRatio  = prometheus.NewDesc("magpie_packet_loss_ratio", "The share of packets that were lost.", []string{"check", "peer"}, nil)
	pathMTU    = prometheus.NewDesc("magpie_path_mtu_bytes", "The largest packet that reaches the peer.", []string{"peer"}, nil)
	throughput = prometheus.NewDesc("magpie_throughput_bits_per_second", "The throughput to the peer.", []string{"peer"}, nil)
	lastCheck  = prometheus.NewDesc("magpie_last_check_timestamp_seconds", "When the checks last began.", nil, nil)
	checkTime  = prometheus.NewDesc("magpie_check_duration_seconds", "How long all checks took.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (c reportCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{checkOK, roundTrip, lossRatio, pathMTU, throughput, lastCheck, checkTime} {
		to <- d
	}
}

// Collect implements [prometheus.Collector]. Before the first report there are
// no metrics.
func (c reportCollector) Collect(to chan<- prometheus.Metric) {
	text, err := os.ReadFile(c.path)
	if err != nil {
		return
	}
	var report netcheck.Report
	if err := json.Unmarshal(text, &report); err != nil {
		to <- prometheus.NewInvalidMetric(lastCheck, fmt.Errorf("cannot read the report: %w", err))
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	latency := func(check netcheck.Kind, peer string, l netcheck.Latency) {
		if l.Samples == 0 {
			return
		}
		for stat, d := range map[string]time.Duration{"min": l.Min, "median": l.Median, "p99": l.P99, "max": l.Max} {
			gauge(roundTrip, d.Seconds(), string(check), peer, stat)
		}
	}
	gauge(lastCheck, float64(report.Began.UnixMilli())/1000)
	gauge(checkTime, report.Took.Seconds())
	for _, o := range report.Outcomes() {
		switch o.State {
		case netcheck.OK:
			gauge(checkOK, 1, string(o.Check), o.Peer)
		case netcheck.Failed:
			gauge(checkOK, 0, string(o.Check), o.Peer)
		}
	}
	for _, p := range report.Peers {
		if r := p.TCP; r != nil {
			latency(netcheck.KindTCP, p.Name, r.Latency)
		}
		if r := p.UDP; r != nil && r.Sent > 0 {
			latency(netcheck.KindUDP, p.Name, r.Latency)
			gauge(lossRatio, r.Loss(), string(netcheck.KindUDP), p.Name)
		}
		if r := p.ICMP; r != nil && r.Sent > 0 {
			latency(netcheck.KindICMP, p.Name, r.Latency)
			gauge(lossRatio, r.Loss(), string(netcheck.KindICMP), p.Name)
		}
		if r := p.MTU; r != nil && r.Path > 0 {
			gauge(pathMTU, float64(r.Path), p.Name)
		}
		if r := p.Throughput; r != nil && r.State != netcheck.Skipped {
			gauge(throughput, r.BitsPerSecond, p.Name)
		}
	}
}
