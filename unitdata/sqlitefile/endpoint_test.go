package sqlitefile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// follower is an agent of a unit that does not lead.
type follower struct{ *logged }

func (f *follower) Call(ctx context.Context, call hooktool.Call) (hooktool.Result, error) {
	if call.Tool == "is-leader" {
		return hooktool.Result{Stdout: []byte("false")}, nil
	}
	return f.logged.Call(ctx, call)
}

// TestOpsStateOfEndpoint refreshes a unit whose loadbalancer endpoint kept its
// state in an ops object. With Keep a Python charm runs in between, and what it
// stored then counts.
func TestOpsStateOfEndpoint(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*hooktool.Client, hooktool.Process) (unitdata.Store, error){
		"upgrade": sqlitefile.Upgrade, "keep": sqlitefile.Keep,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, _ := sample(t, "unit-state-sample-ops.db")
			dir := filepath.Dir(o.Path)
			text := "name: app\nsummary: s\ndescription: d\nrequires: {lb: {interface: loadbalancer}}\n"
			if err := os.WriteFile(filepath.Join(dir, "metadata.yaml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newAgent()
			tools := &follower{&logged{agent: a}}
			var ops, own []string
			hook := func(name string) string {
				ops, own = nil, nil
				err := reactive.Dispatch(t.Context(), func() *reactive.Charm {
					c := reactive.New("app")
					c.Store(open)
					loadbalancer.NewRequirer(c, "lb")
					c.HandleEvery("look", func(_ context.Context, h *reactive.Hook) error {
						ops = h.Data().Keys(sqlitefile.SnapshotPrefix)
						for _, key := range h.Data().Keys("loadbalancer.") {
							var v json.RawMessage
							if _, err := h.Data().Get(key, &v); err != nil {
								return err
							}
							own = append(own, fmt.Sprintf("%s %s", key, v))
						}
						return nil
					})
					return c
				}, hooktool.Process{
					Dir:   dir,
					Tools: tools,
					Env: []string{"JUJU_UNIT_NAME=app/0", "JUJU_CONTEXT_ID=app/0-" + name, "JUJU_HOOK_NAME=" + name,
						"JUJU_DISPATCH_PATH=hooks/" + name, "JUJU_VERSION=3.6.28"},
				})
				if err != nil {
					t.Fatal(err)
				}
				a.commit()
				if len(ops) > 0 {
					t.Errorf("%s: left %q where the Python charm had them", name, ops)
				}
				return strings.Join(own, "; ")
			}
			state := `loadbalancer.requirer.lb {"response_hashes": {"foo": "076a6df642c391d3d9d21cac01491be8"}, ` +
				`"was_available": %v, "was_response_available": true}`
			for _, name := range []string{"upgrade-charm", "config-changed", "update-status"} {
				if got, want := hook(name), fmt.Sprintf(state, true); got != want {
					t.Fatalf("%s: the state is\n%s, want\n%s", name, got, want)
				}
			}
			if name == "upgrade" {
				return
			}
			// was_available becomes False in the pickle.
			execSQL(t, o.Path, "UPDATE snapshot SET data = CAST(replace(CAST(hex(data) AS text), '7761735F617661696C61626C659488', '7761735F617661696C61626C659489') AS text) WHERE handle LIKE '%state]'",
				"UPDATE snapshot SET data = unhex(data) WHERE handle LIKE '%state]'")
			if got, want := hook("upgrade-charm"), fmt.Sprintf(state, false); got != want {
				t.Errorf("after the Python charm ran again the state is\n%s, want\n%s", got, want)
			}
		})
	}
}
