package reactive_test

import (
	"context"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// An interface that speaks through application data alone has no flags for what
// units publish, and its relation goes on when the last unit departs.
func TestApplicationsOnly(t *testing.T) {
	t.Parallel()
	for _, only := range []bool{true, false} {
		var relations int
		charm := reactivetest.Charm{
			Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte("name: app\nsummary: s\ndescription: d\nrequires: {db: {interface: kv}}\n")}},
			New: func() *reactive.Charm {
				c := reactive.New("app")
				db := c.Endpoint("db", charmfile.Requirer, "kv")
				if only {
					db.ApplicationsOnly()
				}
				c.HandleEvery("look", func(context.Context, *reactive.Hook) error {
					relations = db.Relations().Len()
					return nil
				})
				return c
			},
		}
		rel := reactivetest.Relation{Endpoint: "db", Units: map[string]map[string]string{"pg/0": {"port": "1"}}}
		state := reactivetest.State{Relations: []reactivetest.Relation{rel}}
		joined := reactivetest.Run(t, charm, state, reactivetest.RelationChanged(rel, "pg/0"))
		want := []string{"endpoint.db.joined"}
		if !only {
			want = []string{"endpoint.db.changed", "endpoint.db.changed.port", "endpoint.db.joined"}
		}
		if !slices.Equal(joined.State.Flags, want) {
			t.Errorf("with applications only %v: flags are %q, want %q", only, joined.State.Flags, want)
		}
		departed := reactivetest.Run(t, charm, joined.State, reactivetest.RelationDeparted(rel, "pg/0"))
		if got := slices.Contains(departed.State.Flags, "endpoint.db.departed"); got == only {
			t.Errorf("with applications only %v: departed is %v", only, got)
		}
		if (relations == 1) != only {
			t.Errorf("with applications only %v: there are %d relations", only, relations)
		}
	}
}

// Only a Leader can write application data; who passes the nil that a follower
// gets is told, at the end of the hook, as in the reference.
func TestFollowerWritesApplicationData(t *testing.T) {
	t.Parallel()
	charm := reactivetest.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte("name: app\nsummary: s\ndescription: d\npeers: {cluster: {interface: kv}}\n")}},
		New: func() *reactive.Charm {
			c := reactive.New("app")
			cluster := c.Endpoint("cluster", charmfile.Peer, "kv")
			c.HandleEvery("write", func(ctx context.Context, h *reactive.Hook) error {
				leader, err := h.Leader(ctx)
				if err != nil {
					return err
				}
				for rel := range cluster.Relations().Values() {
					bag, err := rel.ToPublishApp(ctx, leader)
					if err != nil {
						return err
					}
					if err := bag.Set("a", 1); err != nil {
						return err
					}
				}
				return nil
			})
			return c
		},
	}
	state := reactivetest.State{Relations: []reactivetest.Relation{{Endpoint: "cluster"}}}
	result := reactivetest.RunFailing(t, charm, state, reactivetest.Start())
	const want = `hook start: endpoint "cluster": cannot write application data in relation "cluster:1": relation-set: cannot write relation settings: ` +
		"only the leader can, and ToPublishApp was given none"
	if result.Err.Error() != want {
		t.Errorf("the error is %v", result.Err)
	}
	state.Leader = true
	reactivetest.Run(t, charm, state, reactivetest.Start())
}
