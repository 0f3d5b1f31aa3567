package charmfile

import (
	"fmt"
	"maps"
)

// An Action is something an operator can ask of a unit.
type Action struct {
	Name, Description string
	// Params are the schemas of the parameters by name.
	Params map[string]*Schema
	// ParamOrder holds the names of Params in the order of the file.
	ParamOrder []string
	// Required are the parameters that must be given.
	Required []string
	// AdditionalProperties says what becomes of parameters not in Params:
	// true takes them, false refuses them, nil is Juju's default, which is
	// true before 4.0 and false from then on.
	AdditionalProperties *bool
	// Parallel says that the action may run beside others; ExecutionGroup
	// names a group in which actions run one after the other.
	Parallel       bool
	ExecutionGroup string
}

// Validate returns params completed with the defaults of the schema, or says
// which parameter is wrong and why. It does not change params. Where the file
// does not say, unknown parameters are refused, as Juju 4 does.
//
// Numbers may be any of Go's, or [encoding/json.Number]; a whole float64 is an integer,
// as it is in JSON.
func (a Action) Validate(params map[string]any) (map[string]any, error) {
	schema := Schema{Properties: a.Params, Required: a.Required, NoAdditional: a.AdditionalProperties == nil || !*a.AdditionalProperties}
	full := maps.Clone(params)
	if full == nil {
		full = make(map[string]any)
	}
	schema.addDefaults(full)
	if err := schema.check("", full); err != nil {
		return nil, fmt.Errorf("action %q: %w", a.Name, err)
	}
	return full, nil
}

func parseActions(c *Charm, n node) {
	for _, f := range n.fields() {
		c.Actions = append(c.Actions, parseAction(f))
	}
}

func parseAction(f field) Action {
	a := Action{Name: f.key, Params: make(map[string]*Schema)}
	for _, g := range f.fields() {
		switch g.key {
		case "description":
			a.Description = g.str()
		case "parallel":
			a.Parallel = g.boolean()
		case "execution-group":
			a.ExecutionGroup = g.str()
		case "required":
			a.Required = g.strs()
		case "additionalProperties":
			b := g.boolean()
			a.AdditionalProperties = &b
		case "params":
			for _, p := range g.fields() {
				a.Params[p.key] = parseSchema(p.node, 0)
				a.ParamOrder = append(a.ParamOrder, p.key)
			}
		}
	}
	return a
}
