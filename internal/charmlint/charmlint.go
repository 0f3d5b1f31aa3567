package charmlint

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/internal/picture"
)

// Options say what charm to check.
type Options struct {
	// Dir is the charm's directory, with its charmcraft.yaml and its Go code.
	Dir string
	// Graph is the charm as it is put together, which its own command line
	// prints ("graph --json").
	Graph picture.Graph
	// Skip are the ids of rules to leave out.
	Skip []string
	// GoTool is the Go command; "" is "go".
	GoTool string
}

// A Rule is a kind of mistake.
type Rule struct {
	ID string
	// Sentence says what is wrong about it, and how to mend it.
	Sentence string
}

// The rules.
var (
	FlagNeverSet      = Rule{"flag-never-set", "A handler that waits for a flag that nobody sets never runs: set it somewhere, or wait for another."}
	FlagNeverRead     = Rule{"flag-never-read", "A flag that is set, and that nobody waits for or looks at, does nothing: wait for it, or drop it."}
	FlagUnused        = Rule{"flag-unused", "A flag that is declared and not used is left over: drop it."}
	EndpointUnknown   = Rule{"endpoint-unknown", "An endpoint of the code that charmcraft.yaml does not have can never be related: declare it there."}
	EndpointMismatch  = Rule{"endpoint-mismatch", "An endpoint must have the same role and interface in the code and in charmcraft.yaml."}
	EndpointUnused    = Rule{"endpoint-unused", "An endpoint of charmcraft.yaml that the code does not use promises operators what the charm does not do: use it, or take it out."}
	HookUnknown       = Rule{"hook-unknown", "A handler for a hook that Juju does not run never runs: correct the name, or declare the endpoint, storage or container."}
	OptionUnknown     = Rule{"option-unknown", "An option that the code reads and charmcraft.yaml does not have is never set: declare it there."}
	OptionUnused      = Rule{"option-unused", "An option of charmcraft.yaml that the code never names promises operators what the charm does not do: read it, or take it out."}
	OptionType        = Rule{"option-type", "An option must fit the Go type that takes it."}
	ActionUnknown     = Rule{"action-unknown", "An action that the code handles and charmcraft.yaml does not have can never be run: declare it there."}
	ActionUnhandled   = Rule{"action-unhandled", "An action of charmcraft.yaml that the code does not handle always fails: handle it, or take it out."}
	KeepAwake         = Rule{"keep-awake", "Handlers that undo each other's flags can run again and again, until the hook is failed: let one of them wait for something that the others do not change."}
	UnboundedUnitdata = Rule{"unbounded-unitdata", "Unit data under keys made at run time, of which none is ever removed, grows until Juju refuses it (2 MiB): remove what is no longer needed."}
)

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		FlagNeverSet, FlagNeverRead, FlagUnused, EndpointUnknown, EndpointMismatch, EndpointUnused, HookUnknown,
		OptionUnknown, OptionUnused, OptionType, ActionUnknown, ActionUnhandled, KeepAwake, UnboundedUnitdata,
	}
}

// A Finding is one mistake.
type Finding struct {
	Rule Rule
	// Place is where, such as "charm/charm.go:31" or "charmcraft.yaml:12".
	Place string
	// Detail says what is wrong there.
	Detail string
}

// String returns "place: rule: detail".
func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Place, f.Rule.ID, f.Detail) }

// Check returns what is wrong with a charm, in the order of the rules. The
// error says that it cannot be checked: it has no readable files, or does not
// compile.
func Check(ctx context.Context, opts Options) ([]Finding, error) {
	if opts.GoTool == "" {
		opts.GoTool = "go"
	}
	for _, id := range opts.Skip {
		if !slices.ContainsFunc(Rules(), func(r Rule) bool { return r.ID == id }) {
			return nil, fmt.Errorf("cannot skip %q: there is no such rule", id)
		}
	}
	file, err := charmfile.Load(opts.Dir)
	if err != nil {
		return nil, err
	}
	p, err := load(ctx, opts.GoTool, opts.Dir)
	if err != nil {
		return nil, err
	}
	c := &check{file: file, graph: opts.Graph, facts: factsOf(p), p: p}
	c.flags()
	c.endpoints()
	c.hooks()
	c.options()
	c.actions()
	c.awake()
	c.unitdata()
	found := slices.DeleteFunc(c.found, func(f Finding) bool { return slices.Contains(opts.Skip, f.Rule.ID) })
	order := make(map[string]int)
	for i, r := range Rules() {
		order[r.ID] = i
	}
	slices.SortStableFunc(found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(order[a.Rule.ID], order[b.Rule.ID]), cmp.Compare(a.Place, b.Place), cmp.Compare(a.Detail, b.Detail))
	})
	return slices.Compact(found), nil
}
