// Package rendezvous chooses members by highest random weight, so that a member
// that comes or goes moves only the clients that it gets or had.
package rendezvous

import (
	"hash/fnv"
	"strconv"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
)

// Pick returns the index of the amphora for key, or -1 if there are none.
func Pick(key string, amphorae []*converge.Amphora) int {
	best, weight := -1, uint64(0)
	for i, a := range amphorae {
		place := a.ID
		if a.Position > 0 {
			// What no ID can be.
			place = "#" + strconv.Itoa(a.Position)
		}
		if w := hash(place, key); best < 0 || w > weight {
			best, weight = i, w
		}
	}
	return best
}

func hash(place, key string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(place))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(key))
	// FNV alone leaves the high bits of short texts alike.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
