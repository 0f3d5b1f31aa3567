package loadbalancer

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// A reader takes the fields of a JSON object one by one, as liberally as the
// Python library (marshmallow 3) does, and notes what is wrong with them.
type reader struct {
	path     []string
	fields   map[string]any
	problems *problems
}

// readObject reads an object with no other fields than the given ones.
func readObject(v any, path, known []string, p *problems) (reader, bool) {
	r := reader{path: path, problems: p}
	var ok bool
	if r.fields, ok = v.(map[string]any); !ok {
		if len(path) == 0 {
			path = []string{schema}
		}
		p.add(notObject, path...)
		return r, false
	}
	for name := range r.fields {
		if !slices.Contains(known, name) {
			r.wrong(isUnknown, quoted(name))
		}
	}
	return r, true
}

// wrong notes what is wrong with something below the object.
func (r reader) wrong(message string, path ...string) {
	r.problems.add(message, slices.Concat(r.path, path)...)
}

// take returns the value of a field that may not be null, if there is one.
func (r reader) take(name string, required bool) (any, bool) {
	v, ok := r.fields[name]
	switch {
	case !ok && required:
		r.wrong(isMissing, name)
	case ok && v == nil:
		r.wrong(isNull, name)
	}
	return v, ok && v != nil
}

// text returns a string that is required and may not be null.
func (r reader) text(name string) *string {
	v, ok := r.take(name, true)
	if !ok {
		return nil
	}
	return r.asText(v, name)
}

// optional returns a string that may be null or missing.
func (r reader) optional(name string) *string {
	v := r.fields[name]
	if v == nil {
		return nil
	}
	return r.asText(v, name)
}

func (r reader) asText(v any, path ...string) *string {
	s, ok := v.(string)
	if !ok {
		r.wrong(notString, path...)
		return nil
	}
	return &s
}

func (r reader) protocol(name string) Protocol {
	v, ok := r.take(name, true)
	if !ok {
		return ""
	}
	s, _ := v.(string)
	p := Protocol(s)
	if !p.known() {
		r.wrong(notEnumValue+quoted(pythonText(v)), name)
		return ""
	}
	return p
}

// pythonText is how a value looks in a message.
func pythonText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strings.ToUpper(strconv.FormatBool(v)[:1]) + strconv.FormatBool(v)[1:]
	}
	return fmt.Sprintf("of type %T", v)
}

func (r reader) integer(name string, required bool, otherwise int) int {
	v, ok := r.take(name, required)
	if !ok {
		return otherwise
	}
	n, ok := integer(v)
	if !ok {
		r.wrong(notInteger, name)
	}
	return n
}

// integer takes an integer, a number with a fraction that is cut off, or a
// string that Python's int() reads.
func integer(v any) (int, bool) {
	switch v := v.(type) {
	case json.Number:
		n, err := strconv.Atoi(v.String())
		return n, err == nil
	case canonicaljson.Float:
		f := math.Trunc(float64(v))
		if math.IsNaN(f) || math.Abs(f) >= 1<<62 {
			return 0, false
		}
		return int(f), true
	case string:
		return integerText(v)
	}
	return 0, false
}

// integerText reads digits with a sign before and single underscores between
// them, and white space around.
func integerText(s string) (int, bool) {
	s = strings.TrimSpace(s)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || digits[0] == '_' || digits[len(digits)-1] == '_' ||
		strings.Contains(digits, "__") {
		return 0, false
	}
	n, ok := new(big.Int).SetString(strings.ReplaceAll(s, "_", ""), 10)
	if !ok || !n.IsInt64() {
		return 0, false
	}
	return int(n.Int64()), true
}

func (r reader) boolean(name string, otherwise bool) bool {
	v, ok := r.take(name, false)
	if !ok {
		return otherwise
	}
	b, ok := boolean(v)
	if !ok {
		r.wrong(notBoolean, name)
	}
	return b
}

// boolean takes a boolean, the numbers 0 and 1, and the words for them.
func boolean(v any) (value, ok bool) {
	var word string
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		word = v
	case json.Number:
		word = v.String()
	case canonicaljson.Float:
		word = strconv.FormatFloat(float64(v), 'f', -1, 64)
		if word == "-0" {
			word = "0"
		}
	default:
		return false, false
	}
	switch word {
	case "t", "T", "true", "True", "TRUE", "on", "On", "ON", "y", "Y", "yes", "Yes", "YES", "1":
		return true, true
	case "f", "F", "false", "False", "FALSE", "off", "Off", "OFF", "n", "N", "no", "No", "NO", "0":
		return false, true
	}
	return false, false
}

func (r reader) list(name string) ([]any, bool) {
	v, ok := r.take(name, false)
	if !ok {
		return nil, false
	}
	list, ok := v.([]any)
	if !ok {
		r.wrong(notList, name)
	}
	return list, ok
}

func (r reader) texts(name string) []string {
	list, _ := r.list(name)
	var texts []string
	for i, item := range list {
		path := []string{name, strconv.Itoa(i)}
		if item == nil {
			r.wrong(isNull, path...)
			continue
		}
		if s := r.asText(item, path...); s != nil {
			texts = append(texts, *s)
		}
	}
	return texts
}

func (r reader) mapping(name string, required bool) (map[string]any, bool) {
	v, ok := r.take(name, required)
	if !ok {
		return nil, false
	}
	mapping, ok := v.(map[string]any)
	if !ok {
		r.wrong(notMapping, name)
	}
	return mapping, ok
}

func (r reader) ports(name string) map[int]int {
	mapping, ok := r.mapping(name, true)
	if !ok {
		return nil
	}
	ports := make(map[int]int, len(mapping))
	for _, key := range slices.Sorted(maps.Keys(mapping)) {
		front, ok := integerText(key)
		if !ok {
			r.wrong(notInteger, name, quoted(key), "key")
		}
		back, isInteger := integer(mapping[key])
		switch {
		case mapping[key] == nil:
			r.wrong(isNull, name, quoted(key), "value")
		case !isInteger:
			r.wrong(notInteger, name, quoted(key), "value")
		case ok:
			ports[front] = back
		}
	}
	return ports
}
