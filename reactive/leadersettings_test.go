package reactive_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

const settingsMetadata = `
name: app
summary: A charm with leadership settings.
description: It has them.
peers: {cluster: {interface: cluster}}
config: {options: {token: {type: string, default: first}}}
`

// newSettings returns a charm whose leader sets the token, in the relation of
// its peers or with the hook tools of Juju 3.
func newSettings(inPeers bool) func() *reactive.Charm {
	return func() *reactive.Charm {
		c := reactive.New("app")
		peers := c.Endpoint("cluster", charmfile.Peer, "cluster")
		if !inPeers {
			peers = nil
		}
		settings := c.LeadershipSettings(peers)
		c.HandleLeader("set the token", flags.When(c.ConfigChanged("token")), func(ctx context.Context, l *reactive.Leader) error {
			config, err := l.Config(ctx)
			if err != nil {
				return err
			}
			token, _ := config["token"].(string)
			settings.Set(l, map[string]string{"token": token})
			return nil
		})
		c.Handle("use the token", flags.When(settings.Changed("token"), settings.Changed()), func(_ context.Context, h *reactive.Hook) error {
			if h.IsSet(settings.IsSet("token")) != (settings.Get("token") != "") || len(settings.All()) > 1 {
				return fmt.Errorf("leadership.set.token is %v with %v", h.IsSet(settings.IsSet("token")), settings.All())
			}
			var seen []string
			if _, err := h.Data().Get("app.tokens", &seen); err != nil {
				return err
			}
			return h.Data().Set("app.tokens", append(seen, settings.Get("token")))
		})
		return c
	}
}

// Leader and followers see each value once, in the relation of the peers on
// Juju 3 and 4, and with leader-set on Juju 3.
func TestLeadershipSettingsStory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version string
		inPeers bool
	}{{"3.6.28", true}, {"4.0.15", true}, {"3.6.28", false}} {
		for seed := range uint64(4) {
			name := fmt.Sprintf("Juju %s, peers %v, seed %d", test.version, test.inPeers, seed)
			m := newModel(t, jujusim.Options{Version: test.version, Seed: seed})
			charm := jujusim.Charm{Run: reactive.Program(newSettings(test.inPeers)), Files: files(settingsMetadata)}
			must(t, m.Deploy("app", charm, jujusim.DeployOptions{Units: 3}))
			must(t, m.Settle(t.Context()))
			for _, token := range []string{"second", "", "third"} {
				must(t, m.Configure("app", map[string]any{"token": token}))
				must(t, m.Settle(t.Context()))
			}
			for _, unit := range m.Units("app") {
				if got := fmt.Sprint(unitData(t, m, unit)["app.tokens"]); got != "[first second  third]" {
					t.Errorf("%s: %s saw %s", name, unit, got)
				}
			}
			m.View(func(data *model.Model) {
				inTools, inBag := len(data.Applications["app"].LeaderSettings), len(data.Relations[0].Data["app"])
				if (inBag == 1) != test.inPeers || (inTools == 0) != test.inPeers {
					t.Errorf("%s: there are %d leader settings and %d entries in the relation", name, inTools, inBag)
				}
			})
			writesNothing(t, m)
		}
	}
}

var settingsCharm = reactivetest.Charm{New: newSettings(true), Files: files(settingsMetadata), Twice: true}

// What a Python charm kept with leader-set on Juju 3 is seen, and taken over by
// the leader's first write; what it removes then does not come back.
func TestLeadershipSettingsMove(t *testing.T) {
	t.Parallel()
	peers := reactivetest.Relation{Endpoint: "cluster"}
	s := reactivetest.State{
		Relations:      []reactivetest.Relation{peers},
		LeaderSettings: map[string]string{"token": "old"},
		Data: map[string]any{
			"leadership.settings.token": "older", "leadership.settings.gone": nil, "leadership.settings.was": "there",
		},
		Flags: []string{"leadership.set.was"},
	}
	r := reactivetest.Run(t, settingsCharm, s, reactivetest.UpdateStatus())
	if got := fmt.Sprint(r.State.Data["app.tokens"]); got != "[old]" || !r.IsSet(flags.New("leadership.set.token")) || r.IsSet(flags.New("leadership.set.was")) {
		t.Errorf("a follower saw %s; flags are %q", got, r.State.Flags)
	}
	if !r.WasSet(flags.New("leadership.changed.was")) || r.WasSet(flags.New("leadership.changed.gone")) {
		t.Errorf("the wrong flags were set: %v", r.Record.Steps)
	}

	r.State.Leader, r.State.Config = true, map[string]any{"token": ""}
	r = reactivetest.Run(t, settingsCharm, r.State, reactivetest.ConfigChanged())
	if got := r.State.Relation(peers).LocalAppData; !maps.Equal(got, map[string]string{"leadership-settings": "{}"}) {
		t.Errorf("the leader publishes %v", got)
	}
	r = reactivetest.Run(t, settingsCharm, r.State, reactivetest.UpdateStatus())
	if r.IsSet(flags.New("leadership.set.token")) || r.Ran("use the token") {
		t.Errorf("what was removed came back: %q", r.State.Flags)
	}
}

// Before there is a relation the settings wait for it, unless somebody else
// leads by then.
func TestLeadershipSettingsWait(t *testing.T) {
	t.Parallel()
	for _, version := range jujuVersions {
		for _, leads := range []bool{true, false} {
			r := reactivetest.Run(t, settingsCharm, reactivetest.State{JujuVersion: version, Leader: true}, reactivetest.Install())
			peers := reactivetest.Relation{Endpoint: "cluster", Units: map[string]map[string]string{"app/1": nil}}
			r.State.Relations, r.State.Leader = []reactivetest.Relation{peers}, leads
			r = reactivetest.Run(t, settingsCharm, r.State, reactivetest.RelationJoined(peers, "app/1"))
			want := map[bool]string{true: `{"token": "first"}`}[leads]
			if got := r.State.Relation(peers).LocalAppData["leadership-settings"]; got != want {
				t.Errorf("%s: with leader %v the relation has %q, want %q", version, leads, got, want)
			}
			if slices.ContainsFunc(slices.Collect(maps.Keys(r.State.Data)), func(k string) bool { return strings.HasSuffix(k, ".pending") }) {
				t.Errorf("%s: something still waits: %v", version, r.State.Data)
			}
		}
	}
}

func TestLeadershipSettingsNeedPeersOnJuju4(t *testing.T) {
	t.Parallel()
	charm := reactivetest.Charm{New: newSettings(false), Files: files(settingsMetadata)}
	r := reactivetest.RunFailing(t, charm, reactivetest.State{JujuVersion: "4.0.15"}, reactivetest.Start())
	if got := r.Err.Error(); !strings.Contains(got, "leadership settings, declared at ") || !strings.HasSuffix(got, "need a peer endpoint on Juju 4.0.15") {
		t.Errorf("the error is %v", r.Err)
	}
	peers := reactivetest.Relation{Endpoint: "cluster", LocalAppData: map[string]string{"leadership-settings": "[]"}}
	r = reactivetest.RunFailing(t, settingsCharm, reactivetest.State{Relations: []reactivetest.Relation{peers}}, reactivetest.Start())
	if !strings.Contains(r.Err.Error(), "cannot read the leadership settings in relation cluster:1: json: ") {
		t.Errorf("the error is %v", r.Err)
	}
}

// Declaring twice what there is once names both places.
func TestDeclaredTwice(t *testing.T) {
	t.Parallel()
	for says, declare := range map[string]func(c *reactive.Charm){
		"storage \"data\" declared at":         func(c *reactive.Charm) { c.Storage("data"); c.Storage("data") },
		"resource \"binary\" declared at":      func(c *reactive.Charm) { c.Resource("binary"); c.Resource("binary") },
		"leadership settings declared at":      func(c *reactive.Charm) { c.LeadershipSettings(nil); c.LeadershipSettings(nil) },
		"want a peer endpoint, but \"x\" prov": func(c *reactive.Charm) { c.LeadershipSettings(c.Endpoint("x", charmfile.Provider, "x")) },
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, says) || !strings.Contains(got, "leadersettings_test.go:") {
					t.Errorf("the panic says %q, want %q", got, says)
				}
			}()
			declare(reactive.New("app"))
		}()
	}
	c := reactive.New("app")
	c.Storage("nope")
	c.Resource("neither")
	file, err := charmfile.Parse("charmcraft.yaml", []byte(settingsMetadata))
	must(t, err)
	if err := c.CheckFile(file); err == nil || !strings.Contains(err.Error(), `storage "nope", used at `) || !strings.Contains(err.Error(), `resource "neither", used at `) {
		t.Errorf("the check says %v", err)
	}
}
