package reactive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/internal/picture"
)

// graph returns what the charm consists of. The endpoints of its file say
// which hooks patterns stand for; file may be nil.
func (c *Charm) graph(file *charmfile.Charm) (picture.Graph, error) {
	if file == nil {
		file = new(charmfile.Charm)
	}
	g := picture.Graph{Charm: c.name}
	known := make(map[string]bool)
	for _, f := range c.Flags() {
		g.Flags = append(g.Flags, picture.Flag{Name: f.String(), Source: c.sourceOf(f.String())})
		known[f.String()] = true
	}
	for _, h := range c.handlers {
		x := picture.Handler{Name: h.Name, When: h.String(), Place: shortPlace(h.site)}
		for _, on := range h.On {
			condition, err := on.picture(file)
			if err != nil {
				return g, fmt.Errorf("handler %q: %w", h.Name, err)
			}
			x.On = append(x.On, condition)
		}
		g.Handlers = append(g.Handlers, x)
	}
	for _, ep := range c.Endpoints() {
		g.Endpoints = append(g.Endpoints, picture.Endpoint{Name: ep.name, Role: string(ep.role), Interface: ep.iface, Place: shortPlace(ep.site)})
	}
	g.Actions = c.Actions()
	for _, t := range c.Triggers() {
		p := picture.Trigger{When: t.When.String(), WhenNot: t.WhenNot.String()}
		for _, f := range t.Set {
			p.Set = append(p.Set, f.String())
		}
		for _, f := range t.Clear {
			p.Clear = append(p.Clear, f.String())
		}
		g.Triggers = append(g.Triggers, p)
		for _, name := range slices.Concat([]string{p.When, p.WhenNot}, p.Set, p.Clear) {
			if name != "" && !known[name] {
				known[name] = true
				g.Flags = append(g.Flags, picture.Flag{Name: name, Source: c.sourceOf(name)})
			}
		}
	}
	return g, nil
}

// sourceOf says who sets a flag, if not the charm's own handlers.
func (c *Charm) sourceOf(name string) string {
	for _, ep := range slices.Sorted(maps.Keys(c.endpoints)) {
		if strings.HasPrefix(name, "endpoint."+ep+".") {
			return "endpoint " + ep
		}
	}
	for _, prefix := range []string{"config.", "leadership.", "upgrade."} {
		if strings.HasPrefix(name, prefix) {
			return "Juju"
		}
	}
	return ""
}

func (c Condition) picture(file *charmfile.Charm) (picture.Condition, error) {
	p := picture.Condition{Text: c.String()}
	switch c.kind {
	case onFlags:
		p.Kind = "flags"
		var names []string
		for _, f := range c.flags.Flags() {
			names = append(names, f.String())
		}
		expr, err := picture.ParseExpr(c.flags.String(), names)
		p.Expr = expr
		return p, err
	case onHook:
		p.Kind = "hook"
		for _, pattern := range c.patterns {
			p.Hooks = append(p.Hooks, ExpandHookPattern(pattern, file.Endpoints)...)
		}
	case onFiles:
		p.Kind = "files"
	case onOnce:
		p.Kind = "once"
	case onLeader:
		p.Kind = "leader"
	case onRestricted:
		p.Kind, p.Hooks = "restricted", c.patterns
	case onEvery:
		p.Kind = "every"
	case onAction:
		p.Kind, p.Hooks = "action", c.patterns
	}
	return p, nil
}

// shortPlace is a place in the code without the directories above its package's.
func shortPlace(site uintptr) string {
	p := place(site)
	return filepath.Join(filepath.Base(filepath.Dir(p)), filepath.Base(p))
}

// page returns the page of the charm and of the hooks on record.
func (c *cli) page() (picture.Page, error) {
	file, err := charmfile.Load(c.process.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return picture.Page{}, err
	}
	g, err := c.charm.graph(file)
	if err != nil {
		return picture.Page{}, fmt.Errorf("cannot draw the charm: %w", err)
	}
	p := picture.Page{Title: c.charm.name, Graphs: []picture.Graph{g}}
	records, err := ReadRecords(c.process.Dir)
	if err != nil {
		return p, err
	}
	// A record has the names that a page has.
	text, err := json.Marshal(records)
	if err == nil {
		err = json.Unmarshal(text, &p.Hooks)
	}
	if err != nil {
		return p, fmt.Errorf("cannot draw the records: %w", err)
	}
	if len(records) > 0 {
		unit := records[len(records)-1].Unit
		p.Title = unit
		p.Graphs[0].Applications = []string{applicationOf(unit)}
	}
	return p, nil
}

// writePage writes a page, readable by its owner only.
func (c *cli) writePage(path, open string) error {
	p, err := c.page()
	if err != nil {
		return err
	}
	p.Open = open
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	if err := errors.Join(picture.Write(f, p), f.Close()); err != nil {
		return err
	}
	fmt.Fprintf(c.process.Stdout, "wrote %s\n", path)
	return nil
}

func showGraph(_ context.Context, c *cli) error {
	html := c.flags.String("html", "", "write a page to look at in a browser to `FILE`")
	if err := c.parse(0, 0); err != nil {
		return err
	}
	if *html != "" {
		return c.writePage(*html, "graph")
	}
	p, err := c.page()
	if err != nil {
		return err
	}
	g := p.Graphs[0]
	if done, err := c.print(g); done {
		return err
	}
	changes := changesOf(p.Hooks)
	w := c.process.Stdout
	for _, h := range g.Handlers {
		fmt.Fprintf(w, "%s\n  waits for %s\n", h.Name, h.When)
		if list := changes[h.Name]; len(list) > 0 {
			fmt.Fprintf(w, "  was seen to change %s\n", strings.Join(list, ", "))
		}
	}
	return nil
}

// changesOf returns the flags that handlers were seen to set (+) and clear (-).
func changesOf(hooks []picture.Hook) map[string][]string {
	changes := make(map[string][]string)
	for _, h := range hooks {
		for _, s := range h.Steps {
			if s.Flag == "" || s.Handler == "" {
				continue
			}
			text := "-" + s.Flag
			if s.Set {
				text = "+" + s.Flag
			}
			if !slices.Contains(changes[s.Handler], text) {
				changes[s.Handler] = append(changes[s.Handler], text)
			}
		}
	}
	return changes
}
