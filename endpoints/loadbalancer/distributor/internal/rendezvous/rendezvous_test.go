package rendezvous_test

import (
	"fmt"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/rendezvous"
)

func member(id string, position int) *converge.Amphora {
	return &converge.Amphora{Amphora: distributor.Amphora{ID: id, Position: position}}
}

// TestPick: shares are even, a member that goes moves its own clients only, and
// one that takes a position gets exactly the clients of that position.
func TestPick(t *testing.T) {
	t.Parallel()
	const n = 20000
	all := []*converge.Amphora{member("a", 1), member("b", 2), member("c", 0), member("d", 0)}
	without := all[1:]
	replaced := []*converge.Amphora{member("z", 1), all[1], all[2], all[3]}
	count := map[int]int{}
	for i := range n {
		key := fmt.Sprintf("10.0.%d.%d", i/256, i%256)
		p := rendezvous.Pick(key, all)
		count[p]++
		if q := rendezvous.Pick(key, without); p > 0 && q != p-1 {
			t.Fatalf("%s moved from %s to %s though %s went", key, all[p].ID, without[q].ID, all[0].ID)
		}
		if q := rendezvous.Pick(key, replaced); q != p {
			t.Fatalf("%s moved from place %d to %d though the place was taken over", key, p, q)
		}
	}
	for i, c := range count {
		if c < n/4*8/10 || c > n/4*12/10 {
			t.Errorf("%s has %d of %d keys", all[i].ID, c, n)
		}
	}
	if p := rendezvous.Pick("x", nil); p != -1 {
		t.Errorf("Pick of nobody = %d", p)
	}
}
