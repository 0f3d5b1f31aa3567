package reactive

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/internal/canonicaljson"
)

// The keys of requests and responses in a databag begin with these, and go on
// with the request's ID.
const (
	requestPrefix  = "request_"
	responsePrefix = "response_"
)

// A Request is one request that a unit of the requester's application makes of
// the responder, with the response to it (BaseRequest in charms.reactive's
// request_response.py). It belongs to one relation. In the requester's databag
// it is the key request_ID, whose value is the JSON of Req and the ID; the
// response is the key response_ID in the databag of one of the responder's
// units.
type Request[Req, Resp any] struct {
	id       string
	relation *Relation
	unit     *Unit
	fields   Req
	response *Resp
}

// ID returns the request's ID, by habit a UUID.
func (r *Request[Req, Resp]) ID() string { return r.id }

// Relation returns the relation in which the request was made.
func (r *Request[Req, Resp]) Relation() *Relation { return r.relation }

// Unit returns the unit that made the request, or nil if this one did.
func (r *Request[Req, Resp]) Unit() *Unit { return r.unit }

// Fields returns what is requested. To change it, use [Requester.Update].
func (r *Request[Req, Resp]) Fields() Req { return r.fields }

// Response returns the response and whether there is one.
func (r *Request[Req, Resp]) Response() (Resp, bool) {
	if r.response == nil {
		var none Resp
		return none, false
	}
	return *r.response, true
}

// Databag returns the databag that the request is in, for the other things that
// its unit publishes, such as ingress-address and egress-subnets.
func (r *Request[Req, Resp]) Databag(ctx context.Context) (*Databag, error) {
	if r.unit != nil {
		return r.unit.Received(ctx)
	}
	data, err := r.relation.run.readUnit(ctx, r.relation.id, r.relation.run.unit)
	if err != nil {
		return nil, err
	}
	return NewDatabag(data, false), nil
}

// A MalformedError says that somebody published something that is not a request
// or a response. It hides nothing else that they publish.
type MalformedError struct {
	// Endpoint, Relation and Unit say where it is; Unit is the one that
	// published it.
	Endpoint, Relation, Unit string
	// Key is the key in the databag.
	Key string
	// Err is what is wrong with the value. It does not hold the value itself,
	// which may be secret.
	Err error
}

func (e *MalformedError) Error() string {
	return fmt.Sprintf("endpoint %q: %s published a malformed %q in relation %s: %v", e.Endpoint, e.Unit, e.Key, e.Relation, e.Err)
}

// Unwrap returns Err.
func (e *MalformedError) Unwrap() error { return e.Err }

// requests are the requests that one end knows.
type requests[Req, Resp any] struct {
	*Endpoint
	list      *KeyList[*Request[Req, Resp]]
	at        map[bagID]int // where in list a request is, by relation and ID
	malformed []error
}

func (rs *requests[Req, Resp]) reset() {
	rs.list = NewKeyList((*Request[Req, Resp]).ID)
	rs.at = make(map[bagID]int)
	rs.malformed = nil
}

// Requests returns all requests by ID, in the order in which they were found,
// then in the order in which they were made. Changing the list changes nothing
// else.
func (rs *requests[Req, Resp]) Requests() *KeyList[*Request[Req, Resp]] {
	if rs.list == nil {
		return NewKeyList((*Request[Req, Resp]).ID)
	}
	return NewKeyList((*Request[Req, Resp]).ID, slices.Clone(rs.list.items)...)
}

// Malformed returns a [*MalformedError] for each request and response that was
// left out because it could not be read, at most 100.
func (rs *requests[Req, Resp]) Malformed() []error { return slices.Clone(rs.malformed) }

// Find returns the first request for which match returns true, or nil. It looks
// only in one relation, or in all of them if rel is nil. (The reference looks in
// all relations even if it is given one.)
func (rs *requests[Req, Resp]) Find(rel *Relation, match func(Req) bool) *Request[Req, Resp] {
	if all := rs.FindAll(rel, match); len(all) > 0 {
		return all[0]
	}
	return nil
}

// FindAll is Find for all requests for which match returns true.
func (rs *requests[Req, Resp]) FindAll(rel *Relation, match func(Req) bool) []*Request[Req, Resp] {
	var found []*Request[Req, Resp]
	for r := range rs.Requests().Values() {
		if (rel == nil || r.relation.id == rel.id) && match(r.fields) {
			found = append(found, r)
		}
	}
	return found
}

// Answered returns the requests that have a response, sorted by ID.
func (rs *requests[Req, Resp]) Answered() []*Request[Req, Resp] { return rs.sorted(true) }

// Unanswered returns the requests that have no response, sorted by ID.
func (rs *requests[Req, Resp]) Unanswered() []*Request[Req, Resp] { return rs.sorted(false) }

func (rs *requests[Req, Resp]) sorted(answered bool) []*Request[Req, Resp] {
	var list []*Request[Req, Resp]
	for r := range rs.Requests().Values() {
		if (r.response != nil) == answered {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b *Request[Req, Resp]) int { return cmp.Compare(a.id, b.id) })
	return list
}

// read adds the requests in a databag, which is that of unit, or of the local
// unit if that is nil.
func (rs *requests[Req, Resp]) read(rel *Relation, unit *Unit, bag *Databag) {
	owner := rel.run.unit
	if unit != nil {
		owner = unit.name
	}
	for _, key := range bag.order {
		id, ok := strings.CutPrefix(key, requestPrefix)
		if !ok || bag.data[key] == "" {
			continue
		}
		r := &Request[Req, Resp]{id: id, relation: rel, unit: unit}
		if err := decodeRequest(bag.data[key], id, &r.fields); err != nil {
			rs.reject(rel, owner, key, err)
			continue
		}
		rs.add(r)
	}
}

// add adds a request; one with the same ID in the same relation gives up its
// place to it. (In the reference one of any relation does, so that one
// application could hide the requests of another.)
func (rs *requests[Req, Resp]) add(r *Request[Req, Resp]) {
	key := bagID{relation: r.relation.id, name: r.id}
	if i, ok := rs.at[key]; ok {
		rs.list.items[i] = r
		return
	}
	rs.at[key] = rs.list.Len()
	rs.list.Append(r)
}

// answer takes the response to r from a databag, if it is there.
func (rs *requests[Req, Resp]) answer(r *Request[Req, Resp], owner string, bag *Databag) bool {
	key := responsePrefix + r.id
	raw := bag.data[key]
	if raw == "" {
		return false
	}
	var response Resp
	if err := decodeObject(raw, &response); err != nil {
		rs.reject(r.relation, owner, key, err)
		return false
	}
	r.response = &response
	return true
}

// maxMalformed is how many errors are kept; who sends so many needs to be told
// of the first ones only.
const maxMalformed = 100

func (rs *requests[Req, Resp]) reject(rel *Relation, unit, key string, err error) {
	malformed := &MalformedError{Endpoint: rs.name, Relation: rel.id, Unit: unit, Key: key, Err: err}
	if len(rs.malformed) >= maxMalformed {
		return
	}
	rs.malformed = append(rs.malformed, malformed)
	switch n := len(rs.malformed); {
	case !rs.inHook(""):
	case n <= 3:
		rs.run.log.Warn("left out what cannot be read", "error", malformed)
	case n == 4:
		rs.run.log.Warn("left out more that cannot be read", "endpoint", rs.name)
	}
}

// decodeObject decodes a JSON object from a databag.
func decodeObject(raw string, v any) error {
	value, err := canonicaljson.Decode(raw)
	if err != nil {
		return err
	}
	if _, ok := value.(map[string]any); !ok {
		return fmt.Errorf("not a JSON object")
	}
	text, err := canonicaljson.Encode(value)
	if err != nil {
		return err
	}
	return decodeStrictly(text, v)
}

// decodeStrictly decodes without telling the values in its errors, which
// encoding/json and the types themselves do for some.
func decodeStrictly(text string, v any) error {
	err := json.Unmarshal([]byte(text), v)
	if err == nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		kind, _, _ := strings.Cut(wrong.Value, " ")
		return fmt.Errorf("field %q is a JSON %s, which does not fit %s", wrong.Field, kind, wrong.Type)
	}
	return fmt.Errorf("a field has a value that %T does not take", v)
}

func decodeRequest(raw, id string, fields any) error {
	var named struct {
		ID *string `json:"request_id"`
	}
	if err := decodeObject(raw, &named); err != nil {
		return err
	}
	if named.ID != nil && *named.ID != id {
		return fmt.Errorf("its request_id is another one")
	}
	return decodeObject(raw, fields)
}

// encodeRequest returns the JSON object of a request's fields and its ID.
func encodeRequest(id string, fields any) (map[string]any, error) {
	text, err := canonicaljson.Encode(fields)
	if err != nil {
		return nil, err
	}
	v, err := canonicaljson.Decode(text)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a request must be a JSON object")
	}
	object["request_id"] = id
	return object, nil
}

// A Requester is an endpoint that makes requests of the units on its other side
// and receives their responses (RequesterEndpoint in the reference). Interfaces
// embed it and speak of what is requested.
//
// Req and Resp are encoded as JSON objects; see [Request].
type Requester[Req, Resp any] struct {
	requests[Req, Resp]
}

// NewRequester makes a requester of an endpoint.
func NewRequester[Req, Resp any](ep *Endpoint) *Requester[Req, Resp] {
	r := &Requester[Req, Resp]{requests[Req, Resp]{Endpoint: ep}}
	ep.dropDeparted = true
	ep.OnLoad(r.find)
	ep.ManageFlags(func(_ context.Context, h *Hook) error {
		answered := len(r.Answered())
		h.Toggle(r.HasResponses(), answered > 0)
		h.Toggle(r.AllResponses(), answered == r.list.Len())
		return nil
	})
	return r
}

// HasResponses returns the flag endpoint.NAME.has_responses: some request has a
// response.
func (r *Requester[Req, Resp]) HasResponses() flags.Flag { return r.Flag("has_responses") }

// AllResponses returns the flag endpoint.NAME.all_responses: all requests have
// a response, also if there are no requests.
func (r *Requester[Req, Resp]) AllResponses() flags.Flag { return r.Flag("all_responses") }

// find reads the requests that this unit made before, and their responses.
func (r *Requester[Req, Resp]) find(ctx context.Context, _ *Hook) error {
	r.reset()
	relations := r.Relations()
	if err := parallel(ctx, relations.Len(), func(ctx context.Context, i int) error {
		_, err := r.run.readUnit(ctx, relations.At(i).id, r.run.unit)
		return err
	}); err != nil {
		return err
	}
	for rel := range relations.Values() {
		data, err := r.run.readUnit(ctx, rel.id, r.run.unit)
		if err != nil {
			return err
		}
		r.read(rel, nil, NewDatabag(data, false))
	}
	for request := range r.list.Values() {
		// One after the other: usually the first unit has the response, and the
		// others need not be read.
		for u := range request.relation.units.Values() {
			bag, err := u.Received(ctx)
			if err != nil {
				return err
			}
			if r.answer(request, u.name, bag) {
				break
			}
		}
	}
	return nil
}

// Create makes a new request in a relation, with a new ID.
func (r *Requester[Req, Resp]) Create(ctx context.Context, rel *Relation, fields Req) (*Request[Req, Resp], error) {
	return r.CreateWithID(ctx, rel, r.charm.newID(), fields)
}

// CreateWithID makes a request with an ID of one's own choice. A request that
// has the ID already is replaced.
func (r *Requester[Req, Resp]) CreateWithID(ctx context.Context, rel *Relation, id string, fields Req) (*Request[Req, Resp], error) {
	request := &Request[Req, Resp]{id: id, relation: rel, fields: fields}
	if err := r.publish(ctx, request); err != nil {
		return nil, err
	}
	r.add(request)
	return request, nil
}

// Update changes the fields of a request that this unit made.
func (r *Requester[Req, Resp]) Update(ctx context.Context, request *Request[Req, Resp], change func(*Req)) error {
	change(&request.fields)
	return r.publish(ctx, request)
}

// CreateOrUpdate changes the first request in a relation for which match
// returns true, or creates one from the zero Req. A nil rel means any relation
// for the search, and the first one for a new request.
func (r *Requester[Req, Resp]) CreateOrUpdate(ctx context.Context, rel *Relation, match func(Req) bool, change func(*Req)) (*Request[Req, Resp], error) {
	if request := r.Find(rel, match); request != nil {
		return request, r.Update(ctx, request, change)
	}
	if rel == nil {
		if r.Relations().Len() == 0 {
			return nil, fmt.Errorf("cannot make a request: endpoint %q has no relation", r.name)
		}
		rel = r.Relations().At(0)
	}
	var fields Req
	change(&fields)
	return r.Create(ctx, rel, fields)
}

// Withdraw takes a request back.
func (r *Requester[Req, Resp]) Withdraw(ctx context.Context, request *Request[Req, Resp]) error {
	bag, err := request.relation.ToPublish(ctx)
	if err != nil {
		return err
	}
	r.list.items = slices.DeleteFunc(r.list.items, func(other *Request[Req, Resp]) bool { return other == request })
	clear(r.at)
	for i, other := range r.list.items {
		r.at[bagID{relation: other.relation.id, name: other.id}] = i
	}
	_, err = bag.Delete(requestPrefix + request.id)
	return err
}

func (r *Requester[Req, Resp]) publish(ctx context.Context, request *Request[Req, Resp]) error {
	object, err := encodeRequest(request.id, request.fields)
	if err != nil {
		return fmt.Errorf("cannot encode request %q of endpoint %q: %w", request.id, r.name, err)
	}
	bag, err := request.relation.ToPublish(ctx)
	if err != nil {
		return err
	}
	return bag.Set(requestPrefix+request.id, object)
}

// A Responder is an endpoint that receives requests from the units on its other
// side and responds to them (ResponderEndpoint in the reference).
type Responder[Req, Resp any] struct {
	requests[Req, Resp]
}

// NewResponder makes a responder of an endpoint.
func NewResponder[Req, Resp any](ep *Endpoint) *Responder[Req, Resp] {
	r := &Responder[Req, Resp]{requests[Req, Resp]{Endpoint: ep}}
	ep.dropDeparted = true
	ep.OnLoad(r.find)
	ep.ManageFlags(func(_ context.Context, h *Hook) error {
		h.Toggle(r.HasRequests(), r.list.Len() > 0)
		h.Toggle(r.NewRequests(), len(r.Unanswered()) > 0)
		return nil
	})
	return r
}

// HasRequests returns the flag endpoint.NAME.has_requests: there are requests.
func (r *Responder[Req, Resp]) HasRequests() flags.Flag { return r.Flag("has_requests") }

// NewRequests returns the flag endpoint.NAME.new_requests: some request has no
// response. [Responder.Unanswered] returns those.
func (r *Responder[Req, Resp]) NewRequests() flags.Flag { return r.Flag("new_requests") }

// find reads the requests of the joined units, and this unit's responses.
func (r *Responder[Req, Resp]) find(ctx context.Context, _ *Hook) error {
	r.reset()
	relations := r.Relations()
	var units []*Unit
	for rel := range relations.Values() {
		units = append(units, rel.units.items...)
	}
	if err := r.run.fetch(ctx, NewKeyList(unitKey, units...)); err != nil {
		return err
	}
	for _, u := range units {
		bag, err := u.Received(ctx)
		if err != nil {
			return err
		}
		r.read(u.relation, u, bag)
	}
	for request := range r.list.Values() {
		data, err := r.run.readUnit(ctx, request.relation.id, r.run.unit)
		if err != nil {
			return err
		}
		r.answer(request, r.run.unit, &Databag{data: data})
	}
	return nil
}

// Respond publishes the response to a request, instead of the one that there
// may be.
func (r *Responder[Req, Resp]) Respond(ctx context.Context, request *Request[Req, Resp], response Resp) error {
	bag, err := request.relation.ToPublish(ctx)
	if err != nil {
		return err
	}
	if err := bag.Set(responsePrefix+request.id, response); err != nil {
		return fmt.Errorf("cannot respond to request %q of %s: %w", request.id, request.unit.name, err)
	}
	request.response = &response
	return nil
}
