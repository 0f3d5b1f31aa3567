package loadbalancer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// TestManyRequests answers a thousand requests: what is remembered of them fits
// what Juju keeps, and relations are not asked more often.
func TestManyRequests(t *testing.T) {
	t.Parallel()
	calls := make(map[int]int)
	for _, n := range []int{1, 1000} {
		requests := make(map[string]string)
		for i := range n {
			name := fmt.Sprintf("web-%d", i)
			requests[name] = wire(t, name, func(r *loadbalancer.Request) { r.Backends = []string{"10.0.0.7"} })
		}
		rel := consumers(requests)
		state := reactivetest.State{Unit: "prov/0", Leader: true, Relations: []reactivetest.Relation{rel}}
		var did []string
		r := provide(t, state, reactivetest.RelationAppChanged(rel), serve(&did))
		if len(did) != n {
			t.Errorf("%d of %d requests are answered", len(did), n)
		}
		did = nil
		r = provide(t, r.State, reactivetest.RelationAppChanged(rel), serve(&did))
		if len(did) > 0 {
			t.Errorf("in the next hook %d requests are new", len(did))
		}
		for _, call := range r.Calls {
			if strings.HasPrefix(call.Tool, "relation-") {
				calls[n]++
			}
		}
	}
	if calls[1] != calls[1000] {
		t.Errorf("relations are asked %d times for 1 request, and %d times for 1000", calls[1], calls[1000])
	}
}
