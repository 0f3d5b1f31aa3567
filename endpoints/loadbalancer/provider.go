package loadbalancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// Provider is the end of the relation that makes load balancers (LBConsumers in
// the Python library). The leader answers requests; other units see them only
// if FollowersRead allows it.
//
// What is requested is determined once, at the beginning of the hook.
type Provider struct {
	*reactive.Endpoint

	requests  []*Incoming
	malformed []Malformed
	// readable are the numbers of the relations whose requests are known, and
	// related those of all relations.
	readable, related map[int]*reactive.Relation
	// orphans are responses without a request.
	orphans   []Removed
	leads     bool
	reads     bool
	state     providerState
	reference bool
}

// NewProvider makes the provider of a charm's endpoint of that name, which the
// charm's metadata has among provides with interface loadbalancer.
func NewProvider(charm *reactive.Charm, endpoint string) *Provider {
	p := &Provider{Endpoint: charm.Endpoint(endpoint, charmfile.Provider, Interface)}
	p.ApplicationsOnly()
	p.OnLoad(p.goOn)
	p.OnLoad(p.load)
	p.ManageFlags(p.manage)
	return p
}

// AsReference makes the provider do as the Python library does also where that
// is wrong: requests are remembered by unit and ID alone, a unit that no longer
// leads takes all of them for removed, requests that cannot be read count as
// removed and are not answered, and responses to removed requests stay. It is
// meant for comparisons with recordings of the library, never for charms.
func (p *Provider) AsReference() { p.reference = true }

// Created returns the flag endpoint.NAME.created: there is a relation, even if
// no unit has joined it.
func (p *Provider) Created() flags.Flag { return p.Flag("created") }

// RequestsChanged returns the flag endpoint.NAME.requests_changed: there are
// new or changed requests, or removed ones. The flag endpoint.NAME.changed is
// the same. In a unit that cannot read requests it is never set.
func (p *Provider) RequestsChanged() flags.Flag { return p.Flag("requests_changed") }

func (p *Provider) stateKey() string { return "loadbalancer.provider." + p.Name() }

func (p *Provider) manage(ctx context.Context, h *reactive.Hook) error {
	if err := p.answerMalformed(ctx, h); err != nil {
		return err
	}
	h.Toggle(p.Created(), len(p.related) > 0)
	h.Toggle(p.Changed(), p.IsChanged())
	h.Toggle(p.RequestsChanged(), p.IsChanged())
	return nil
}

// answerMalformed tells consumers what is wrong with their requests.
func (p *Provider) answerMalformed(ctx context.Context, h *reactive.Hook) error {
	leader, err := h.Leader(ctx)
	if err != nil {
		return err
	}
	for _, m := range p.malformed {
		h.Log().Warn("a request cannot be used", "relation", m.Relation.ID(), "key", requestPrefix+m.Name, "reason", m.Err.Error())
		if leader == nil || p.reference {
			continue
		}
		own, err := m.Relation.ToPublishApp(ctx, leader)
		if err != nil {
			return err
		}
		remote, err := m.Relation.ReceivedApp(ctx)
		if err != nil {
			return err
		}
		before, _ := ParseResponse(own.Raw(responsePrefix + m.Name))
		response := Fail(fmt.Errorf("the request cannot be read: %w", m.Err))
		var invalid *ValidationError
		if errors.As(m.Err, &invalid) && len(invalid.fields()) > 0 {
			response = Reject(invalid.fields())
		}
		response = response.StillAt(before.Address())
		response.fields.ReceivedHash = sentHashOf(remote.Raw(requestPrefix + m.Name))
		if err := publish(own, m.Name, response); err != nil {
			return err
		}
	}
	return nil
}

func publish(bag *reactive.Databag, name string, response Response) error {
	text, err := response.Wire()
	if err != nil {
		return err
	}
	return write(bag, responsePrefix+name, text)
}

// Readable reports whether this unit knows all that is requested in a relation:
// it may read it, and both sides agree on a version. Otherwise what was made for
// the relation may still be wanted.
func (p *Provider) Readable(rel *reactive.Relation) bool { return p.readable[rel.Number()] != nil }

// Requests returns all requests that can be read, by relation and name.
func (p *Provider) Requests() []*Incoming { return slices.Clone(p.requests) }

// Malformed returns the requests that cannot be read. The leader answers each
// of them by itself, saying what is wrong with which field; the address of the
// response stays.
func (p *Provider) Malformed() []Malformed { return slices.Clone(p.malformed) }

// NewRequests returns the requests that are to be acted on: those that have
// changed, in their fields or their default backends, since they were answered,
// and those that were not answered at all. A request whose response was revoked
// is new again when it changes.
func (p *Provider) NewRequests() []*Incoming {
	var list []*Incoming
	for _, in := range p.requests {
		if p.isNew(in) {
			list = append(list, in)
		}
	}
	return list
}

func (p *Provider) isNew(in *Incoming) bool {
	known := p.state.Known[in.known]
	switch {
	case p.reference:
		return known.Hash != in.hash
	case known.Revoked != "":
		return known.Revoked != in.hash
	case known.Hash != in.hash:
		return true
	}
	return p.leads && !in.answered()
}

// Removed returns what consumers no longer ask for, by relation and name.
// Everything that was answered is either among the requests, malformed, or here,
// also if another unit answered it or its relation is gone. A unit that cannot
// read requests does not know, and has none.
func (p *Provider) Removed() []Removed {
	var list []Removed
	if p.reference {
		present := make(map[string]bool)
		for _, in := range p.requests {
			present[in.known] = true
		}
		for _, key := range slices.Sorted(maps.Keys(p.state.Known)) {
			if known := p.state.Known[key]; !present[key] {
				list = append(list, Removed{RelationID: known.Relation, Name: known.Name, ID: known.ID, key: key})
			}
		}
		return list
	}
	if !p.reads {
		return nil
	}
	there := make(map[string]bool)
	for _, in := range p.requests {
		there[in.known] = true
	}
	for _, m := range p.malformed {
		there[p.key(m.Relation.Number(), m.Name, "")] = true
	}
	for _, orphan := range p.orphans {
		orphan.key = p.key(orphan.RelationID, orphan.Name, "")
		there[orphan.key] = true
		list = append(list, orphan)
	}
	for key, known := range p.state.Known {
		rel, related := p.related[known.Relation]
		_, readable := p.readable[known.Relation]
		if there[key] || related && !readable || p.lost(key) {
			continue
		}
		list = append(list, Removed{RelationID: known.Relation, Relation: rel, Name: known.Name, ID: known.ID, key: key})
	}
	slices.SortFunc(list, func(a, b Removed) int {
		return cmp.Or(cmp.Compare(a.RelationID, b.RelationID), strings.Compare(a.Name, b.Name))
	})
	return list
}

// IsChanged reports whether there are new or removed requests.
func (p *Provider) IsChanged() bool { return len(p.NewRequests()) > 0 || len(p.Removed()) > 0 }

// Respond publishes the response to a request. It replaces the one before as a
// whole. When nothing is left to be acted on, the flag
// endpoint.NAME.requests_changed is cleared.
func (p *Provider) Respond(ctx context.Context, l *reactive.Leader, in *Incoming, response Response) error {
	response.fields.ReceivedHash = in.sentHash
	bag, err := in.relation.ToPublishApp(ctx, l)
	if err != nil {
		return err
	}
	if err := publish(bag, p.responseName(in), response); err != nil {
		return fmt.Errorf("cannot answer request %q in relation %s: %w", in.Name(), in.relation.ID(), err)
	}
	in.response = response
	return p.Applied(l.Hook, in)
}

func (p *Provider) responseName(in *Incoming) string {
	if p.reference {
		return in.Name()
	}
	return in.key
}

// Applied notes that this unit has acted on a request, so that it is not new
// any more. Respond does so for the leader; other units that read requests and
// act on them say so here.
func (p *Provider) Applied(h *reactive.Hook, in *Incoming) error {
	known := p.state.Known[in.known]
	known.ID, known.Relation, known.Name = in.ID(), in.relation.Number(), in.key
	known.Hash, known.Sent, known.Revoked = in.hash, in.SentHash(), ""
	p.state.Known[in.known] = known
	if p.reference && len(p.NewRequests()) == 0 || !p.IsChanged() {
		h.Clear(p.RequestsChanged())
	}
	return p.keep(h, in.known)
}

// Revoke withdraws the response to a request that is still there. The request
// is new again when it changes.
func (p *Provider) Revoke(ctx context.Context, l *reactive.Leader, in *Incoming) error {
	bag, err := in.relation.ToPublishApp(ctx, l)
	if err != nil {
		return err
	}
	if _, err := bag.Delete(responsePrefix + p.responseName(in)); err != nil {
		return err
	}
	in.response = Response{}
	if p.reference {
		delete(p.state.Known, in.known)
	} else {
		known := p.state.Known[in.known]
		known.Hash, known.Sent, known.Revoked = "", "", in.hash
		p.state.Known[in.known] = known
	}
	return p.keep(l.Hook, in.known)
}

// RevokeRemoved withdraws the response to a request that is gone, and forgets
// it. Do so when what was made for it is gone, too.
func (p *Provider) RevokeRemoved(ctx context.Context, l *reactive.Leader, removed Removed) error {
	if removed.Relation != nil && !p.reference {
		bag, err := removed.Relation.ToPublishApp(ctx, l)
		if err != nil {
			return err
		}
		if _, err := bag.Delete(responsePrefix + removed.Name); err != nil {
			return err
		}
	}
	return p.Forget(l.Hook, removed)
}

// Forget notes that this unit has undone what it made for a request that is
// gone. RevokeRemoved does so for the leader; other units that read requests and
// act on them say so here.
func (p *Provider) Forget(h *reactive.Hook, removed Removed) error {
	delete(p.state.Known, removed.key)
	p.orphans = slices.DeleteFunc(p.orphans, func(o Removed) bool {
		return o.RelationID == removed.RelationID && o.Name == removed.Name
	})
	if !p.reference && !p.IsChanged() {
		h.Clear(p.RequestsChanged())
	}
	return p.keep(h, removed.key)
}

// FollowersRead says whether units that do not lead the application read
// requests, from the next hook on. It is off at first. Juju lets them read what
// consumers ask for, but not what the leader answered.
func (p *Provider) FollowersRead(h *reactive.Hook, read bool) error {
	p.state.Reads = read
	return p.saveReads(h)
}
