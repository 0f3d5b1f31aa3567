package charmlint

import (
	"fmt"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/internal/picture"
)

// A check holds the charm against its files and itself.
type check struct {
	file  *charmfile.Charm
	graph picture.Graph
	facts *facts
	p     *program
	found []Finding
}

func (c *check) add(r Rule, place, format string, args ...any) {
	c.found = append(c.found, Finding{r, place, fmt.Sprintf(format, args...)})
}

// described is the file that describes the charm.
func (c *check) described() string { return c.file.Files[0] }

// where is the place of what a file of the charm describes under keys, such as
// charmcraft.yaml:12, and the file that describes the charm if none does. The
// older files have what is in charmcraft.yaml without its first key.
func (c *check) where(keys ...string) string {
	for _, name := range c.file.Files {
		data, err := os.ReadFile(filepath.Join(c.p.dir, name))
		var doc yaml.Node
		if err != nil || yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
			continue
		}
		path := keys
		if name == charmfile.ActionsFile || name == charmfile.ConfigFile {
			path = keys[1:]
		}
		if line := lineOf(doc.Content[0], path); line > 0 {
			return fmt.Sprintf("%s:%d", name, line)
		}
	}
	return c.described()
}

// lineOf returns the line of the last of keys, each in the map of the one
// before; 0 if it is not there.
func lineOf(n *yaml.Node, keys []string) int {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode || len(keys) == 0 {
		return 0
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value != keys[0] {
			continue
		}
		if len(keys) == 1 {
			return n.Content[i].Line
		}
		return lineOf(n.Content[i+1], keys[1:])
	}
	return 0
}

// polarity calls visit for each flag of an expression, with whether the
// expression wants it set.
func polarity(e *picture.Expr, want bool, visit func(flag string, want bool)) {
	if e == nil {
		return
	}
	if e.Op == "flag" {
		visit(e.Flag, want)
	}
	for _, part := range e.Parts {
		polarity(part, want != (e.Op == "not"), visit)
	}
}

// canHold says whether an expression can hold, or fail to, if some flags are
// never set.
func canHold(e *picture.Expr, want bool, never map[string]bool) bool {
	switch {
	case e.Op == "flag":
		return !want || !never[e.Flag]
	case e.Op == "not":
		return canHold(e.Parts[0], !want, never)
	case (e.Op == "and") == want:
		for _, part := range e.Parts {
			if !canHold(part, want, never) {
				return false
			}
		}
		return true
	}
	for _, part := range e.Parts {
		if canHold(part, want, never) {
			return true
		}
	}
	return false
}

func (c *check) flags() {
	never := make(map[string]bool)
	for name, f := range c.facts.flags {
		never[name] = !f.set
		place := c.p.place(f.declared)
		switch {
		case !f.set && !f.read && !f.cleared:
			c.add(FlagUnused, place, "nobody uses %s", name)
		case !f.read:
			c.add(FlagNeverRead, place, "nobody waits for %s or looks at it", name)
		}
	}
	for _, h := range c.graph.Handlers {
		for _, on := range h.On {
			if on.Expr == nil || canHold(on.Expr, true, never) {
				continue
			}
			var missing []string
			polarity(on.Expr, true, func(flag string, want bool) {
				if want && never[flag] && !slices.Contains(missing, flag) {
					missing = append(missing, flag)
				}
			})
			c.add(FlagNeverSet, h.Place, "handler %q waits for %s, which nobody sets", h.Name, strings.Join(missing, " and "))
		}
	}
}

func (c *check) endpoints() {
	used := make(map[string]bool)
	for _, e := range c.graph.Endpoints {
		used[e.Name] = true
		declared, ok := c.file.Endpoint(e.Name)
		switch {
		case !ok:
			c.add(EndpointUnknown, e.Place, "%s has no endpoint %q", c.described(), e.Name)
		case string(declared.Role) != e.Role || declared.Interface != e.Interface:
			c.add(EndpointMismatch, e.Place, "endpoint %q %s the interface %s in the code, and %s %s in %s",
				e.Name, e.Role, e.Interface, declared.Role, declared.Interface, c.described())
		}
	}
	for _, e := range c.file.Endpoints {
		// To be placed beside a principal a charm need not do anything.
		principal := e.Scope == charmfile.ContainerScope && e.Role == charmfile.Requirer
		if !used[e.Name] && !principal && !c.named(e.Name) {
			c.add(EndpointUnused, c.where(string(e.Role), e.Name), "the code does not use endpoint %q", e.Name)
		}
	}
}

// named says whether a constant of the code is the name, or a hook's with it.
func (c *check) named(name string) bool {
	if c.facts.texts[name] {
		return true
	}
	for text := range c.facts.texts {
		if strings.HasPrefix(text, name+"-relation-") || strings.HasPrefix(text, name+"-storage-") || strings.HasPrefix(text, name+"-pebble-") {
			return true
		}
	}
	return false
}

func (c *check) options() {
	for _, o := range c.facts.options {
		declared, ok := c.file.Options.Get(o.name)
		switch {
		case !ok:
			c.add(OptionUnknown, c.p.place(o.pos), "%s has no option %q", c.described(), o.name)
		case o.typ != nil && !fits(declared.Type, o.typ):
			c.add(OptionType, c.p.place(o.pos), "option %q is a %s, which a Go %s does not take", o.name, declared.Type, o.typ)
		}
	}
	seen := make(map[string]bool)
	for _, f := range c.graph.Flags {
		for _, prefix := range []string{"config.changed.", "config.set.", "config.default."} {
			name, ok := strings.CutPrefix(f.Name, prefix)
			if _, declared := c.file.Options.Get(name); ok && !declared && !seen[name] {
				seen[name] = true
				c.add(OptionUnknown, c.described(), "handlers wait for %s, and there is no option %q", f.Name, name)
			}
		}
	}
	for _, o := range c.file.Options {
		waited := slices.ContainsFunc(c.graph.Flags, func(f picture.Flag) bool {
			return strings.HasPrefix(f.Name, "config.") && strings.HasSuffix(f.Name, "."+o.Name)
		})
		if !waited && !c.facts.texts[o.Name] {
			c.add(OptionUnused, c.where("config", "options", o.Name), "the code never names option %q", o.Name)
		}
	}
}

// fits says whether a field can take an option's values.
func fits(option charmfile.OptionType, t types.Type) bool {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	// A type may have its own way to read itself.
	for _, of := range []types.Type{t, types.NewPointer(t)} {
		methods := types.NewMethodSet(of)
		for i := range methods.Len() {
			if name := methods.At(i).Obj().Name(); name == "UnmarshalJSON" || name == "UnmarshalText" {
				return true
			}
		}
	}
	basic, ok := t.Underlying().(*types.Basic)
	if !ok {
		_, any := t.Underlying().(*types.Interface)
		return any
	}
	switch option {
	case charmfile.Int:
		return basic.Info()&types.IsNumeric != 0
	case charmfile.Float:
		return basic.Info()&types.IsFloat != 0
	case charmfile.Boolean:
		return basic.Info()&types.IsBoolean != 0
	default:
		return basic.Info()&types.IsString != 0
	}
}

func (c *check) actions() {
	for _, name := range c.graph.Actions {
		if _, ok := c.file.Action(name); !ok {
			c.add(ActionUnknown, c.described(), "there is no action %q, which the code handles", name)
		}
	}
	for _, a := range c.file.Actions {
		if !slices.Contains(c.graph.Actions, a.Name) {
			c.add(ActionUnhandled, c.where("actions", a.Name), "the code does not handle action %q", a.Name)
		}
	}
}

// An edge says that a handler can wake another by a change of a flag.
type edge struct {
	from, to, flag string
	set            bool
}

// awake finds handlers of which each can wake the next, round and round. A
// flag can only wake somebody again if it was changed back in the meantime, so
// edges whose flag nobody in the circle changes back are no part of it.
func (c *check) awake() {
	edges := c.edges()
	for {
		circles := components(edges)
		kept := slices.DeleteFunc(slices.Clone(edges), func(e edge) bool {
			if circles[e.from] != circles[e.to] {
				return true
			}
			for name, effect := range c.facts.effects {
				if circles[name] == circles[e.from] && (e.set && effect.clears[e.flag] || !e.set && effect.sets[e.flag]) {
					return false
				}
			}
			return true
		})
		if len(kept) == len(edges) {
			break
		}
		edges = kept
	}
	members := make(map[int][]string)
	circles := components(edges)
	for _, h := range c.graph.Handlers {
		if n, ok := circles[h.Name]; ok && slices.ContainsFunc(edges, func(e edge) bool { return e.from == h.Name }) {
			members[n] = append(members[n], h.Name)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(members)) {
		var flags []string
		for _, e := range edges {
			if circles[e.from] == n && !slices.Contains(flags, e.flag) {
				flags = append(flags, e.flag)
			}
		}
		slices.Sort(flags)
		c.add(KeepAwake, c.placeOf(members[n][0]), "%s can keep each other awake through %s", quoteAll(members[n]), strings.Join(flags, ", "))
	}
}

func (c *check) edges() []edge {
	var edges []edge
	for _, from := range c.graph.Handlers {
		e := c.facts.effects[from.Name]
		if e == nil || !repeats(from) {
			continue
		}
		for _, to := range c.graph.Handlers {
			if !repeats(to) {
				continue
			}
			for _, on := range to.On {
				polarity(on.Expr, true, func(flag string, want bool) {
					// By itself a handler wakes only if it does both on purpose.
					if from.Name == to.Name && (e.toggles[flag] || !(e.sets[flag] && e.clears[flag])) {
						return
					}
					if want && e.sets[flag] || !want && e.clears[flag] {
						edges = append(edges, edge{from.Name, to.Name, flag, want})
					}
				})
			}
		}
	}
	return edges
}

// repeats says whether a handler can run several times in one hook.
func repeats(h picture.Handler) bool {
	flags := false
	for _, on := range h.On {
		switch on.Kind {
		case "flags":
			flags = true
		case "hook", "once", "every", "restricted", "action":
			return false
		}
	}
	return flags
}

func (c *check) placeOf(handler string) string {
	for _, h := range c.graph.Handlers {
		if h.Name == handler {
			return h.Place
		}
	}
	return c.described()
}

func quoteAll(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(quoted, " and ")
}

// components numbers handlers so that those have the same number that can reach
// each other.
func components(edges []edge) map[string]int {
	reach := make(map[string]map[string]bool)
	for _, e := range edges {
		for _, n := range []string{e.from, e.to} {
			if reach[n] == nil {
				reach[n] = map[string]bool{n: true}
			}
		}
	}
	next := make(map[string][]string)
	for _, e := range edges {
		next[e.from] = append(next[e.from], e.to)
	}
	for n, seen := range reach {
		todo := []string{n}
		for len(todo) > 0 {
			x := todo[0]
			todo = todo[1:]
			for _, y := range next[x] {
				if !seen[y] {
					seen[y] = true
					todo = append(todo, y)
				}
			}
		}
	}
	number := make(map[string]int)
	for i, n := range slices.Sorted(maps.Keys(reach)) {
		if _, ok := number[n]; ok {
			continue
		}
		number[n] = i
		for m := range reach[n] {
			if reach[m][n] {
				number[m] = i
			}
		}
	}
	return number
}

func (c *check) unitdata() {
	if c.facts.shrinks {
		return
	}
	for _, g := range c.facts.growth {
		c.add(UnboundedUnitdata, c.p.place(g.pos), "%s is kept under keys made at run time, and nothing removes any", g.what)
	}
}
