// Package bundle reads Juju bundle files: applications with their charms,
// units and configuration, and the relations between them.
//
//	b, err := bundle.Load("bundle.yaml")
//	for _, a := range b.Applications {
//		fmt.Println(a.Name, a.Charm, a.Units)
//	}
//
// It reads what a simulated model can act on. Keys of Juju's that only a cloud
// can act on, such as constraints, are ignored; a key that Juju does not have is
// an error, for it is most likely a misspelt one.
package bundle

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/charmed-go/charms/internal/commandline"
)

// A Bundle is what a bundle file says.
type Bundle struct {
	// Name is the bundle's name, if it has one.
	Name string
	// Kubernetes says that it is for a Kubernetes model.
	Kubernetes bool
	// Applications are in the order of the file.
	Applications []Application
	// Relations are pairs of "application" or "application:endpoint".
	Relations [][2]string
}

// An Application is an application of a bundle.
type Application struct {
	Name string
	// Charm is the path of the charm, as seen from the working directory.
	Charm string
	// Units is how many units are asked for; 0 if the file does not say.
	Units int
	// To says where its first units go: "0" and "new" are machines, "app/0" is
	// the machine of that unit.
	To []string
	// Config are values of its options.
	Config map[string]any
	// Resources are paths by name.
	Resources map[string]string
	Trust     bool
}

type file struct {
	Name         string
	Bundle       string
	Applications yaml.Node
	Services     yaml.Node
	Relations    []yaml.Node
	Saas         map[string]any
}

type application struct {
	Charm     string
	NumUnits  *int `yaml:"num_units"`
	Scale     *int
	To        list
	Options   map[string]any
	Resources map[string]string
	Trust     bool
}

// bundleKeys and applicationKeys are all that a bundle file may hold (Juju
// documentation, "Bundle").
var (
	bundleKeys = []string{
		"name", "bundle", "type", "description", "tags", "docs", "documentation", "website", "source", "issues", "assumes", "links", "title", "summary",
		"series", "default-base", "applications", "services", "machines", "relations", "saas", "variables",
	}
	applicationKeys = []string{
		"charm", "channel", "revision", "series", "base", "resources", "num_units", "scale", "to", "placement", "expose", "exposed-endpoints",
		"options", "annotations", "constraints", "storage", "devices", "bindings", "plan", "trust", "offers",
	}
)

// checkKeys says whether a map holds a key that there is not.
func checkKeys(n *yaml.Node, known []string) error {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		// An anchor's place does not matter, and << is YAML's.
		if key := n.Content[i].Value; !slices.Contains(known, key) && key != "<<" && !strings.HasPrefix(key, "x-") {
			return fmt.Errorf("there is no key %q%s", key, commandline.DidYouMean(key, known))
		}
	}
	return nil
}

// A list is a list of strings, or one string.
type list []string

func (l *list) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*l = list{n.Value}
		return nil
	}
	return n.Decode((*[]string)(l))
}

// Load reads the bundle file at path. Paths of charms in it are relative to its
// directory, as they are for juju deploy.
func Load(path string) (*Bundle, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the bundle: %w", err)
	}
	b, err := parse(data, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("cannot read the bundle %s: %w", path, err)
	}
	return b, nil
}

func parse(data []byte, dir string) (*Bundle, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	var f file
	if len(doc.Content) > 0 {
		if err := checkKeys(doc.Content[0], bundleKeys); err != nil {
			return nil, err
		}
		if err := doc.Decode(&f); err != nil {
			return nil, err
		}
	}
	b := &Bundle{Name: f.Name}
	switch f.Bundle {
	case "", "machine":
	case "kubernetes":
		b.Kubernetes = true
	default:
		return nil, fmt.Errorf(`bundle: %q is no kind of bundle; there is "kubernetes"`, f.Bundle)
	}
	if len(f.Saas) > 0 {
		return nil, errors.New("saas: a simulated model has no offers of other models")
	}
	apps := &f.Applications
	if apps.Kind == 0 {
		apps = &f.Services
	}
	if apps.Kind != yaml.MappingNode || len(apps.Content) == 0 {
		return nil, errors.New("applications: are missing")
	}
	for i := 0; i+1 < len(apps.Content); i += 2 {
		a, err := parseApplication(apps.Content[i].Value, apps.Content[i+1], dir, b.Kubernetes)
		if err != nil {
			return nil, fmt.Errorf("line %d: applications.%s%w", apps.Content[i].Line, apps.Content[i].Value, err)
		}
		b.Applications = append(b.Applications, a)
	}
	for _, n := range f.Relations {
		pairs, err := relations(&n)
		if err != nil {
			return nil, fmt.Errorf("line %d: relations: %w", n.Line, err)
		}
		b.Relations = append(b.Relations, pairs...)
	}
	return b, nil
}

func parseApplication(name string, n *yaml.Node, dir string, kubernetes bool) (Application, error) {
	a := Application{Name: name}
	if err := checkKeys(n, applicationKeys); err != nil {
		return a, fmt.Errorf(": %w", err)
	}
	var raw application
	if err := n.Decode(&raw); err != nil {
		return a, fmt.Errorf(": %w", inWords(err))
	}
	switch {
	case raw.Charm == "":
		return a, errors.New(".charm: is missing")
	case strings.HasPrefix(raw.Charm, "/"):
		a.Charm = raw.Charm
	case strings.HasPrefix(raw.Charm, "./") || strings.HasPrefix(raw.Charm, "../") || raw.Charm == ".":
		a.Charm = filepath.Join(dir, raw.Charm)
	default:
		return a, fmt.Errorf(".charm: %q is on Charmhub, where a simulation cannot go; give a path that begins with ./ or /", raw.Charm)
	}
	for _, units := range []*int{raw.NumUnits, raw.Scale} {
		if units == nil {
			continue
		}
		if *units < 0 {
			return a, fmt.Errorf(".num_units: is %d", *units)
		}
		a.Units = *units
	}
	a.Trust, a.Resources = raw.Trust, make(map[string]string)
	if !kubernetes {
		a.To = raw.To
	}
	for resource, path := range raw.Resources {
		if strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../") {
			path = filepath.Join(dir, path)
		}
		a.Resources[resource] = path
	}
	a.Config = make(map[string]any)
	for key, v := range raw.Options {
		v, err := include(v, dir)
		if err != nil {
			return a, fmt.Errorf(".options.%s: %w", key, err)
		}
		a.Config[key] = v
	}
	return a, nil
}

// inWords takes the heading and the line from a YAML mistake, which stands
// behind a place already.
func inWords(err error) error {
	var e *yaml.TypeError
	if !errors.As(err, &e) || len(e.Errors) == 0 {
		return err
	}
	text := e.Errors[0]
	if _, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(text, "line ") {
		text = rest
	}
	return errors.New(text)
}

// include reads the files that options may name.
func include(v any, dir string) (any, error) {
	text, ok := v.(string)
	if !ok {
		return v, nil
	}
	path, plain := strings.CutPrefix(text, "include-file://")
	if !plain {
		var encoded bool
		if path, encoded = strings.CutPrefix(text, "include-base64://"); !encoded {
			return v, nil
		}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if plain {
		return string(data), nil
	}
	return base64.StdEncoding.EncodeToString(data), nil
}

// relations reads one entry: a pair, or one side and a list of other sides.
func relations(n *yaml.Node) ([][2]string, error) {
	if n.Kind != yaml.SequenceNode || len(n.Content) != 2 || n.Content[0].Kind != yaml.ScalarNode {
		return nil, errors.New("an entry is a pair such as [web:db, pg:database]")
	}
	var others list
	if err := n.Content[1].Decode(&others); err != nil {
		return nil, err
	}
	var pairs [][2]string
	for _, other := range others {
		pairs = append(pairs, [2]string{n.Content[0].Value, other})
	}
	return pairs, nil
}
