package magpie_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

// A charm that gets to know its peers, in a simulated Juju.
func Example() {
	newCharm := func() *reactive.Charm {
		c := reactive.New("magpie")
		peers := magpie.NewPeers(c, "ring")
		c.Handle("peers joined", flags.When(peers.Joined()), func(ctx context.Context, h *reactive.Hook) error {
			nodes, err := peers.All().Nodes(ctx)
			if err != nil {
				return err
			}
			if h.Unit() == "magpie/0" {
				for _, n := range nodes {
					fmt.Println(h.Unit(), "knows", n.Unit, "at", n.Address)
				}
			}
			peers.DismissJoined()
			return nil
		})
		return c
	}

	ctx := context.Background()
	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	err = m.Deploy("magpie", jujusim.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte("{name: magpie, summary: s, description: d, peers: {ring: {interface: magpie}}}")}},
		Run:   func(ctx context.Context, p hooktool.Process) int { return reactive.Run(ctx, newCharm, p) },
	}, jujusim.DeployOptions{Units: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := m.Settle(ctx); err != nil {
		fmt.Println(err)
	}
	// Output: magpie/0 knows magpie/1 at 10.0.0.11
}
