package loadbalancer

import (
	"context"
	"fmt"
	"strings"

	"github.com/charmed-go/charms/reactive"
)

const (
	// snapshots is how the keys of unit data begin that hold the StoredState of
	// a Python charm's ops objects, see package unitdata/sqlitefile.
	snapshots = "ops."
	// left is how the keys of requests begin that a Python charm knew by their
	// IDs alone.
	left = "python/"
)

// takeOver reads what the Python library kept of an endpoint, in its object of
// the given class, and removes it. What is there was stored after anything that
// this charm stored, so it counts.
func takeOver(h *reactive.Hook, ep *reactive.Endpoint, class string, state any) (bool, error) {
	handle := fmt.Sprintf("/%s[%s]/StoredStateData[state]", class, ep.Name())
	found := false
	for _, key := range h.Data().Keys(snapshots) {
		if !strings.HasSuffix(key, handle) {
			continue
		}
		if _, err := h.Data().Get(key, state); err != nil {
			return false, fmt.Errorf("cannot take over what the Python charm kept of endpoint %q: %w", ep.Name(), err)
		}
		h.Data().Unset(key)
		h.Log().Info("took over what the Python charm kept of the endpoint", "endpoint", ep.Name())
		found = true
	}
	return found, nil
}

// goOn goes on where a Python charm stopped.
func (r *Requirer) goOn(_ context.Context, h *reactive.Hook) error {
	var state requirerState
	ok, err := takeOver(h, r.Endpoint, "LBProvider", &state)
	if err != nil || !ok {
		return err
	}
	r.state = state
	return r.save(h)
}

// goOn goes on where a Python charm stopped.
func (p *Provider) goOn(_ context.Context, h *reactive.Hook) error {
	var python struct {
		Known map[string]*string `json:"known_requests"`
		Reads bool               `json:"follower_can_read_requests"`
	}
	ok, err := takeOver(h, p.Endpoint, "LBConsumers", &python)
	if err != nil || !ok {
		return err
	}
	for _, key := range h.Data().Keys(p.knownPrefix()) {
		h.Data().Unset(key)
	}
	p.state.Reads = python.Reads
	for id, hash := range python.Known {
		known := knownRequest{ID: id, Relation: -1}
		if hash != nil {
			known.Hash = *hash
		}
		key := left + id
		if p.reference {
			key = id
		}
		known.Key = key
		if err := h.Data().Set(p.knownKey(key), known); err != nil {
			return err
		}
	}
	return p.saveReads(h)
}

// recall returns what a Python charm remembered of a request, now that it is
// known where that is.
func (p *Provider) recall(in *Incoming) (knownRequest, bool) {
	known, ok := p.state.Known[left+in.ID()]
	if !ok || p.reference {
		return knownRequest{}, false
	}
	delete(p.state.Known, left+in.ID())
	known.Relation, known.Name = in.relation.Number(), in.key
	if known.Hash != "" {
		known.Sent = in.SentHash()
	}
	return known, true
}

// lost reports whether nobody can say where a request is that a Python charm
// remembered: it may be in a relation that cannot be read now.
func (p *Provider) lost(key string) bool {
	return strings.HasPrefix(key, left) && len(p.readable) < len(p.related)
}
