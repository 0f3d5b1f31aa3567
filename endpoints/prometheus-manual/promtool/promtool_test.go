package promtool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promtool"
)

// fake writes a promtool that does what a script says.
func fake(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "promtool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, script string
		reason       string // of a refusal
		fails        string // of another error
	}{
		{"good", `test "$1 $2 $3" = "check config --syntax-only" && grep -q hello "$4" && test "$(stat -c %a "$4")" = 600`, "", ""},
		{"bad", "echo Checking $4\necho \"  FAILED: parsing YAML file $4: yaml: unmarshal errors:\n  line 3: field x not found\"\nexit 1", "field x not found", ""},
		{"old", "echo 'promtool: error: unknown long flag'\nexit 1", "", "cannot run promtool"},
		{"hangs", "exec sleep 60", "", "deadline exceeded"},
		{"killed", "kill -9 $$", "", "cannot run promtool"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			validator := promtool.Validator{Path: fake(t, test.script), Dir: dir}
			if test.name == "hangs" {
				validator.Timeout = 200 * time.Millisecond
			}
			err := validator.Validate(t.Context(), []byte("# hello"))
			var invalid *prometheusmanual.InvalidError
			refused := errors.As(err, &invalid)
			switch {
			case test.reason+test.fails == "" && err != nil:
				t.Error(err)
			case test.reason != "" && (!refused || invalid.Reason != test.reason):
				t.Errorf("got %v, want refusal %q", err, test.reason)
			case test.fails != "" && (err == nil || refused || !strings.Contains(err.Error(), test.fails)):
				t.Errorf("got %v, want %q", err, test.fails)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	err := promtool.Validator{Path: "/does/not/exist"}.Validate(t.Context(), nil)
	var invalid *prometheusmanual.InvalidError
	if err == nil || errors.As(err, &invalid) {
		t.Errorf("got %v", err)
	}
}

// TestReal asks the installed promtool, of whatever version.
func TestReal(t *testing.T) {
	t.Parallel()
	path, err := promtool.Find()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	validator := promtool.Validator{Path: path}
	good := `{"scrape_configs":[{"job_name":"a","static_configs":[{"targets":["a:1"]}],"scheme":"https","tls_config":{"ca_file":"/not/yet/there","cert_file":"/nor/this","key_file":"/nor/that"}}]}`
	if err := validator.Validate(t.Context(), []byte(good)); err != nil {
		t.Error(err)
	}
	for config, reason := range map[string]string{
		`{"scrape_configs":[{"job_name":"a","foo":1}]}`:                                  "field foo not found",
		`{"scrape_configs":[{"job_name":"a","scrape_timeout":"10m"}]}`:                   "scrape timeout greater than",
		`{"scrape_configs":[{"job_name":"a"},{"job_name":"a"}]}`:                         "multiple scrape configs",
		`{"scrape_configs":[{"job_name":"a","basic_auth":"s3cret"}]}`:                    "cannot unmarshal !!str into",
		`{"scrape_configs":[{"job_name":"a","metric_relabel_configs":[{"regex":"("}]}]}`: "missing closing )",
	} {
		err := validator.Validate(t.Context(), []byte(config))
		var invalid *prometheusmanual.InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(invalid.Reason, reason) || strings.Contains(invalid.Reason, "s3cret") ||
			strings.Contains(invalid.Reason, "/tmp") {
			t.Errorf("%s: got %v, want %q", config, err, reason)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := validator.Validate(ctx, []byte(good)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
