package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A PortRange is a range of ports of one protocol, or icmp, which has none.
type PortRange struct {
	// From and To are the first and last port; both are -1 for icmp.
	From, To int
	// Protocol is tcp, udp or icmp.
	Protocol string
}

// ParsePortRange reads "80/tcp", "8000-8100/udp" or "icmp". A missing protocol
// means tcp.
func ParsePortRange(s string) (PortRange, error) {
	if s == "icmp" {
		return PortRange{From: -1, To: -1, Protocol: "icmp"}, nil
	}
	ports, protocol, ok := strings.Cut(s, "/")
	if !ok {
		protocol = "tcp"
	}
	from, to, isRange := strings.Cut(ports, "-")
	if !isRange {
		to = from
	}
	p := PortRange{Protocol: protocol}
	var err1, err2 error
	p.From, err1 = strconv.Atoi(from)
	p.To, err2 = strconv.Atoi(to)
	if err1 != nil || err2 != nil || p.From < 0 || p.From > p.To || p.To > 65535 || protocol != "tcp" && protocol != "udp" {
		return PortRange{}, fmt.Errorf("cannot read port range %q", s)
	}
	return p, nil
}

// String is the range as opened-ports prints it.
func (p PortRange) String() string {
	switch {
	case p.Protocol == "icmp":
		return "icmp"
	case p.From == p.To:
		return strconv.Itoa(p.From) + "/" + p.Protocol
	}
	return strconv.Itoa(p.From) + "-" + strconv.Itoa(p.To) + "/" + p.Protocol
}

// Conflicts reports whether the ranges have a port in common. Equal ranges do.
func (p PortRange) Conflicts(q PortRange) bool {
	return p.Protocol == q.Protocol && p.From <= q.To && q.From <= p.To
}

// MarshalText writes the range as String does.
func (p PortRange) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what ParsePortRange reads.
func (p *PortRange) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePortRange(string(text))
	return err
}

// SortPorts sorts ranges by their text, in place, and returns them.
func SortPorts(ranges []PortRange) []PortRange {
	slices.SortFunc(ranges, func(a, b PortRange) int { return strings.Compare(a.String(), b.String()) })
	return ranges
}

// OpenPorts are the unit's open ranges on all endpoints, each once, sorted by
// their text.
func (u *Unit) OpenPorts() []PortRange {
	var all []PortRange
	for _, ranges := range u.Ports {
		all = append(all, ranges...)
	}
	return slices.Compact(SortPorts(all))
}
