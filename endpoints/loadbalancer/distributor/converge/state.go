package converge

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// State is everything that a driver has been asked for.
type State struct {
	// Distributors are the distributors by ID.
	Distributors map[string]*Distributor `json:"distributors"`
	// Cuts are amphorae whose connections are still to be cut. They stay here
	// until [Backend.Converge] has succeeded.
	Cuts []Cut `json:"cuts,omitempty"`
}

// A Distributor is what one distributor has.
type Distributor struct {
	ID           string                   `json:"id"`
	LoadBalancer distributor.LoadBalancer `json:"load_balancer"`
	// VIPs and Amphorae are by ID.
	VIPs     map[string]*VIP     `json:"vips,omitempty"`
	Amphorae map[string]*Amphora `json:"amphorae,omitempty"`
}

// A VIP is one VIP and how to serve it.
type VIP struct {
	distributor.VIP
	Algorithm   distributor.Algorithm   `json:"algorithm,omitempty"`
	Persistence distributor.Persistence `json:"persistence,omitempty"`
}

// An Amphora is one amphora and whether it is to get new connections.
type Amphora struct {
	distributor.Amphora
	Draining bool `json:"draining,omitempty"`
}

// A Cut names an amphora whose connections are to be cut, and where they come
// from.
type Cut struct {
	Distributor string              `json:"distributor"`
	Amphora     distributor.Amphora `json:"amphora"`
}

// Sorted returns the distributors sorted by ID.
func (s *State) Sorted() []*Distributor {
	out := make([]*Distributor, 0, len(s.Distributors))
	for _, id := range slices.Sorted(maps.Keys(s.Distributors)) {
		out = append(out, s.Distributors[id])
	}
	return out
}

// SortedVIPs returns the VIPs sorted by ID.
func (d *Distributor) SortedVIPs() []*VIP {
	out := make([]*VIP, 0, len(d.VIPs))
	for _, id := range slices.Sorted(maps.Keys(d.VIPs)) {
		out = append(out, d.VIPs[id])
	}
	return out
}

// SortedAmphorae returns the amphorae sorted by ID.
func (d *Distributor) SortedAmphorae() []*Amphora {
	out := make([]*Amphora, 0, len(d.Amphorae))
	for _, id := range slices.Sorted(maps.Keys(d.Amphorae)) {
		out = append(out, d.Amphorae[id])
	}
	return out
}

// InService returns the amphorae that get new connections, sorted by ID.
func (d *Distributor) InService() []*Amphora {
	return slices.DeleteFunc(d.SortedAmphorae(), func(a *Amphora) bool { return a.Draining })
}

// Secrets returns the private keys of all VIPs.
func (s *State) Secrets() []*flow.Secret {
	var all []*flow.Secret
	for _, d := range s.Distributors {
		all = append(all, d.secrets()...)
	}
	return all
}

func (d *Distributor) secrets() []*flow.Secret {
	var all []*flow.Secret
	for _, v := range d.VIPs {
		all = append(all, v.Secrets()...)
	}
	return all
}

func (s *State) byLoadBalancer(id string) *Distributor {
	for _, d := range s.Sorted() {
		if d.LoadBalancer.ID == id {
			return d
		}
	}
	return nil
}

// conflict returns the VIP other than v that receives on one of v's ports, and
// the port.
func (s *State) conflict(v distributor.VIP) (string, uint16) {
	for _, d := range s.Sorted() {
		for _, w := range d.SortedVIPs() {
			if w.ID == v.ID || w.Datagram() != v.Datagram() || !overlap(w.Address, v.Address) {
				continue
			}
			for _, p := range v.Ports {
				if slices.ContainsFunc(w.Ports, func(q distributor.PortMapping) bool { return q.Front == p.Front }) {
					return w.ID, p.Front
				}
			}
		}
	}
	return "", 0
}

func overlap(a, b netip.Addr) bool {
	return a == b || (a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())) ||
		(a == netip.IPv6Unspecified() || b == netip.IPv6Unspecified())
}

// before is what a flow is to restore when it is reverted: what was there when
// it began, nil standing for nothing.
type before struct {
	Distributor *Distributor        `json:"distributor,omitempty"`
	VIP         *VIP                `json:"vip,omitempty"`
	Amphorae    map[string]*Amphora `json:"amphorae,omitempty"`
}

// Secrets returns the private keys of what is to be restored.
func (b *before) Secrets() []*flow.Secret {
	var all []*flow.Secret
	if b.Distributor != nil {
		all = b.Distributor.secrets()
	}
	if b.VIP != nil {
		all = append(all, b.VIP.Secrets()...)
	}
	return all
}
