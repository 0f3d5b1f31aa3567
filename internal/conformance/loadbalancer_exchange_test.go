package conformance

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/reactive"
)

// balancerStep is what a step of kind exchange has beside what every step has
// (FORMAT.md, section 7.2).
type balancerStep struct {
	UUIDs []string     `json:"uuids"`
	Ops   []balancerOp `json:"ops"`

	Expect struct {
		Results []any          `json:"results"`
		State   map[string]any `json:"state"`
	} `json:"expect"`
}

type balancerOp struct {
	Op       string         `json:"op"`
	Endpoint string         `json:"endpoint"`
	Name     string         `json:"name"`
	Relation int            `json:"relation_number"`
	Fields   balancerFields `json:"fields"`
	Read     bool           `json:"read"`
}

// runBalancerExchange plays a vector as charms do, and if that is not what was
// recorded, once more with the faults of the reference that no quirk names
// (AsReference of package loadbalancer).
func runBalancerExchange(t *testing.T, line []byte) {
	if failures := exchangeFailures(t, line); len(failures) > 0 {
		playBalancers(t, line, true)
		if t.Failed() {
			t.Log("as charms do it:", strings.Join(failures, "\n"))
		}
	}
}

// exchangeFailures plays a vector as charms do, and returns what does not match.
func exchangeFailures(t *testing.T, line []byte) []string {
	a := &attempt{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		playBalancers(a, line, false)
	}()
	<-done
	return a.failures
}

// TestLoadbalancerWithoutFaults holds that what is mended differs from what was
// recorded in few vectors.
func TestLoadbalancerWithoutFaults(t *testing.T) {
	lines, err := readVectors(vectorsDir(), "loadbalancer")
	if err != nil {
		t.Fatal(err)
	}
	matching, exchanges := 0, 0
	for _, line := range lines {
		var h header
		decodeVector(t, line, &h)
		if h.Kind != "exchange" || deviation(h) != "" {
			continue
		}
		exchanges++
		if len(exchangeFailures(t, line)) == 0 {
			matching++
		}
	}
	t.Logf("%d of %d exchanges match without the reference's faults", matching, exchanges)
	if exchanges == 0 || float64(matching) < 0.85*float64(exchanges) {
		t.Errorf("only %d of %d exchanges match without the reference's faults", matching, exchanges)
	}
}

// An attempt collects failures instead of reporting them.
type attempt struct {
	testing.TB
	failures []string
}

func (a *attempt) Error(args ...any) { a.failures = append(a.failures, fmt.Sprint(args...)) }

func (a *attempt) Errorf(format string, args ...any) {
	a.failures = append(a.failures, fmt.Sprintf(format, args...))
}

func (a *attempt) Fatal(args ...any) {
	a.Error(args...)
	runtime.Goexit()
}

func (a *attempt) Fatalf(format string, args ...any) {
	a.Errorf(format, args...)
	runtime.Goexit()
}

func playBalancers(t testing.TB, line []byte, reference bool) {
	t.Helper()
	r := newHookRunner(t, line)
	r.ownKeys = func(key string) bool { return strings.HasPrefix(key, "loadbalancer.") }
	for i, raw := range r.vector.Steps {
		var step vectorStep
		var own balancerStep
		decodeVector(t, raw, &step)
		decodeVector(t, raw, &own)
		before := r.store.Entries()
		p := &balancerPlayer{t: t, runner: r, step: &own, reference: reference}
		r.run(t, &step, p.build)
		r.compare(t, i, &step, before)
		if step.Expect.Failed {
			continue
		}
		if want := own.Expect.Results; len(p.results)+len(want) > 0 && !sameValue(t, p.results, want) {
			t.Errorf("step %d (%s): results are\n%s, want\n%s", i, step.Hook, mustEncode(t, p.results), mustEncode(t, want))
		}
		for name, want := range own.Expect.State {
			if got := p.storedState(name); !reflect.DeepEqual(got, want) {
				t.Errorf("step %d (%s): the state of %s is\n%s, want\n%s", i, step.Hook, name, mustEncode(t, got), mustEncode(t, want))
			}
		}
	}
}

// balancerPlayer carries out the operations of one step.
type balancerPlayer struct {
	t         testing.TB
	runner    *hookRunner
	step      *balancerStep
	reference bool

	requirers map[string]*loadbalancer.Requirer
	providers map[string]*loadbalancer.Provider
	// drafts are responses as the reference's charms have them, where the
	// fields of a response are set one by one, and which fields they have.
	drafts  map[*loadbalancer.Incoming]loadbalancer.ResponseFields
	results []any
}

func (p *balancerPlayer) build() *reactive.Charm {
	charm := reactive.New("charm")
	charm.RequestIDs(recordedIDs(p.t, p.step.UUIDs))
	p.requirers = make(map[string]*loadbalancer.Requirer)
	p.providers = make(map[string]*loadbalancer.Provider)
	p.drafts = make(map[*loadbalancer.Incoming]loadbalancer.ResponseFields)
	for _, ep := range p.runner.vector.Charm.Endpoints {
		if ep.Role == "requires" {
			requirer := loadbalancer.NewRequirer(charm, ep.Name)
			if p.reference {
				requirer.AsReference()
			}
			p.requirers[ep.Name] = requirer
			continue
		}
		provider := loadbalancer.NewProvider(charm, ep.Name)
		if p.reference {
			provider.AsReference()
		}
		p.providers[ep.Name] = provider
	}
	charm.HandleEvery("operations", p.play)
	return charm
}

var errNotLeader = errors.New("the unit is not the leader")

var errNoSuchRequest = errors.New("there is no such request")

func (p *balancerPlayer) play(ctx context.Context, h *reactive.Hook) error {
	for i, op := range p.step.Ops {
		var result any
		var err error
		if requirer := p.requirers[op.Endpoint]; requirer != nil {
			result, err = p.require(ctx, h, requirer, op)
		} else {
			result, err = p.provide(ctx, h, p.providers[op.Endpoint], op)
		}
		if err != nil {
			if result, err = p.failure(i, err); err != nil {
				return err
			}
		}
		p.results = append(p.results, result)
	}
	return nil
}

// failure shows an error as the vectors do. Texts are information there and
// taken from the vector.
func (p *balancerPlayer) failure(i int, err error) (any, error) {
	var invalid *loadbalancer.ValidationError
	result := make(map[string]any)
	switch {
	case errors.Is(err, errNotLeader), errors.Is(err, loadbalancer.ErrNoProvider):
		result["raises"] = "ModelError"
	case errors.Is(err, errNoSuchRequest):
		result["raises"] = "NoSuchRequest"
	case errors.As(err, &invalid):
		result["raises"] = "ValidationError"
	default:
		return nil, err
	}
	if i >= len(p.step.Expect.Results) {
		return result, nil
	}
	want, _ := p.step.Expect.Results[i].(map[string]any)
	if message, ok := want["message"]; ok {
		result["message"] = message
	}
	if messages, ok := want["messages"].(map[string]any); ok && invalid != nil {
		// The reference lists one of the fields only.
		for field := range messages {
			if slices.ContainsFunc(invalid.Problems, func(p loadbalancer.Problem) bool { return p.Path[0] == field }) {
				result["messages"] = messages
			}
		}
	}
	return result, nil
}

func (p *balancerPlayer) require(ctx context.Context, h *reactive.Hook, r *loadbalancer.Requirer, op balancerOp) (any, error) {
	leader, err := h.Leader(ctx)
	if err != nil {
		return nil, err
	}
	switch op.Op {
	case "get_request", "send_request", "remove_request":
		if leader == nil {
			return nil, errNotLeader
		}
	}
	switch op.Op {
	case "get_request":
		request, err := r.Request(ctx, leader, op.Name)
		if err != nil {
			return nil, err
		}
		answer, _, err := r.Response(ctx, h, op.Name)
		return map[string]any{
			"request": unsentValue(request), "response": responseValue(op.Name, answer.Response),
		}, err
	case "send_request":
		request, err := r.Request(ctx, leader, op.Name)
		if err != nil {
			return nil, err
		}
		op.Fields.setRequest(p.t, request)
		if err := r.Send(ctx, leader, request); err != nil {
			return nil, err
		}
		return requestValue(request), nil
	case "remove_request":
		return nil, r.Remove(ctx, leader, op.Name)
	case "get_response":
		answer, ok, err := r.Response(ctx, h, op.Name)
		if err != nil || !ok {
			return nil, err
		}
		return responseValue(op.Name, answer.Response), nil
	case "all_requests":
		list := []any{}
		if leader == nil {
			return list, nil
		}
		requests, err := r.Requests(ctx, leader)
		for _, request := range requests {
			list = append(list, requestValue(request))
		}
		return list, err
	case "all_responses":
		return answerValues(r.Responses()), nil
	case "complete_responses":
		return answerValues(r.Complete()), nil
	case "new_responses":
		return answerValues(r.New()), nil
	case "revoked_responses", "ack_revoked":
		names, err := r.Revoked(ctx, h)
		if err != nil {
			return nil, err
		}
		list, shown := []any{}, []any{}
		for _, name := range names {
			list = append(list, name)
			shown = append(shown, responseValue(name, loadbalancer.Response{}))
		}
		if op.Op == "revoked_responses" {
			return shown, nil
		}
		return list, r.Acknowledge(ctx, h, names...)
	case "ack_new":
		names := []string{}
		for _, answer := range r.New() {
			names = append(names, answer.Name)
		}
		return names, r.Acknowledge(ctx, h, names...)
	case "ack_response":
		_, ok, err := r.Response(ctx, h, op.Name)
		if err != nil || !ok {
			return nil, err
		}
		return op.Name, r.Acknowledge(ctx, h, op.Name)
	case "is_available":
		return r.IsAvailable(), nil
	case "has_response":
		return r.HasResponse(), nil
	case "can_request":
		return r.CanRequest(ctx, h)
	case "is_changed":
		return r.IsChanged(ctx, h)
	}
	p.t.Fatalf("operation %q is not known to the runner", op.Op)
	return nil, nil
}

func answerValues(answers []loadbalancer.Answer) []any {
	list := []any{}
	for _, a := range answers {
		list = append(list, responseValue(a.Name, a.Response))
	}
	return list
}

// unsentValue shows a request that need not be valid yet.
func unsentValue(r *loadbalancer.Request) map[string]any {
	if r.Hash() != "" {
		return requestValue(r)
	}
	full := r.Clone()
	noProtocol, noPorts := full.Protocol == "", full.PortMapping == nil
	if noProtocol {
		full.Protocol = loadbalancer.TCP
	}
	if noPorts {
		full.PortMapping = map[int]int{}
	}
	fields := requestValue(full)
	if noProtocol {
		fields["protocol"] = nil
	}
	if noPorts {
		fields["port_mapping"] = nil
	}
	fields["hash"] = nil
	return fields
}

// draft returns the response to a request as the reference's charms have it.
func (p *balancerPlayer) draft(in *loadbalancer.Incoming) loadbalancer.ResponseFields {
	if draft, ok := p.drafts[in]; ok {
		return draft
	}
	return in.Response().Fields()
}

func (p *balancerPlayer) draftValue(in *loadbalancer.Incoming) map[string]any {
	draft := p.draft(in)
	response, err := draft.Response()
	if err == nil {
		return responseValue(in.Name(), response)
	}
	fields := map[string]any{
		"name": in.Name(), "address": draft.Address, "error": nullable(string(draft.Error)),
		"error_message": draft.ErrorMessage, "error_fields": map[string]any{}, "received_hash": draft.ReceivedHash, "hash": nil,
	}
	if draft.ErrorFields != nil {
		fields["error_fields"] = draft.ErrorFields
	}
	return fields
}

func (p *balancerPlayer) incomingValues(list []*loadbalancer.Incoming) []any {
	values := []any{}
	for _, in := range list {
		fields := requestValue(in.Request)
		fields["relation_number"] = in.Relation().Number()
		fields["response"] = p.draftValue(in)
		values = append(values, fields)
	}
	return values
}

func (p *balancerPlayer) provide(ctx context.Context, h *reactive.Hook, r *loadbalancer.Provider, op balancerOp) (any, error) {
	leader, err := h.Leader(ctx)
	if err != nil {
		return nil, err
	}
	switch op.Op {
	case "all_requests":
		return p.incomingValues(r.Requests()), nil
	case "new_requests":
		return p.incomingValues(r.NewRequests()), nil
	case "removed_requests", "revoke_removed":
		removed := r.Removed()
		ids := []string{}
		for _, one := range removed {
			ids = append(ids, one.ID)
			switch {
			case op.Op == "removed_requests":
			case leader == nil:
				err = r.Forget(h, one)
			default:
				err = r.RevokeRemoved(ctx, leader, one)
			}
			if err != nil {
				return nil, err
			}
		}
		slices.Sort(ids)
		return ids, nil
	case "send_all":
		names := []any{}
		for _, in := range r.NewRequests() {
			draft := p.draft(in)
			draft.Address, draft.Error = new("lb-"+in.Name()), loadbalancer.NoError
			if _, err := p.send(ctx, leader, r, in, draft); err != nil {
				return nil, err
			}
			names = append(names, in.Name())
		}
		return names, nil
	case "send_response", "revoke_response":
		i := slices.IndexFunc(r.Requests(), func(in *loadbalancer.Incoming) bool {
			return in.Relation().Number() == op.Relation && in.Name() == op.Name
		})
		if i < 0 {
			return nil, errNoSuchRequest
		}
		in := r.Requests()[i]
		if op.Op == "revoke_response" {
			delete(p.drafts, in)
			return nil, r.Revoke(ctx, leader, in)
		}
		draft := p.draft(in)
		op.Fields.setResponse(p.t, &draft)
		return p.send(ctx, leader, r, in, draft)
	case "follower_perms":
		return nil, r.FollowersRead(h, op.Read)
	case "is_changed":
		return r.IsChanged(), nil
	}
	p.t.Fatalf("operation %q is not known to the runner", op.Op)
	return nil, nil
}

func (p *balancerPlayer) send(
	ctx context.Context, leader *reactive.Leader, r *loadbalancer.Provider, in *loadbalancer.Incoming, draft loadbalancer.ResponseFields,
) (any, error) {
	if leader == nil {
		p.drafts[in] = draft
		return p.draftValue(in), nil
	}
	draft.ReceivedHash = nil
	if hash := in.SentHash(); hash != "" {
		draft.ReceivedHash = &hash
	}
	p.drafts[in] = draft
	response, err := draft.Response()
	if err != nil {
		return nil, err
	}
	if err := r.Respond(ctx, leader, in, response); err != nil {
		return nil, err
	}
	return responseValue(in.Name(), response), nil
}

// storedState shows what an endpoint keeps from hook to hook.
func (p *balancerPlayer) storedState(name string) any {
	entries := p.runner.store.Entries()
	if _, ok := p.requirers[name]; ok {
		state := map[string]any{"response_hashes": map[string]any{}, "was_available": false, "was_response_available": false}
		if text, ok := entries["loadbalancer.requirer."+name]; ok {
			decodeVector(p.t, text, &state)
		}
		return state
	}
	var state struct {
		Reads bool `json:"follower_can_read_requests"`
	}
	if text, ok := entries["loadbalancer.provider."+name]; ok {
		decodeVector(p.t, text, &state)
	}
	known := make(map[string]any)
	for key, text := range entries {
		if strings.HasPrefix(key, "loadbalancer.provider."+name+"/") {
			var one struct{ ID, Hash string }
			decodeVector(p.t, text, &one)
			known[one.ID] = nullable(one.Hash)
		}
	}
	return map[string]any{"known_requests": known, "follower_can_read_requests": state.Reads}
}
