package magpie

import (
	"context"

	"github.com/charmed-go/charms/reactive"
)

// goOn goes on where a Python charm stopped. It had conversations with peers,
// but no flag endpoint.NAME.joined, which its kind of interface does not have.
// Without it the framework would take all peers for new, and what they published
// long ago for changed. What they publish from now on is announced by a hook of
// its own, in which it is compared.
func (p *Peers) goOn(_ context.Context, h *reactive.Hook) error {
	if h.IsSet(p.HasPeers()) {
		return nil
	}
	for rel := range p.Relations().Values() {
		for u := range rel.Units().Values() {
			if h.Data().Has(conversationKey(rel.ID(), u.Name())) {
				h.Set(p.HasPeers())
				return nil
			}
		}
	}
	return nil
}
