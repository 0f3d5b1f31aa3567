package loadbalancer_test

import (
	"context"
	"fmt"
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

func check(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
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
