package charmfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// The names of the files that describe a charm.
const (
	CharmcraftFile = "charmcraft.yaml"
	MetadataFile   = "metadata.yaml"
	ConfigFile     = "config.yaml"
	ActionsFile    = "actions.yaml"
	ManifestFile   = "manifest.yaml"
)

// Load reads the charm in the directory dir, as [LoadFS] does.
func Load(dir string) (*Charm, error) {
	c, err := LoadFS(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("cannot read the charm in %s: %w", dir, err)
	}
	return c, nil
}

// LoadFS reads the charm at the root of fsys: a source tree with
// charmcraft.yaml (and, in the older layout, metadata.yaml, config.yaml or
// actions.yaml beside it), or an unpacked archive with metadata.yaml. What
// one file says another may not say again; keys that neither charmcraft nor
// Juju knows are ignored, as both do.
//
// Everything that is wrong is reported at once: the error joins one *[Error]
// for each mistake. Without charmcraft.yaml and metadata.yaml the error
// matches [fs.ErrNotExist].
func LoadFS(fsys fs.FS) (*Charm, error) {
	c := new(Charm)
	var errs []error
	said := make(map[string]string)
	once := func(n node, file, what string) bool {
		if first, ok := said[what]; ok && first != file {
			n.failf("is already in %s", first)
			return false
		}
		said[what] = file
		return true
	}
	read := func(file string, parse func(node)) error {
		data, err := fs.ReadFile(fsys, file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", file, err)
		}
		c.Files = append(c.Files, file)
		errs = append(errs, parseFile(file, data, parse)...)
		return nil
	}
	top := func(n node) {
		for _, f := range n.fields() {
			if once(f.node, n.r.file, f.key) {
				c.setKey(f)
			}
		}
	}
	err := errors.Join(
		read(CharmcraftFile, top),
		read(MetadataFile, top),
		read(ConfigFile, func(n node) {
			if once(n, ConfigFile, "config") {
				parseConfig(c, n)
			}
		}),
		read(ActionsFile, func(n node) {
			if once(n, ActionsFile, "actions") {
				parseActions(c, n)
			}
		}),
		read(ManifestFile, func(n node) {
			for _, f := range n.fields() {
				if f.key == "bases" {
					for _, b := range f.list() {
						c.Bases = append(c.Bases, parseBase(b))
					}
				}
			}
		}),
	)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(c.Files, CharmcraftFile) && !slices.Contains(c.Files, MetadataFile) {
		return nil, fmt.Errorf("neither %s nor %s is there: %w", CharmcraftFile, MetadataFile, fs.ErrNotExist)
	}
	main := c.Files[0]
	for _, key := range []string{"name", "summary", "description"} {
		// A file that is no map at all has been reported.
		if _, ok := said[key]; !ok && (len(said) > 0 || len(errs) == 0) {
			errs = append(errs, &Error{File: main, Key: key, Reason: "is missing"})
		}
	}
	slices.SortStableFunc(c.Endpoints, func(a, b Endpoint) int { return roleOrder(a.Role) - roleOrder(b.Role) })
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return c, nil
}

// Parse reads a charm from the text of one charmcraft.yaml or metadata.yaml;
// file is its name for errors.
func Parse(file string, data []byte) (*Charm, error) {
	c := &Charm{Files: []string{file}}
	said := make(map[string]bool)
	errs := parseFile(file, data, func(n node) {
		for _, f := range n.fields() {
			said[f.key] = true
			c.setKey(f)
		}
	})
	for _, key := range []string{"name", "summary", "description"} {
		if !said[key] && len(errs) == 0 {
			errs = append(errs, &Error{File: file, Key: key, Reason: "is missing"})
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.SortStableFunc(c.Endpoints, func(a, b Endpoint) int { return roleOrder(a.Role) - roleOrder(b.Role) })
	return c, nil
}

func roleOrder(r Role) int { return slices.Index([]Role{Provider, Requirer, Peer}, r) }

func parseFile(file string, data []byte, parse func(node)) []error {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return []error{yamlError(file, err)}
	}
	r := &reader{file: file, budget: maxNodes}
	root := node{r: r, n: &doc}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) == 1 {
		root.n = doc.Content[0]
	}
	parse(root)
	return r.errs
}

// yamlError makes an Error of the YAML library's, which says the line in words.
func yamlError(file string, err error) error {
	e := &Error{File: file, Reason: "is not YAML: " + err.Error()}
	if text, ok := strings.CutPrefix(err.Error(), "yaml: line "); ok {
		number, reason, _ := strings.Cut(text, ": ")
		if line, err := strconv.Atoi(number); err == nil {
			e.Line, e.Reason = line, "is not YAML: "+reason
		}
	}
	return e
}

// setKey takes in one top-level key of charmcraft.yaml or metadata.yaml.
func (c *Charm) setKey(f field) {
	n := f.node
	switch f.key {
	case "name":
		c.Name = required(n)
	case "title", "display-name":
		c.Title = n.str()
	case "summary":
		c.Summary = present(n)
	case "description":
		c.Description = present(n)
	case "provides":
		parseEndpoints(c, n, Provider)
	case "requires":
		parseEndpoints(c, n, Requirer)
	case "peers":
		parseEndpoints(c, n, Peer)
	case "config":
		parseConfig(c, n)
	case "actions":
		parseActions(c, n)
	case "storage":
		parseStorage(c, n)
	case "devices":
		parseDevices(c, n)
	case "resources":
		parseResources(c, n)
	case "containers":
		parseContainers(c, n)
	case "extra-bindings":
		parseExtraBindings(c, n)
	case "subordinate":
		c.Subordinate = n.boolean()
	case "assumes":
		c.Assumes = parseAssumes(n, 0)
	case "charm-user":
		c.CharmUser = n.oneOf("root", "sudoer", "non-root")
	case "base":
		c.Base = n.str()
	case "build-base":
		c.BuildBase = n.str()
	case "platforms":
		parsePlatforms(c, n)
	case "bases":
		parseCharmcraftBases(c, n)
	}
}

func required(n node) string {
	s := n.str()
	if s == "" {
		n.failf("is empty")
	}
	return s
}

// present returns a string that may be empty but not nothing.
func present(n node) string {
	if n.null() {
		n.failf("is missing")
	}
	return n.str()
}
