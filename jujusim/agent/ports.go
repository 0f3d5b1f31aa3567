package agent

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// endpointPorts are port ranges by endpoint; endpoint "" means all.
type endpointPorts map[string][]model.PortRange

func (p *endpointPorts) add(endpoint string, r model.PortRange) {
	if *p == nil {
		*p = make(endpointPorts)
	}
	if !slices.Contains((*p)[endpoint], r) {
		(*p)[endpoint] = append((*p)[endpoint], r)
	}
}

func (p endpointPorts) remove(endpoint string, r model.PortRange) {
	if len(p[endpoint]) == 0 {
		return
	}
	p[endpoint] = slices.DeleteFunc(p[endpoint], func(q model.PortRange) bool { return q == r })
	if len(p[endpoint]) == 0 {
		delete(p, endpoint)
	}
}

// portChanges are the ranges to be opened and closed at the commit.
type portChanges struct {
	open, close endpointPorts
}

// parsePorts reads the argument of open-port and close-port.
func parsePorts(s string) (model.PortRange, error) {
	s = strings.ToLower(s)
	if s == "icmp" {
		return model.PortRange{From: -1, To: -1, Protocol: "icmp"}, nil
	}
	ports, protocol, ok := strings.Cut(s, "/")
	if !ok {
		protocol = "tcp"
	}
	from, to, isRange := strings.Cut(ports, "-")
	if !isRange {
		to = from
	}
	r := model.PortRange{Protocol: protocol}
	for _, p := range []struct {
		text string
		to   *int
	}{{from, &r.From}, {to, &r.To}} {
		n, err := strconv.Atoi(p.text)
		if err != nil {
			return r, fmt.Errorf("invalid port %q: %w", p.text, err)
		}
		*p.to = n
	}
	switch {
	case protocol == "icmp":
		return r, fmt.Errorf(`protocol "icmp" doesn't support any ports; got "%d"`, r.From)
	case protocol != "tcp" && protocol != "udp":
		return r, fmt.Errorf(`invalid protocol %q, expected "tcp", "udp", or "icmp"`, protocol)
	case r.From > r.To:
		return r, fmt.Errorf("invalid port range %d-%d/%s", r.From, r.To, protocol)
	case r.From < 0 || r.To > 65535:
		return r, fmt.Errorf("port range bounds must be between 0 and 65535, got %d-%d", r.From, r.To)
	}
	return r, nil
}

func (a *Agent) openPort() *tool {
	return a.portTool("open-port", "Register a request to open a port or port range.", a.openRange)
}

func (a *Agent) closePort() *tool {
	return a.portTool("close-port", "Register a request to close a port or port range.", a.closeRange)
}

func (a *Agent) portTool(name, purpose string, change func(endpoint string, r model.PortRange) error) *tool {
	t := &tool{usage: "<port>[/<protocol>] or <from>-<to>[/<protocol>] or icmp", purpose: purpose}
	var endpoints, format string
	t.flags.stringVar(&endpoints, "endpoints", "A comma-delimited list of application endpoints to target with this operation")
	t.flags.stringVar(&format, "format", "Deprecated format flag")
	var r model.PortRange
	t.init = func(args []string) (err error) {
		if len(args) == 0 {
			return errors.New("no port or range specified")
		}
		if r, err = parsePorts(args[0]); err != nil {
			return err
		}
		return noMore(args[1:])
	}
	t.run = func(c *call) error {
		warnFormat(c, name, format)
		if a.m.Kubernetes() && r.From != r.To {
			return errors.New("port ranges are not supported for k8s applications, please specify a single port")
		}
		for _, endpoint := range splitEndpoints(endpoints) {
			if err := change(endpoint, r); err != nil {
				return err
			}
		}
		return nil
	}
	return t
}

// splitEndpoints reads the value of --endpoints; without any, it is all
// endpoints.
func splitEndpoints(list string) []string {
	var endpoints []string
	for e := range strings.SplitSeq(list, ",") {
		if e = strings.TrimSpace(e); e != "" {
			endpoints = append(endpoints, e)
		}
	}
	if len(endpoints) == 0 {
		return []string{""}
	}
	slices.Sort(endpoints)
	return slices.Compact(endpoints)
}

func (a *Agent) openRange(endpoint string, r model.PortRange) error {
	if err := a.portConflict("open", r); err != nil {
		return err
	}
	a.ports.close.remove(endpoint, r)
	if !slices.Contains(a.unit().Ports[endpoint], r) {
		a.ports.open.add(endpoint, r)
	}
	return nil
}

func (a *Agent) closeRange(endpoint string, r model.PortRange) error {
	if err := a.portConflict("close", r); err != nil {
		return err
	}
	a.ports.open.remove(endpoint, r)
	a.ports.close.add(endpoint, r)
	return nil
}

// portConflict reports a range of the machine, or one asked for before, that
// has ports in common with r.
func (a *Agent) portConflict(verb string, r model.PortRange) error {
	conflict := func(q model.PortRange, unit, when string) error {
		return fmt.Errorf("cannot %s %v (unit %q): port range conflicts with %v (unit %q)%s", verb, r, a.x.Unit, q, unit, when)
	}
	units := []string{a.x.Unit}
	if !a.m.Kubernetes() && a.unit().Machine != "" {
		units = a.m.MachineUnits(a.unit().Machine)
	}
	for _, name := range units {
		for _, q := range a.m.Unit(name).OpenPorts() {
			if q.Conflicts(r) && (name != a.x.Unit || q != r) {
				return conflict(q, name, "")
			}
		}
	}
	for _, ranges := range a.ports.open {
		for _, q := range ranges {
			if q.Conflicts(r) && q != r {
				return conflict(q, a.x.Unit, " requested earlier")
			}
		}
	}
	return nil
}

func (a *Agent) openedPorts() *tool {
	t := &tool{purpose: "List all ports or port ranges opened by the unit."}
	out := t.smartOutput()
	var show bool
	t.flags.boolVar(&show, "endpoints", "Display the list of target application endpoints for each port range")
	t.run = func(c *call) error {
		endpoints := make(map[model.PortRange][]string)
		for endpoint, ranges := range a.unit().Ports {
			for _, r := range ranges {
				if !slices.Contains(a.ports.close[endpoint], r) {
					endpoints[r] = append(endpoints[r], endpoint)
				}
			}
		}
		for endpoint, ranges := range a.ports.open {
			for _, r := range ranges {
				if !slices.Contains(endpoints[r], endpoint) {
					endpoints[r] = append(endpoints[r], endpoint)
				}
			}
		}
		ranges := make([]model.PortRange, 0, len(endpoints))
		for r := range endpoints {
			ranges = append(ranges, r)
		}
		slices.SortFunc(ranges, func(r, q model.PortRange) int {
			return cmp.Or(cmp.Compare(r.Protocol, q.Protocol), cmp.Compare(r.From, q.From), cmp.Compare(r.To, q.To))
		})
		lines := make([]string, len(ranges))
		for i, r := range ranges {
			lines[i] = r.String()
			if show {
				lines[i] += " (" + endpointList(endpoints[r]) + ")"
			}
		}
		return out.write(c, lines)
	}
	return t
}

func endpointList(endpoints []string) string {
	if slices.Contains(endpoints, "") {
		return "*"
	}
	slices.Sort(endpoints)
	return strings.Join(endpoints, ", ")
}

// commitPorts opens and closes what was asked for, as the controller does: a
// range that is open for all endpoints is not also open for one of them, and
// closing it for one leaves it open for the others.
func (a *Agent) commitPorts() (map[string][]model.PortRange, error) {
	ports := make(endpointPorts)
	for endpoint, ranges := range a.unit().Ports {
		ports[endpoint] = slices.Clone(ranges)
	}
	for endpoint, ranges := range a.ports.open {
		for _, r := range ranges {
			if _, ok := a.application().Endpoint(endpoint); !ok && endpoint != "" {
				return nil, fmt.Errorf("cannot open/close ports: open port range: endpoint %q for unit %q not found", endpoint, a.x.Unit)
			}
			if endpoint == "" {
				for name := range ports {
					ports.remove(name, r)
				}
			} else if slices.Contains(ports[""], r) {
				continue
			}
			ports.add(endpoint, r)
		}
	}
	for endpoint, ranges := range a.ports.close {
		for _, r := range ranges {
			if endpoint != "" && slices.Contains(ports[""], r) {
				for _, e := range a.application().Endpoints {
					ports.add(e.Name, r)
				}
			}
			if endpoint == "" {
				for name := range ports {
					ports.remove(name, r)
				}
			}
			ports.remove("", r)
			ports.remove(endpoint, r)
		}
	}
	for endpoint := range ports {
		model.SortPorts(ports[endpoint])
	}
	return ports, nil
}
