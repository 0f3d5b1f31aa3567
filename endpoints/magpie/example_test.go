package magpie_test

import (
	"context"
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

type greeter struct {
	peers *magpie.Peers
}

func New() *reactive.Charm {
	c := reactive.New("magpie")
	g := &greeter{peers: magpie.NewPeers(c, "magpie")}
	c.Handle("greet new peers", flags.When(g.peers.Joined()), g.greet)
	return c
}

func (g *greeter) greet(ctx context.Context, h *reactive.Hook) error {
	nodes, err := g.peers.All().Nodes(ctx)
	if err != nil {
		return err
	}
	var known []string
	for _, n := range nodes {
		known = append(known, fmt.Sprintf("%s at %s", n.Unit, n.Address))
	}
	h.SetStatus(reactive.Active(strings.Join(known, ", ")))
	g.peers.DismissJoined()
	return nil
}

// The charm of the package's tour, in a simulated Juju.
func Example() {
	ctx := context.Background()
	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	err = m.Deploy("magpie", jujusim.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte("{name: magpie, summary: s, description: d, peers: {magpie: {interface: magpie}}}")}},
		Run:   reactive.Program(New),
	}, jujusim.DeployOptions{Units: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := m.Settle(ctx); err != nil {
		fmt.Println(err)
		return
	}
	unit, _ := m.Status().Unit("magpie/0")
	fmt.Printf("%s is %s: %s\n", unit.Name, unit.Workload, unit.Message)
	// Output: magpie/0 is active: magpie/1 at 10.0.0.11, magpie/2 at 10.0.0.12
}
