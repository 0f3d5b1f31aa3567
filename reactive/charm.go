package reactive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/unitdata"
)

// A Charm is what a charm consists of: its flags, endpoints, triggers and
// handlers. A function such as New in the package tour builds it anew for every
// hook, as Juju starts a new process for every hook; nothing in it survives a
// hook but what is kept in unit data.
//
// A mistake in putting a charm together, such as two handlers of one name,
// panics with the places in the code that disagree.
//
// A Charm is not safe for concurrent use.
type Charm struct {
	name      string
	handlers  []*Handler
	byName    map[string]*Handler
	declared  map[flags.Flag]uintptr
	endpoints map[string]*Endpoint
	actions   map[string]uintptr
	triggers  []flags.Trigger
	onStart   []func(ctx context.Context, h *Hook) error
	onRecord  []func(ctx context.Context, h *Hook, record *Record)
	commands  map[string]command

	config     bool
	defaults   bool
	leader     bool
	upgraded   bool
	status     func(ctx context.Context, h *Hook) (Status, error)
	compareAll bool
	newID      func() string
	openStore  func(tools *hooktool.Client, p hooktool.Process) (unitdata.Store, error)

	declarations declarations

	run *run
}

// New returns a charm without handlers. The name is for messages.
func New(name string) *Charm {
	return &Charm{
		name:      name,
		byName:    make(map[string]*Handler),
		declared:  make(map[flags.Flag]uintptr),
		endpoints: make(map[string]*Endpoint),
		actions:   make(map[string]uintptr),
		commands:  make(map[string]command),
		newID:     uuid.NewString,
	}
}

// Name returns the charm's name.
func (c *Charm) Name() string { return c.name }

// Flag declares a flag of the charm's own, which stays set from hook to hook
// until it is cleared. It panics if the charm declared one of that name before:
// keep the flag in a variable and use that.
func (c *Charm) Flag(name string) flags.Flag {
	site := callSite(1)
	f := flags.New(name)
	if name == "" {
		panic(fmt.Sprintf("reactive: the flag declared at %s has no name", place(site)))
	}
	if was, ok := c.declared[f]; ok {
		panic(fmt.Sprintf("reactive: flag %q declared at %s was declared at %s", name, place(site), place(was)))
	}
	c.declared[f] = site
	return f
}

// Trigger adds a trigger, which changes flags at once when another one changes;
// see [flags.Trigger]. It holds in every hook, also in restricted ones.
func (c *Charm) Trigger(t flags.Trigger) { c.triggers = append(c.triggers, t) }

// OnStart calls fn at the beginning of every hook that is not restricted, before
// any flag is updated and any handler runs (hookenv.atstart in the reference).
func (c *Charm) OnStart(fn func(ctx context.Context, h *Hook) error) {
	c.onStart = append(c.onStart, fn)
}

// StatusFunc lets fn decide the unit's status at the end of each hook that went
// well; what handlers reported is given up for it. See [Hook.SetStatus] for
// what decides otherwise.
func (c *Charm) StatusFunc(fn func(ctx context.Context, h *Hook) (Status, error)) { c.status = fn }

// CompareAllUnits makes every relation hook compare the data of all units of
// the endpoint with what was seen before, as charms.reactive does, and leaves
// application data aside, as it does too. Without it only the unit or the
// application that the hook names is compared, so that a hook costs the same
// however many units there are; Juju runs a hook for each of them.
func (c *Charm) CompareAllUnits() { c.compareAll = true }

// RequestIDs lets next make the IDs of requests, which are random UUIDs
// otherwise. It is meant for tests.
func (c *Charm) RequestIDs(next func() string) { c.newID = next }

// NewRequestID returns a new ID of a request, for interfaces that make requests
// in ways of their own.
func (c *Charm) NewRequestID() string { return c.newID() }

// Store keeps unit data in the store that open returns, instead of Juju's charm
// state. It is opened once for each hook, and closed at its end if it is an
// [io.Closer]; an error of that fails the hook.
func (c *Charm) Store(open func(tools *hooktool.Client, p hooktool.Process) (unitdata.Store, error)) {
	c.openStore = open
}

// Handlers returns the charm's handlers in the order of registration. They must
// not be changed.
func (c *Charm) Handlers() []*Handler { return slices.Clone(c.handlers) }

// Flags returns all flags that the charm declares itself and those that its
// handlers wait for, sorted by name. What endpoints and Juju's events set
// besides is left out.
func (c *Charm) Flags() []flags.Flag {
	seen := make(map[flags.Flag]bool)
	var list []flags.Flag
	add := func(f flags.Flag) {
		if !seen[f] && !f.IsZero() {
			seen[f] = true
			list = append(list, f)
		}
	}
	for f := range c.declared {
		add(f)
	}
	for _, h := range c.handlers {
		for _, f := range h.flags {
			add(f)
		}
	}
	return flags.Sort(list)
}

// Triggers returns the triggers of the charm and its endpoints, in the order in
// which they are added to the flags of a hook.
func (c *Charm) Triggers() []flags.Trigger {
	list := slices.Clone(c.triggers)
	for _, ep := range c.Endpoints() {
		list = append(list, ep.triggers...)
	}
	return list
}

// Endpoints returns the charm's endpoints, sorted by name.
func (c *Charm) Endpoints() []*Endpoint {
	list := make([]*Endpoint, 0, len(c.endpoints))
	for _, ep := range c.endpoints {
		list = append(list, ep)
	}
	slices.SortFunc(list, func(a, b *Endpoint) int { return cmp.Compare(a.name, b.name) })
	return list
}

// CheckFile returns an error for each way in which the charm and its files
// disagree: an endpoint or an action that the files do not have, or an endpoint
// with another role or interface.
func (c *Charm) CheckFile(file *charmfile.Charm) error {
	var errs []error
	for _, ep := range c.Endpoints() {
		declared, ok := file.Endpoint(ep.name)
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("endpoint %q, used at %s, is not in the charm's metadata", ep.name, place(ep.site)))
		case declared.Role != ep.role || declared.Interface != ep.iface:
			errs = append(errs, fmt.Errorf("endpoint %q, used at %s, %s the interface %q, but %s %q in the charm's metadata",
				ep.name, place(ep.site), ep.role, ep.iface, declared.Role, declared.Interface))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.actions)) {
		if _, ok := file.Action(name); !ok {
			errs = append(errs, fmt.Errorf("action %q, handled at %s, is not in the charm's actions", name, place(c.actions[name])))
		}
	}
	errs = append(errs, c.declarations.check(file))
	return errors.Join(errs...)
}
