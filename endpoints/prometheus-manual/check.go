package prometheusmanual

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// A checker goes through one job and stops at the first field that the
// policy does not allow.
type checker struct {
	policy Policy
	global Global
	job    string

	// carriesCA and carriesCert say which PEM texts came with the request.
	carriesCA   bool
	carriesCert bool

	relabels bool
	notes    []string
}

func (c *checker) refuse(path, format string, args ...any) error {
	return refuse(c.job, path, format, args...)
}

// notAllowed refuses a field by its name alone.
func (c *checker) notAllowed(path string) error {
	return c.refuse(path, "is not allowed in a scrape job of another application")
}

// values checks what must hold of every value, in whatever field: it can be
// written as YAML and read back as the same.
func (c *checker) values(path string, v any, depth int) error {
	const deepest = 20
	if depth > deepest {
		return c.refuse("job_data", "is nested more than %d levels deep", deepest)
	}
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
			return c.refuse(path, "is not valid text")
		}
	case canonicaljson.Float:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return c.refuse(path, "is not a finite number")
		}
	case []any:
		for i, e := range v {
			if err := c.values(fmt.Sprintf("%s[%d]", path, i), e, depth+1); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if len(key) > maxName || !isPlain(key) {
				return c.refuse(path, "has a key that is longer than %d bytes or holds control characters", maxName)
			}
			if err := c.values(join(path, key), v[key], depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) scrapeConfig(job map[string]any) error {
	c.relabels = len(list(job["relabel_configs"])) > 0
	return c.fields("", job, func(key, path string, v any) error {
		switch key {
		case "job_name", "honor_labels", "honor_timestamps", "track_timestamps_staleness",
			"scrape_protocols", "fallback_scrape_protocol", "scrape_native_histograms",
			"scrape_classic_histograms", "always_scrape_classic_histograms",
			"convert_classic_histograms_to_nhcb", "native_histogram_bucket_limit",
			"native_histogram_min_bucket_factor", "keep_dropped_targets", "metrics_path", "params",
			"enable_compression", "metric_name_validation_scheme", "metric_name_escaping_scheme",
			"extra_scrape_metrics":
			return c.typed(key, path, v)
		case "scheme":
			if v != "http" && v != "https" {
				return c.refuse(path, "is neither http nor https")
			}
		case "scrape_interval", "scrape_timeout":
			return c.duration(path, v)
		case "sample_limit", "target_limit", "label_limit", "label_name_length_limit",
			"label_value_length_limit":
			return c.count(path, v)
		case "body_size_limit":
			if _, ok := parseSize(text(v)); !ok {
				return c.refuse(path, "is not a size such as 10MB")
			}
		case "static_configs":
			return c.each(path, v, c.staticConfig)
		case "relabel_configs", "metric_relabel_configs":
			limit := cmp.Or(c.policy.MaxRelabelRules, DefaultMaxRelabelRules)
			if n := len(list(v)); n > limit {
				return c.refuse(path, "has %d rules, more than %d", n, limit)
			}
			return c.each(path, v, c.relabelRule)
		default:
			if strings.HasSuffix(key, discoverySuffix) {
				return c.discovery(key, path, v)
			}
			return c.httpClient(key, path, v)
		}
		return nil
	})
}

// typed leaves the value of a harmless field to the server's own check, but
// for the types that changing the job later relies on.
func (c *checker) typed(key, path string, v any) error {
	switch key {
	case "honor_labels":
		if _, ok := v.(bool); !ok {
			return c.refuse(path, "is neither true nor false")
		}
	case "metrics_path":
		if _, ok := v.(string); !ok {
			return c.refuse(path, "is not a string")
		}
	}
	return nil
}

// httpClient checks a field that configures how the server speaks to a target
// or to a service discovery.
func (c *checker) httpClient(key, path string, v any) error {
	switch key {
	case "bearer_token", "follow_redirects", "enable_http2":
		return nil
	case "basic_auth":
		return c.only(path, v, "username", "password")
	case "authorization":
		return c.only(path, v, "type", "credentials")
	case "tls_config":
		return c.tlsConfig(path, v)
	case "oauth2":
		if c.policy.OAuth2 {
			return c.object(path, v, c.oauth2)
		}
	case "proxy_url":
		if c.policy.Proxy {
			return c.url(path, v, "http", "https", "socks5", "socks5h")
		}
	case "no_proxy", "proxy_connect_header":
		if c.policy.Proxy {
			return nil
		}
	case "http_headers":
		if c.policy.HTTPHeaders {
			return c.object(path, v, func(_, path string, v any) error {
				return c.only(path, v, "values", "secrets")
			})
		}
	}
	return c.notAllowed(path)
}

func (c *checker) oauth2(key, path string, v any) error {
	switch key {
	case "client_id", "client_secret", "scopes", "endpoint_params":
		return nil
	case "token_url":
		return c.url(path, v, "http", "https")
	case "tls_config", "proxy_url", "no_proxy", "proxy_connect_header":
		return c.httpClient(key, path, v)
	}
	return c.notAllowed(path)
}

func (c *checker) tlsConfig(path string, v any) error {
	return c.object(path, v, func(key, path string, v any) error {
		switch key {
		case "server_name", "insecure_skip_verify", "min_version", "max_version":
			return nil
		case "ca_file":
			if !c.carriesCA {
				return c.refuse(path, "is set but the request carries no ca_cert")
			}
			return nil
		case "cert_file", "key_file":
			if !c.carriesCert {
				return c.refuse(path, "is set but the request carries no client_cert and client_key")
			}
			return nil
		case "ca", "cert", "key":
			if c.policy.InlineCertificates {
				return nil
			}
		}
		return c.notAllowed(path)
	})
}

func (c *checker) discovery(key, path string, v any) error {
	kind := strings.TrimSuffix(key, discoverySuffix)
	switch kind {
	case "kubernetes":
		return c.each(path, v, c.kubernetes)
	case "dns":
		return c.each(path, v, func(path string, v any) error {
			return c.object(path, v, c.pacedFields("names", "type", "port"))
		})
	case "http":
		return c.each(path, v, c.httpDiscovery)
	case "consul":
		return c.each(path, v, c.consul)
	}
	if slices.Contains(c.policy.Discovery, kind) {
		return c.each(path, v, func(path string, v any) error {
			return c.object(path, v, c.foreign)
		})
	}
	return c.notAllowed(path)
}

func (c *checker) kubernetes(path string, v any) error {
	section, _ := v.(map[string]any)
	if section["api_server"] == nil {
		return c.refuse(join(path, "api_server"), "is missing: without it the server would use its own host's identity")
	}
	return c.object(path, v, func(key, path string, v any) error {
		switch key {
		case "api_server":
			return c.url(path, v, "http", "https")
		case "role":
			return nil
		case "namespaces":
			return c.only(path, v, "names", "own_namespace")
		case "selectors":
			return c.each(path, v, func(path string, v any) error {
				return c.only(path, v, "role", "label", "field")
			})
		case "attach_metadata":
			return c.only(path, v, "node", "namespace")
		}
		return c.httpClient(key, path, v)
	})
}

func (c *checker) httpDiscovery(path string, v any) error {
	return c.object(path, v, func(key, path string, v any) error {
		switch key {
		case "url":
			return c.url(path, v, "http", "https")
		case "refresh_interval":
			return c.duration(path, v)
		}
		return c.httpClient(key, path, v)
	})
}

// consul takes server and token from the server's environment where a section
// leaves them out, and a server can be a socket of the server's host.
func (c *checker) consul(path string, v any) error {
	section, _ := v.(map[string]any)
	for _, key := range []string{"server", "token"} {
		if text(section[key]) == "" {
			return c.refuse(join(path, key), "is missing: without it the server would use its own environment's")
		}
	}
	plain := c.pacedFields("server", "path_prefix", "token", "datacenter", "namespace", "partition",
		"tag_separator", "scheme", "username", "password", "allow_stale", "services", "tags", "node_meta",
		"filter", "health_filter")
	return c.object(path, v, func(key, path string, v any) error {
		switch {
		case key == "server" && strings.Contains(text(v), "://"):
			return c.url(path, v, "http", "https")
		case key == "server":
			return c.address(path, text(v))
		}
		if err := plain(key, path, v); err == nil || key == "refresh_interval" {
			return err
		}
		return c.httpClient(key, path, v)
	})
}

// foreign checks a field of a service discovery whose language is not known
// here. In Prometheus every field that names a file of the host ends in _file,
// files or _path, and every one that names a secret of the server in _ref.
func (c *checker) foreign(key, path string, v any) error {
	switch key {
	case "tls_config", "oauth2", "proxy_url", "no_proxy", "proxy_connect_header", "http_headers",
		"basic_auth", "authorization":
		return c.httpClient(key, path, v)
	case "refresh_interval":
		return c.duration(path, v)
	}
	return c.foreignPart(key, path, v)
}

// foreignPart is foreign below the top of a section, where nothing is replaced
// that stands for a certificate.
func (c *checker) foreignPart(key, path string, v any) error {
	if key == "proxy_from_environment" || strings.HasSuffix(key, "file") || strings.HasSuffix(key, "files") ||
		strings.HasSuffix(key, "_path") || strings.HasSuffix(key, "_ref") {
		return c.notAllowed(path)
	}
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(strings.ToLower(v), "unix:") {
			return c.refuse(path, "is a socket of the server's host")
		}
	case map[string]any:
		return c.fields(path, v, c.foreignPart)
	case []any:
		return c.each(path, v, func(path string, e any) error { return c.foreignPart("", path, e) })
	}
	return nil
}

func (c *checker) staticConfig(path string, v any) error {
	return c.object(path, v, func(key, path string, v any) error {
		switch key {
		case "targets":
			return c.each(path, v, c.target)
		case "labels":
			return c.object(path, v, func(key, path string, v any) error {
				if key == "__scrape_interval__" || key == "__scrape_timeout__" {
					return c.refuse(path, "is not allowed: set scrape_interval or scrape_timeout")
				}
				if _, ok := v.(string); !ok {
					return c.refuse(path, "is not a string")
				}
				return nil
			})
		}
		return c.notAllowed(path)
	})
}

// target checks an address. With relabelling rules a target can be anything
// that these turn into one.
func (c *checker) target(path string, v any) error {
	target, ok := v.(string)
	if !ok || target == "" || len(target) > 1024 || !isPlain(target) {
		return c.refuse(path, "is not a target")
	}
	if c.relabels {
		return nil
	}
	return c.address(path, target)
}

// address checks that it is a host, with or without a port.
func (c *checker) address(path, address string) error {
	host, port := address, ""
	if h, p, err := net.SplitHostPort(address); err == nil {
		host, port = h, p
	}
	n, err := strconv.Atoi(port)
	switch {
	case strings.Contains(address, "@"): // before which there may be a password
		return c.refuse(path, "is not host:port")
	case port != "" && (err != nil || n < 1 || n > 65535), host == "",
		strings.ContainsFunc(host, func(r rune) bool { return unicode.IsSpace(r) || r == '/' }):
		return c.refuse(path, "%s is not host:port", printable(address))
	}
	return nil
}

func (c *checker) relabelRule(path string, v any) error {
	return c.only(path, v, "source_labels", "separator", "regex", "modulus", "target_label",
		"replacement", "action")
}

// fields calls check for every field in order.
func (c *checker) fields(path string, section map[string]any, check func(key, path string, v any) error) error {
	for _, key := range slices.Sorted(maps.Keys(section)) {
		if err := check(key, join(path, key), section[key]); err != nil {
			return err
		}
	}
	return nil
}

// object calls check for every field of v, which must be an object.
func (c *checker) object(path string, v any, check func(key, path string, v any) error) error {
	section, ok := v.(map[string]any)
	if !ok {
		return c.refuse(path, "is not an object")
	}
	return c.fields(path, section, check)
}

// only checks that v is an object that has no other fields than these, and
// no objects in them.
func (c *checker) only(path string, v any, allowed ...string) error {
	return c.object(path, v, func(key, path string, v any) error {
		if !slices.Contains(allowed, key) {
			return c.notAllowed(path)
		}
		if _, ok := v.(map[string]any); ok {
			return c.refuse(path, "is an object")
		}
		return nil
	})
}

// pacedFields allows these fields and refresh_interval.
func (c *checker) pacedFields(allowed ...string) func(key, path string, v any) error {
	return func(key, path string, v any) error {
		if key == "refresh_interval" {
			return c.duration(path, v)
		}
		if !slices.Contains(allowed, key) {
			return c.notAllowed(path)
		}
		return nil
	}
}

func (c *checker) each(path string, v any, check func(path string, v any) error) error {
	elements, ok := v.([]any)
	if !ok {
		return c.refuse(path, "is not a list")
	}
	for i, e := range elements {
		if err := check(fmt.Sprintf("%s[%d]", path, i), e); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) duration(path string, v any) error {
	if _, ok := parseDuration(text(v)); !ok {
		return c.refuse(path, "is not a duration such as 30s")
	}
	return nil
}

func (c *checker) count(path string, v any) error {
	n, ok := v.(json.Number)
	if !ok || strings.HasPrefix(n.String(), "-") {
		return c.refuse(path, "is not a whole number")
	}
	return nil
}

// url checks that it is a URL of one of these schemes. The server's own message
// would quote one that it cannot read, with its password.
func (c *checker) url(path string, v any, schemes ...string) error {
	u, err := url.Parse(text(v))
	if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
		return c.refuse(path, "is not a URL of scheme %s", strings.Join(schemes, " or "))
	}
	return nil
}

func join(path, key string) string {
	if strings.ContainsAny(key, ".[] ") || key == "" {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// isPlain reports whether text is valid and holds no control characters.
func isPlain(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
