package charmmetrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/reactive"
)

// DefaultDir is where Debian's and Ubuntu's node exporter looks for files.
const DefaultDir = "/var/lib/prometheus/node-exporter"

// Options say what to write and where. The zero value works.
type Options struct {
	// Dir is the directory of the textfile collector; "" is [DefaultDir].
	// Nothing is done as long as it does not exist.
	Dir string
	// Requests are the ends of relations whose requests are counted.
	Requests []Requests
}

// Requests counts the requests of one endpoint.
type Requests struct {
	endpoint                        string
	answered, unanswered, malformed func() int
}

// RequestsOf counts the requests of a requester or responder.
func RequestsOf[Req, Resp any](endpoint string, end interface {
	Answered() []*reactive.Request[Req, Resp]
	Unanswered() []*reactive.Request[Req, Resp]
	Malformed() []error
}) Requests {
	return Requests{
		endpoint:   endpoint,
		answered:   func() int { return len(end.Answered()) },
		unanswered: func() int { return len(end.Unanswered()) },
		malformed:  func() int { return len(end.Malformed()) },
	}
}

// dataKey is where the counters are kept in unit data.
const dataKey = "reactive.charmmetrics"

// counters are what is carried from hook to hook.
type counters struct {
	// Counted is when the last dispatch began that was counted.
	Counted  time.Time             `json:"counted"`
	Hooks    map[string]hookCounts `json:"hooks"`
	Handlers map[string]int64      `json:"handlers"`
}

type hookCounts struct {
	Runs         int64     `json:"runs"`
	Failures     int64     `json:"failures,omitempty"`
	LastDuration float64   `json:"last_duration"`
	LastSuccess  time.Time `json:"last_success,omitzero"`
}

// count adds a dispatch.
func (c *counters) count(r *reactive.Record) {
	if c.Hooks == nil {
		c.Hooks, c.Handlers = make(map[string]hookCounts), make(map[string]int64)
	}
	h := c.Hooks[r.Hook]
	h.Runs++
	h.LastDuration = r.Duration.Seconds()
	if r.Error != "" {
		h.Failures++
	} else {
		h.LastSuccess = r.Time
	}
	c.Hooks[r.Hook] = h
	for _, s := range r.Steps {
		if !s.IsChange() {
			c.Handlers[s.Handler]++
		}
	}
	c.Counted = r.Time
}

// Register makes the charm write its metrics.
//
// A hook that fails leaves nothing in the charm state, so no hook counts
// itself: each adds those that ended before it, which are on record in the
// charm directory.
func Register(charm *reactive.Charm, opts Options) {
	if opts.Dir == "" {
		opts.Dir = DefaultDir
	}
	w := &writer{opts: opts, charm: charm.Name()}
	charm.OnStart(w.start)
	charm.OnRecord(w.end)
}

type writer struct {
	opts  Options
	charm string
	// before are the counters of all dispatches before this one, nil if the
	// charm does not write them here.
	before *counters
}

func (w *writer) start(_ context.Context, h *reactive.Hook) error {
	w.before = nil
	if info, err := os.Stat(w.opts.Dir); err != nil || !info.IsDir() {
		return nil
	}
	c := new(counters)
	if _, err := h.Data().Get(dataKey, c); err != nil {
		// Counters that cannot be read are not worth a failed hook.
		c = new(counters)
	}
	records, err := reactive.ReadRecords(h.CharmDir())
	if err != nil {
		return err
	}
	last := c.Counted
	for i := range records {
		if records[i].Time.After(last) {
			c.count(&records[i])
		}
	}
	w.before = c
	if c.Counted.Equal(last) {
		return nil
	}
	return h.Data().Set(dataKey, c)
}

func (w *writer) end(ctx context.Context, h *reactive.Hook, record *reactive.Record) {
	if w.before == nil {
		return
	}
	path := filepath.Join(w.opts.Dir, "juju_"+strings.ReplaceAll(h.Unit(), "/", "-")+".prom")
	var err error
	if record.Hook == "remove" && record.Error == "" {
		// The unit is gone, and so are its series.
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		w.before.count(record)
		err = writeFile(path, w.text(h, record))
	}
	if err != nil {
		h.Log().WarnContext(ctx, "cannot write the charm's metrics", "error", err)
	}
}

// writeFile replaces a file at once: the collector sees the old one or the new.
func writeFile(path string, data []byte) error {
	// The collector reads only names that end with .prom. A unit runs one hook
	// at a time: what a killed one left is taken away by the next, and no name
	// is opened that somebody else has put there.
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// text returns the metrics in Prometheus's text format.
func (w *writer) text(h *reactive.Hook, record *reactive.Record) []byte {
	model, uuid := h.Model()
	t := &text{labels: labels(
		"juju_model", model, "juju_model_uuid", uuid, "juju_application", h.Application(), "juju_unit", h.Unit(), "juju_charm", w.charm,
	)}
	c := w.before
	t.family("juju_charm_hook_runs_total", "counter", "Hooks that ran to their end, failed ones included.")
	for _, hook := range slices.Sorted(maps.Keys(c.Hooks)) {
		t.sample(float64(c.Hooks[hook].Runs), "hook", hook)
	}
	t.family("juju_charm_hook_failures_total", "counter", "Hooks that failed.")
	for _, hook := range slices.Sorted(maps.Keys(c.Hooks)) {
		t.sample(float64(c.Hooks[hook].Failures), "hook", hook)
	}
	t.family("juju_charm_hook_last_duration_seconds", "gauge", "How long the last run of the hook took.")
	for _, hook := range slices.Sorted(maps.Keys(c.Hooks)) {
		t.sample(c.Hooks[hook].LastDuration, "hook", hook)
	}
	t.family("juju_charm_hook_last_success_timestamp_seconds", "gauge", "When the hook last went well.")
	for _, hook := range slices.Sorted(maps.Keys(c.Hooks)) {
		if last := c.Hooks[hook].LastSuccess; !last.IsZero() {
			t.sample(float64(last.UnixMilli())/1e3, "hook", hook)
		}
	}
	t.family("juju_charm_handler_runs_total", "counter", "Runs of the charm's handlers.")
	for _, handler := range slices.Sorted(maps.Keys(c.Handlers)) {
		t.sample(float64(c.Handlers[handler]), "handler", handler)
	}
	t.family("juju_charm_flags", "gauge", "Flags that are set at the end of the last hook.")
	t.sample(float64(flagsAfter(record)))
	if len(w.opts.Requests) > 0 {
		t.family("juju_charm_relation_requests", "gauge", "Requests over relations, by what became of them.")
		for _, r := range w.opts.Requests {
			t.sample(float64(r.answered()), "endpoint", r.endpoint, "state", "answered")
			t.sample(float64(r.unanswered()), "endpoint", r.endpoint, "state", "unanswered")
			t.sample(float64(r.malformed()), "endpoint", r.endpoint, "state", "malformed")
		}
	}
	t.family("juju_charm_info", "gauge", "The charm and what it is made with; always 1.")
	t.sample(1, "charm_version", fileLine(h.Path("version")), "charm_revision", fileLine(h.Path("revision")), "framework_version", frameworkVersion())
	return t.Bytes()
}

// flagsAfter counts the flags that are set at the end of a dispatch. Of one
// that failed nothing is kept.
func flagsAfter(r *reactive.Record) int {
	set := make(map[string]bool)
	for _, f := range r.Flags {
		set[f] = true
	}
	if r.Error == "" {
		for _, s := range r.Steps {
			if s.IsChange() {
				set[s.Flag] = s.Set
			}
		}
	}
	n := 0
	for _, on := range set {
		if on {
			n++
		}
	}
	return n
}

// fileLine returns the first line of a file of the charm, or "".
func fileLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return strings.TrimSpace(string(line[:min(len(line), 100)]))
}

func frameworkVersion() string {
	const module = "github.com/charmed-go/charms"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	if info.Main.Path == module {
		return info.Main.Version
	}
	return ""
}

// A text is metrics in Prometheus's text format.
type text struct {
	bytes.Buffer
	labels string // of all samples
	name   string
}

func (t *text) family(name, kind, help string) {
	t.name = name
	fmt.Fprintf(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func (t *text) sample(value float64, pairs ...string) {
	all := t.labels
	if len(pairs) > 0 {
		all = labels(pairs...) + "," + all
	}
	fmt.Fprintf(t, "%s{%s} %v\n", t.name, all, value)
}

// labels writes names and values as labels.
func labels(pairs ...string) string {
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `%s="%s"`, pairs[i], escape.Replace(strings.ToValidUTF8(pairs[i+1], "�")))
	}
	return b.String()
}
