package charmfile

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"unicode/utf8"
)

// A Schema says which values a parameter of an action may have: the part of
// JSON Schema (draft 4, which Juju uses) that actions are written with. The
// zero value takes any value.
type Schema struct {
	// Types are the allowed types: "string", "integer", "number", "boolean",
	// "object", "array", "null". Empty allows all.
	Types []string
	// Title and Description are for people.
	Title, Description string
	// Default is the value of a parameter that is not given; nil is none.
	Default any
	// Enum are the allowed values; nil allows all.
	Enum []any
	// Minimum and Maximum bound numbers; the Exclusive flags exclude the
	// bounds themselves.
	Minimum, Maximum                   *float64
	ExclusiveMinimum, ExclusiveMaximum bool
	// MinLength and MaxLength bound strings, in characters.
	MinLength, MaxLength *int
	// Pattern is a regular expression that must match somewhere in a string.
	Pattern *regexp.Regexp
	// Items is the schema of each element of an array; MinItems and MaxItems
	// bound their number.
	Items              *Schema
	MinItems, MaxItems *int
	// Properties are the schemas of an object's properties, Required those it
	// must have. NoAdditional refuses other properties; Additional is their
	// schema if there is one.
	Properties   map[string]*Schema
	Required     []string
	NoAdditional bool
	Additional   *Schema
}

// Validate returns v completed with the defaults of the schema, or says what
// is wrong with it. It does not change v.
func (s *Schema) Validate(v any) (any, error) {
	v = clone(v)
	if v == nil && s.Default != nil {
		v = clone(s.Default)
	}
	s.complete(v)
	if err := s.check("", v); err != nil {
		return nil, err
	}
	return v, nil
}

// addDefaults adds to object the properties that it lacks and that have a default.
func (s *Schema) addDefaults(object map[string]any) {
	for name, p := range s.Properties {
		v, ok := object[name]
		switch {
		case ok:
			v = clone(v)
			p.complete(v)
		case p.Default != nil:
			v = clone(p.Default)
		case p.hasDefaults():
			// An object that is not given exists if one of its own
			// properties has a default.
			v = make(map[string]any)
			p.complete(v)
		default:
			continue
		}
		object[name] = v
	}
}

func (s *Schema) hasDefaults() bool {
	for _, p := range s.Properties {
		if p.Default != nil || p.hasDefaults() {
			return true
		}
	}
	return false
}

func (s *Schema) complete(v any) {
	if object, ok := v.(map[string]any); ok {
		s.addDefaults(object)
	}
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[k] = clone(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = clone(e)
		}
		return l
	}
	return v
}

func (s *Schema) check(path string, v any) error {
	fail := func(format string, args ...any) error {
		if path == "" {
			return fmt.Errorf(format, args...)
		}
		return fmt.Errorf("parameter %q "+format, append([]any{path}, args...)...)
	}
	if len(s.Types) > 0 && !slices.ContainsFunc(s.Types, func(t string) bool { return isType(t, v) }) {
		return fail("must be %s, not %s", typeList(s.Types), show(v))
	}
	if s.Enum != nil && !slices.ContainsFunc(s.Enum, func(e any) bool { return equal(e, v) }) {
		shown := make([]any, len(s.Enum))
		for i, e := range s.Enum {
			shown[i] = show(e)
		}
		return fail("must be one of %v, not %s", shown, show(v))
	}
	switch v := v.(type) {
	case string:
		return s.checkString(v, fail)
	case []any:
		if s.MinItems != nil && len(v) < *s.MinItems {
			return fail("must have at least %d items, not %d", *s.MinItems, len(v))
		}
		if s.MaxItems != nil && len(v) > *s.MaxItems {
			return fail("must have at most %d items, not %d", *s.MaxItems, len(v))
		}
		if s.Items != nil {
			for i, e := range v {
				if err := s.Items.check(fmt.Sprintf("%s[%d]", path, i), e); err != nil {
					return err
				}
			}
		}
		return nil
	case map[string]any:
		return s.checkObject(path, v, fail)
	}
	if f, ok := toFloat(v); ok {
		if s.Minimum != nil && (f < *s.Minimum || (s.ExclusiveMinimum && f == *s.Minimum)) {
			return fail("must be %s %v, not %v", pick(s.ExclusiveMinimum, "above", "at least"), *s.Minimum, v)
		}
		if s.Maximum != nil && (f > *s.Maximum || (s.ExclusiveMaximum && f == *s.Maximum)) {
			return fail("must be %s %v, not %v", pick(s.ExclusiveMaximum, "below", "at most"), *s.Maximum, v)
		}
	}
	return nil
}

func (s *Schema) checkString(v string, fail func(string, ...any) error) error {
	length := utf8.RuneCountInString(v)
	switch {
	case s.MinLength != nil && length < *s.MinLength:
		return fail("must have at least %d characters, not %d", *s.MinLength, length)
	case s.MaxLength != nil && length > *s.MaxLength:
		return fail("must have at most %d characters, not %d", *s.MaxLength, length)
	case s.Pattern != nil && !s.Pattern.MatchString(v):
		return fail("must match %s, which %s does not", s.Pattern, show(v))
	}
	return nil
}

func (s *Schema) checkObject(path string, v map[string]any, fail func(string, ...any) error) error {
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			return fail(pick(path == "", "it needs %q", "needs %q"), name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v)) {
		sub := name
		if path != "" {
			sub = path + "." + name
		}
		p, known := s.Properties[name]
		switch {
		case known:
		case s.NoAdditional:
			return fail(pick(path == "", "it has no %q; it has %v", "has no %q; it has %v"), name, slices.Sorted(maps.Keys(s.Properties)))
		case s.Additional != nil:
			p = s.Additional
		default:
			continue
		}
		if err := p.check(sub, v[name]); err != nil {
			return err
		}
	}
	return nil
}

func pick(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func typeList(types []string) string {
	if len(types) == 1 {
		return "of type " + types[0]
	}
	return fmt.Sprintf("of one of the types %v", types)
}

func isType(t string, v any) bool {
	switch t {
	case "string":
		_, ok := v.(string)
		return ok
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "object":
		_, ok := v.(map[string]any)
		return ok
	case "array":
		_, ok := v.([]any)
		return ok
	case "null":
		return v == nil
	case "number":
		_, ok := toFloat(v)
		return ok
	case "integer":
		if u, ok := v.(uint64); ok && u > math.MaxInt64 {
			return true
		}
		if f, ok := toFloat(v); ok {
			return f == math.Trunc(f)
		}
	}
	return false
}

// equal compares two values as JSON does: 1 and 1.0 are the same.
func equal(a, b any) bool {
	if x, ok := toFloat(a); ok {
		y, ok := toFloat(b)
		return ok && x == y
	}
	x, err := json.Marshal(a)
	if err != nil {
		return false
	}
	y, err := json.Marshal(b)
	return err == nil && string(x) == string(y)
}

func parseSchema(n node, depth int) *Schema {
	s := new(Schema)
	if depth > 20 {
		n.failf("is nested too deeply")
		return s
	}
	for _, f := range n.fields() {
		s.setKey(f, depth)
	}
	if s.Default != nil && len(n.r.errs) == 0 {
		if err := s.check("", s.Default); err != nil {
			n.at("default", n.n).failf("%v", err)
		}
	}
	return s
}

func (s *Schema) setKey(f field, depth int) {
	switch f.key {
	case "type":
		for _, t := range oneOrMore(f.node) {
			if !slices.Contains([]string{"string", "integer", "number", "boolean", "object", "array", "null"}, t) {
				f.failf("must be a type of JSON Schema (string, integer, number, boolean, object, array or null), not %q", t)
			}
			s.Types = append(s.Types, t)
		}
	case "title":
		s.Title = f.str()
	case "description":
		s.Description = f.str()
	case "default":
		s.Default = f.value()
	case "enum":
		s.Enum = []any{}
		for _, e := range f.list() {
			s.Enum = append(s.Enum, e.value())
		}
	case "minimum":
		s.Minimum = f.number()
	case "maximum":
		s.Maximum = f.number()
	case "exclusiveMinimum":
		s.ExclusiveMinimum = f.boolean()
	case "exclusiveMaximum":
		s.ExclusiveMaximum = f.boolean()
	case "minLength":
		s.MinLength = f.length()
	case "maxLength":
		s.MaxLength = f.length()
	case "minItems":
		s.MinItems = f.length()
	case "maxItems":
		s.MaxItems = f.length()
	case "pattern":
		re, err := regexp.Compile(f.str())
		if err != nil {
			f.failf("must be a regular expression: %v", err)
			return
		}
		s.Pattern = re
	case "items":
		s.Items = parseSchema(f.node, depth+1)
	case "required":
		s.Required = f.strs()
	case "properties":
		s.Properties = make(map[string]*Schema)
		for _, p := range f.fields() {
			s.Properties[p.key] = parseSchema(p.node, depth+1)
		}
	case "additionalProperties":
		if _, ok := f.value().(bool); ok {
			s.NoAdditional = !f.boolean()
		} else {
			s.Additional = parseSchema(f.node, depth+1)
		}
	case "$ref", "$schema":
		f.failf("is not allowed: Juju takes no references in a schema")
	}
}

func (n node) number() *float64 {
	f, ok := toFloat(n.value())
	if !ok {
		n.failf("must be a number, not %s", show(n.value()))
		return nil
	}
	return &f
}

func (n node) length() *int {
	i := count(n)
	return &i
}
