package conformance

import (
	"context"
	"strings"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

func (p *reactivePlayer) probe(ctx context.Context, h *reactive.Hook, a vectorAction, ep *reactive.Endpoint) (any, error) {
	switch a.What {
	case "flags":
		return flagNames(h.Flags().List()), nil
	case "unset":
		return flagNames(h.Flags().Missing(p.flagList(a.Flags, a.Endpoint)...)), nil
	case "kv":
		if bookkeeping(a.Key) {
			p.ignored[len(p.probes)] = true
		}
		var v any
		if raw, ok := h.Data().Raw(a.Key); ok {
			v = decodeAny(p.t, raw)
		}
		return v, nil
	case "hook":
		return h.Matches(a.Patterns...)
	case "from_flag":
		return p.fromFlag(h, p.flag(a.Flag, a.Endpoint)), nil
	}
	if ep == nil {
		return nil, nil
	}
	switch a.What {
	case "joined":
		list := [][]string{}
		for u := range ep.Units().Values() {
			list = append(list, []string{u.RelationID(), u.Name()})
		}
		return list, nil
	case "departed":
		list := [][]any{}
		for u := range ep.DepartedUnits().Values() {
			bag, err := u.Received(ctx)
			if err != nil {
				return nil, err
			}
			list = append(list, []any{u.RelationID(), u.Name(), bag.Map()})
		}
		return list, nil
	case "received", "received_raw":
		bag, err := ep.Received(ctx)
		if err != nil || !bag.Has(a.Key) {
			return nil, err
		}
		if a.What == "received_raw" {
			return bag.Raw(a.Key), nil
		}
		return bag.Value(a.Key), nil
	}
	list := [][]any{}
	for rel := range ep.Relations().Values() {
		switch a.What {
		case "relations":
			units := []string{}
			for u := range rel.Units().Values() {
				units = append(units, u.Name())
			}
			// The reference takes the name from the first unit, and its own
			// where there is none; Relation.Application asks Juju.
			app := h.Application()
			if rel.Units().Len() > 0 {
				app = rel.Units().At(0).Application()
			}
			list = append(list, []any{rel.ID(), app, units})
		case "received_app":
			if rel.Units().Len() == 0 {
				continue
			}
			bag, err := rel.ReceivedApp(ctx)
			if err != nil {
				return nil, err
			}
			list = append(list, []any{rel.ID(), bag.Value(a.Key)})
		case "published":
			bag, err := rel.ToPublish(ctx)
			if err != nil {
				return nil, err
			}
			list = append(list, []any{rel.ID(), bag.Value(a.Key)})
		default:
			p.t.Fatalf("unknown probe %q", a.What)
		}
	}
	return list, nil
}

// fromFlag finds the endpoint to which a flag belongs (endpoint_from_flag).
func (p *reactivePlayer) fromFlag(h *reactive.Hook, f flags.Flag) any {
	if !h.IsSet(f) || p.restricted() {
		return nil
	}
	parts := strings.Split(f.String(), ".")
	name := parts[0]
	if name == "endpoint" && len(parts) > 1 && p.byName[parts[1]] != nil {
		return parts[1]
	}
	if p.byName[name] != nil {
		return name
	}
	return nil
}

func flagNames(list []flags.Flag) []string {
	names := []string{}
	for _, f := range list {
		names = append(names, f.String())
	}
	return names
}
