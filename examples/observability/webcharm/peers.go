package webcharm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/reactive"
	"github.com/google/renameio/v2"
)

// backendKey is a key of what a unit publishes to its peers, beside those of the
// interface: the address to which the load balancer may send requests. A unit
// that is drained has none.
const backendKey = "backend"

// tellPeers publishes where this unit serves, to those who look for it and to
// the load balancer.
func (w *web) tellPeers(ctx context.Context, h *reactive.Hook) error {
	host, err := w.host(ctx, h)
	if err != nil {
		return err
	}
	if address, err := netip.ParseAddr(host); err == nil { // of a name Juju knows the address
		if err := w.peers.All().AdvertiseAddresses(ctx, address); err != nil {
			return err
		}
	}
	backend, err := w.backend(ctx, h)
	if err != nil {
		return err
	}
	for rel := range w.peers.Relations().Values() {
		bag, err := rel.ToPublish(ctx)
		if err != nil {
			return err
		}
		if backend == "" {
			_, err = bag.Delete(backendKey)
		} else {
			err = bag.Set(backendKey, backend)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// learnOfPeers has the page show the other units.
func (w *web) learnOfPeers(ctx context.Context, h *reactive.Hook) error {
	nodes, err := w.nodes(ctx, h)
	if err != nil {
		return err
	}
	w.peers.DismissJoined()
	w.peers.DismissDeparted()
	path := h.Path("run/peers.json")
	if before, err := readPeers(path); err == nil && slices.Equal(before, nodes) {
		return nil
	}
	text, err := json.Marshal(nodes)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("cannot write who the peers are: %w", err)
	}
	return nil
}

// nodes are the other units and where they serve.
func (w *web) nodes(ctx context.Context, h *reactive.Hook) ([]magpie.Node, error) {
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return nil, err
	}
	if network, err := netip.ParsePrefix(options.Address); err == nil {
		return w.peers.All().NodesIn(ctx, network)
	}
	return w.peers.All().Nodes(ctx)
}

// readPeers reads what learnOfPeers wrote, if it did.
func readPeers(path string) ([]magpie.Node, error) {
	var nodes []magpie.Node
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &nodes)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read who the peers are: %w", err)
	}
	return nodes, nil
}
