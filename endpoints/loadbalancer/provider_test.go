package loadbalancer_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

func consumers(requests map[string]string) reactivetest.Relation {
	data := map[string]string{"version": "1"}
	for name, text := range requests {
		data["request_"+name] = text
	}
	return reactivetest.Relation{
		Endpoint: "lb-consumers", ID: 4, RemoteApp: "web", RemoteAppData: data,
		Units: map[string]map[string]string{"web/0": {"ingress-address": "10.0.0.7"}, "web/1": {"ingress-address": "10.0.0.8"}},
	}
}

// serve does what a provider does: it answers what is new and takes back what
// is gone. It returns what it did.
func serve(did *[]string) func(context.Context, *reactive.Hook, *loadbalancer.Provider) error {
	return func(ctx context.Context, h *reactive.Hook, p *loadbalancer.Provider) error {
		leader, err := h.Leader(ctx)
		if err != nil || leader == nil {
			return err
		}
		for _, in := range p.NewRequests() {
			*did = append(*did, fmt.Sprintf("make %s for %s", in.Name(), strings.Join(in.Backends, ",")))
			if err := p.Respond(ctx, leader, in, loadbalancer.Succeed("192.0.2.1")); err != nil {
				return err
			}
		}
		for _, removed := range p.Removed() {
			*did = append(*did, fmt.Sprintf("end %s of %d", removed.Name, removed.RelationID))
			if err := p.RevokeRemoved(ctx, leader, removed); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestProviderFromRequestToRemoval(t *testing.T) {
	t.Parallel()
	rel := consumers(map[string]string{"a": wire(t, "a", nil), "b": wire(t, "b", func(r *loadbalancer.Request) { r.Backends = []string{"10.9.9.9"} })})
	state := reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{rel}}
	var did []string
	r := provide(t, state, reactivetest.RelationChanged(rel, "web/0"), serve(&did))
	check(t, "first", did, "make a for 10.0.0.7,10.0.0.8", "make b for 10.9.9.9")
	check(t, "flags", r.State.Flags, "endpoint.lb-consumers.changed", "endpoint.lb-consumers.created", "endpoint.lb-consumers.joined")

	did = nil
	r = provide(t, r.State, reactivetest.UpdateStatus(), serve(&did))
	check(t, "again", did)

	// A unit departs: the default backends are others.
	r = provide(t, r.State, reactivetest.RelationDeparted(rel, "web/1"), serve(&did))
	check(t, "after a departure", did, "make a for 10.0.0.7")

	// The consumer takes one request back.
	did = nil
	delete(r.State.Relations[0].RemoteAppData, "request_a")
	r = provide(t, r.State, reactivetest.RelationAppChanged(rel), serve(&did))
	check(t, "after one is taken back", did, "end a of 4")
	if data := r.State.Relations[0].LocalAppData; data["response_a"] != "" || data["response_b"] == "" {
		t.Errorf("what is published is %v", data)
	}

	did = nil
	r = provide(t, r.State, reactivetest.RelationDeparted(rel, "web/0"), serve(&did))
	r = provide(t, r.State, reactivetest.RelationBroken(rel), serve(&did))
	check(t, "when the relation ends", did, "end b of 4")
	r = provide(t, r.State, reactivetest.UpdateStatus(), serve(&did))
	if len(r.State.Flags) > 0 {
		t.Errorf("at the end these flags are set: %q", r.State.Flags)
	}
}

// What was answered survives a change of the leader: nothing is removed, and
// nothing made twice, whoever leads.
func TestProviderChangesItsLeader(t *testing.T) {
	t.Parallel()
	rel := consumers(map[string]string{"a": wire(t, "a", nil), "b": wire(t, "b", nil)})
	leader := reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{rel}}
	var did []string
	r := provide(t, leader, reactivetest.RelationChanged(rel, "web/0"), serve(&did))

	demoted := r.State.Clone()
	demoted.Leader = false
	did = nil
	d := provide(t, demoted, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, p *loadbalancer.Provider) error {
		if p.IsChanged() || len(p.Removed()) > 0 {
			t.Errorf("a unit that no longer leads has %v removed", p.Removed())
		}
		return nil
	})
	if slices.Contains(d.State.Flags, "endpoint.lb-consumers.requests_changed") {
		t.Error("requests_changed is set in a unit that cannot know")
	}

	// The new leader has never seen a request, and one is taken back.
	elected := reactivetest.State{Unit: "prov/1", Leader: true, Relations: []reactivetest.Relation{r.State.Relations[0].Clone()}}
	elected.Relations[0].LocalData = nil
	delete(elected.Relations[0].RemoteAppData, "request_b")
	e := provide(t, elected, reactivetest.LeaderElected(), serve(&did))
	check(t, "the new leader", did, "end b of 4")

	// It answers a new version. The first unit, back in office, does not do it again.
	did = nil
	e.State.Relations[0].RemoteAppData["request_a"] = wire(t, "a", func(r *loadbalancer.Request) { r.Sticky = true })
	e = provide(t, e.State, reactivetest.RelationAppChanged(rel), serve(&did))
	check(t, "the new leader", did, "make a for 10.0.0.7,10.0.0.8")
	did = nil
	demoted.Leader = true
	demoted.Relations = []reactivetest.Relation{e.State.Relations[0].Clone()}
	provide(t, demoted, reactivetest.LeaderElected(), serve(&did))
	if slices.ContainsFunc(did, func(s string) bool { return strings.HasPrefix(s, "make") }) {
		t.Errorf("the first leader does %q", did)
	}
}

func TestProviderAnswersMalformedRequests(t *testing.T) {
	t.Parallel()
	good := wire(t, "a", nil)
	tests := []struct {
		name, text string
		want       string
	}{
		{"unknown field", strings.Replace(good, "{", `{"weight": 3, `, 1), "the request is not valid: weight: Unknown field"},
		{"bad field", strings.Replace(good, `"protocol": "tcp"`, `"protocol": "sctp"`, 1), "protocol: Invalid enum value sctp"},
		{"another name", wire(t, "other", nil), "name: it is not the name in the key request_a"},
		{"not JSON", "x", "the request is not JSON"},
		{"no object", "[1]", "Invalid input type"},
		{"health check that is no object", strings.Replace(good, `"health_checks": []`, `"health_checks": ["x"]`, 1), "health_checks: 0: Invalid input type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rel := consumers(map[string]string{"a": good, "b": wire(t, "b", nil)})
			state := reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{rel}}
			var did []string
			r := provide(t, state, reactivetest.RelationChanged(rel, "web/0"), serve(&did))

			did = nil
			r.State.Relations[0].RemoteAppData["request_a"] = tt.text
			r.State.Relations[0].RemoteAppData["request_c"] = wire(t, "c", nil)
			r = provide(t, r.State, reactivetest.RelationAppChanged(rel), serve(&did))
			check(t, "with one malformed request", did, "make c for 10.0.0.7,10.0.0.8")
			response, err := loadbalancer.ParseResponse(r.State.Relations[0].LocalAppData["response_a"])
			if err != nil || response.OK() || !strings.Contains(response.Err().Error(), tt.want) {
				t.Errorf("the answer is %v (%v), want %q in it", response, err, tt.want)
			}
			if response.Address() != "192.0.2.1" {
				t.Errorf("the load balancer that works is said to be at %q", response.Address())
			}
			if !r.Logged("request_a") {
				t.Error("nothing is logged")
			}

			// The consumer mends it by going back.
			did = nil
			r.State.Relations[0].RemoteAppData["request_a"] = good
			provide(t, r.State, reactivetest.RelationAppChanged(rel), serve(&did))
			check(t, "mended", did, "make a for 10.0.0.7,10.0.0.8")
		})
	}
}

func TestProviderRevokes(t *testing.T) {
	t.Parallel()
	rel := consumers(map[string]string{"a": wire(t, "a", nil)})
	state := reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{rel}}
	var did []string
	r := provide(t, state, reactivetest.RelationChanged(rel, "web/0"), serve(&did))
	r = provide(t, r.State, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, p *loadbalancer.Provider) error {
		leader, err := h.Leader(ctx)
		if err != nil {
			return err
		}
		if err := p.Revoke(ctx, leader, p.Requests()[0]); err != nil {
			return err
		}
		if p.IsChanged() {
			t.Error("a revoked request is new at once")
		}
		return nil
	})
	if data := r.State.Relations[0].LocalAppData; data["response_a"] != "" {
		t.Errorf("still published: %v", data)
	}
	did = nil
	r = provide(t, r.State, reactivetest.UpdateStatus(), serve(&did))
	check(t, "in the next hook", did)
	r.State.Relations[0].RemoteAppData["request_a"] = wire(t, "a", func(r *loadbalancer.Request) { r.Public = false })
	provide(t, r.State, reactivetest.RelationAppChanged(rel), serve(&did))
	check(t, "changed", did, "make a for 10.0.0.7,10.0.0.8")
}

func TestProviderTwoConsumersWithTheSameID(t *testing.T) {
	t.Parallel()
	one, two := consumers(map[string]string{"a": wire(t, "a", nil)}), consumers(map[string]string{"a": wire(t, "a", func(r *loadbalancer.Request) { r.Sticky = true })})
	two.ID, two.RemoteApp, two.Units = 5, "api", map[string]map[string]string{"api/0": {"ingress-address": "10.0.0.9"}}
	state := reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{one, two}}
	var did []string
	r := provide(t, state, reactivetest.UpdateStatus(), serve(&did))
	check(t, "first", did, "make a for 10.0.0.7,10.0.0.8", "make a for 10.0.0.9")
	did = nil
	provide(t, r.State, reactivetest.UpdateStatus(), serve(&did))
	check(t, "again", did)
}

func TestProviderFollowersRead(t *testing.T) {
	t.Parallel()
	rel := consumers(map[string]string{"a": wire(t, "a", nil)})
	state := reactivetest.State{Unit: "prov/1", Relations: []reactivetest.Relation{rel}}
	r := provide(t, state, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, p *loadbalancer.Provider) error {
		if len(p.Requests()) > 0 {
			t.Error("requests are read without permission")
		}
		return p.FollowersRead(h, true)
	})
	for i, want := range []int{1, 0} {
		r = provide(t, r.State, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, p *loadbalancer.Provider) error {
			if len(p.Requests()) != 1 || len(p.NewRequests()) != want {
				t.Errorf("hook %d: %d requests, %d new", i, len(p.Requests()), len(p.NewRequests()))
			}
			for _, in := range p.NewRequests() {
				if err := p.Applied(h, in); err != nil {
					return err
				}
			}
			return nil
		})
	}
	delete(r.State.Relations[0].RemoteAppData, "request_a")
	for i, want := range []int{1, 0} {
		r = provide(t, r.State, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, p *loadbalancer.Provider) error {
			removed := p.Removed()
			if len(removed) != want {
				t.Errorf("hook %d: removed are %v", i, removed)
			}
			for _, one := range removed {
				if err := p.Forget(h, one); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if len(r.State.Relations[0].LocalAppData) > 0 {
		t.Error("a unit that does not lead has published")
	}
}
