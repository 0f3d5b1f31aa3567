package promcheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/prometheus/prometheus/config"
	// What a scrape job may use to find its targets, beside static_configs.
	_ "github.com/prometheus/prometheus/discovery/consul"
	_ "github.com/prometheus/prometheus/discovery/dns"
	_ "github.com/prometheus/prometheus/discovery/file"
	_ "github.com/prometheus/prometheus/discovery/http"
	"go.yaml.in/yaml/v2"
)

// Validator judges configurations with Prometheus's parser. Its zero value is
// ready. It may be used concurrently.
type Validator struct{}

// Validate implements [prometheusmanual.Validator]. The parser looks at no
// file: whether certificates are there and right is for others to see to.
func (Validator) Validate(ctx context.Context, text []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := validate(text); err != nil {
		return prometheusmanual.NewInvalidError(err.Error())
	}
	return nil
}

func validate(text []byte) error {
	var document yaml.MapSlice
	if err := yaml.Unmarshal(text, &document); err != nil {
		return err
	}
	sections, found := takeKubernetes(document)
	for _, section := range sections {
		if err := checkKubernetes(section); err != nil {
			return err
		}
	}
	if found {
		var err error
		if text, err = yaml.Marshal(document); err != nil {
			return err
		}
	}
	_, err := config.Load(string(text), slog.New(slog.DiscardHandler))
	return err
}

// takeKubernetes removes the Kubernetes sections from the jobs of a
// configuration, which the linked parser does not know, and returns them.
func takeKubernetes(document yaml.MapSlice) (sections []any, found bool) {
	const key = "kubernetes_sd_configs"
	for _, item := range document {
		jobs, _ := item.Value.([]any)
		if item.Key != "scrape_configs" {
			continue
		}
		for i, job := range jobs {
			fields, _ := job.(yaml.MapSlice)
			var rest yaml.MapSlice
			for _, field := range fields {
				if field.Key != key {
					rest = append(rest, field)
					continue
				}
				found = true
				list, ok := field.Value.([]any)
				if !ok && field.Value != nil {
					list = []any{field.Value}
				}
				sections = append(sections, list...)
			}
			if len(rest) < len(fields) {
				jobs[i] = rest
			}
		}
	}
	return sections, found
}

// checkKubernetes checks one section as Prometheus 3 does.
func checkKubernetes(section any) error {
	if section == nil {
		return errors.New("empty or null section in kubernetes_sd_configs")
	}
	text, err := yaml.Marshal(section)
	if err != nil {
		return err
	}
	var k kubernetes
	if err := yaml.UnmarshalStrict(text, &k); err != nil {
		return fmt.Errorf("kubernetes_sd_configs: %w", err)
	}
	return nil
}
