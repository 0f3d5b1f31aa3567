package charmfile

import (
	"fmt"
	"math"
	"strings"

	"gopkg.in/yaml.v3"
)

// An Error says what is wrong at one place of one file. Load joins several
// into one error; errors.As finds the first.
type Error struct {
	// File is the file's name, such as "charmcraft.yaml".
	File string
	// Line is the line in it, counted from 1; 0 if unknown.
	Line int
	// Key is the path of keys to the place, such as "provides.lb.interface";
	// "" is the whole file.
	Key string
	// Reason says what is wrong.
	Reason string
}

// Error returns "file:line: key: reason", without the parts that are unknown.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	return b.String() + ": " + e.Reason
}

// maxNodes bounds what a file may expand to: aliases make it possible to write
// a huge document in a few lines.
const maxNodes = 100_000

const maxDepth = 100

// A node is a place in a file. Its methods note what is wrong in the shared
// reader and go on, so that one reading finds every mistake.
type node struct {
	r    *reader
	path string
	n    *yaml.Node
}

type reader struct {
	file   string
	errs   []error
	budget int
}

func (n node) failf(format string, args ...any) {
	line := 0
	if n.n != nil {
		line = n.n.Line
	}
	n.r.errs = append(n.r.errs, &Error{File: n.r.file, Line: line, Key: n.path, Reason: fmt.Sprintf(format, args...)})
}

func (n node) at(key string, child *yaml.Node) node {
	path := key
	if n.path != "" {
		path = n.path + "." + key
	}
	return node{n.r, path, child}
}

// deref follows aliases.
func deref(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < maxDepth; i++ {
		n = n.Alias
	}
	return n
}

func (n node) null() bool {
	d := deref(n.n)
	return d == nil || d.Kind == 0 || (d.Kind == yaml.ScalarNode && d.ShortTag() == "!!null")
}

// spend takes from what the file may expand to and says whether there was
// enough left.
func (n node) spend(nodes, depth int) bool {
	r := n.r
	if r.budget < 0 {
		return false
	}
	if r.budget -= nodes + 1; r.budget < 0 || depth > maxDepth {
		r.budget = -1
		n.failf("is too large or nested too deeply")
		return false
	}
	return true
}

type field struct {
	key string
	node
}

// fields returns the keys and values of a map in the order of the file, with
// merged ("<<") maps behind the map's own keys.
func (n node) fields() []field { return n.fieldsDepth(0) }

func (n node) fieldsDepth(depth int) []field {
	d := deref(n.n)
	if n.null() {
		return nil
	}
	if d.Kind != yaml.MappingNode {
		n.failf("must be a map, not %s", describe(d))
		return nil
	}
	if !n.spend(len(d.Content), depth) {
		return nil
	}
	var out, merged []field
	seen := make(map[string]bool)
	for i := 0; i+1 < len(d.Content); i += 2 {
		k, v := deref(d.Content[i]), d.Content[i+1]
		if k.ShortTag() == "!!merge" {
			sources := []*yaml.Node{v}
			if s := deref(v); s.Kind == yaml.SequenceNode {
				sources = s.Content
			}
			for _, s := range sources {
				merged = append(merged, node{n.r, n.path, s}.fieldsDepth(depth+1)...)
			}
			continue
		}
		if k.Kind != yaml.ScalarNode {
			node{n.r, n.path, k}.failf("has a key that is %s; keys are strings", describe(k))
			continue
		}
		if seen[k.Value] {
			n.at(k.Value, k).failf("appears twice")
			continue
		}
		seen[k.Value] = true
		out = append(out, field{k.Value, n.at(k.Value, v)})
	}
	for _, f := range merged {
		if !seen[f.key] {
			seen[f.key] = true
			out = append(out, f)
		}
	}
	return out
}

// list returns the elements of a list.
func (n node) list() []node {
	d := deref(n.n)
	if n.null() {
		return nil
	}
	if d.Kind != yaml.SequenceNode {
		n.failf("must be a list, not %s", describe(d))
		return nil
	}
	if !n.spend(len(d.Content), 0) {
		return nil
	}
	out := make([]node, len(d.Content))
	for i, c := range d.Content {
		out[i] = node{n.r, fmt.Sprintf("%s[%d]", n.path, i), c}
	}
	return out
}

// str returns a string. Juju wants real strings, so an unquoted 24.04 is
// an error here as it is there.
func (n node) str() string {
	if n.null() {
		return ""
	}
	v := n.value()
	s, ok := v.(string)
	if !ok {
		n.failf("must be a string, not %s; put it in quotes", show(v))
	}
	return s
}

func (n node) strs() []string {
	var out []string
	for _, e := range n.list() {
		out = append(out, e.str())
	}
	return out
}

// boolean takes what Juju's reader takes: a boolean or its name as a string.
func (n node) boolean() bool {
	if n.null() {
		return false
	}
	switch v := n.value().(type) {
	case bool:
		return v
	case string:
		if b, ok := parseBool(v); ok {
			return b
		}
	}
	n.failf("must be true or false, not %s", show(n.value()))
	return false
}

func (n node) integer() int {
	if n.null() {
		return 0
	}
	if i, ok := n.value().(int64); ok && i >= math.MinInt32 && i <= math.MaxInt32 {
		return int(i)
	}
	n.failf("must be an integer, not %s", show(n.value()))
	return 0
}

// oneOf returns a string that must be among choices; "" stays "".
func (n node) oneOf(choices ...string) string {
	s := n.str()
	if s == "" {
		return ""
	}
	for _, c := range choices {
		if s == c {
			return s
		}
	}
	n.failf("must be %s, not %q", orList(choices), s)
	return ""
}

func orList(choices []string) string {
	quoted := make([]string, len(choices))
	for i, c := range choices {
		quoted[i] = fmt.Sprintf("%q", c)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}

// value returns free-form YAML as nil, bool, int64, uint64, float64, string,
// []any or map[string]any.
func (n node) value() any {
	return n.any(0)
}

func (n node) any(depth int) any {
	d := deref(n.n)
	if d == nil {
		return nil
	}
	if !n.spend(1, depth) {
		return nil
	}
	switch d.Kind {
	case yaml.ScalarNode:
		return n.scalar(d)
	case yaml.SequenceNode:
		list := make([]any, len(d.Content))
		for i, c := range d.Content {
			list[i] = node{n.r, fmt.Sprintf("%s[%d]", n.path, i), c}.any(depth + 1)
		}
		return list
	case yaml.MappingNode:
		m := make(map[string]any)
		for _, f := range n.fieldsDepth(depth) {
			m[f.key] = f.any(depth + 1)
		}
		return m
	default:
		return nil
	}
}

func (n node) scalar(d *yaml.Node) any {
	switch d.ShortTag() {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := d.Decode(&v); err != nil {
			n.failf("cannot be read: %v", err)
			return nil
		}
		switch v := v.(type) {
		case int:
			return int64(v)
		case int64, uint64, float64, bool, string:
			return v
		}
		return d.Value
	case "!!str":
		// Juju and charmcraft read YAML 1.1, where a bare yes is a boolean.
		if d.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0 {
			switch strings.ToLower(d.Value) {
			case "yes", "on":
				return true
			case "no", "off":
				return false
			}
		}
	}
	return d.Value
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}

// show returns a value as an error message shows it.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		if len(v) > 80 {
			return fmt.Sprintf("%q…", v[:80])
		}
		return fmt.Sprintf("%q", v)
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	default:
		return fmt.Sprint(v)
	}
}
