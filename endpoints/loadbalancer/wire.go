package loadbalancer

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// An object is written as the text of a JSON object. Members are added in the
// order of their names.
type object struct {
	text strings.Builder
	err  error
}

// add adds a member with a value that Encode takes.
func (o *object) add(name string, v any) {
	text, err := canonicaljson.Encode(v)
	if err != nil {
		o.err = err
	}
	o.addText(name, text)
}

func (o *object) addText(name, text string) {
	if o.text.Len() > 0 {
		o.text.WriteString(", ")
	}
	o.text.WriteString(`"` + name + `": ` + text)
}

func (o *object) close() (string, error) { return "{" + o.text.String() + "}", o.err }

// texts is a list of strings as Encode keeps it to the byte. It is never null,
// since nobody reads null there.
func texts(items []string) []any {
	list := make([]any, len(items))
	for i, item := range items {
		list[i] = item
	}
	return list
}

// optional is a string or null as Encode keeps it to the byte.
func optional(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

// portText writes a mapping of ports. Its keys are sorted as numbers: that is
// what Python does with a mapping of integers.
func portText(ports map[int]int) string {
	var items []string
	for _, front := range slices.Sorted(maps.Keys(ports)) {
		items = append(items, `"`+strconv.Itoa(front)+`": `+strconv.Itoa(ports[front]))
	}
	return "{" + strings.Join(items, ", ") + "}"
}

// revealed returns a secret's text for the wire.
func revealed(s *Secret) *string {
	if s == nil {
		return nil
	}
	return new(s.Reveal())
}
