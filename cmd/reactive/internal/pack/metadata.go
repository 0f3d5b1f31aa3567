package pack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
)

// metadataKeys are the keys that charmcraft copies from charmcraft.yaml into
// metadata.yaml.
var metadataKeys = []string{
	"name", "display-name", "summary", "description", "maintainers", "assumes", "charm-user", "containers",
	"devices", "docs", "extra-bindings", "issues", "peers", "provides", "requires", "resources", "source",
	"storage", "subordinate", "terms", "website",
	// Not charmcraft's: Juju refuses them beside bases, and says why; left
	// out silently they would be missed.
	"series", "deployment", "min-juju-version",
}

// addDescriptions adds the files that describe the charm, for one platform.
func (p *project) addDescriptions(files archive.Files, pl platform) error {
	metadata, err := p.metadata()
	if err != nil {
		return err
	}
	manifest, err := manifest(pl)
	if err != nil {
		return err
	}
	files[charmfile.MetadataFile] = archive.File{Data: metadata}
	files[charmfile.ManifestFile] = archive.File{Data: manifest}
	for name, key := range map[string]string{charmfile.ConfigFile: "config", charmfile.ActionsFile: "actions"} {
		data, err := p.fileOrKey(name, key)
		if err != nil {
			return err
		}
		if data != nil {
			files[name] = archive.File{Data: data}
		}
	}
	return nil
}

func (p *project) metadata() ([]byte, error) {
	if data, err := p.file(charmfile.MetadataFile); data != nil || err != nil {
		return data, err
	}
	out := &yaml.Node{Kind: yaml.MappingNode}
	set := func(key string, v *yaml.Node) {
		if v.ShortTag() != "!!null" {
			out.Content = append(out.Content, text(key), v)
		}
	}
	for i := 0; i+1 < len(p.root.Content); i += 2 {
		key, v := p.root.Content[i].Value, p.root.Content[i+1]
		switch {
		case key == "title":
			set("display-name", v)
		case key == "links":
			for j := 0; j+1 < len(v.Content); j += 2 {
				setLink(set, v.Content[j].Value, v.Content[j+1])
			}
		case slices.Contains(metadataKeys, key):
			set(key, v)
		}
	}
	data, err := encode(out)
	if err != nil {
		return nil, fmt.Errorf("cannot write metadata.yaml: %w", err)
	}
	return data, nil
}

func setLink(set func(string, *yaml.Node), key string, v *yaml.Node) {
	switch key {
	case "documentation":
		set("docs", v)
	case "contact":
		if v.Kind == yaml.ScalarNode {
			v = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{v}}
		}
		set("maintainers", v)
	case "issues", "source", "website":
		set(key, v)
	}
}

func manifest(pl platform) ([]byte, error) {
	type base struct {
		Name          string   `yaml:"name"`
		Channel       string   `yaml:"channel"`
		Architectures []string `yaml:"architectures"`
	}
	data, err := yaml.Marshal(map[string]any{"bases": []base{{pl.base.Name, pl.base.Channel, pl.base.Architectures}}})
	if err != nil {
		return nil, fmt.Errorf("cannot write manifest.yaml: %w", err)
	}
	return data, nil
}

// fileOrKey returns a file of the older layout, or what charmcraft.yaml has
// under key, or nil.
func (p *project) fileOrKey(name, key string) ([]byte, error) {
	if data, err := p.file(name); data != nil || err != nil {
		return data, err
	}
	n := child(p.root, key)
	if n == nil || n.ShortTag() == "!!null" || len(n.Content) == 0 {
		return nil, nil
	}
	data, err := encode(n)
	if err != nil {
		return nil, fmt.Errorf("cannot write %s: %w", name, err)
	}
	return data, nil
}

func (p *project) file(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
