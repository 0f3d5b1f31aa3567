package loadbalancer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// providerState is what is kept from hook to hook: each known request under a
// key of its own, so that acting on one does not cost what all of them do.
type providerState struct {
	// Known are the requests that were seen, by key.
	Known map[string]knownRequest `json:"-"`
	Reads bool                    `json:"follower_can_read_requests"`
}

// A knownRequest is what is remembered of a request.
type knownRequest struct {
	Key      string `json:"key"`
	ID       string `json:"id"`
	Relation int    `json:"relation"`
	Name     string `json:"name"`
	// Hash is the request's hash when it was last answered, "" if it was not.
	Hash string `json:"hash,omitempty"`
	// Revoked is the request's hash when its response was revoked.
	Revoked string `json:"revoked,omitempty"`
	// Sent is the sent hash of the version that was answered.
	Sent string `json:"sent,omitempty"`
}

// Incoming is a request that a consumer made. If it named no backends, these are
// the ingress addresses of the consumer's units.
type Incoming struct {
	*Request
	relation *reactive.Relation
	key      string // of the name in the databag
	response Response
	known    string
	hash     string // of the request as it was read
}

// Relation returns the relation in which the request was made.
func (in *Incoming) Relation() *reactive.Relation { return in.relation }

// Response returns what the request was last answered with. Only the leader
// knows it.
func (in *Incoming) Response() Response { return in.response }

// A Removed request was answered, and is there no longer.
type Removed struct {
	// RelationID is the number of its relation. Relation is nil if that is
	// gone.
	RelationID int
	Relation   *reactive.Relation
	// Name is the request's name. ID is its ID, or "" if this unit never saw
	// the request.
	Name, ID string
	key      string
}

// A Malformed request cannot be read. It is not a removed one: what was made
// for its former version is to be left as it is.
type Malformed struct {
	Relation *reactive.Relation
	Name     string
	Err      error
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

func (p *Provider) load(ctx context.Context, h *reactive.Hook) error {
	p.requests, p.malformed, p.orphans, p.state = nil, nil, nil, providerState{}
	p.readable, p.related = make(map[int]*reactive.Relation), make(map[int]*reactive.Relation)
	if _, err := h.Data().Get(p.stateKey(), &p.state); err != nil {
		return err
	}
	p.state.Known = make(map[string]knownRequest)
	for _, key := range h.Data().Keys(p.knownPrefix()) {
		var known knownRequest
		if _, err := h.Data().Get(key, &known); err != nil {
			return err
		}
		p.state.Known[known.Key] = known
	}
	leader, err := h.Leader(ctx)
	if err != nil {
		return err
	}
	p.leads = leader != nil
	p.reads = p.leads || p.state.Reads
	rels := relations(p.Endpoint)
	if err := announce(ctx, h, rels); err != nil {
		return err
	}
	for _, rel := range rels {
		p.related[rel.Number()] = rel
		if !p.reads {
			continue
		}
		remote, ok, err := negotiated(ctx, h, rel)
		if err != nil {
			return err
		}
		if ok {
			p.readable[rel.Number()] = rel
			if err := p.loadRelation(ctx, leader, rel, remote); err != nil {
				return err
			}
		}
	}
	return p.save(h)
}

func (p *Provider) loadRelation(ctx context.Context, leader *reactive.Leader, rel *reactive.Relation, remote *reactive.Databag) error {
	own := reactive.NewDatabag(nil, false)
	if leader != nil {
		var err error
		if own, err = rel.ToPublishApp(ctx, leader); err != nil {
			return err
		}
	}
	requested := names(remote, requestPrefix)
	for _, name := range requested {
		in, err := p.read(ctx, rel, name, remote.Raw(requestPrefix+name))
		if err != nil {
			return err
		}
		if in == nil {
			continue
		}
		// A response of this application that cannot be read counts as none.
		in.response, _ = ParseResponse(own.Raw(responsePrefix + name))
		p.requests = append(p.requests, in)
		p.remember(in)
	}
	for _, name := range names(own, responsePrefix) {
		if !slices.Contains(requested, name) {
			known := p.state.Known[p.key(rel.Number(), name, "")]
			p.orphans = append(p.orphans, Removed{RelationID: rel.Number(), Relation: rel, Name: name, ID: known.ID})
		}
	}
	return nil
}

// read reads a request and fills in the backends. It returns nil for one that
// is malformed.
func (p *Provider) read(ctx context.Context, rel *reactive.Relation, name, text string) (*Incoming, error) {
	request, err := ParseRequest(text)
	if err == nil && request.Name() != name && !p.reference {
		err = &ValidationError{Message: "request", Problems: []Problem{{
			[]string{string(FieldName)}, "it is not the name in the key request_" + quoted(name),
		}}}
	}
	if err != nil {
		p.malformed = append(p.malformed, Malformed{Relation: rel, Name: name, Err: err})
		if known, ok := p.state.Known[p.key(rel.Number(), name, "")]; ok {
			// Mended, it is to be acted on, even if it is what it was before.
			known.Hash = ""
			p.state.Known[p.key(rel.Number(), name, "")] = known
		}
		return nil, nil
	}
	if len(request.Backends) == 0 {
		for unit := range rel.Units().Values() {
			bag, err := unit.Received(ctx)
			if err != nil {
				return nil, fmt.Errorf("cannot read what %s publishes in relation %s: %w", unit.Name(), rel.ID(), err)
			}
			if address := bag.Raw("ingress-address"); address != "" {
				request.Backends = append(request.Backends, address)
			}
		}
	}
	return &Incoming{
		Request: request, relation: rel, key: name, known: p.key(rel.Number(), name, request.ID()), hash: request.Hash(),
	}, nil
}

// key is the key of a request in what is remembered. IDs are made by consumers,
// and two of them may make the same one.
func (p *Provider) key(relation int, name, id string) string {
	if p.reference {
		return id
	}
	return fmt.Sprintf("%d/%s", relation, name)
}

// remember notes that a request was seen. One that another leader has fulfilled
// needs nothing more.
func (p *Provider) remember(in *Incoming) {
	known, ok := p.state.Known[in.known]
	if left, found := p.recall(in); found {
		known, ok = left, true
	}
	if !ok || known.ID != in.ID() {
		known = knownRequest{ID: in.ID(), Relation: in.relation.Number(), Name: in.key}
	}
	if !p.reference && p.leads && in.response.OK() && in.answered() && in.SentHash() != "" && known.Sent != in.SentHash() {
		known.Hash, known.Sent = in.hash, in.SentHash()
	}
	p.state.Known[in.known] = known
}

// answered reports whether the published response is one to this version of the
// request.
func (in *Incoming) answered() bool {
	return !in.response.IsZero() && in.response.ReceivedHash() == in.SentHash()
}

func (p *Provider) knownPrefix() string { return p.stateKey() + "/" }

// knownKey is where a known request is kept. Names are made by others, and may
// be longer than a key of unit data.
func (p *Provider) knownKey(key string) string {
	const most = 100
	if len(key) > most {
		sum := sha256.Sum256([]byte(key))
		key = "#" + hex.EncodeToString(sum[:])
	}
	return p.knownPrefix() + key
}

// keep stores what is known of a request, or that nothing is.
func (p *Provider) keep(h *reactive.Hook, key string) error {
	known, ok := p.state.Known[key]
	if !ok {
		h.Data().Unset(p.knownKey(key))
		return nil
	}
	known.Key = key
	return h.Data().Set(p.knownKey(key), known)
}

// save stores everything.
func (p *Provider) save(h *reactive.Hook) error {
	kept := make(map[string]bool)
	for key := range p.state.Known {
		kept[p.knownKey(key)] = true
		if err := p.keep(h, key); err != nil {
			return err
		}
	}
	for _, key := range h.Data().Keys(p.knownPrefix()) {
		if !kept[key] {
			h.Data().Unset(key)
		}
	}
	return p.saveReads(h)
}

func (p *Provider) saveReads(h *reactive.Hook) error {
	if !p.state.Reads {
		h.Data().Unset(p.stateKey())
		return nil
	}
	return h.Data().Set(p.stateKey(), p.state)
}

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
