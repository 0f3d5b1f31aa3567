package charmfile

import (
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
)

// An OptionType is the type of a configuration option, named as in the file.
type OptionType string

// The types of configuration options.
const (
	String  OptionType = "string"
	Int     OptionType = "int"
	Float   OptionType = "float"
	Boolean OptionType = "boolean"
	Secret  OptionType = "secret"
)

// An Option is a configuration option. Its values are string for String and
// Secret, int64 for Int, float64 for Float and bool for Boolean.
type Option struct {
	Name        string
	Type        OptionType
	Description string
	// Default is the value of an option that nobody has set; nil means that
	// such an option has no value.
	Default any
}

// Options are a charm's configuration options in the order of the file.
type Options []Option

// Get returns the option called name.
func (o Options) Get(name string) (Option, bool) {
	return find(o, func(x Option) bool { return x.Name == name })
}

// Defaults returns the values of a charm's options before anybody sets one.
// Options without a default are absent.
func (o Options) Defaults() map[string]any {
	m := make(map[string]any)
	for _, x := range o {
		if x.Default != nil {
			m[x.Name] = x.Default
		}
	}
	return m
}

// Parse reads a value written as text, as "juju config app name=value" does.
func (o Option) Parse(text string) (any, error) {
	var v any
	var err error
	switch o.Type {
	case Int:
		v, err = strconv.ParseInt(text, 10, 64)
	case Float:
		v, err = strconv.ParseFloat(text, 64)
	case Boolean:
		v, err = strconv.ParseBool(text)
	default:
		return o.Check(text)
	}
	if err != nil {
		return nil, fmt.Errorf("option %q is of type %s and cannot be %q", o.Name, o.Type, text)
	}
	return v, nil
}

// Check returns v as a value of the option's type, or says why it is none.
// It takes what comes from YAML and JSON: any Go integer, float64 without a
// fraction and [json.Number] for an int, numbers for a float; and, as Juju does,
// text for an int or a boolean. Nil, which unsets an option, stays nil.
func (o Option) Check(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch o.Type {
	case Int:
		if i, ok := toInt(v); ok {
			return i, nil
		}
		if s, ok := v.(string); ok {
			if i, err := strconv.ParseInt(s, 0, 64); err == nil {
				return i, nil
			}
		}
	case Float:
		if f, ok := toFloat(v); ok {
			return f, nil
		}
	case Boolean:
		switch v := v.(type) {
		case bool:
			return v, nil
		case string:
			if b, ok := parseBool(v); ok {
				return b, nil
			}
		}
	case Secret:
		s, ok := v.(string)
		if ok {
			if s == "" {
				return s, nil
			}
			if u, err := url.Parse(s); err == nil && u.Scheme == "secret" {
				return s, nil
			}
			// Whatever else it is, it may be the secret itself: it is not shown.
			return nil, fmt.Errorf("option %q is of type secret and takes a URI such as secret:9m4e2mr0ui3e8a215n4g", o.Name)
		}
		return nil, fmt.Errorf("option %q is of type secret and takes text, not %T", o.Name, v)
	default:
		if s, ok := v.(string); ok {
			return s, nil
		}
	}
	return nil, fmt.Errorf("option %q is of type %s and cannot be %s", o.Name, o.Type, show(v))
}

func parseBool(s string) (value, ok bool) {
	b, err := strconv.ParseBool(s)
	return b, err == nil
}

func toInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case int32:
		return int64(v), true
	case uint64:
		return int64(v), v <= math.MaxInt64
	case float64:
		// 1<<63 is the first float that no int64 holds.
		if v == math.Trunc(v) && v >= -(1<<63) && v < 1<<63 {
			return int64(v), true
		}
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, true
		}
		if f, err := v.Float64(); err == nil {
			return toInt(f)
		}
	}
	return 0, false
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case uint64:
		return float64(v), true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	i, ok := toInt(v)
	return float64(i), ok
}

func parseConfig(c *Charm, n node) {
	if n.null() {
		n.failf("has no options; leave it out instead")
		return
	}
	found := false
	for _, f := range n.fields() {
		if f.key != "options" {
			continue
		}
		found = true
		for _, g := range f.fields() {
			c.Options = append(c.Options, parseOption(g))
		}
	}
	if !found {
		n.at("options", n.n).failf("is missing")
	}
}

func parseOption(f field) Option {
	o := Option{Name: f.key, Type: String}
	var def *node
	for _, g := range f.fields() {
		switch g.key {
		case "type":
			if t := g.oneOf(string(String), string(Int), string(Float), string(Boolean), string(Secret)); t != "" {
				o.Type = OptionType(t)
			}
		case "description":
			o.Description = g.str()
		case "default":
			def = &g.node
		}
	}
	if def != nil {
		v, err := o.Check(def.value())
		if err != nil {
			def.failf("%v", err)
		}
		o.Default = v
	}
	return o
}
