package reactive

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
)

// SetPorts declares the ports that the unit has open, all of them: at the end of
// the hook what Juju has opened otherwise is closed and what is missing opened,
// and nothing is written if it is the same. The last declaration of a hook
// counts; a hook that declares none changes none. A range without endpoints is
// open for all of them.
//
// Juju refuses to open a range in the hook that closes another one which
// overlaps it. Such a range is opened in the next hook.
func (h *Hook) SetPorts(ranges ...hooktool.PortRange) {
	h.run.juju.ports, h.run.juju.declared = slices.Clone(ranges), true
}

// portsKey is where a declaration is kept that could not be met in one hook.
const portsKey = "reactive.ports.declared"

// A span is a range of ports without the endpoints it is open for.
type span struct {
	protocol string
	from, to int
}

func (s span) overlaps(o span) bool {
	return s != o && s.protocol == o.protocol && s.from <= o.to && o.from <= s.to
}

func (s span) ports(endpoints []string) hooktool.PortRange {
	return hooktool.PortRange{Protocol: s.protocol, From: s.from, To: s.to, Endpoints: endpoints}
}

// all stands for all endpoints.
const allEndpoints = "*"

// portSet holds ranges with the endpoints they are open for.
type portSet map[span]map[string]bool

func newPortSet(ranges []hooktool.PortRange) (portSet, error) {
	set := make(portSet)
	for _, p := range ranges {
		p, err := hooktool.ParsePortRange(p.String()) // with what is left out filled in
		if err != nil {
			return nil, err
		}
		s := span{p.Protocol, p.From, p.To}
		if set[s] == nil {
			set[s] = make(map[string]bool)
		}
		for _, ep := range p.Endpoints {
			set[s][ep] = true
		}
		if len(p.Endpoints) == 0 {
			set[s][allEndpoints] = true
		}
	}
	for s := range set {
		if set[s][allEndpoints] {
			set[s] = map[string]bool{allEndpoints: true}
		}
	}
	for s := range set {
		for o := range set {
			if s.overlaps(o) {
				return nil, fmt.Errorf("the ports %s and %s overlap", s.ports(nil), o.ports(nil))
			}
		}
	}
	return set, nil
}

// planPorts finds out what to open and what to close, and what has to wait for
// the next hook.
func (r *run) planPorts(ctx context.Context) error {
	declared := r.juju.ports
	if !r.juju.declared {
		var kept []string
		if ok, err := r.data.Get(portsKey, &kept); !ok || err != nil {
			return err
		}
		for _, text := range kept {
			p, err := hooktool.ParsePortRange(text)
			if err != nil {
				return err
			}
			declared = append(declared, p)
		}
	}
	want, err := newPortSet(declared)
	if err != nil {
		return fmt.Errorf("cannot declare the open ports: %w", err)
	}
	opened, err := r.tools.OpenedPorts(ctx)
	if err != nil {
		return err
	}
	have, err := newPortSet(opened)
	if err != nil {
		return err
	}
	toOpen, toClose, err := r.portChanges(have, want)
	if err != nil {
		return err
	}
	later := false
	toOpen = slices.DeleteFunc(toOpen, func(p hooktool.PortRange) bool {
		s := span{p.Protocol, p.From, p.To}
		waits := slices.ContainsFunc(slices.Collect(maps.Keys(have)), s.overlaps)
		later = later || waits
		return waits
	})
	r.juju.toOpen, r.juju.toClose = toOpen, toClose
	if !later {
		r.data.Unset(portsKey)
		return nil
	}
	kept := make([]string, len(declared))
	for i, p := range declared {
		kept[i] = p.String()
	}
	return r.data.Set(portsKey, kept)
}

// writePorts does what was planned.
func (r *run) writePorts(ctx context.Context) error {
	if err := r.tools.ClosePorts(ctx, r.juju.toClose...); err != nil {
		return err
	}
	return r.tools.OpenPorts(ctx, r.juju.toOpen...)
}

// portChanges returns what to open and what to close, sorted. To take a range
// that is open for all endpoints from some of them, Juju wants it closed for
// these.
func (r *run) portChanges(have, want portSet) (toOpen, toClose []hooktool.PortRange, err error) {
	for s, is := range have {
		switch wanted := want[s]; {
		case wanted == nil:
			toClose = append(toClose, s.ports(nil))
		case is[allEndpoints] && !wanted[allEndpoints]:
			file, err := r.charmFile()
			if err != nil {
				return nil, nil, err
			}
			if others := others(file.Endpoints, wanted); len(others) > 0 {
				toClose = append(toClose, s.ports(others))
			}
		case !is[allEndpoints] && !wanted[allEndpoints]:
			if extra := missing(wanted, is); len(extra) > 0 {
				toClose = append(toClose, s.ports(extra))
			}
		}
	}
	for s, wanted := range want {
		is := have[s]
		switch {
		case is[allEndpoints]:
		case wanted[allEndpoints]:
			toOpen = append(toOpen, s.ports(nil))
		default:
			if more := missing(is, wanted); len(more) > 0 {
				toOpen = append(toOpen, s.ports(more))
			}
		}
	}
	byText := func(a, b hooktool.PortRange) int {
		if a.String() < b.String() {
			return -1
		}
		return 1
	}
	slices.SortFunc(toOpen, byText)
	slices.SortFunc(toClose, byText)
	return toOpen, toClose, nil
}

// others returns the names of endpoints that are not in set.
func others(endpoints []charmfile.Endpoint, set map[string]bool) []string {
	var names []string
	for _, ep := range endpoints {
		if !set[ep.Name] {
			names = append(names, ep.Name)
		}
	}
	slices.Sort(names)
	return names
}

// missing returns what of b is not in a, sorted.
func missing(a, b map[string]bool) []string {
	var names []string
	for name := range b {
		if !a[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
