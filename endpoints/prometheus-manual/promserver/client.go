package promserver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
)

// Client speaks to a Prometheus server. It may be used concurrently. It is a
// [prometheusmanual.Server].
type Client struct {
	// URL is where the server listens, such as http://127.0.0.1:9090, with
	// its external path if it has one.
	URL string

	// HTTP makes the requests; by default a client that gives up after 10
	// seconds.
	HTTP *http.Client

	// Signal asks the server to read its configuration again, by SIGHUP or
	// through its service manager. By default the client asks over HTTP, which
	// a server allows if it runs with --web.enable-lifecycle. Only over HTTP
	// does the server say what is wrong with a configuration.
	Signal func(ctx context.Context) error

	// SignalTimeout is how long the server may take to load a configuration
	// after Signal, by default 10 seconds.
	SignalTimeout time.Duration
}

// ErrLifecycleDisabled says that a server does not reload over HTTP.
var ErrLifecycleDisabled = errors.New("the server runs without --web.enable-lifecycle")

// A StatusError is an answer of the server that tells of a failure.
type StatusError struct {
	// Path is what was asked for, Code the HTTP status, and Message what the
	// server says.
	Path    string
	Code    int
	Message string
}

// Error says what the server answered.
func (e *StatusError) Error() string {
	return fmt.Sprintf("Prometheus answers %s with status %d: %s", e.Path, e.Code, e.Message)
}

// Ready returns nil if the server is ready to serve.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.do(ctx, http.MethodGet, "/-/ready", nil)
	return err
}

// AwaitReady waits until the server is ready. It gives up after the timeout, or
// when something comes over ended, which can be nil: how the server's process
// ended.
func (c *Client) AwaitReady(ctx context.Context, timeout time.Duration, ended <-chan error) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		err := c.Ready(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case end := <-ended:
			return fmt.Errorf("the server ended: %v", end)
		case <-deadline.C:
			return fmt.Errorf("the server is not ready after %v: %w", timeout, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Version returns the server's version, such as 2.42.0.
func (c *Client) Version(ctx context.Context) (string, error) {
	var build struct {
		Version string `json:"version"`
	}
	err := c.api(ctx, "/api/v1/status/buildinfo", nil, &build)
	return build.Version, err
}

// Reload makes the server read its configuration again. See
// [prometheusmanual.Server].
func (c *Client) Reload(ctx context.Context) error {
	if c.Signal != nil {
		return c.reloadBySignal(ctx)
	}
	_, err := c.do(ctx, http.MethodPost, "/-/reload", nil)
	var status *StatusError
	if !errors.As(err, &status) {
		return err
	}
	switch status.Code {
	case http.StatusForbidden:
		return ErrLifecycleDisabled
	case http.StatusInternalServerError:
		return prometheusmanual.NewInvalidError(strings.TrimPrefix(status.Message, "failed to reload config: "))
	}
	return err
}

// Of the configuration a server tells in its own metrics:
const (
	reloadTime       = "prometheus_config_last_reload_success_timestamp_seconds"
	reloadSuccessful = "prometheus_config_last_reload_successful"
)

func (c *Client) reloadBySignal(ctx context.Context) error {
	before, err := c.metrics(ctx, reloadTime, reloadSuccessful)
	if err != nil {
		return err
	}
	if err := c.Signal(ctx); err != nil {
		return fmt.Errorf("cannot ask the server to reload: %w", err)
	}
	timeout := c.SignalTimeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	refused := prometheusmanual.NewInvalidError("its log says why")
	for {
		now, err := c.metrics(ctx, reloadTime, reloadSuccessful)
		if err != nil {
			return err
		}
		switch {
		case now[reloadSuccessful] == 1 && now[reloadTime] != before[reloadTime]:
			return nil
		case now[reloadSuccessful] == 0 && before[reloadSuccessful] == 1:
			return refused
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			// A server that had refused one configuration before gives no
			// other sign that it has refused another.
			if now[reloadSuccessful] == 0 {
				return refused
			}
			return fmt.Errorf("the server has not loaded its configuration in %v", timeout)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// metrics returns the values of the server's own metrics of these names that
// have no labels.
func (c *Client) metrics(ctx context.Context, names ...string) (map[string]float64, error) {
	body, err := c.do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	values := make(map[string]float64)
	lines := bufio.NewScanner(strings.NewReader(string(body)))
	lines.Buffer(nil, len(body)+1)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if !slices.Contains(names, name) {
			continue
		}
		if values[name], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, fmt.Errorf("cannot read metric %s of the server: %w", name, err)
		}
	}
	for _, name := range names {
		if _, ok := values[name]; !ok {
			return nil, fmt.Errorf("the server has no metric %s", name)
		}
	}
	return values, nil
}

// Pools returns the names of the jobs that the server runs, sorted. A server
// before version 2.42 tells only of those that have targets.
func (c *Client) Pools(ctx context.Context) ([]string, error) {
	var pools struct {
		ScrapePools []string `json:"scrapePools"`
	}
	err := c.api(ctx, "/api/v1/scrape_pools", nil, &pools)
	var status *StatusError
	if errors.As(err, &status) && status.Code == http.StatusNotFound {
		targets, err := c.Targets(ctx, "")
		if err != nil {
			return nil, err
		}
		for _, target := range targets {
			pools.ScrapePools = append(pools.ScrapePools, target.Pool)
		}
	} else if err != nil {
		return nil, err
	}
	slices.Sort(pools.ScrapePools)
	return slices.Compact(pools.ScrapePools), nil
}

// discovered is what a server counts for each of its jobs as soon as it has
// loaded a configuration.
var discovered = regexp.MustCompile(`(?m)^prometheus_sd_discovered_targets\{config=("(?:[^"\\]|\\.)*"),name="scrape"\} (\S+)$`)

// Idle returns the names of the jobs that the server has no targets for, sorted.
// See [prometheusmanual.Server].
func (c *Client) Idle(ctx context.Context) ([]string, error) {
	body, err := c.do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return nil, err
	}
	var idle []string
	for _, found := range discovered.FindAllSubmatch(body, -1) {
		if string(found[2]) != "0" {
			continue
		}
		name, err := strconv.Unquote(string(found[1]))
		if err != nil {
			return nil, fmt.Errorf("cannot read the name of job %s: %w", found[1], err)
		}
		idle = append(idle, name)
	}
	slices.Sort(idle)
	return idle, nil
}

// Target is something that the server scrapes.
type Target struct {
	// Pool is the job's name, URL what is scraped, and Labels what every series
	// of the target gets.
	Pool   string            `json:"scrapePool"`
	URL    string            `json:"scrapeUrl"`
	Labels map[string]string `json:"labels"`
	Health string            `json:"health"` // up, down or unknown
	// LastError is what went wrong in the last scrape, "" if nothing did.
	LastError string `json:"lastError"`
}

// Targets returns the targets of a job by its name, or of all jobs.
func (c *Client) Targets(ctx context.Context, pool string) ([]Target, error) {
	query := url.Values{"state": {"active"}}
	if pool != "" {
		query.Set("scrapePool", pool)
	}
	var found struct {
		ActiveTargets []Target `json:"activeTargets"`
	}
	if err := c.api(ctx, "/api/v1/targets", query, &found); err != nil {
		return nil, err
	}
	// Servers before 2.42 do not know the parameter.
	return slices.DeleteFunc(found.ActiveTargets, func(t Target) bool { return pool != "" && t.Pool != pool }), nil
}

// Sample is one element of the result of a query.
type Sample struct {
	// Labels include the metric's name, as __name__, where the result has one.
	Labels map[string]string
	Value  float64
}

// Query returns the value of an expression now: the samples of an instant
// vector, in the order in which the server gives them. The error is a
// *[StatusError] if the server cannot evaluate the expression.
func (c *Client) Query(ctx context.Context, expression string) ([]Sample, error) {
	var data struct {
		Type   string `json:"resultType"`
		Result []struct {
			Metric map[string]string `json:"metric"`
			Value  [2]any            `json:"value"`
		} `json:"result"`
	}
	if err := c.api(ctx, "/api/v1/query", url.Values{"query": {expression}}, &data); err != nil {
		return nil, err
	}
	if data.Type != "vector" {
		return nil, fmt.Errorf("cannot read a result of type %q", data.Type)
	}
	samples := make([]Sample, len(data.Result))
	for i, element := range data.Result {
		text, _ := element.Value[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read a sample: %w", err)
		}
		samples[i] = Sample{Labels: element.Metric, Value: value}
	}
	return samples, nil
}

// api asks the server's API and decodes the data of its answer.
func (c *Client) api(ctx context.Context, path string, query url.Values, data any) error {
	body, err := c.do(ctx, http.MethodGet, path, query)
	if err != nil {
		return err
	}
	var answer struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", path, err)
	}
	if err := json.Unmarshal(answer.Data, data); err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", path, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, query url.Values) ([]byte, error) {
	target := strings.TrimSuffix(c.URL, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		return nil, err
	}
	client := c.HTTP
	if client == nil {
		client = &http.Client{Timeout: 10 * time.Second}
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("cannot reach Prometheus: %w", err)
	}
	defer response.Body.Close()
	const largest = 64 << 20
	body, err := io.ReadAll(io.LimitReader(response.Body, largest))
	if err != nil {
		return nil, fmt.Errorf("cannot read the answer of %s: %w", path, err)
	}
	if response.StatusCode/100 != 2 {
		return nil, &StatusError{Path: path, Code: response.StatusCode, Message: message(body)}
	}
	return body, nil
}

// message returns what an answer says of a failure.
func message(body []byte) string {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error != "" {
		return answer.Error
	}
	const longest = 1000
	return strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), longest)]), ""))
}
