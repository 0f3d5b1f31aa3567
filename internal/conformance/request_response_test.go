package conformance

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/reactive"
)

// fieldMap is a request or response with any fields.
type fieldMap map[string]any

func (f *fieldMap) UnmarshalJSON(data []byte) error {
	v, err := canonicaljson.Decode(string(data))
	if err != nil {
		return err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("not an object")
	}
	delete(m, "request_id")
	*f = m
	return nil
}

type (
	fieldRequest   = reactive.Request[fieldMap, fieldMap]
	fieldRequester = reactive.Requester[fieldMap, fieldMap]
	fieldResponder = reactive.Responder[fieldMap, fieldMap]
)

// requestOp is an operation of a vector with requests (FORMAT.md, section 4).
type requestOp struct {
	Op       string   `json:"op"`
	Endpoint string   `json:"endpoint"`
	Relation string   `json:"relation"`
	ID       string   `json:"id"`
	Fields   fieldMap `json:"fields"`
	NewID    string   `json:"-"`
	Match    []string `json:"match"`
	Field    string   `json:"field"`
	Value    any      `json:"value"`
}

func (op *requestOp) UnmarshalJSON(data []byte) error {
	type plain requestOp
	var named struct {
		Fields struct {
			ID string `json:"request_id"`
		} `json:"fields"`
	}
	if err := json.Unmarshal(data, &named); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	err := decoder.Decode((*plain)(op))
	op.NewID = named.Fields.ID
	return err
}

type requestStep struct {
	UUIDs  []string    `json:"uuids"`
	Ops    []requestOp `json:"ops"`
	Expect struct {
		Results []json.RawMessage            `json:"results"`
		State   map[string][]json.RawMessage `json:"state"`
	} `json:"expect"`
}

// raised is the result of an operation that fails. Messages are for
// information.
type raised struct {
	Raises string `json:"raises"`
}

func runRequestResponse(t *testing.T, line []byte) {
	r := newHookRunner(t, line)
	var charm struct {
		Charm struct {
			Endpoints []struct {
				vectorEndpoint
				Side string `json:"side"`
			} `json:"endpoints"`
		} `json:"charm"`
	}
	decodeVector(t, line, &charm)
	for i, raw := range r.vector.Steps {
		var step vectorStep
		var requests requestStep
		decodeVector(t, raw, &step)
		decodeVector(t, raw, &requests)
		before := r.store.Entries()
		results := []any{}
		requesters := make(map[string]*fieldRequester)
		responders := make(map[string]*fieldResponder)
		r.run(t, &step, func() *reactive.Charm {
			c := reactive.New("vector")
			next := recordedIDs(t, requests.UUIDs)
			c.RequestIDs(next)
			for _, e := range charm.Charm.Endpoints {
				ep := c.Endpoint(e.Name, charmfile.Role(e.Role), e.Interface)
				if e.Side == "requester" {
					requesters[e.Name] = reactive.NewRequester[fieldMap, fieldMap](ep)
				} else {
					responders[e.Name] = reactive.NewResponder[fieldMap, fieldMap](ep)
				}
			}
			c.HandleEvery("the operations", func(ctx context.Context, h *reactive.Hook) error {
				for _, op := range requests.Ops {
					if op.Op == "create" && op.NewID != "" {
						next() // the reference makes an ID also where it is given one
					}
					var result any
					var err error
					if rq := requesters[op.Endpoint]; rq != nil {
						result, err = requesterOp(ctx, rq, op)
					} else {
						result, err = responderOp(ctx, responders[op.Endpoint], op)
					}
					if err != nil {
						return err
					}
					results = append(results, result)
				}
				return nil
			})
			return c
		})
		r.compare(t, i, &step, before)
		if !step.Expect.Failed {
			compareResults(t, i, results, requests.Expect.Results)
			for name, want := range requests.Expect.State {
				var got []any
				if rq := requesters[name]; rq != nil {
					got = requestState(rq.Requests())
				} else {
					got = requestState(responders[name].Requests())
				}
				if !sameValue(t, got, want) {
					t.Errorf("step %d (%s): the requests of %s are\n  %s, want\n  %s", i, step.Hook, name, mustEncode(t, got), want)
				}
			}
		}
		if t.Failed() {
			return
		}
	}
}

func compareResults(t *testing.T, step int, got []any, want []json.RawMessage) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("step %d: %d results, want %d", step, len(got), len(want))
		return
	}
	for i := range got {
		var failure raised
		_ = json.Unmarshal(want[i], &failure)
		if failure.Raises != "" {
			if got[i] != any(failure) {
				t.Errorf("step %d: result %d is %v, want %s", step, i, got[i], want[i])
			}
			continue
		}
		if !sameValue(t, got[i], want[i]) {
			t.Errorf("step %d: result %d is %s, want %s", step, i, mustEncode(t, got[i]), want[i])
		}
	}
}

func requestState(list *reactive.KeyList[*fieldRequest]) []any {
	state := []any{}
	for _, r := range slices.SortedFunc(list.Values(), func(a, b *fieldRequest) int { return cmp.Compare(a.ID(), b.ID()) }) {
		f := r.Fields()
		entry := map[string]any{
			"id": r.ID(), "relation": r.Relation().ID(), "response": nil,
			"fields": map[string]any{"a": f["a"], "b": f["b"], "c": f["c"]},
		}
		if r.Unit() != nil {
			entry["unit"] = r.Unit().Name()
		}
		if response, ok := r.Response(); ok {
			entry["response"] = responseFields(response)
		}
		state = append(state, entry)
	}
	return state
}

func responseFields(r fieldMap) map[string]any {
	return map[string]any{"ok": r["ok"], "detail": r["detail"]}
}

// matching returns a test for requests that have the given values in the named
// fields; a field that is missing is null.
func matching(names []string, values fieldMap) func(fieldMap) bool {
	return func(f fieldMap) bool {
		return !slices.ContainsFunc(names, func(name string) bool { return !equalInPython(f[name], values[name]) })
	}
}

func fieldNames(f fieldMap) []string {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	return names
}

// equalInPython compares as Python does: 1, 1.0 and True are equal.
func equalInPython(a, b any) bool {
	x, y := number(a), number(b)
	if x != nil && y != nil {
		return x.Cmp(y) == 0
	}
	switch a := a.(type) {
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equalInPython)
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, v := range a {
			if w, ok := b[key]; !ok || !equalInPython(v, w) {
				return false
			}
		}
		return true
	}
	return x == nil && y == nil && a == b
}

func number(v any) *big.Rat {
	switch v := v.(type) {
	case bool:
		if v {
			return big.NewRat(1, 1)
		}
		return new(big.Rat)
	case json.Number:
		r, _ := new(big.Rat).SetString(v.String())
		return r
	case canonicaljson.Float:
		return new(big.Rat).SetFloat64(float64(v))
	}
	return nil
}

func ids(list []*fieldRequest) []string {
	ids := []string{}
	for _, r := range list {
		ids = append(ids, r.ID())
	}
	return ids
}

func idOf(r *fieldRequest) any {
	if r == nil {
		return nil
	}
	return r.ID()
}

// finder is what both ends can do.
type finder interface {
	Relations() *reactive.KeyList[*reactive.Relation]
	Requests() *reactive.KeyList[*fieldRequest]
	Find(*reactive.Relation, func(fieldMap) bool) *fieldRequest
	FindAll(*reactive.Relation, func(fieldMap) bool) []*fieldRequest
	Answered() []*fieldRequest
	Unanswered() []*fieldRequest
}

// commonOp carries out an operation that both ends have. It reports whether
// there is one.
func commonOp(ctx context.Context, ep finder, op requestOp) (result any, done bool, err error) {
	var rel *reactive.Relation
	if op.Relation != "" {
		var ok bool
		if rel, ok = ep.Relations().Get(op.Relation); !ok {
			return raised{"KeyError"}, true, nil
		}
	}
	switch op.Op {
	case "find":
		return idOf(ep.Find(rel, matching(fieldNames(op.Fields), op.Fields))), true, nil
	case "find_all":
		return ids(ep.FindAll(rel, matching(fieldNames(op.Fields), op.Fields))), true, nil
	case "response_by":
		request := ep.Find(rel, matching([]string{op.Field}, fieldMap{op.Field: op.Value}))
		if request == nil {
			return nil, true, nil
		}
		response, ok := request.Response()
		if !ok {
			return nil, true, nil
		}
		return responseFields(response), true, nil
	case "responses":
		list := []any{}
		for _, r := range ep.Answered() {
			response, _ := r.Response()
			list = append(list, responseFields(response))
		}
		return list, true, nil
	case "new_requests":
		return ids(ep.Unanswered()), true, nil
	case "create", "create_or_update":
		return nil, false, nil
	}
	request, ok := ep.Requests().Get(op.ID)
	if op.Op == "get" {
		return idOf(request), true, nil
	}
	if !ok {
		return raised{"NoSuchRequest"}, true, nil
	}
	if op.Op == "address" {
		bag, err := request.Databag(ctx)
		if err != nil {
			return nil, true, err
		}
		list := []any{}
		for _, key := range []string{"ingress-address", "egress-subnets"} {
			if bag.Has(key) {
				list = append(list, bag.Raw(key))
			} else {
				list = append(list, nil)
			}
		}
		return list, true, nil
	}
	return nil, false, nil
}

func requesterOp(ctx context.Context, ep *fieldRequester, op requestOp) (any, error) {
	if result, done, err := commonOp(ctx, ep, op); done {
		return result, err
	}
	rel, _ := ep.Relations().Get(op.Relation)
	request, _ := ep.Requests().Get(op.ID)
	switch op.Op {
	case "create":
		if op.NewID != "" {
			request, err := ep.CreateWithID(ctx, rel, op.NewID, op.Fields)
			return idOf(request), err
		}
		request, err := ep.Create(ctx, rel, op.Fields)
		return idOf(request), err
	case "create_or_update":
		request, err := ep.CreateOrUpdate(ctx, rel, matching(op.Match, op.Fields), func(f *fieldMap) {
			if *f == nil {
				*f = fieldMap{}
			}
			for name, v := range op.Fields {
				(*f)[name] = v
			}
		})
		return idOf(request), err
	case "set":
		// The ID is no field here, so there is nothing that would set it.
		if op.Field == "request_id" {
			return raised{"AttributeError"}, nil
		}
		err := ep.Update(ctx, request, func(f *fieldMap) { (*f)[op.Field] = op.Value })
		return request.Fields()[op.Field], err
	case "respond":
		// A requester has no method to respond.
		return raised{"ValueError"}, nil
	case "set_response":
		if _, ok := request.Response(); !ok {
			return raised{"NoResponse"}, nil
		}
		return raised{"AttributeError"}, nil
	}
	return nil, fmt.Errorf("unknown operation %q of a requester", op.Op)
}

func responderOp(ctx context.Context, ep *fieldResponder, op requestOp) (any, error) {
	if result, done, err := commonOp(ctx, ep, op); done {
		return result, err
	}
	request, _ := ep.Requests().Get(op.ID)
	switch op.Op {
	case "respond":
		err := ep.Respond(ctx, request, op.Fields)
		return responseFields(op.Fields), err
	case "set_response":
		response, ok := request.Response()
		if !ok {
			return raised{"NoResponse"}, nil
		}
		response[op.Field] = op.Value
		return op.Value, ep.Respond(ctx, request, response)
	case "set":
		// What a responder received cannot be changed: there is no method.
		return raised{"AttributeError"}, nil
	}
	return nil, fmt.Errorf("unknown operation %q of a responder", op.Op)
}

// recordedIDs hands out the request IDs that the reference took in a step.
func recordedIDs(t testing.TB, ids []string) func() string {
	return func() string {
		if len(ids) == 0 {
			t.Error("more request IDs are taken than the reference takes")
			return "none"
		}
		id := ids[0]
		ids = ids[1:]
		return id
	}
}
