package hooktool

import (
	"context"
	"fmt"
)

// A Network is where an endpoint is bound to. Addresses are texts as Juju has
// them: some are host names.
type Network struct {
	// BindAddresses are the interfaces to listen on, the preferred one first.
	BindAddresses []BindAddress `json:"bind-addresses"`
	// EgressSubnets are the subnets (CIDR) from which this unit's traffic comes.
	EgressSubnets []string `json:"egress-subnets"`
	// IngressAddresses are where others reach this unit, the preferred one first.
	IngressAddresses []string `json:"ingress-addresses"`
}

// A BindAddress is one network interface.
type BindAddress struct {
	MACAddress    string             `json:"mac-address"`
	InterfaceName string             `json:"interface-name"`
	Addresses     []InterfaceAddress `json:"addresses"`
}

// An InterfaceAddress is one address of a network interface.
type InterfaceAddress struct {
	Hostname string `json:"hostname"`
	Value    string `json:"value"`
	CIDR     string `json:"cidr"`
}

// BindAddress returns the preferred address to listen on, or "".
func (n Network) BindAddress() string {
	for _, b := range n.BindAddresses {
		for _, a := range b.Addresses {
			if a.Value != "" {
				return a.Value
			}
		}
	}
	return ""
}

// IngressAddress returns the preferred address for others to reach this unit, or "".
func (n Network) IngressAddress() string {
	if len(n.IngressAddresses) == 0 {
		return ""
	}
	return n.IngressAddresses[0]
}

// UnitGet returns "private-address" or "public-address" of this unit.
func (c *Client) UnitGet(ctx context.Context, setting string) (string, error) {
	var value string
	if err := c.read(ctx, &value, "unit-get", "--", setting); err != nil {
		return "", fmt.Errorf("cannot read the unit's %s: %w", setting, err)
	}
	return value, nil
}

// Network returns the network of a binding: an endpoint or an extra binding of
// the charm. Another name is ErrNotFound.
func (c *Client) Network(ctx context.Context, binding string) (Network, error) {
	return c.network(ctx, binding, "--", binding)
}

// RelationNetwork is Network as seen by one relation of the endpoint, which
// may be cross-model and then have other ingress addresses and egress subnets.
func (c *Client) RelationNetwork(ctx context.Context, binding, relationID string) (Network, error) {
	if err := checkRelation("network-get", relationID); err != nil {
		return Network{}, err
	}
	return c.network(ctx, binding, "-r", relationID, "--", binding)
}

func (c *Client) network(ctx context.Context, binding string, args ...string) (Network, error) {
	var n Network
	if err := c.read(ctx, &n, "network-get", args...); err != nil {
		return Network{}, fmt.Errorf("cannot read the network of binding %q: %w", binding, err)
	}
	return n, nil
}
