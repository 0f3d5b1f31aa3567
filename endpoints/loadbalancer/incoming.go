package loadbalancer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/charmed-go/charms/reactive"
)

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
	// Relation and Name are where it is and what it is called.
	Relation *reactive.Relation
	Name     string
	// Err is what is wrong with it.
	Err error
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
