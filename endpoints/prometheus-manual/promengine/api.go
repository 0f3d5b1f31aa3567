package promengine

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/prometheus/model/labels"
)

// handler serves the parts of Prometheus's HTTP API that promserver.Client
// uses, in the forms that Prometheus's documentation gives them.
func (e *Engine) handler() http.Handler {
	mux := http.NewServeMux()
	ready := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("Prometheus Server is Ready.\n"))
	}
	mux.HandleFunc("GET /-/ready", ready)
	mux.HandleFunc("GET /-/healthy", ready)
	mux.HandleFunc("POST /-/reload", e.serveReload)
	mux.HandleFunc("PUT /-/reload", e.serveReload)
	mux.Handle("GET /metrics", promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /api/v1/status/buildinfo", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]string{"version": "embedded"})
	})
	mux.HandleFunc("GET /api/v1/scrape_pools", e.servePools)
	mux.HandleFunc("GET /api/v1/targets", e.serveTargets)
	mux.HandleFunc("GET /api/v1/query", e.serveQuery)
	mux.HandleFunc("POST /api/v1/query", e.serveQuery)
	return mux
}

func (e *Engine) serveReload(w http.ResponseWriter, r *http.Request) {
	err := e.Reload(r.Context())
	var invalid *prometheusmanual.InvalidError
	switch {
	case errors.As(err, &invalid):
		http.Error(w, "failed to reload config: "+invalid.Reason, http.StatusInternalServerError)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func (e *Engine) servePools(w http.ResponseWriter, r *http.Request) {
	pools, err := e.Pools(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, "canceled", err)
		return
	}
	answer(w, map[string][]string{"scrapePools": pools})
}

func (e *Engine) serveTargets(w http.ResponseWriter, r *http.Request) {
	only := r.FormValue("scrapePool")
	targets := []promserver.Target{}
	for pool, active := range e.scrape.TargetsActive() {
		if only != "" && pool != only {
			continue
		}
		for _, target := range active {
			builder := labels.NewBuilder(labels.EmptyLabels())
			t := promserver.Target{
				Pool:   pool,
				URL:    target.URL().String(),
				Labels: target.Labels(builder).Map(),
				Health: string(target.Health()),
			}
			if err := target.LastError(); err != nil {
				t.LastError = err.Error()
			}
			targets = append(targets, t)
		}
	}
	slices.SortFunc(targets, func(a, b promserver.Target) int {
		return strings.Compare(a.Pool+"\x00"+a.URL, b.Pool+"\x00"+b.URL)
	})
	answer(w, map[string]any{"activeTargets": targets, "droppedTargets": []any{}})
}

func (e *Engine) serveQuery(w http.ResponseWriter, r *http.Request) {
	query, err := e.queries.NewInstantQuery(r.Context(), e.db, nil, r.FormValue("query"), time.Now())
	if err != nil {
		fail(w, http.StatusBadRequest, "bad_data", err)
		return
	}
	defer query.Close()
	result := query.Exec(r.Context())
	if result.Err != nil {
		fail(w, http.StatusUnprocessableEntity, "execution", result.Err)
		return
	}
	answer(w, map[string]any{"resultType": result.Value.Type(), "result": result.Value})
}

func answer(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": data})
}

func fail(w http.ResponseWriter, code int, kind string, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": "error", "errorType": kind, "error": err.Error()})
}
