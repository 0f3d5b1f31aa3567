package flow

import "encoding/json"

// opaque is the key of an input of which only the name is known, as when a run
// is resumed.
type opaque string

func (o opaque) Name() string                               { return string(o) }
func (o opaque) typeName() string                           { return "" }
func (o opaque) decode(json.RawMessage, vault) (any, error) { return nil, nil }
func (o opaque) encode(any, vault) (json.RawMessage, error) { return nil, nil }

func isOpaque(k AnyKey) bool {
	_, ok := k.(opaque)
	return ok
}

// compileLoose compiles a flow whose requirements the inputs at hand do not
// meet, only to revert what has begun of it.
func compileLoose(f *Flow) (*program, error) {
	var keys []AnyKey
	for _, name := range Requires(f) {
		keys = append(keys, opaque(name))
	}
	return compile(f, keys)
}
