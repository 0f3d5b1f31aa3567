package charmfile

import (
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

func parseEndpoints(c *Charm, n node, role Role) {
	for _, f := range n.fields() {
		e := Endpoint{Name: f.key, Role: role, Scope: GlobalScope}
		// "db: pgsql" is short for "db: {interface: pgsql}".
		if d := deref(f.n); d != nil && d.Kind == yaml.ScalarNode {
			e.Interface = required(f.node)
			c.Endpoints = append(c.Endpoints, e)
			continue
		}
		for _, g := range f.fields() {
			switch g.key {
			case "interface":
				e.Interface = required(g.node)
			case "scope":
				if s := g.oneOf(string(GlobalScope), string(ContainerScope)); s != "" {
					e.Scope = Scope(s)
				}
			case "optional":
				e.Optional = g.boolean()
			case "limit":
				if e.Limit = g.integer(); e.Limit < 0 {
					g.failf("must not be negative")
				}
			}
		}
		if e.Interface == "" {
			f.at("interface", f.n).failf("is missing")
		}
		c.Endpoints = append(c.Endpoints, e)
	}
}

func parseStorage(c *Charm, n node) {
	for _, f := range n.fields() {
		s := Storage{Name: f.key, Min: 1, Max: 1}
		typed := false
		for _, g := range f.fields() {
			switch g.key {
			case "type":
				s.Type, typed = g.oneOf("filesystem", "block"), true
			case "description":
				s.Description = g.str()
			case "location":
				s.Location = g.str()
			case "minimum-size":
				s.MinimumSize = g.str()
			case "shared":
				s.Shared = g.boolean()
			case "read-only":
				s.ReadOnly = g.boolean()
			case "properties":
				for _, p := range g.list() {
					s.Properties = append(s.Properties, p.oneOf("transient"))
				}
			case "multiple":
				for _, h := range g.fields() {
					if h.key == "range" {
						s.Min, s.Max = parseRange(h.node)
					}
				}
			}
		}
		if !typed {
			f.at("type", f.n).failf(`is missing: it is "filesystem" or "block"`)
		}
		c.Storage = append(c.Storage, s)
	}
}

// parseRange reads a count: m, "m-n", "m+" or "m-".
func parseRange(n node) (lo, hi int) {
	switch v := n.value().(type) {
	case int64:
		if v > 0 && v < 1<<31 {
			return int(v), int(v)
		}
	case string:
		if m, ok := strings.CutSuffix(v, "+"); ok {
			if lo, err := strconv.Atoi(m); err == nil && lo >= 0 {
				return lo, -1
			}
		} else if m, rest, ok := strings.Cut(v, "-"); ok {
			lo, err := strconv.Atoi(m)
			hi, err2 := strconv.Atoi(rest)
			if rest == "" {
				hi, err2 = -1, nil
			}
			if err == nil && err2 == nil && lo >= 0 && (hi == -1 || hi > 0) {
				return lo, hi
			}
		}
	}
	n.failf("must be a count such as 2, 0-1 or 1+, not %s", show(n.value()))
	return 1, 1
}

func parseDevices(c *Charm, n node) {
	for _, f := range n.fields() {
		d := Device{Name: f.key}
		for _, g := range f.fields() {
			switch g.key {
			case "type":
				d.Type = required(g.node)
			case "description":
				d.Description = g.str()
			case "countmin":
				d.Min = count(g.node)
			case "countmax":
				d.Max = count(g.node)
			}
		}
		if d.Type == "" {
			f.at("type", f.n).failf("is missing")
		}
		c.Devices = append(c.Devices, d)
	}
}

func count(n node) int {
	i := n.integer()
	if i < 0 {
		n.failf("must not be negative")
	}
	return i
}

func parseResources(c *Charm, n node) {
	for _, f := range n.fields() {
		r := Resource{Name: f.key, Type: "file"}
		for _, g := range f.fields() {
			switch g.key {
			case "type":
				r.Type = g.oneOf("file", "oci-image")
			case "filename":
				r.Filename = g.str()
			case "description":
				r.Description = g.str()
			}
		}
		c.Resources = append(c.Resources, r)
	}
}

func parseContainers(c *Charm, n node) {
	for _, f := range n.fields() {
		x := Container{Name: f.key}
		for _, g := range f.fields() {
			switch g.key {
			case "resource":
				x.Resource = g.str()
			case "bases":
				for _, b := range g.list() {
					x.Bases = append(x.Bases, parseBase(b))
				}
			case "mounts":
				for _, m := range g.list() {
					x.Mounts = append(x.Mounts, parseMount(m))
				}
			case "uid":
				id := g.integer()
				x.UID = &id
			case "gid":
				id := g.integer()
				x.GID = &id
			}
		}
		c.Containers = append(c.Containers, x)
	}
}

func parseMount(n node) Mount {
	var m Mount
	for _, f := range n.fields() {
		switch f.key {
		case "storage":
			m.Storage = f.str()
		case "location":
			m.Location = f.str()
		}
	}
	return m
}

func parseExtraBindings(c *Charm, n node) {
	for _, f := range n.fields() {
		if !f.null() {
			f.failf("must have no value: only the names of extra bindings count")
		}
		c.ExtraBindings = append(c.ExtraBindings, f.key)
	}
}

func parseAssumes(n node, depth int) []Assumption {
	if depth > 10 {
		n.failf("is nested too deeply")
		return nil
	}
	var out []Assumption
	for _, e := range n.list() {
		if d := deref(e.n); d.Kind != yaml.MappingNode {
			out = append(out, Assumption{Feature: required(e)})
			continue
		}
		for _, f := range e.fields() {
			switch f.key {
			case "any-of":
				out = append(out, Assumption{AnyOf: parseAssumes(f.node, depth+1)})
			case "all-of":
				out = append(out, Assumption{AllOf: parseAssumes(f.node, depth+1)})
			default:
				f.failf(`must be a feature, "any-of" or "all-of"`)
			}
		}
	}
	return out
}

func parsePlatforms(c *Charm, n node) {
	for _, f := range n.fields() {
		p := Platform{Name: f.key}
		for _, g := range f.fields() {
			switch g.key {
			case "build-on":
				p.BuildOn = oneOrMore(g.node)
			case "build-for":
				p.BuildFor = oneOrMore(g.node)
			}
		}
		if p.BuildFor == nil {
			p.BuildFor = []string{p.Name}
		}
		if p.BuildOn == nil {
			p.BuildOn = []string{p.Name}
		}
		c.Platforms = append(c.Platforms, p)
	}
}

// oneOrMore reads a list of strings, or one string for a list of one.
func oneOrMore(n node) []string {
	if d := deref(n.n); d != nil && d.Kind == yaml.ScalarNode && !n.null() {
		return []string{n.str()}
	}
	return n.strs()
}

func parseBase(n node) Base {
	var b Base
	for _, f := range n.fields() {
		switch f.key {
		case "name":
			b.Name = f.str()
		case "channel":
			b.Channel = f.str()
		case "architectures":
			b.Architectures = f.strs()
		}
	}
	return b
}

// parseCharmcraftBases reads charmcraft's older list of bases: of the long
// form what the charm runs on counts.
func parseCharmcraftBases(c *Charm, n node) {
	for _, e := range n.list() {
		long := false
		for _, f := range e.fields() {
			if f.key == "run-on" {
				long = true
				for _, b := range f.list() {
					c.Bases = append(c.Bases, parseBase(b))
				}
			}
		}
		if !long {
			c.Bases = append(c.Bases, parseBase(e))
		}
	}
}
