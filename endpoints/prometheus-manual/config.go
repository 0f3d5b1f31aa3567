package prometheusmanual

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmed-go/charms/internal/canonicaljson"
	"gopkg.in/yaml.v3"
)

// Base is the configuration of a Prometheus server that jobs are added to:
// the charm's own global section, rules, alerting, its own scrape jobs and
// whatever else. It is kept as it stands, comments included.
type Base struct {
	document yaml.Node
	global   Global
	names    []string
}

// ParseBase reads a prometheus.yml. An empty text is an empty configuration.
func ParseBase(text []byte) (*Base, error) {
	b := &Base{}
	if err := yaml.Unmarshal(text, &b.document); err != nil {
		return nil, fmt.Errorf("cannot read the base configuration: %w", err)
	}
	var content struct {
		Global struct {
			ScrapeInterval string `yaml:"scrape_interval"`
			ScrapeTimeout  string `yaml:"scrape_timeout"`
		} `yaml:"global"`
		ScrapeConfigs []struct {
			JobName string `yaml:"job_name"`
		} `yaml:"scrape_configs"`
	}
	if err := b.document.Decode(&content); err != nil && b.document.Kind != 0 {
		return nil, fmt.Errorf("cannot read the base configuration: %w", err)
	}
	if b.document.Kind == 0 || len(b.document.Content) == 0 || b.document.Content[0].Tag == "!!null" {
		b.document = yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	if b.document.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("cannot read the base configuration: it is not a mapping")
	}
	for _, duration := range []struct {
		name, text string
		to         *time.Duration
	}{
		{"scrape_interval", content.Global.ScrapeInterval, &b.global.ScrapeInterval},
		{"scrape_timeout", content.Global.ScrapeTimeout, &b.global.ScrapeTimeout},
	} {
		d, ok := parseDuration(duration.text)
		if duration.text != "" && !ok {
			return nil, fmt.Errorf("cannot read the base configuration: global.%s is not a duration", duration.name)
		}
		*duration.to = d
	}
	for _, job := range content.ScrapeConfigs {
		b.names = append(b.names, job.JobName)
	}
	return b, nil
}

// Global returns what the configuration says of jobs that do not.
func (b *Base) Global() Global { return b.global.withDefaults() }

// Jobs returns the names of the configuration's own jobs, in order.
func (b *Base) Jobs() []string { return slices.Clone(b.names) }

// Render returns the base configuration with the jobs after its own ones,
// sorted by name. The same jobs always give the same text. Everything of a
// job is quoted, so nothing in it can be read as more than a value.
func (b *Base) Render(jobs []Scrape) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(jobs), func(x, y Scrape) int {
		return strings.Compare(x.Name, y.Name)
	})
	list := &yaml.Node{Kind: yaml.SequenceNode}
	root := &yaml.Node{Kind: yaml.MappingNode}
	for i, node := range b.document.Content[0].Content {
		if i%2 == 1 && b.document.Content[0].Content[i-1].Value == "scrape_configs" {
			list = &yaml.Node{Kind: yaml.SequenceNode, Content: slices.Clone(node.Content)}
			node = list
		}
		root.Content = append(root.Content, node)
	}
	for _, job := range sorted {
		node, err := yamlNode(job.Config)
		if err != nil {
			return nil, fmt.Errorf("cannot render scrape job %s: %w", printable(job.Name), err)
		}
		list.Content = append(list.Content, node)
	}
	if !slices.Contains(root.Content, list) && len(list.Content) > 0 {
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "scrape_configs"}, list)
	}
	document := b.document
	root.HeadComment = b.document.Content[0].HeadComment
	root.FootComment = b.document.Content[0].FootComment
	document.Content = []*yaml.Node{root}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&document); err != nil {
		return nil, fmt.Errorf("cannot render the configuration: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("cannot render the configuration: %w", err)
	}
	return out.Bytes(), nil
}

// RenderAlone returns a configuration of the base's global section and one
// job, which is what a [Validator] needs to judge the job by itself.
func (b *Base) RenderAlone(job Scrape) ([]byte, error) {
	alone := &Base{document: yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}}
	content := b.document.Content[0].Content
	for i := 0; i+1 < len(content); i += 2 {
		if content[i].Value == "global" {
			alone.document.Content[0].Content = content[i : i+2 : i+2]
		}
	}
	return alone.Render([]Scrape{job})
}

// yamlNode returns a JSON value as a YAML node that reads back as the same
// value whatever the version of YAML: keys sorted and all text quoted.
func yamlNode(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	case string:
		return quoted(v), nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: v.String()}, nil
	case canonicaljson.Float:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, errors.New("a number is not finite")
		}
		number, err := canonicaljson.Encode(v)
		if err != nil {
			return nil, err
		}
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: number}, nil
	case []any:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		if len(v) == 0 {
			list.Style = yaml.FlowStyle
		}
		for _, e := range v {
			node, err := yamlNode(e)
			if err != nil {
				return nil, err
			}
			list.Content = append(list.Content, node)
		}
		return list, nil
	case map[string]any:
		mapping := &yaml.Node{Kind: yaml.MappingNode}
		if len(v) == 0 {
			mapping.Style = yaml.FlowStyle
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			node, err := yamlNode(v[key])
			if err != nil {
				return nil, err
			}
			mapping.Content = append(mapping.Content, keyNode(key), node)
		}
		return mapping, nil
	}
	return nil, fmt.Errorf("a value is of type %T", v)
}

// keyNode leaves the quotes off where a key is a word as Prometheus's own
// fields are.
func keyNode(key string) *yaml.Node {
	if strings.Trim(key, "abcdefghijklmnopqrstuvwxyz_") == "" && len(key) > 3 && key != "null" &&
		key != "true" && key != "false" {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
	}
	return quoted(key)
}

func quoted(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: text}
}
