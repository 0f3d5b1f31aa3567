package reactive

import (
	"context"
	"slices"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
)

// Network returns the network to which the endpoint is bound: where to listen
// and where others reach the unit (network-get). Juju is asked once in a hook.
func (ep *Endpoint) Network(ctx context.Context) (hooktool.Network, error) {
	return ep.run.network(ctx, ep.name, "")
}

// Network returns the network of this very relation, which across models may
// differ from that of its endpoint (network-get -r).
func (r *Relation) Network(ctx context.Context) (hooktool.Network, error) {
	return r.run.network(ctx, r.endpoint.name, r.id)
}

// Network returns the network of a binding that is no endpoint: one of the
// extra-bindings of the charm's metadata, or juju-info.
func (h *Hook) Network(ctx context.Context, binding string) (hooktool.Network, error) {
	return h.run.network(ctx, binding, "")
}

func (r *run) network(ctx context.Context, binding, relation string) (hooktool.Network, error) {
	key := binding + " " + relation
	if n, ok := r.juju.networks[key]; ok {
		return n, nil
	}
	var n hooktool.Network
	var err error
	if relation == "" {
		n, err = r.tools.Network(ctx, binding)
	} else {
		n, err = r.tools.RelationNetwork(ctx, binding, relation)
	}
	if err != nil {
		return n, err
	}
	r.juju.networks = put(r.juju.networks, key, n)
	return n, nil
}

// ModelUUID returns the UUID of the model in which the remote application is
// (relation-model-get).
func (r *Relation) ModelUUID(ctx context.Context) (string, error) {
	if id, ok := r.run.juju.models[r.id]; ok {
		return id, nil
	}
	id, err := r.run.tools.RelationModelUUID(ctx, r.id)
	if err != nil {
		return "", err
	}
	r.run.juju.models = put(r.run.juju.models, r.id, id)
	return id, nil
}

// CrossesModels reports whether the remote application is in another model. Its
// name, and those of its units, are then not those that it has there.
func (r *Relation) CrossesModels(ctx context.Context) (bool, error) {
	id, err := r.ModelUUID(ctx)
	return err == nil && id != r.run.process.Getenv("JUJU_MODEL_UUID"), err
}

// Principal returns the unit beside which a unit of a subordinate charm lives,
// and "" for any other unit (JUJU_PRINCIPAL_UNIT).
func (h *Hook) Principal() string { return h.run.process.Getenv("JUJU_PRINCIPAL_UNIT") }

// ContainerScoped reports whether the charm's metadata gives the endpoint the
// scope container: in its relations a unit then meets only the unit on the other
// side that lives beside it.
func (ep *Endpoint) ContainerScoped() (bool, error) {
	file, err := ep.run.charmFile()
	if err != nil {
		return false, err
	}
	declared, _ := file.Endpoint(ep.name)
	return declared.Scope == charmfile.ContainerScope, nil
}

// ExpectedUnits returns the names of the units that the endpoint's relations
// will have once Juju has done all that was asked of it so far, joined or not,
// sorted (goal-state; expected_related_units and expected_peer_units in
// charmhelpers). Of a peer endpoint these are the peers, without this unit.
//
// Juju tells nobody which units of another model to expect, nor a subordinate
// unit which peers: of those there are the ones that have joined.
func (ep *Endpoint) ExpectedUnits(ctx context.Context) ([]string, error) {
	goal, err := ep.run.goalState(ctx)
	if err != nil {
		return nil, err
	}
	units := goal.Relations[ep.name]
	if ep.role == charmfile.Peer {
		units = goal.Units
	}
	var names []string
	for name, status := range units {
		// Among them are the remote applications themselves, those of other
		// models by the URL of an offer, such as admin/other.db.
		if isUnit(name) && name != ep.run.unit && status.Status != "dying" {
			names = append(names, name)
		}
	}
	for unit := range ep.Units().Values() {
		if _, told := units[unit.name]; !told {
			names = append(names, unit.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// isUnit reports whether a name is that of a unit: an application and a number.
func isUnit(name string) bool {
	_, number, ok := strings.Cut(name, "/")
	return ok && number != "" && strings.Trim(number, "0123456789") == ""
}

// goalState is read once in a hook.
func (r *run) goalState(ctx context.Context) (*hooktool.GoalState, error) {
	if r.juju.goal == nil {
		goal, err := r.tools.GoalState(ctx)
		if err != nil {
			return nil, err
		}
		r.juju.goal = &goal
	}
	return r.juju.goal, nil
}
