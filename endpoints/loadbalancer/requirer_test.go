package loadbalancer_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// provider is a relation to a provider with the given application data.
func provider(id int, data map[string]string) reactivetest.Relation {
	app := map[string]string{"version": "1"}
	maps.Copy(app, data)
	return reactivetest.Relation{
		Endpoint: "lb", ID: id, RemoteApp: "prov", RemoteAppData: app,
		Units: map[string]map[string]string{"prov/0": {"ingress-address": "10.0.0.3"}},
	}
}

// ask sends the request "web", changed by change.
func ask(change func(*loadbalancer.Request)) func(context.Context, *reactive.Hook, *loadbalancer.Requirer) error {
	return func(ctx context.Context, h *reactive.Hook, r *loadbalancer.Requirer) error {
		leader, err := h.Leader(ctx)
		if err != nil {
			return err
		}
		request, err := r.Request(ctx, leader, "web")
		if err != nil {
			return err
		}
		request.Protocol, request.PortMapping = loadbalancer.TCP, map[int]int{80: 8080}
		if change != nil {
			change(request)
		}
		return r.Send(ctx, leader, request)
	}
}

// answered returns the response of a provider to what a consumer has published.
func answered(t *testing.T, rel reactivetest.Relation, response loadbalancer.Response) string {
	t.Helper()
	request, err := loadbalancer.ParseRequest(rel.LocalAppData["request_web"])
	if err != nil {
		t.Fatal(err)
	}
	fields := response.Fields()
	fields.ReceivedHash = new(request.SentHash())
	response, err = fields.Response()
	if err != nil {
		t.Fatal(err)
	}
	wire, err := response.Wire()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func TestRequirerFromRequestToRevocation(t *testing.T) {
	t.Parallel()
	rel := provider(1, nil)
	state := reactivetest.State{Unit: "web/0", Leader: true, Relations: []reactivetest.Relation{rel}}
	r := require(t, state, reactivetest.RelationChanged(rel, "prov/0"), ask(nil))
	check(t, "flags", r.State.Flags, "endpoint.lb.available", "endpoint.lb.created", "endpoint.lb.joined")
	sent := r.State.Relations[0].LocalAppData["request_web"]
	r = require(t, r.State, reactivetest.UpdateStatus(), ask(nil))
	if again := r.State.Relations[0].LocalAppData["request_web"]; again != sent {
		t.Errorf("sent again it is\n%s, was\n%s", again, sent)
	}

	r.State.Relations[0].RemoteAppData["response_web"] = answered(t, r.State.Relations[0], loadbalancer.Succeed("192.0.2.1"))
	r = require(t, r.State, reactivetest.RelationAppChanged(rel), func(ctx context.Context, h *reactive.Hook, lb *loadbalancer.Requirer) error {
		if !h.IsSet(lb.ResponseChanged()) || !h.IsSet(lb.ResponseAvailable()) || len(lb.New()) != 1 || lb.New()[0].Address() != "192.0.2.1" {
			t.Errorf("new are %v", lb.New())
		}
		if err := lb.Acknowledge(ctx, h, "web"); err != nil {
			return err
		}
		if h.IsSet(lb.ResponseChanged()) {
			t.Error("acknowledged, and yet changed")
		}
		return nil
	})

	// The response to a former version is stale, and not to be taken for one.
	r = require(t, r.State, reactivetest.UpdateStatus(), ask(func(r *loadbalancer.Request) { r.Sticky = true }))
	r = require(t, r.State, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, lb *loadbalancer.Requirer) error {
		answer, ok, err := lb.Response(ctx, h, "web")
		if !ok || !answer.Stale || answer.Unverified || lb.HasResponse() || h.IsSet(lb.ResponseAvailable()) {
			t.Errorf("the answer is %+v", answer)
		}
		return err
	})

	// It is revoked.
	delete(r.State.Relations[0].RemoteAppData, "response_web")
	r = require(t, r.State, reactivetest.RelationAppChanged(rel), func(ctx context.Context, h *reactive.Hook, lb *loadbalancer.Requirer) error {
		revoked, err := lb.Revoked(ctx, h)
		if err != nil {
			return err
		}
		check(t, "revoked", revoked, "web")
		return lb.Acknowledge(ctx, h, revoked...)
	})
	r = require(t, r.State, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, lb *loadbalancer.Requirer) error {
		if changed, err := lb.IsChanged(ctx, h); changed || err != nil {
			t.Errorf("acknowledged, and yet changed (%v)", err)
		}
		leader, err := h.Leader(ctx)
		if err != nil {
			return err
		}
		return lb.Remove(ctx, leader, "web")
	})
	if data := r.State.Relations[0].LocalAppData; data["request_web"] != "" {
		t.Errorf("still published: %v", data)
	}
}

func TestRequirerWithMalformedResponse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"x", "[]", `{"address": 7}`, `{"address": "a", "extra": 1}`, `{"error": "provider error", "error_message": "m"}`} {
		rel := provider(1, nil)
		r := require(t, reactivetest.State{Unit: "web/0", Leader: true, Relations: []reactivetest.Relation{rel}}, reactivetest.UpdateStatus(), ask(nil))
		sent := r.State.Relations[0].LocalAppData["request_web"]
		r.State.Relations[0].RemoteAppData["response_web"] = text
		r = require(t, r.State, reactivetest.RelationAppChanged(rel), func(ctx context.Context, h *reactive.Hook, lb *loadbalancer.Requirer) error {
			answer, ok, err := lb.Response(ctx, h, "web")
			if ok || answer.Malformed == nil {
				t.Errorf("%q is taken for the answer %+v", text, answer)
			}
			return errors.Join(err, ask(nil)(ctx, h, lb))
		})
		// The request stays what it was, with its ID.
		if again := r.State.Relations[0].LocalAppData["request_web"]; again != sent {
			t.Errorf("after %q the request is\n%s, was\n%s", text, again, sent)
		}
		if !r.Logged("response_web") {
			t.Error("nothing is logged")
		}
	}
}

func TestRequirerWithTwoProviders(t *testing.T) {
	t.Parallel()
	state := reactivetest.State{Unit: "web/0", Leader: true, Relations: []reactivetest.Relation{provider(10, nil), provider(9, nil)}}
	r := require(t, state, reactivetest.UpdateStatus(), ask(nil))
	if !slices.Contains(r.State.Flags, "endpoint.lb.too-many") {
		t.Errorf("flags are %q", r.State.Flags)
	}
	for _, rel := range r.State.Relations {
		if got := rel.LocalAppData["request_web"] != ""; got != (rel.ID == 9) {
			t.Errorf("relation %d has a request: %v", rel.ID, got)
		}
	}
}

func TestRequirerWithoutProvider(t *testing.T) {
	t.Parallel()
	require(t, reactivetest.State{Unit: "web/0", Leader: true}, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, lb *loadbalancer.Requirer) error {
		if err := ask(nil)(ctx, h, lb); !errors.Is(err, loadbalancer.ErrNoProvider) {
			t.Errorf("the error is %v", err)
		}
		return nil
	})
}

// A follower reads what was answered, and says that it cannot tell whether it
// still holds.
func TestRequirerFollower(t *testing.T) {
	t.Parallel()
	rel := provider(1, map[string]string{"response_web": `{"address": "192.0.2.1", "received_hash": "x"}`})
	require(t, reactivetest.State{Unit: "web/1", Relations: []reactivetest.Relation{rel}}, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, lb *loadbalancer.Requirer) error {
		answer, ok, err := lb.Response(ctx, h, "web")
		if !ok || !answer.Unverified || answer.Address() != "192.0.2.1" {
			t.Errorf("the answer is %+v", answer)
		}
		if can, _ := lb.CanRequest(ctx, h); can || !lb.IsAvailable() {
			t.Error("a follower can make requests")
		}
		return err
	})
}
