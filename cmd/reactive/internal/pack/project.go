package pack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
)

// A project is a source tree with a charmcraft.yaml.
type project struct {
	dir   string
	root  *yaml.Node // the map of charmcraft.yaml
	charm *charmfile.Charm
	parts []part
}

// A part is one entry of charmcraft.yaml's parts.
type part struct {
	name     string
	plugin   string
	source   string
	tags     []string
	generate []string
	env      []string
	// organize says where a file of the part goes, in the order of the file.
	organize [][2]string
	// filters are what stage and prime let through.
	filters [][]string
}

// A platform is one archive to make.
type platform struct {
	// name is as in charmcraft.yaml; file is how it appears in the name of
	// the archive.
	name, file string
	arch       string
	base       charmfile.Base
}

func readProject(dir string) (*project, error) {
	data, err := os.ReadFile(filepath.Join(dir, charmfile.CharmcraftFile))
	if err != nil {
		return nil, fmt.Errorf("cannot read the charm: %w", err)
	}
	charm, err := charmfile.Load(dir)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", charmfile.CharmcraftFile, err)
	}
	root, err := plain(doc.Content[0])
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", charmfile.CharmcraftFile, err)
	}
	p := &project{dir: dir, root: root, charm: charm}
	if t := scalar(root, "type"); t != "charm" {
		return nil, fmt.Errorf(`cannot pack %s: its type is %q, and must be "charm"`, charmfile.CharmcraftFile, t)
	}
	if err := p.readParts(); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", charmfile.CharmcraftFile, err)
	}
	return p, nil
}

// unsupported are keys of a part that run scripts or fetch things.
var unsupported = []string{"override-pull", "override-build", "override-stage", "override-prime", "source-type", "source-branch", "source-tag", "source-commit", "overlay-script"}

func (p *project) readParts() error {
	parts := child(p.root, "parts")
	if parts == nil || len(parts.Content) == 0 {
		return errors.New(`parts: is missing; a charm written in Go has, for example,

parts:
  charm:
    plugin: go
    source: .
    build-snaps: [go]
    organize: {bin/NAME: dispatch}`)
	}
	for i := 0; i+1 < len(parts.Content); i += 2 {
		x := part{name: parts.Content[i].Value, source: "."}
		n := parts.Content[i+1]
		for _, key := range unsupported {
			if child(n, key) != nil {
				return fmt.Errorf("parts.%s.%s: is not something reactive pack can do; use charmcraft, or do it beforehand", x.name, key)
			}
		}
		if x.plugin = scalar(n, "plugin"); x.plugin == "" {
			x.plugin = x.name
		}
		switch x.plugin {
		case "go", "dump", "nil":
		default:
			return fmt.Errorf(`parts.%s.plugin: is %q; reactive pack knows "go", "dump" and "nil"`, x.name, x.plugin)
		}
		if s := scalar(n, "source"); s != "" {
			x.source = s
		}
		if !filepath.IsLocal(x.source) {
			return fmt.Errorf("parts.%s.source: %q is not inside the charm's directory; reactive pack fetches nothing", x.name, x.source)
		}
		x.tags = scalars(child(n, "go-buildtags"))
		x.generate = scalars(child(n, "go-generate"))
		if env := child(n, "build-environment"); env != nil {
			for _, e := range env.Content {
				for j := 0; j+1 < len(e.Content); j += 2 {
					x.env = append(x.env, e.Content[j].Value+"="+e.Content[j+1].Value)
				}
			}
		}
		if o := child(n, "organize"); o != nil {
			for j := 0; j+1 < len(o.Content); j += 2 {
				x.organize = append(x.organize, [2]string{clean(o.Content[j].Value), o.Content[j+1].Value})
			}
		}
		for _, key := range []string{"stage", "prime"} {
			if f := child(n, key); f != nil {
				x.filters = append(x.filters, scalars(f))
			}
		}
		p.parts = append(p.parts, x)
	}
	return nil
}

// platforms returns what is to be made, in the order of the file. Only names
// those wanted; empty means all.
func (p *project) platforms(only []string) ([]platform, error) {
	var all []platform
	for _, x := range p.charm.Platforms {
		pl, err := p.platform(x)
		if err != nil {
			return nil, fmt.Errorf("%s: platforms.%s: %w", charmfile.CharmcraftFile, x.Name, err)
		}
		all = append(all, pl)
	}
	if len(p.charm.Platforms) == 0 {
		for i, b := range p.charm.Bases {
			pl, err := legacyPlatform(b)
			if err != nil {
				return nil, fmt.Errorf("%s: bases[%d]: %w", charmfile.CharmcraftFile, i, err)
			}
			all = append(all, pl)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: platforms: is missing: say what to build for, such as\n\nbase: ubuntu@24.04\nplatforms: {amd64: , arm64: }", charmfile.CharmcraftFile)
	}
	seen := make(map[string]bool)
	for _, x := range all {
		if seen[x.file] {
			return nil, fmt.Errorf("%s: two platforms would make the same file for %s", charmfile.CharmcraftFile, x.file)
		}
		seen[x.file] = true
	}
	if len(only) == 0 {
		return all, nil
	}
	var wanted []platform
	for _, name := range only {
		i := slices.IndexFunc(all, func(x platform) bool { return x.name == name })
		if i < 0 {
			names := make([]string, len(all))
			for i, x := range all {
				names[i] = x.name
			}
			return nil, fmt.Errorf("%s has no platform %q; it has %s", charmfile.CharmcraftFile, name, strings.Join(names, ", "))
		}
		wanted = append(wanted, all[i])
	}
	return wanted, nil
}

func (p *project) platform(x charmfile.Platform) (platform, error) {
	pl := platform{name: x.Name, file: strings.ReplaceAll(x.Name, ":", "-")}
	if len(x.BuildFor) != 1 {
		return pl, fmt.Errorf("build-for has %d entries; one platform makes one charm for one architecture", len(x.BuildFor))
	}
	base := p.charm.Base
	name, arch, ok := strings.Cut(x.BuildFor[0], ":")
	if !ok {
		name, arch = "", x.BuildFor[0]
	}
	if name == "" {
		// A platform called ubuntu@24.04:anything brings its own base.
		name, _, _ = strings.Cut(x.Name, ":")
		if !strings.Contains(name, "@") {
			name = ""
		}
	}
	if name != "" {
		if base != "" {
			return pl, errors.New("names a base although the charm has one base for all")
		}
		base = name
	}
	if arch == "all" {
		return pl, errors.New(`a compiled charm is for one architecture, not for "all"`)
	}
	if arch == "ppc64le" {
		arch = "ppc64el"
	}
	if _, ok := archive.GOARCH(arch); !ok {
		return pl, fmt.Errorf("%q is not an architecture; give the platform a build-for, such as [amd64]", arch)
	}
	distribution, channel, ok := strings.Cut(base, "@")
	if !ok || distribution == "" || channel == "" {
		return pl, errors.New("has no base: write base: ubuntu@24.04 at the top, or call the platform ubuntu@24.04:" + arch)
	}
	pl.arch = arch
	pl.base = charmfile.Base{Name: distribution, Channel: channel, Architectures: []string{arch}}
	return pl, nil
}

// legacyPlatform makes a platform of an entry of the older bases list, whose
// archives charmcraft calls NAME_ubuntu-22.04-amd64.charm.
func legacyPlatform(b charmfile.Base) (platform, error) {
	if len(b.Architectures) == 0 {
		arch := runtime.GOARCH
		if arch == "ppc64le" {
			arch = "ppc64el"
		}
		b.Architectures = []string{arch}
	}
	if len(b.Architectures) != 1 {
		return platform{}, fmt.Errorf("has %d architectures, and a compiled charm is for one; use platforms", len(b.Architectures))
	}
	arch := b.Architectures[0]
	if _, ok := archive.GOARCH(arch); !ok {
		return platform{}, fmt.Errorf("%q is not an architecture", arch)
	}
	name := b.Name + "-" + b.Channel + "-" + arch
	return platform{name: name, file: name, arch: arch, base: b}, nil
}
