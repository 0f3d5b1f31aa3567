package magpie

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
)

// Interface is the name of the interface.
const Interface = "magpie"

// The keys under which charms.reactive keeps flags, and conversations.
const (
	statePrefix        = "reactive.states."
	conversationPrefix = "reactive.conversations."
)

// Peers is the endpoint of a peer relation with interface "magpie"
// (MagpiePeers in the interface layer's peers.py).
//
// Its groups, and what they say, belong to the current hook. Like a hook it is
// not safe for concurrent use.
type Peers struct {
	*reactive.Endpoint
	joined, departed flags.Flag

	hook      *reactive.Hook
	departing *reactive.Unit // that the hook is about
	network   *hooktool.Network
	failure   error
}

// NewPeers declares the peer endpoint of the charm's metadata with the given
// name, and interface "magpie".
func NewPeers(c *reactive.Charm, name string) *Peers {
	p := &Peers{
		Endpoint: c.Endpoint(name, charmfile.Peer, Interface),
		joined:   flags.New(name + ".joined"),
		departed: flags.New(name + ".departed"),
	}
	p.OnLoad(p.goOn)
	p.ManageFlags(p.manage)
	return p
}

// Joined returns the flag NAME.joined: a peer joined, and was not dismissed.
// Not to be confused with endpoint.NAME.joined, which is set as long as there
// are peers and which Endpoint.Joined returns.
func (p *Peers) Joined() flags.Flag { return p.joined }

// Departed returns the flag NAME.departed: a peer departed, and was neither
// dismissed nor joined again.
func (p *Peers) Departed() flags.Flag { return p.departed }

// HasPeers returns the flag endpoint.NAME.joined: there are peers, dismissed or
// not.
func (p *Peers) HasPeers() flags.Flag { return p.Endpoint.Joined() }

// A conversation is what is remembered of one peer, in the form of
// charms.reactive.
type conversation struct {
	Namespace string   `json:"namespace"`
	Units     []string `json:"units"`
	Scope     string   `json:"scope"`
}

// A membership is the value of a flag: the keys of the conversations that are
// in it, in the order in which they entered.
type membership struct {
	Relation      string   `json:"relation"`
	Conversations []string `json:"conversations"`
}

func conversationKey(relation, unit string) string {
	return conversationPrefix + relation + "." + unit
}

// manage keeps the flags in step with who joins and departs.
func (p *Peers) manage(_ context.Context, h *reactive.Hook) error {
	p.hook, p.departing, p.network, p.failure = h, nil, nil, nil
	e := h.Event()
	switch {
	case e.Hook == "upgrade-charm":
		p.adopt()
	case e.Endpoint != p.Name():
	case e.RelationHook() == "broken":
		p.forget(e.Relation)
	case e.RemoteUnit == "":
	case e.RelationHook() == "joined":
		p.join(e.Relation, e.RemoteUnit)
	case e.RelationHook() == "departed":
		p.depart(e.Relation, e.RemoteUnit)
	}
	return p.failure
}

// join notes a peer that joined.
func (p *Peers) join(relation, unit string) {
	key := p.remember(relation, unit)
	p.leave(p.departed, key)
	p.enter(p.joined, key)
}

// depart notes a peer that departed. Its conversation ends with the hook.
func (p *Peers) depart(relation, unit string) {
	key := conversationKey(relation, unit)
	p.leave(p.joined, key)
	p.enter(p.departed, key)
	p.hook.Data().Unset(key)
	// The endpoint would keep what the unit left until somebody removes it.
	for i, u := range p.DepartedUnits().All() {
		if u.Name() == unit && u.RelationID() == relation {
			p.departing = u
			p.DepartedUnits().RemoveAt(i)
			break
		}
	}
}

// adopt makes the acquaintance of peers that nobody introduced: they joined
// before the unit had this charm, and what it knew was lost.
func (p *Peers) adopt() {
	for u := range p.Units().Values() {
		if !p.hook.Data().Has(conversationKey(u.RelationID(), u.Name())) {
			p.join(u.RelationID(), u.Name())
		}
	}
}

// forget ends all conversations of a relation that is gone.
func (p *Peers) forget(relation string) {
	prefix := conversationKey(relation, "")
	for _, f := range []flags.Flag{p.joined, p.departed} {
		for _, key := range p.members(f) {
			if strings.HasPrefix(key, prefix) {
				p.leave(f, key)
			}
		}
	}
	p.hook.Data().UnsetRange(prefix)
}

// remember stores a conversation, and returns its key.
func (p *Peers) remember(relation, unit string) string {
	key := conversationKey(relation, unit)
	p.set(key, conversation{relation, []string{unit}, unit})
	return key
}

func (p *Peers) set(key string, v any) {
	if err := p.hook.Data().Set(key, v); err != nil && p.failure == nil {
		p.failure = err
	}
}

// members returns the keys of the conversations that are in a flag. A flag that
// somebody else set has none.
func (p *Peers) members(f flags.Flag) []string {
	var m membership
	if !p.hook.IsSet(f) {
		return nil
	}
	if _, err := p.hook.Data().Get(statePrefix+f.String(), &m); err != nil {
		return nil
	}
	return m.Conversations
}

// enter adds a conversation to a flag, which that sets.
func (p *Peers) enter(f flags.Flag, key string) {
	keys := p.members(f)
	if !slices.Contains(keys, key) {
		keys = append(keys, key)
	}
	p.hook.Set(f)
	p.set(statePrefix+f.String(), membership{p.Name(), keys})
}

// leave removes a conversation from a flag; the last one clears it.
func (p *Peers) leave(f flags.Flag, key string) {
	keys := p.members(f)
	i := slices.Index(keys, key)
	if i < 0 {
		return
	}
	if keys = slices.Delete(keys, i, i+1); len(keys) == 0 {
		p.hook.Clear(f)
		return
	}
	p.set(statePrefix+f.String(), membership{p.Name(), keys})
}

// DismissJoined clears the flag NAME.joined until the next peer joins. It works
// in any hook, and if the flag is not set it does nothing.
func (p *Peers) DismissJoined() { p.hook.Clear(p.joined) }

// DismissDeparted clears the flag NAME.departed until the next peer departs. It
// works in any hook, and if the flag is not set it does nothing.
func (p *Peers) DismissDeparted() { p.hook.Clear(p.departed) }

// All returns the peers that are there, dismissed or not, sorted by number. It
// does not hold a peer that is departing, nor the local unit.
func (p *Peers) All() *Group {
	g := &Group{peers: p, all: true}
	for rel := range p.Relations().Values() {
		g.relations = append(g.relations, rel.ID())
	}
	for u := range p.Units().Values() {
		g.units = append(g.units, u)
	}
	slices.SortStableFunc(g.units, func(a, b *reactive.Unit) int { return CompareUnits(a.Name(), b.Name()) })
	return g
}

// NewlyJoined returns the peers that joined and were not dismissed, in the
// order in which they joined.
func (p *Peers) NewlyJoined() *Group { return p.group(p.joined) }

// NewlyDeparted returns the peer that is departing in this hook, if it was not
// dismissed. Peers that departed in other hooks are gone, and so is what they
// had published.
func (p *Peers) NewlyDeparted() *Group { return p.group(p.departed) }

// InHook returns the peer that the current hook is about; an empty group in a
// hook that is not about one. It remembers the peer, even if it never joined.
func (p *Peers) InHook() *Group {
	e := p.hook.Event()
	g := &Group{peers: p}
	if e.Endpoint != p.Name() || e.RemoteUnit == "" {
		return g
	}
	if e.RelationHook() == "departed" {
		g.add(p.departing)
		return g
	}
	p.remember(e.Relation, e.RemoteUnit)
	if rel, ok := p.Relations().Get(e.Relation); ok {
		if u, ok := rel.Units().Get(e.RemoteUnit); ok {
			g.add(u)
		}
	}
	return g
}

// group returns the peers in a flag that can still be asked.
func (p *Peers) group(f flags.Flag) *Group {
	g := &Group{peers: p}
	for _, key := range p.members(f) {
		relation, unit, ok := strings.Cut(strings.TrimPrefix(key, conversationPrefix), ".")
		if !ok {
			continue
		}
		if d := p.departing; d != nil && d.Name() == unit && d.RelationID() == relation {
			g.add(d)
			continue
		}
		if !p.hook.Data().Has(key) {
			continue
		}
		if rel, ok := p.Relations().Get(relation); ok {
			if u, ok := rel.Units().Get(unit); ok {
				g.add(u)
			}
		}
	}
	return g
}

// Network returns the network to which the endpoint is bound, as Juju says
// (network-get). It asks once in a hook.
func (p *Peers) Network(ctx context.Context) (hooktool.Network, error) {
	if p.network == nil {
		n, err := p.hook.Tools().Network(ctx, p.Name())
		if err != nil {
			return hooktool.Network{}, fmt.Errorf("endpoint %q: cannot find out the unit's own network: %w", p.Name(), err)
		}
		p.network = &n
	}
	return *p.network, nil
}

// LocalAddress returns the address at which peers reach the local unit: the
// ingress address of the endpoint's binding, else the address to which it is
// bound, else the unit's private address.
func (p *Peers) LocalAddress(ctx context.Context) (string, error) {
	n, err := p.Network(ctx)
	if err != nil {
		return "", err
	}
	for _, a := range []string{n.IngressAddress(), n.BindAddress()} {
		if a != "" {
			return a, nil
		}
	}
	a, err := p.hook.Tools().UnitGet(ctx, "private-address")
	if err != nil {
		return "", fmt.Errorf("endpoint %q: cannot find out the unit's own address: %w", p.Name(), err)
	}
	return a, nil
}

// CompareUnits orders names of units by application and number, so magpie/2 comes
// before magpie/10.
func CompareUnits(a, b string) int {
	appA, numberA, _ := strings.Cut(a, "/")
	appB, numberB, _ := strings.Cut(b, "/")
	if c := strings.Compare(appA, appB); c != 0 {
		return c
	}
	nA, errA := strconv.Atoi(numberA)
	nB, errB := strconv.Atoi(numberB)
	if errA != nil || errB != nil {
		return strings.Compare(numberA, numberB)
	}
	return nA - nB
}
