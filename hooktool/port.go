package hooktool

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A PortRange is a range of ports, a single port, or ICMP, open for some
// endpoints or for all.
type PortRange struct {
	// Protocol is "tcp", "udp" or "icmp"; empty is "tcp".
	Protocol string
	// From and To are the first and the last port, 0 to 65535. To 0 is a single
	// port. Both are 0 for ICMP.
	From, To int
	// Endpoints are those that the range is open for; empty is all of them.
	Endpoints []string
}

// String returns the range as Juju writes it: "80/tcp", "8000-8100/udp",
// "icmp", and with endpoints "80/tcp (db, web)".
func (p PortRange) String() string {
	if len(p.Endpoints) == 0 {
		return p.ports()
	}
	return p.ports() + " (" + strings.Join(p.Endpoints, ", ") + ")"
}

func (p PortRange) ports() string {
	switch protocol := p.protocol(); {
	case protocol == "icmp":
		return "icmp"
	case p.To == 0 || p.To == p.From:
		return strconv.Itoa(p.From) + "/" + protocol
	default:
		return strconv.Itoa(p.From) + "-" + strconv.Itoa(p.To) + "/" + protocol
	}
}

func (p PortRange) protocol() string {
	if p.Protocol == "" {
		return "tcp"
	}
	return strings.ToLower(p.Protocol)
}

// check refuses what Juju would refuse.
func (p PortRange) check(tool string) error {
	switch p.protocol() {
	case "tcp", "udp":
	case "icmp":
		if p.From != 0 || p.To != 0 {
			return invalid(tool, "icmp has no ports, got %d-%d", p.From, p.To)
		}
		return nil
	default:
		return invalid(tool, "protocol %q is not tcp, udp or icmp", p.Protocol)
	}
	if p.From < 0 || p.From > 65535 || p.To < 0 || p.To > 65535 || p.To != 0 && p.To < p.From {
		return invalid(tool, "ports %d-%d are not a range within 0-65535", p.From, p.To)
	}
	for _, e := range p.Endpoints {
		if e == "" || strings.ContainsAny(e, ", ()") {
			return invalid(tool, "endpoint %q of %s is not a name", e, p.ports())
		}
	}
	return nil
}

// ParsePortRange reads what String writes, and what opened-ports prints: a
// list of endpoints "*" is all of them, a missing protocol is tcp.
func ParsePortRange(s string) (PortRange, error) {
	bad := func() (PortRange, error) {
		return PortRange{}, fmt.Errorf("port range %q: %w", s, ErrInvalid)
	}
	var p PortRange
	ports, list, ok := strings.Cut(s, " (")
	if ok {
		list, ok = strings.CutSuffix(list, ")")
		if !ok {
			return bad()
		}
		if list != "*" {
			p.Endpoints = strings.Split(list, ", ")
		}
	}
	numbers, protocol, ok := strings.Cut(ports, "/")
	if !ok && strings.ToLower(numbers) == "icmp" {
		numbers, protocol = "", "icmp"
	} else if protocol = strings.ToLower(protocol); protocol == "" && !ok {
		protocol = "tcp"
	} else if protocol != "tcp" && protocol != "udp" {
		return bad()
	}
	p.Protocol = protocol
	if protocol != "icmp" {
		first, last, ok := strings.Cut(numbers, "-")
		from, err := strconv.ParseUint(first, 10, 16)
		if err != nil {
			return bad()
		}
		to := from
		if ok {
			if to, err = strconv.ParseUint(last, 10, 16); err != nil {
				return bad()
			}
		}
		p.From, p.To = int(from), int(to)
	}
	if to := p.To; p.check("") != nil || to < p.From {
		return bad()
	}
	return p, nil
}

// OpenPorts opens port ranges, one call each. It takes effect when the hook
// ends well. A range that overlaps another one of the machine is ErrConflict;
// a range of several ports on Kubernetes is errors.ErrUnsupported; an endpoint
// that does not exist is found when the hook ends, which then fails.
func (c *Client) OpenPorts(ctx context.Context, ranges ...PortRange) error {
	return c.ports(ctx, "open-port", "open", ranges)
}

// ClosePorts closes port ranges, one call each; one that is not open is no
// error. It takes effect when the hook ends well.
func (c *Client) ClosePorts(ctx context.Context, ranges ...PortRange) error {
	return c.ports(ctx, "close-port", "close", ranges)
}

func (c *Client) ports(ctx context.Context, tool, what string, ranges []PortRange) error {
	for _, p := range ranges {
		if err := p.check(tool); err != nil {
			return err
		}
	}
	for _, p := range ranges {
		var args []string
		if len(p.Endpoints) > 0 {
			args = append(args, "--endpoints", strings.Join(p.Endpoints, ","))
		}
		if err := c.run(ctx, tool, append(args, "--", p.ports())...); err != nil {
			return fmt.Errorf("cannot %s %s: %w", what, p, err)
		}
	}
	return nil
}

// OpenedPorts returns the port ranges that this unit has open, with what this
// hook has changed, each with its endpoints; To is set in single ports too. On
// Kubernetes they belong to the application.
func (c *Client) OpenedPorts(ctx context.Context) ([]PortRange, error) {
	var texts []string
	if err := c.read(ctx, &texts, "opened-ports", "--endpoints"); err != nil {
		return nil, fmt.Errorf("cannot list the open ports: %w", err)
	}
	ranges := make([]PortRange, 0, len(texts))
	for _, text := range texts {
		p, err := ParsePortRange(text)
		if err != nil {
			return nil, fmt.Errorf("cannot list the open ports: opened-ports: %w", err)
		}
		slices.Sort(p.Endpoints)
		ranges = append(ranges, p)
	}
	return ranges, nil
}
