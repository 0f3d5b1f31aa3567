package webcharm_test

import (
	"os"
	"slices"
	"testing"

	"github.com/charmed-go/charms/examples/observability/webcharm"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// TestDrain: a unit is drained while others get requests, and not if it is the
// last one that does.
func TestDrain(t *testing.T) {
	t.Parallel()
	charm := reactivetest.Charm{New: webcharm.New, Files: os.DirFS("../web")}
	for _, test := range []struct {
		name    string
		peers   map[string]map[string]string
		drained bool
	}{
		{"alone", nil, false},
		{"the others are drained", map[string]map[string]string{"web/1": {}, "web/2": {}}, false},
		{"others get requests", map[string]map[string]string{"web/1": {}, "web/2": {"backend": `"10.0.0.3"`}}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			state := reactivetest.State{
				Unit: "web/0", Config: map[string]any{"address": "127.0.0.1"},
				Flags:     []string{"web.stopped"}, // so that nothing is started
				Relations: []reactivetest.Relation{{Endpoint: "peers", Units: test.peers}},
			}
			isDrained := func(r *reactivetest.Result) bool { return slices.Contains(r.State.Flags, "web.drained") }
			result := reactivetest.Run(t, charm, state, reactivetest.Action("drain", nil))
			if result.Action.Failed == test.drained || isDrained(result) != test.drained {
				t.Fatalf("drained: %v, %+v", isDrained(result), result.Action)
			}
			if !test.drained {
				return
			}
			result = reactivetest.Run(t, charm, result.State, reactivetest.Action("resume", nil))
			if result.Action.Failed || isDrained(result) {
				t.Errorf("resumed: %v, %+v", !isDrained(result), result.Action)
			}
		})
	}
}
