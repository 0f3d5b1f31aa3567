package loadbalancer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

func files(metadata string) fstest.MapFS {
	return fstest.MapFS{"charmcraft.yaml": {Data: []byte(metadata)}}
}

// provide runs one hook of a provider whose one handler does work.
func provide(t *testing.T, s reactivetest.State, e reactivetest.Event, work func(context.Context, *reactive.Hook, *loadbalancer.Provider) error) *reactivetest.Result {
	t.Helper()
	charm := reactivetest.Charm{
		New: func() *reactive.Charm {
			c := reactive.New("prov")
			p := loadbalancer.NewProvider(c, "lb-consumers")
			c.HandleEvery("work", func(ctx context.Context, h *reactive.Hook) error { return work(ctx, h, p) })
			return c
		},
		Files: files("name: prov\nsummary: s\ndescription: d\nprovides: {lb-consumers: {interface: loadbalancer}}\n"),
	}
	return reactivetest.Run(t, charm, s, e)
}

// require runs one hook of a consumer whose one handler does work.
func require(t *testing.T, s reactivetest.State, e reactivetest.Event, work func(context.Context, *reactive.Hook, *loadbalancer.Requirer) error) *reactivetest.Result {
	t.Helper()
	charm := reactivetest.Charm{
		New: func() *reactive.Charm {
			c := reactive.New("web")
			r := loadbalancer.NewRequirer(c, "lb")
			c.HandleEvery("work", func(ctx context.Context, h *reactive.Hook) error { return work(ctx, h, r) })
			return c
		},
		Files: files("name: web\nsummary: s\ndescription: d\nrequires: {lb: {interface: loadbalancer}}\n"),
	}
	return reactivetest.Run(t, charm, s, e)
}

// wire returns a request as it is published, after change.
func wire(t *testing.T, name string, change func(*loadbalancer.Request)) string {
	t.Helper()
	request := loadbalancer.NewRequest("id-of-"+name, name)
	request.Protocol, request.PortMapping = loadbalancer.TCP, map[int]int{80: 8080}
	if change != nil {
		change(request)
	}
	text, err := request.Sent().Wire()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

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

func check(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
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

func TestVersions(t *testing.T) {
	t.Parallel()
	for version, usable := range map[string]bool{"1": true, "2": true, "": false, "0": false, "abc": false, "-1": false, "1.5": false} {
		rel := consumers(map[string]string{"a": wire(t, "a", nil)})
		rel.RemoteAppData["version"] = version
		if version == "" {
			delete(rel.RemoteAppData, "version")
		}
		state := reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{rel}}
		r := provide(t, state, reactivetest.UpdateStatus(), func(ctx context.Context, h *reactive.Hook, p *loadbalancer.Provider) error {
			if got := len(p.Requests()) == 1; got != usable {
				t.Errorf("version %q is used: %v", version, got)
			}
			return nil
		})
		if got := r.State.Relations[0].LocalAppData["version"]; got != "1" {
			t.Errorf("version %q is answered with %q", version, got)
		}
	}
	// What was made stays when the other side's version cannot be read for once.
	rel := consumers(map[string]string{"a": wire(t, "a", nil)})
	var did []string
	r := provide(t, reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{rel}}, reactivetest.UpdateStatus(), serve(&did))
	r.State.Relations[0].RemoteAppData["version"] = "?"
	did = nil
	provide(t, r.State, reactivetest.UpdateStatus(), serve(&did))
	check(t, "without version", did)
}

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

// The private key is in the databag and nowhere else: no log, no record of the
// hook, no unit data, no status.
func TestPrivateKeyStaysInTheDatabag(t *testing.T) {
	t.Parallel()
	withKey := func(r *loadbalancer.Request) {
		r.TLSTermination, r.TLSKey = true, new(loadbalancer.Secret(secret))
	}
	rel := provider(1, nil)
	consumer := require(t, reactivetest.State{Unit: "web/0", Leader: true, Relations: []reactivetest.Relation{rel}}, reactivetest.UpdateStatus(), ask(withKey))
	sent := consumer.State.Relations[0].LocalAppData["request_web"]
	if !sees(sent) {
		t.Fatal("the key does not reach the databag")
	}
	malformed := strings.Replace(sent, `"sticky": false`, `"sticky": 5`, 1)
	for _, text := range []string{sent, malformed, sent[:len(sent)-9]} {
		rel := consumers(map[string]string{"web": text})
		var did []string
		r := provide(t, reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{rel}}, reactivetest.RelationAppChanged(rel), serve(&did))
		for _, result := range []*reactivetest.Result{consumer, r} {
			state := result.State.Clone()
			state.Relations[0].RemoteAppData = nil
			delete(state.Relations[0].LocalAppData, "request_web")
			if shown := fmt.Sprintf("%+v\n%+v\n%+v", state, result.Log, *result.Record); sees(shown) {
				t.Errorf("the key is seen in\n%s", shown)
			}
		}
	}
}
