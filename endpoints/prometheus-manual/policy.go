package prometheusmanual

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// What a zero Policy allows of each.
const (
	DefaultMaxJobData        = 256 << 10
	DefaultMaxPEM            = 64 << 10
	DefaultMaxJobs           = 100
	DefaultMaxRelabelRules   = 100
	DefaultMinScrapeInterval = time.Second
)

// Policy says what a job that comes from another application may ask of the
// server. Its zero value is the recommended policy: only fields from a list
// of harmless ones; no file of the server's host is read or written, beside
// the certificates that the request itself carries; targets are found by
// static_configs or by Kubernetes, DNS, HTTP or Consul, none of which may use
// the identity of the server's host; sizes are bounded; labels that say where
// a series comes from cannot be forged.
//
// What the policy does not limit is whom the server speaks to: a scrape job is
// a request to connect to an address. What the server can reach and others
// must not is for the network to protect.
//
// The fields of a Policy loosen or tighten that.
type Policy struct {
	// Trusted lists the applications and relations (by name and by ID, such
	// as "etcd" and "manual-jobs:3") whose jobs may use the whole language of
	// Prometheus. Sizes are still bounded, certificates still checked, and
	// nothing else is changed in their jobs.
	Trusted []string

	// Discovery lists further kinds of service discovery that are allowed,
	// such as "ec2". Their fields that read a file of the server's host are
	// refused all the same.
	Discovery []string

	// OAuth2, Proxy and HTTPHeaders allow the fields of these names
	// (proxy_from_environment stays refused, as do their files).
	OAuth2      bool
	Proxy       bool
	HTTPHeaders bool

	// InlineCertificates allows ca, cert and key in a tls_config, which
	// servers know since version 2.45.
	InlineCertificates bool

	// HonorLabels leaves honor_labels as a job has it, so that what a target
	// exposes may override the labels that the server gives it. Otherwise it
	// is false in every job.
	HonorLabels bool

	// MinScrapeInterval is the shortest interval between scrapes, and between
	// two looks at a service discovery: shorter ones are raised to it.
	MinScrapeInterval time.Duration

	// Limits caps what one job may bring in.
	Limits Limits

	// Labels are set on every target and every series of every job, over what
	// the job says. The application that a job comes from is always set, as
	// juju_application; juju_model and juju_model_uuid belong here.
	Labels map[string]string

	// MaxJobData and MaxPEM are in bytes, of the JSON text of job_data and of
	// each PEM text. MaxJobs is for each relation, MaxRelabelRules for each
	// list of rules. Zero stands for the default.
	MaxJobData      int
	MaxPEM          int
	MaxJobs         int
	MaxRelabelRules int
}

// Limits are caps on the limits of a scrape job that have the same names. A
// job gets the smaller of its own and of these; zero is no cap.
type Limits struct {
	// SampleLimit is for each scrape, TargetLimit for the whole job, LabelLimit
	// for each series. The two limits of lengths are in bytes.
	SampleLimit           int64
	TargetLimit           int64
	LabelLimit            int64
	LabelNameLengthLimit  int64
	LabelValueLengthLimit int64

	// BodySizeLimit is in bytes.
	BodySizeLimit int64
}

// Global holds what a server's global section says of jobs that do not.
type Global struct {
	// ScrapeInterval is the time between two scrapes of a target, and
	// ScrapeTimeout how long one may take.
	ScrapeInterval time.Duration
	ScrapeTimeout  time.Duration
}

// RemoteJob is a scrape job as the requirer gets it: a request and where it comes
// from.
type RemoteJob struct {
	Request

	// Relation is the relation's ID, such as manual-jobs:3. Application and
	// Unit are the remote application's and the sending unit's names.
	Relation    string
	Application string
	Unit        string

	// Response is what was answered before, nil if nothing was.
	Response *Response
}

// Scrape is a job that the policy accepts, as the server gets it.
type Scrape struct {
	// Job is the job as it came.
	Job RemoteJob

	// Name is the job's name in the server.
	Name string

	// Config is the whole scrape_config.
	Config map[string]any

	// Files are the certificate files that Config names.
	Files []File

	// Notes say what the policy changed in the job, in words.
	Notes []string
}

// Accept checks a job and returns it as the server gets it, its certificates
// in dir. The error is a *[Refusal].
func (p Policy) Accept(job RemoteJob, global Global, dir string) (Scrape, error) {
	c := checker{
		policy:      p,
		job:         job.JobName,
		global:      global.withDefaults(),
		carriesCA:   job.CACert != "",
		carriesCert: job.ClientCert != "" && job.ClientKey != "",
	}
	if err := c.request(job.Request); err != nil {
		return Scrape{}, err
	}
	sent, err := job.named()
	if err != nil {
		return Scrape{}, refuse(job.JobName, "", "%v", err)
	}
	if err := c.values("", sent, 0); err != nil {
		return Scrape{}, err
	}
	if !p.trusts(job) {
		if err := c.scrapeConfig(sent); err != nil {
			return Scrape{}, err
		}
	}
	files, paths, err := certificates(job, dir)
	if err != nil {
		return Scrape{}, err
	}
	config, err := job.ScrapeConfig(paths)
	if err != nil {
		return Scrape{}, refuse(job.JobName, "", "%v", err)
	}
	if !p.trusts(job) {
		c.restrict(config, job.Application)
	}
	return Scrape{
		Job:    job,
		Name:   job.Name(),
		Config: config,
		Files:  filesNamedIn(config, files),
		Notes:  c.notes,
	}, nil
}

func (p Policy) trusts(job RemoteJob) bool {
	return slices.Contains(p.Trusted, job.Relation) || slices.Contains(p.Trusted, job.Application)
}

func (g Global) withDefaults() Global {
	if g.ScrapeInterval <= 0 {
		g.ScrapeInterval = time.Minute
	}
	if g.ScrapeTimeout <= 0 {
		g.ScrapeTimeout = 10 * time.Second
	}
	return g
}

// request checks what is bounded for every job, trusted or not.
func (c *checker) request(r Request) error {
	switch {
	case r.JobName == "":
		return refuse(c.job, "job_name", "is empty")
	case len(r.JobName) > maxName || !isPlain(r.JobName):
		return refuse(c.job, "job_name", "is longer than %d bytes or holds control characters", maxName)
	case r.ID == "":
		return refuse(c.job, "request_id", "is empty")
	case len(r.ID) > maxName || !isPlain(r.ID):
		return refuse(c.job, "request_id", "is longer than %d bytes or holds control characters", maxName)
	}
	if _, ok := r.JobData.(map[string]any); !ok {
		return refuse(c.job, "job_data", "is not an object")
	}
	text, err := canonicaljson.Encode(r.JobData)
	if err != nil {
		return refuse(c.job, "job_data", "is not JSON")
	}
	if limit := cmp.Or(c.policy.MaxJobData, DefaultMaxJobData); len(text) > limit {
		return refuse(c.job, "job_data", "has %d bytes, more than %d", len(text), limit)
	}
	limit := cmp.Or(c.policy.MaxPEM, DefaultMaxPEM)
	for _, pem := range []struct{ name, text string }{
		{"ca_cert", r.CACert}, {"client_cert", r.ClientCert}, {"client_key", r.ClientKey},
	} {
		if len(pem.text) > limit {
			return refuse(c.job, pem.name, "has %d bytes, more than %d", len(pem.text), limit)
		}
	}
	return nil
}

// maxName bounds job names and request IDs, in bytes.
const maxName = 256

// restrict changes in an accepted job what the policy does not leave to it.
func (c *checker) restrict(config map[string]any, application string) {
	if config["honor_labels"] == true && !c.policy.HonorLabels {
		config["honor_labels"] = false
		c.note("honor_labels is set to false")
	}
	limits := c.policy.Limits
	c.limit(config, "sample_limit", limits.SampleLimit)
	c.limit(config, "target_limit", limits.TargetLimit)
	c.limit(config, "label_limit", limits.LabelLimit)
	c.limit(config, "label_name_length_limit", limits.LabelNameLengthLimit)
	c.limit(config, "label_value_length_limit", limits.LabelValueLengthLimit)
	if own, _ := parseSize(text(config["body_size_limit"])); limits.BodySizeLimit > 0 &&
		(own == 0 || own > limits.BodySizeLimit) {
		config["body_size_limit"] = strconv.FormatInt(limits.BodySizeLimit, 10) + "B"
		c.noteLowered("body_size_limit", own)
	}
	interval, timeout := c.raiseIntervals(config)

	labels := maps.Clone(c.policy.Labels)
	if labels == nil {
		labels = make(map[string]string)
	}
	labels["juju_application"] = application
	var origin []any
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		origin = append(origin, setLabel(name, labels[name]))
	}
	pace := []any{
		setLabel("__scrape_interval__", formatDuration(interval)),
		setLabel("__scrape_timeout__", formatDuration(timeout)),
	}
	config["relabel_configs"] = slices.Concat(list(config["relabel_configs"]), origin, pace)
	config["metric_relabel_configs"] = slices.Concat(list(config["metric_relabel_configs"]), origin)
}

// raiseIntervals raises the intervals that are too short and returns the
// job's interval and timeout.
func (c *checker) raiseIntervals(config map[string]any) (interval, timeout time.Duration) {
	shortest := cmp.Or(c.policy.MinScrapeInterval, DefaultMinScrapeInterval)
	raise := func(path string, section map[string]any, key string, least time.Duration) {
		if d, ok := parseDuration(text(section[key])); ok && least <= d && d < shortest {
			section[key] = formatDuration(shortest)
			c.note("%s is raised from %s to %s", path, formatDuration(d), section[key])
		}
	}
	// To scrape every 0 s is to scrape as often as the server does by default.
	// A server that is to look at a service discovery every 0 s panics.
	raise("scrape_interval", config, "scrape_interval", 1)
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if !strings.HasSuffix(key, discoverySuffix) {
			continue
		}
		for i, section := range list(config[key]) {
			if fields, ok := section.(map[string]any); ok {
				raise(fmt.Sprintf("%s[%d].refresh_interval", key, i), fields, "refresh_interval", 0)
			}
		}
	}
	interval, _ = parseDuration(text(config["scrape_interval"]))
	interval = cmp.Or(interval, c.global.ScrapeInterval)
	timeout, _ = parseDuration(text(config["scrape_timeout"]))
	timeout = cmp.Or(timeout, min(c.global.ScrapeTimeout, interval))
	return interval, timeout
}

func (c *checker) limit(config map[string]any, key string, limit int64) {
	if limit <= 0 {
		return
	}
	number, _ := config[key].(json.Number)
	own, err := number.Int64()
	if errors.Is(err, strconv.ErrRange) {
		own = limit + 1
	}
	if own <= 0 || own > limit {
		config[key] = json.Number(strconv.FormatInt(limit, 10))
		c.noteLowered(key, own)
	}
}

func (c *checker) noteLowered(key string, own int64) {
	if own > 0 {
		c.note("%s is lowered to the operator's limit", key)
	}
}

func (c *checker) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

// setLabel is the relabelling rule that sets a label whatever was there.
func setLabel(name, value string) map[string]any {
	return map[string]any{
		"target_label": name,
		"replacement":  strings.ReplaceAll(value, "$", "$$"),
	}
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func text(v any) string {
	s, _ := v.(string)
	return s
}
