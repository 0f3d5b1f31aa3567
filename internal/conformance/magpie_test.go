package conformance

import (
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// A magpieStep is what a step of family magpie has besides (FORMAT.md, section
// 6).
type magpieStep struct {
	Ops        []magpieOp          `json:"ops"`
	Interfaces map[string][]string `json:"interfaces"`
	Expect     struct {
		Results []json.RawMessage `json:"results"`
	} `json:"expect"`
}

type magpieOp struct {
	Op   string `json:"op"`
	Flag string `json:"flag"`
	Name string `json:"name"`
	Args struct {
		CIDR string `json:"cidr"`
	} `json:"args"`
}

func runMagpie(t *testing.T, line []byte) {
	r := newHookRunner(t, line)
	endpoint := r.vector.Charm.Endpoints[0].Name
	for i, raw := range r.vector.Steps {
		var step vectorStep
		var magpieStep magpieStep
		decodeVector(t, raw, &step)
		decodeVector(t, raw, &magpieStep)
		before := r.store.Entries()
		var results []any
		r.run(t, &step, func() *reactive.Charm {
			c := reactive.New("vector")
			peers := magpie.NewPeers(c, endpoint)
			c.HandleEvery("ops", func(ctx context.Context, h *reactive.Hook) error {
				for _, op := range magpieStep.Ops {
					result, err := doMagpie(ctx, h, peers, op, magpieStep.Interfaces)
					if err != nil {
						return err
					}
					results = append(results, result)
				}
				return nil
			})
			return c
		})
		compareMagpie(t, r, i, &step, before)
		if len(results) != len(magpieStep.Expect.Results) {
			t.Fatalf("step %d (%s): %d results, want %d", i, step.Hook, len(results), len(magpieStep.Expect.Results))
		}
		for n, want := range magpieStep.Expect.Results {
			if !sameValue(t, results[n], want) {
				t.Errorf("step %d (%s): %s: result %s, want %s", i, step.Hook, magpieStep.Ops[n].Op, mustEncode(t, results[n]), want)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// doMagpie carries out one operation and returns its result as the vectors
// have it.
func doMagpie(ctx context.Context, h *reactive.Hook, peers *magpie.Peers, op magpieOp, interfaces map[string][]string) (any, error) {
	var group *magpie.Group
	switch op.Flag {
	case "":
		group = peers.InHook()
	case peers.Joined().String():
		group = peers.NewlyJoined()
	case peers.Departed().String():
		group = peers.NewlyDeparted()
	}
	if op.Flag != "" && !h.IsSet(flags.New(op.Flag)) {
		return map[string]bool{"unavailable": true}, nil
	}
	switch op.Op {
	case "dismiss_joined":
		group.DismissJoined()
	case "dismiss_departed":
		group.DismissDeparted()
	case "get_nodes":
		if op.Args.CIDR == "" {
			return magpieNodes(group.Nodes(ctx))
		}
		network, err := magpie.ParseNetwork(op.Args.CIDR)
		if err != nil {
			return nil, err
		}
		return magpieNodes(group.NodesIn(ctx, network))
	case "advertise_addresses":
		var addrs []netip.Addr
		for _, list := range interfaces {
			for _, a := range list {
				addrs = append(addrs, netip.MustParseAddr(a))
			}
		}
		return nil, group.AdvertiseAddresses(ctx, addrs...)
	case "set_iperf_server_ready":
		return nil, group.SetIperfServerReady(ctx)
	case "set_iperf_server_checked":
		return nil, group.SetIperfServerChecked(ctx)
	case "check_ready_iperf_servers":
		return magpieNodes(group.ReadyIperfServers(ctx))
	case "set_iperf_checked":
		return nil, group.SetIperfChecked(ctx)
	case "get_iperf_checked":
		values, err := group.IperfChecked(ctx)
		list := []any{}
		for _, v := range values {
			if v == "" {
				list = append(list, nil)
			} else {
				list = append(list, v)
			}
		}
		return list, err
	}
	return nil, nil
}

func magpieNodes(nodes []magpie.Node, err error) (any, error) {
	list := [][2]string{}
	for _, n := range nodes {
		list = append(list, [2]string{n.Unit, n.Address})
	}
	return list, err
}

// compareMagpie is hookRunner.compare for an endpoint that has, besides its own
// flags, those of every endpoint, which the reference has only for interfaces
// of the newer kind (docs/reference/deviations.md). It reads who is in the
// relation from Juju instead of trusting its memory alone, so hook tools are
// not compared.
func compareMagpie(t *testing.T, r *hookRunner, n int, step *vectorStep, before map[string]json.RawMessage) {
	t.Helper()
	if r.err != nil || step.Expect.Failed {
		t.Fatalf("step %d (%s): failed with %v, want failed %v", n, step.Hook, r.err, step.Expect.Failed)
	}
	every := "reactive.states.endpoint." + r.vector.Charm.Endpoints[0].Name + "."
	own := func(entries map[string]json.RawMessage) map[string]json.RawMessage {
		kept := make(map[string]json.RawMessage)
		for key, v := range entries {
			if !strings.HasPrefix(key, every) {
				kept[key] = v
			}
		}
		return kept
	}
	after := own(r.store.Entries())
	var set []string
	for key := range after {
		if name, ok := strings.CutPrefix(key, "reactive.states."); ok {
			set = append(set, name)
		}
	}
	slices.Sort(set)
	r.compareFlags(t, n, step, set)
	r.compareKV(t, n, step, own(before), after)
	r.comparePublished(t, n, step)
}
