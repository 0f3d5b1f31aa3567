package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// ErrNoProvider is the error of a request while there is no provider that could
// get it: none is related, or it has not yet said which version it speaks.
var ErrNoProvider = errors.New("there is no load balancer provider yet")

// Requirer is the end of the relation that asks for load balancers (LBProvider
// in the Python library). Requests are made by the leader, since they are the
// application's; responses can be read by every unit.
//
// Requests are read and written as a hook goes on. What the provider answered
// is determined once, at the beginning of the hook.
type Requirer struct {
	*reactive.Endpoint

	relation  *reactive.Relation // nil if there is none
	remote    *reactive.Databag
	available bool
	complete  []Answer
	state     requirerState
	reference bool
}

// requirerState is what is kept from hook to hook.
type requirerState struct {
	// ResponseHashes are the hashes of acknowledged responses, by name.
	ResponseHashes       map[string]string `json:"response_hashes"`
	WasAvailable         bool              `json:"was_available"`
	WasResponseAvailable bool              `json:"was_response_available"`
}

// An Answer is what a provider answered to the request of a name.
type Answer struct {
	// Name is the request's name.
	Name string
	// Response is the zero Response if there is none, or none that can be read.
	Response
	// Stale says that the response is about an earlier version of the request,
	// or about another one that had the same name.
	Stale bool
	// Unverified says that it is not known whether the response is stale: only
	// the leader can read what is requested.
	Unverified bool
	// Malformed is what is wrong with what the provider published.
	Malformed error
}

// NewRequirer makes the requirer of a charm's endpoint of that name, which the
// charm's metadata has among requires with interface loadbalancer.
func NewRequirer(charm *reactive.Charm, endpoint string) *Requirer {
	r := &Requirer{Endpoint: charm.Endpoint(endpoint, charmfile.Requirer, Interface)}
	r.ApplicationsOnly()
	r.OnLoad(r.goOn)
	r.OnLoad(r.load)
	r.ManageFlags(r.manage)
	return r
}

// AsReference makes the requirer do as the Python library does also where that
// is wrong: what was acknowledged of requests that another unit took back is kept
// for ever. It is meant for comparisons with recordings of the library, never for
// charms.
func (r *Requirer) AsReference() { r.reference = true }

// Created returns the flag endpoint.NAME.created: there is a relation, even if
// no unit has joined it.
func (r *Requirer) Created() flags.Flag { return r.Flag("created") }

// Available returns the flag endpoint.NAME.available: there is a provider, and
// requests can be made.
func (r *Requirer) Available() flags.Flag { return r.Flag("available") }

// ResponseAvailable returns the flag endpoint.NAME.response.available: some
// request has a response to its latest version.
func (r *Requirer) ResponseAvailable() flags.Flag { return r.Flag("response.available") }

// ResponseChanged returns the flag endpoint.NAME.response.changed: there are
// responses, or revocations of responses, that were not acknowledged. The flag
// endpoint.NAME.changed is the same.
func (r *Requirer) ResponseChanged() flags.Flag { return r.Flag("response.changed") }

// TooMany returns the flag endpoint.NAME.too-many: there is more than one
// provider. The oldest relation is used, the others are ignored.
func (r *Requirer) TooMany() flags.Flag { return r.Flag("too-many") }

func (r *Requirer) stateKey() string { return "loadbalancer.requirer." + r.Name() }

func (r *Requirer) load(ctx context.Context, h *reactive.Hook) error {
	r.relation, r.remote, r.available, r.complete, r.state = nil, nil, false, nil, requirerState{}
	if _, err := h.Data().Get(r.stateKey(), &r.state); err != nil {
		return err
	}
	if r.state.ResponseHashes == nil {
		r.state.ResponseHashes = make(map[string]string)
	}
	rels := relations(r.Endpoint)
	if len(rels) == 0 {
		return nil
	}
	if err := announce(ctx, h, rels); err != nil {
		return err
	}
	r.relation = rels[0]
	var err error
	if r.remote, r.available, err = negotiated(ctx, h, r.relation); err != nil {
		return err
	}
	r.complete, err = r.findComplete(ctx, h)
	return err
}

func (r *Requirer) manage(ctx context.Context, h *reactive.Hook) error {
	if inOwnHook(r.Endpoint, h) {
		// Any hook may have acknowledged a response, also one in which the provider
		// was not noticed to be there.
		if !r.available && (r.state.WasAvailable || !r.reference) {
			clear(r.state.ResponseHashes)
		}
		r.state.WasAvailable, r.state.WasResponseAvailable = r.available, r.available
		if err := r.save(h); err != nil {
			return err
		}
	}
	if r.available && !r.reference {
		if err := r.prune(ctx, h); err != nil {
			return err
		}
	}
	rels := relations(r.Endpoint)
	changed, err := r.IsChanged(ctx, h)
	if err != nil {
		return err
	}
	h.Toggle(r.Created(), len(rels) > 0)
	h.Toggle(r.Changed(), changed)
	h.Toggle(r.Available(), r.available)
	h.Toggle(r.ResponseAvailable(), len(r.complete) > 0)
	h.Toggle(r.ResponseChanged(), changed)
	h.Toggle(r.TooMany(), len(rels) > 1)
	if len(rels) > 1 {
		h.Log().Warn("there is more than one load balancer provider", "endpoint", r.Name(), "used", r.relation.ID())
	}
	for _, answer := range r.Responses() {
		if answer.Malformed != nil {
			h.Log().Warn("a response cannot be used", "relation", r.relation.ID(),
				"key", responsePrefix+answer.Name, "reason", answer.Malformed.Error())
		}
	}
	return nil
}

// prune forgets what was acknowledged of requests that are no more. The leader
// knows which there are; other units see that the response is gone.
func (r *Requirer) prune(ctx context.Context, h *reactive.Hook) error {
	leader, err := h.Leader(ctx)
	if err != nil {
		return err
	}
	there, prefix := r.remote, responsePrefix
	if leader != nil {
		if there, err = r.relation.ToPublishApp(ctx, leader); err != nil {
			return err
		}
		prefix = requestPrefix
	}
	before := len(r.state.ResponseHashes)
	maps.DeleteFunc(r.state.ResponseHashes, func(name, _ string) bool { return !there.Has(prefix + name) })
	if len(r.state.ResponseHashes) == before {
		return nil
	}
	return r.save(h)
}

func (r *Requirer) save(h *reactive.Hook) error {
	if len(r.state.ResponseHashes) == 0 && !r.state.WasAvailable && !r.state.WasResponseAvailable {
		h.Data().Unset(r.stateKey())
		return nil
	}
	return h.Data().Set(r.stateKey(), r.state)
}

// IsAvailable reports whether there is a provider, as the flag did at the
// beginning of the hook.
func (r *Requirer) IsAvailable() bool { return r.available }

// CanRequest reports whether this unit can make requests: it leads its
// application, and there is a provider.
func (r *Requirer) CanRequest(ctx context.Context, h *reactive.Hook) (bool, error) {
	leader, err := h.Leader(ctx)
	return err == nil && leader != nil && r.available, err
}

func (r *Requirer) bag(ctx context.Context, l *reactive.Leader) (*reactive.Databag, error) {
	if !r.available {
		return nil, ErrNoProvider
	}
	return r.relation.ToPublishApp(ctx, l)
}

// Request returns the request of a name: the one that was sent, or a new one
// with an ID of its own. Set its fields and send it. A request that was sent and
// cannot be read any more is replaced by a new one. The error is ErrNoProvider
// if there is no provider.
func (r *Requirer) Request(ctx context.Context, l *reactive.Leader, name string) (*Request, error) {
	bag, err := r.bag(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("cannot make request %q on endpoint %q: %w", name, r.Name(), err)
	}
	if text := bag.Raw(requestPrefix + name); text != "" {
		request, err := ParseRequest(text)
		if err == nil {
			return request, nil
		}
		l.Log().Warn("a sent request cannot be read", "relation", r.relation.ID(), "key", requestPrefix+name, "reason", err.Error())
	}
	return NewRequest(strings.ReplaceAll(r.Charm().NewRequestID(), "-", ""), name), nil
}

// Send publishes a request, or its new version. Sending what was sent before
// changes nothing. The error is a [*ValidationError] if a required field is
// missing.
func (r *Requirer) Send(ctx context.Context, l *reactive.Leader, request *Request) error {
	sent := request.Sent()
	text, err := sent.Wire()
	if err != nil {
		return fmt.Errorf("cannot send request %q on endpoint %q: %w", request.Name(), r.Name(), err)
	}
	bag, err := r.bag(ctx, l)
	if err != nil {
		return fmt.Errorf("cannot send request %q on endpoint %q: %w", request.Name(), r.Name(), err)
	}
	request.sentHash = sent.sentHash
	return write(bag, requestPrefix+request.Name(), text)
}

// Remove takes a request back. If there is none, or no provider, it does
// nothing.
func (r *Requirer) Remove(ctx context.Context, l *reactive.Leader, name string) error {
	if _, ok := r.state.ResponseHashes[name]; ok {
		delete(r.state.ResponseHashes, name)
		if err := r.save(l.Hook); err != nil {
			return err
		}
	}
	if r.relation == nil {
		return nil
	}
	bag, err := r.relation.ToPublishApp(ctx, l)
	if err != nil {
		return err
	}
	_, err = bag.Delete(requestPrefix + name)
	return err
}

// Requests returns all requests that were sent, sorted by name. There are none
// while there is no provider.
func (r *Requirer) Requests(ctx context.Context, l *reactive.Leader) ([]*Request, error) {
	if !r.available {
		return nil, nil
	}
	bag, err := r.relation.ToPublishApp(ctx, l)
	if err != nil {
		return nil, err
	}
	var list []*Request
	for _, name := range names(bag, requestPrefix) {
		if request, err := ParseRequest(bag.Raw(requestPrefix + name)); err == nil {
			list = append(list, request)
		}
	}
	return list, nil
}

// answer reads the response to the request of a name.
func (r *Requirer) answer(name string) Answer {
	a := Answer{Name: name, Unverified: true}
	if !r.available {
		return a
	}
	if text := r.remote.Raw(responsePrefix + name); text != "" {
		a.Response, a.Malformed = ParseResponse(text)
	}
	return a
}

// verified reads the response to a request, and whether it answers that
// version of it. One to a request that was never sent is none.
func (r *Requirer) verified(name string, request *Request) Answer {
	a := r.answer(name)
	a.Unverified = false
	a.Stale = !a.IsZero() && (a.ReceivedHash() == "" || a.ReceivedHash() != request.SentHash())
	return a
}

// Response returns what the provider answered to the request of a name, and
// whether it did. Whether the answer is still right is only known to the
// leader: look at Answer.Stale, and at Answer.Err for what the answer is.
func (r *Requirer) Response(ctx context.Context, h *reactive.Hook, name string) (Answer, bool, error) {
	leader, err := h.Leader(ctx)
	if err != nil {
		return Answer{}, false, err
	}
	a := r.answer(name)
	if leader != nil && r.available {
		bag, err := r.relation.ToPublishApp(ctx, leader)
		if err != nil {
			return Answer{}, false, err
		}
		request, err := ParseRequest(bag.Raw(requestPrefix + name))
		if err != nil {
			request = new(Request)
		}
		a = r.verified(name, request)
	}
	return a, !a.IsZero(), nil
}

// Responses returns all that the provider answered, sorted by name, also to
// requests that were taken back.
func (r *Requirer) Responses() []Answer {
	if !r.available {
		return nil
	}
	var list []Answer
	for _, name := range names(r.remote, responsePrefix) {
		list = append(list, r.answer(name))
	}
	return list
}

// Complete returns the responses to the latest version of their request, as
// they were at the beginning of the hook. For a unit that does not lead its
// application these are all responses, unverified.
func (r *Requirer) Complete() []Answer { return r.complete }

func (r *Requirer) findComplete(ctx context.Context, h *reactive.Hook) ([]Answer, error) {
	var list []Answer
	leader, err := h.Leader(ctx)
	if err != nil {
		return nil, err
	}
	if leader == nil {
		for _, a := range r.Responses() {
			if !a.IsZero() {
				list = append(list, a)
			}
		}
		return list, nil
	}
	requests, err := r.Requests(ctx, leader)
	for _, request := range requests {
		if a := r.verified(request.Name(), request); !a.IsZero() && !a.Stale {
			list = append(list, a)
		}
	}
	return list, err
}

// HasResponse reports whether there are complete responses.
func (r *Requirer) HasResponse() bool { return len(r.complete) > 0 }

// New returns the complete responses that were not acknowledged.
func (r *Requirer) New() []Answer {
	var list []Answer
	for _, a := range r.complete {
		if a.Hash() != r.state.ResponseHashes[a.Name] {
			list = append(list, a)
		}
	}
	return list
}

// Revoked returns the names of requests whose response was acknowledged and is
// no longer there. Only the leader can tell; for other units there are none.
func (r *Requirer) Revoked(ctx context.Context, h *reactive.Hook) ([]string, error) {
	leader, err := h.Leader(ctx)
	if err != nil || leader == nil {
		return nil, err
	}
	requests, err := r.Requests(ctx, leader)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, request := range requests {
		_, acknowledged := r.state.ResponseHashes[request.Name()]
		if a := r.answer(request.Name()); a.IsZero() && acknowledged {
			list = append(list, request.Name())
		}
	}
	return list, nil
}

// IsChanged reports whether there are responses or revocations to be
// acknowledged.
func (r *Requirer) IsChanged(ctx context.Context, h *reactive.Hook) (bool, error) {
	if len(r.New()) > 0 {
		return true, nil
	}
	revoked, err := r.Revoked(ctx, h)
	return len(revoked) > 0, err
}

// Acknowledge notes that the charm has acted on what the provider answered to
// the requests of these names, or on a revocation. When nothing is left to be
// acknowledged the flag endpoint.NAME.response.changed is cleared.
func (r *Requirer) Acknowledge(ctx context.Context, h *reactive.Hook, names ...string) error {
	for _, name := range names {
		if a := r.answer(name); a.IsZero() {
			delete(r.state.ResponseHashes, name)
		} else {
			r.state.ResponseHashes[name] = a.Hash()
		}
	}
	if err := r.save(h); err != nil {
		return err
	}
	changed, err := r.IsChanged(ctx, h)
	if err == nil && !changed {
		h.Clear(r.ResponseChanged())
	}
	return err
}
