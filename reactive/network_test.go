package reactive_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

const networkMetadata = `
name: app
summary: A charm that looks at its surroundings.
description: It looks.
%s
peers: {cluster: {interface: cluster}}
requires: {db: {interface: db}, beside: {interface: beside, scope: container}}
actions:
  scale:
    description: Scales.
    params: {by: {type: integer, minimum: 1, default: 1}, kind: {type: string, enum: [up, down]}}
    required: [kind]
    additionalProperties: false
`

// newNetwork returns a charm that notes what it sees of where it is.
func newNetwork() *reactive.Charm {
	c := reactive.New("app")
	cluster := c.Endpoint("cluster", charmfile.Peer, "cluster")
	db := c.Endpoint("db", charmfile.Requirer, "db")
	beside := c.Endpoint("beside", charmfile.Requirer, "beside")
	c.HandleEvery("look around", func(ctx context.Context, h *reactive.Hook) error {
		own, err := cluster.Network(ctx)
		if err != nil {
			return err
		}
		again, err := cluster.Network(ctx)
		if err != nil || again.IngressAddress() != own.IngressAddress() {
			return fmt.Errorf("asked again, the network is %v, %w", again, err)
		}
		info, err := h.Network(ctx, "juju-info")
		if err != nil {
			return err
		}
		seen := []string{own.IngressAddress(), info.BindAddress()}
		for rel := range db.Relations().Values() {
			n, err := rel.Network(ctx)
			if err != nil {
				return err
			}
			crosses, err := rel.CrossesModels(ctx)
			if err != nil {
				return err
			}
			id, err := rel.ModelUUID(ctx)
			if err != nil {
				return err
			}
			seen = append(seen, n.IngressAddress(), fmt.Sprint(crosses), id[:8])
		}
		if scoped, err := beside.ContainerScoped(); !scoped || err != nil {
			return fmt.Errorf("the endpoint beside is container-scoped: %v, %w", scoped, err)
		}
		if scoped, err := db.ContainerScoped(); scoped || err != nil {
			return fmt.Errorf("the endpoint db is container-scoped: %v, %w", scoped, err)
		}
		for _, ep := range []*reactive.Endpoint{cluster, db} {
			units, err := ep.ExpectedUnits(ctx)
			if err != nil {
				return err
			}
			seen = append(seen, fmt.Sprint(units))
		}
		return h.Data().Set("app.seen", strings.Join(append(seen, h.Principal()), " "))
	})
	reactive.HandleAction(c, "scale", func(_ context.Context, h *reactive.Hook, p struct {
		By   int
		Kind string
	}) (map[string]any, error) {
		h.Set(flags.New("app.scaled"))
		return map[string]any{"done": fmt.Sprintf("%s by %d", p.Kind, p.By)}, nil
	})
	return c
}

func networkCharm(more string) reactivetest.Charm {
	return reactivetest.Charm{New: newNetwork, Files: files(fmt.Sprintf(networkMetadata, more)), Twice: true}
}

func TestSurroundings(t *testing.T) {
	t.Parallel()
	for _, version := range jujuVersions {
		s := reactivetest.State{
			JujuVersion: version, Address: "10.3.2.1",
			Relations: []reactivetest.Relation{
				{Endpoint: "cluster", Units: map[string]map[string]string{"app/1": nil}},
				{Endpoint: "db", Units: map[string]map[string]string{"pg/0": nil}},
				{Endpoint: "db", RemoteModel: "feedbeef-0bad-400d-8000-4b1d0d06f00d", Units: map[string]map[string]string{"far/7": nil}},
				{Endpoint: "beside", Units: map[string]map[string]string{"host/4": nil}},
			},
		}
		r := reactivetest.Run(t, networkCharm("subordinate: true"), s, reactivetest.UpdateStatus())
		want := "10.3.2.1 10.3.2.1 10.3.2.1 false deadbeef 10.3.2.1 true feedbeef [app/1] [far/7 pg/0] host/4"
		// Of these Juju expects pg/0 only; the others are there because they joined.
		if got := r.State.Data["app.seen"]; got != want {
			t.Errorf("%s: the unit sees\n%v, want\n%s", version, got, want)
		}
		s.Relations = []reactivetest.Relation{{Endpoint: "db", RemoteApp: "far", RemoteModel: "feedbeef-0bad-400d-8000-4b1d0d06f00d"}}
		r = reactivetest.Run(t, networkCharm(""), s, reactivetest.UpdateStatus())
		if got := r.State.Data["app.seen"]; got != "10.3.2.1 10.3.2.1 10.3.2.1 true feedbeef [] [] " {
			t.Errorf("%s: with an offer whose units have not joined the unit sees %v", version, got)
		}
		s = reactivetest.State{JujuVersion: version}
		r = reactivetest.Run(t, networkCharm(""), s, reactivetest.UpdateStatus())
		if got := r.State.Data["app.seen"]; got != "10.0.0.1 10.0.0.1 [] [] " {
			t.Errorf("%s: alone the unit sees %v", version, got)
		}
	}
}

// An action is checked against the charm's actions before its work begins: Juju
// checks what an operator gives it, but not what juju-exec or an older
// controller lets pass.
func TestActionsAreValidated(t *testing.T) {
	t.Parallel()
	charm := jujusim.Charm{Run: reactive.Program(newNetwork), Files: files(fmt.Sprintf(networkMetadata, ""))}
	for _, version := range jujuVersions {
		m := newModel(t, jujusim.Options{Version: version})
		must(t, m.Deploy("app", charm, jujusim.DeployOptions{}))
		must(t, m.Settle(t.Context()))
		a, err := m.RunAction(t.Context(), "app/0", "scale", map[string]any{"kind": "up"})
		must(t, err)
		if a.Status != "completed" || a.Results["done"] != "up by 1" {
			t.Errorf("%s: it answers %+v", version, a)
		}
		if !strings.Contains(strings.Join(unitFlags(t, m, "app/0"), " "), "app.scaled") {
			t.Errorf("%s: the flag of the action is not set", version)
		}
	}
	for says, params := range map[string]map[string]any{
		"kind": {}, "by": {"kind": "up", "by": 0}, "sideways": {"kind": "sideways"}, "extra": {"kind": "up", "extra": 1},
	} {
		data := &model.Model{Applications: map[string]*model.Application{
			"app": {Units: map[string]*model.Unit{"app/0": {}}, Endpoints: []model.Endpoint{{Name: "cluster"}}},
		}}
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "charmcraft.yaml"), fmt.Appendf(nil, networkMetadata, ""), 0o644))
		a, err := agent.New(data, agent.Execution{Unit: "app/0", Action: "scale", Params: params, CharmDir: dir})
		must(t, err)
		must(t, reactive.Dispatch(t.Context(), newNetwork, hooktool.Process{Env: a.Env(), Dir: dir, Tools: a}))
		result, err := a.Finish(agent.Exit{})
		must(t, err)
		if got := result.Changes.Action; got.Status != "failed" || !strings.Contains(got.Message, says) || len(data.Unit("app/0").State) > 0 {
			t.Errorf("%v gives %+v, and leaves %v", params, got, data.Unit("app/0").State)
		}
	}
}
