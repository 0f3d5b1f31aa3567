package prometheusmanual

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// A Validator judges a whole configuration as a Prometheus server would.
// Package promtool asks the deployed server's own promtool; package promcheck
// holds Prometheus's parser, for where there is none.
type Validator interface {
	// Validate returns an *[InvalidError] if a server would refuse the
	// configuration, and another error if that cannot be told.
	Validate(ctx context.Context, config []byte) error
}

// A Server is a running Prometheus server. Package promserver speaks to one
// over HTTP; package promengine holds one.
type Server interface {
	// Reload makes the server read its configuration file again. It returns
	// an *[InvalidError] if the server refuses what is in it.
	Reload(ctx context.Context) error

	// Pools returns the names of the scrape jobs that the server runs. A job
	// can be in the configuration and yet not run, for example when its
	// certificates cannot be read: the server says so only in its log.
	Pools(ctx context.Context) ([]string, error)

	// Idle returns the names of the scrape jobs for which service discovery has
	// not found a target yet. There are servers that do not run a job before.
	Idle(ctx context.Context) ([]string, error)
}

// An InvalidError says why a Prometheus server refuses a configuration.
type InvalidError struct {
	// Reason is the message of the server, its parser or its promtool,
	// without what may be a secret.
	Reason string
}

// NewInvalidError returns an error with the reason that a server, its parser
// or its promtool gave. It leaves out what such messages quote of a value
// that is not of its type, since that may be a token, and line numbers, since
// the configuration that they count in is not one that anybody sees.
func NewInvalidError(message string) *InvalidError {
	message = regexp.MustCompile("(cannot unmarshal !!\\w+) `(?s:.*?)` into ").ReplaceAllString(message, "$1 into ")
	message = regexp.MustCompile(`(?m)^\s*(yaml: )?line \d+: `).ReplaceAllString(message, "")
	message = regexp.MustCompile(`yaml: unmarshal errors:\s*`).ReplaceAllString(message, "")
	lines := strings.FieldsFunc(message, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	message = strings.Join(lines, "; ")
	const longest = 500
	if len(message) > longest {
		message = strings.ToValidUTF8(message[:longest], "") + "…"
	}
	return &InvalidError{Reason: message}
}

// Error says that the configuration is refused, and why.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("Prometheus refuses the configuration: %s", e.Reason)
}
