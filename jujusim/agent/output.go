package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v2"
)

// output is what --format and -o (--output) say.
type output struct {
	format string
	path   string
}

// output declares the options of a tool that prints a value. The first format
// is the default.
func (t *tool) output(formats ...string) *output {
	out := &output{format: formats[0]}
	t.flags.add("format", &flag{
		usage: "Specify output format (" + strings.Join(formats, "|") + ")",
		set: func(value string) error {
			if !slices.Contains(formats, value) {
				return fmt.Errorf("unknown format %q", value)
			}
			out.format = value
			return nil
		},
	})
	t.flags.stringVar(&out.path, "o,output", "Specify an output file")
	return out
}

// smart are the formats of most tools.
func (t *tool) smartOutput() *output { return t.output("smart", "json", "yaml") }

// write prints the value, or puts it into the file of -o, which is relative to
// the directory of the tool's process.
func (o *output) write(c *call, value any) error {
	text, err := o.text(value)
	if err != nil {
		return err
	}
	if o.path == "" {
		c.stdout.Write(text)
		return nil
	}
	return os.WriteFile(c.abs(o.path), text, 0o666)
}

func (o *output) text(value any) ([]byte, error) {
	switch o.format {
	case "json":
		text, err := json.Marshal(value)
		return append(text, '\n'), err
	case "yaml":
		return yamlText(value)
	}
	text := ""
	switch value := value.(type) {
	case nil:
	case string:
		text = value
	case []string:
		text = strings.Join(value, "\n")
	case bool:
		text = "False"
		if value {
			text = "True"
		}
	default:
		return yamlText(value)
	}
	if text == "" {
		return nil, nil
	}
	return []byte(text + "\n"), nil
}

func yamlText(value any) ([]byte, error) {
	if value == nil {
		return nil, nil
	}
	text, err := yaml.Marshal(value)
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimRight(text, "\n"), '\n'), nil
}

// abs is the path seen from the directory of the tool's process.
func (c *call) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.dir, path)
}

// plain turns any number into a float64, as numbers come out of the controller,
// and copies maps and lists.
func plain(v any) any {
	switch v := v.(type) {
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case int32:
		return float64(v)
	case uint64:
		return float64(v)
	case float32:
		return float64(v)
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = plain(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = plain(e)
		}
		return l
	case []string:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = e
		}
		return l
	}
	return v
}

// readSettings reads what --file names, "-" being the standard input, as YAML.
func readSettings(c *call, path string) (map[string]string, error) {
	var data []byte
	if path == "-" {
		if !c.stdinSet {
			return nil, errNoStdin
		}
		data = c.stdin
	} else {
		var err error
		if data, err = os.ReadFile(c.abs(path)); err != nil {
			return nil, err
		}
	}
	settings := make(map[string]string)
	if err := yaml.Unmarshal(data, &settings); err != nil {
		return nil, err
	}
	return settings, nil
}
