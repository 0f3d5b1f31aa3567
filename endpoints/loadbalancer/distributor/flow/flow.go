package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Node is a part of a flow: a [*Task], a [*Flow], or either with a key
// renamed by [Rebind].
type Node interface{ node() }

// A Task is one step that can be undone.
//
// A task runs at least once, not exactly once: after a kill it is executed or
// reverted again without knowing how far it came. So Execute must be content to
// find its work done ("create if absent"), Revert to find nothing to undo
// ("remove, ignore what is not there"). Ids are made inside Execute and
// provided, never when the flow is built, or a resumed run would have others.
type Task struct {
	// Name identifies the task in the journal; it is unique in its flow.
	Name string
	// Requires are the values that Execute and Revert read.
	Requires []AnyKey
	// Provides are the values that Execute must have set when it returns nil.
	Provides []AnyKey
	// Execute does the work. Nil does nothing.
	Execute func(ctx context.Context, d *Data) error
	// Revert undoes the work. It also runs for a task that failed or was
	// killed half way. Nil: there is nothing to undo.
	Revert func(ctx context.Context, d *Data) error
	// Retry says how often Execute and Revert are tried before they count as
	// failed. The zero value tries once.
	Retry Retry
}

func (*Task) node() {}

// Retry bounds how often and how long a task is tried. Waiting ends when the
// context does.
type Retry struct {
	// Attempts is the number of tries in all; 0 and 1 mean one.
	Attempts int
	// Backoff is the wait before the second try; it doubles for each further
	// one, up to MaxBackoff if that is set.
	Backoff, MaxBackoff time.Duration
	// MaxElapsed ends retrying when the next wait would pass it, counted from
	// the first try. 0 means no such bound.
	MaxElapsed time.Duration
	// If says whether an error is worth another try. Nil: every error is.
	If func(error) bool
}

// A Flow orders tasks and other flows. [Linear], [Unordered] and [Graph] make
// one.
type Flow struct {
	// Name names the flow in its journal, in events and in errors.
	Name string
	// Version is kept in the journal. A run found with another version than
	// its flow has now is reverted, not continued.
	Version int

	kind  kind
	nodes []Node
}

func (*Flow) node() {}

type kind int

const (
	linear kind = iota
	unordered
	graph
)

// Linear returns a flow whose parts run one after the other and are reverted
// in the reverse order. A part sees the values of those before it.
func Linear(name string, nodes ...Node) *Flow { return &Flow{Name: name, kind: linear, nodes: nodes} }

// Unordered returns a flow whose parts have no order and do not see each
// other's values. They run together as far as [Runner.Parallel] lets them.
func Unordered(name string, nodes ...Node) *Flow {
	return &Flow{Name: name, kind: unordered, nodes: nodes}
}

// Graph returns a flow whose parts are ordered by what they require of each
// other: a part runs after those that provide what it requires.
func Graph(name string, nodes ...Node) *Flow { return &Flow{Name: name, kind: graph, nodes: nodes} }

type rebound struct {
	inner    Node
	from, to string
}

func (*rebound) node() {}

// Rebind returns n with the key from, required or provided, called to, so that
// the same flow can be used several times with different values in a bigger
// one.
func Rebind[T any](n Node, from, to Key[T]) Node {
	return &rebound{inner: n, from: from.name, to: to.name}
}

// Requires returns the names of the values that n needs from outside, sorted.
func Requires(n Node) []string {
	req, _ := needs(n)
	return slices.Sorted(maps.Keys(req))
}

// Provides returns the names of the values that n gives, sorted.
func Provides(n Node) []string {
	_, prov := needs(n)
	return slices.Sorted(maps.Keys(prov))
}

func needs(n Node) (req, prov map[string]bool) {
	req, prov = map[string]bool{}, map[string]bool{}
	switch n := n.(type) {
	case *Task:
		for _, k := range n.Requires {
			req[k.Name()] = true
		}
		for _, k := range n.Provides {
			prov[k.Name()] = true
		}
	case *rebound:
		r, p := needs(n.inner)
		for name := range r {
			req[n.name(name)] = true
		}
		for name := range p {
			prov[n.name(name)] = true
		}
	case *Flow:
		all := map[string]bool{}
		for _, child := range n.nodes {
			r, p := needs(child)
			for name := range r {
				if n.kind != linear || !prov[name] {
					req[name] = true
				}
			}
			for name := range p {
				prov[name], all[name] = true, true
			}
		}
		if n.kind == graph {
			for name := range all {
				delete(req, name)
			}
		}
	}
	return req, prov
}

func (r *rebound) name(name string) string {
	if name == r.from {
		return r.to
	}
	return name
}

// Compile checks that f can run with inputs of the given keys: every value that
// a task requires has exactly one source that comes before the task, and task
// names are unique. The error is a [*MissingError], [*AmbiguousError],
// [*CycleError], [*DuplicateError] or [*TypeError]. [Runner.Run] does the same
// before it starts.
func Compile(f *Flow, inputs ...AnyKey) error {
	_, err := compile(f, inputs)
	return err
}

// step is a task in its place.
type step struct {
	task   *Task
	rename map[string]string
	preds  []int
	succs  []int
}

type program struct {
	flow  *Flow
	steps []*step
	order []int
	keys  map[string]AnyKey
}

type compiler struct {
	*program
	names    map[string]bool
	source   map[string]string
	provided map[string]bool
}

func compile(f *Flow, inputs []AnyKey) (*program, error) {
	if f == nil || f.Name == "" {
		return nil, errors.New("cannot run a flow without a name")
	}
	c := &compiler{program: &program{flow: f, keys: map[string]AnyKey{}},
		names: map[string]bool{}, source: map[string]string{}, provided: map[string]bool{}}
	visible := map[string]bool{}
	for _, k := range inputs {
		if c.provided[k.Name()] {
			return nil, &AmbiguousError{Flow: f.Name, Key: k.Name()}
		}
		if err := c.typed(k.Name(), k); err != nil {
			return nil, err
		}
		visible[k.Name()], c.provided[k.Name()] = true, true
	}
	if _, _, err := c.add(f, nil, visible); err != nil {
		return nil, err
	}
	return c.program, c.sort()
}

func (c *compiler) typed(name string, k AnyKey) error {
	if old, ok := c.keys[name]; ok && !isOpaque(old) && old.typeName() != k.typeName() {
		return &TypeError{Flow: c.flow.Name, Key: name, Types: [2]string{old.typeName(), k.typeName()}}
	}
	c.keys[name] = k
	return nil
}

// add places n and returns the steps that it starts and ends with. Visible are
// the values that n may use; add adds to it what n provides.
func (c *compiler) add(n Node, rename map[string]string, visible map[string]bool) (first, last []int, err error) {
	switch n := n.(type) {
	case *Task:
		if n == nil {
			return nil, nil, fmt.Errorf("cannot run flow %q: it has a nil task", c.flow.Name)
		}
		return c.addTask(n, rename, visible)
	case *rebound:
		inner := map[string]string{}
		maps.Copy(inner, rename)
		inner[n.from] = renamed(rename, n.to)
		return c.add(n.inner, inner, visible)
	case *Flow:
		if n == nil {
			return nil, nil, fmt.Errorf("cannot run flow %q: it has a nil flow", c.flow.Name)
		}
		switch n.kind {
		case linear:
			return c.addLinear(n, rename, visible)
		case unordered:
			return c.addUnordered(n, rename, visible)
		default:
			return c.addGraph(n, rename, visible)
		}
	}
	return nil, nil, fmt.Errorf("cannot run flow %q: it has a nil part", c.flow.Name)
}

func (c *compiler) addTask(t *Task, rename map[string]string, visible map[string]bool) (first, last []int, err error) {
	if t.Name == "" {
		return nil, nil, fmt.Errorf("cannot run flow %q: it has a task without a name", c.flow.Name)
	}
	if c.names[t.Name] {
		return nil, nil, &DuplicateError{Flow: c.flow.Name, Task: t.Name}
	}
	c.names[t.Name] = true
	for _, k := range t.Requires {
		name := renamed(rename, k.Name())
		if !visible[name] {
			return nil, nil, &MissingError{Flow: c.flow.Name, Task: t.Name, Key: name}
		}
		if err := c.typed(name, k); err != nil {
			return nil, nil, err
		}
	}
	for _, k := range t.Provides {
		name := renamed(rename, k.Name())
		if c.provided[name] {
			return nil, nil, &AmbiguousError{Flow: c.flow.Name, Key: name, Sources: [2]string{c.source[name], t.Name}}
		}
		if err := c.typed(name, k); err != nil {
			return nil, nil, err
		}
		c.provided[name], c.source[name], visible[name] = true, t.Name, true
	}
	i := len(c.steps)
	c.steps = append(c.steps, &step{task: t, rename: rename})
	return []int{i}, []int{i}, nil
}

func (c *compiler) addLinear(f *Flow, rename map[string]string, visible map[string]bool) (first, last []int, err error) {
	for _, child := range f.nodes {
		cf, cl, err := c.add(child, rename, visible)
		if err != nil {
			return nil, nil, err
		}
		if len(cf) == 0 {
			continue
		}
		c.link(last, cf)
		if first == nil {
			first = cf
		}
		last = cl
	}
	return first, last, nil
}

func (c *compiler) addUnordered(f *Flow, rename map[string]string, visible map[string]bool) (first, last []int, err error) {
	gained := maps.Clone(visible)
	for _, child := range f.nodes {
		own := maps.Clone(visible)
		cf, cl, err := c.add(child, rename, own)
		if err != nil {
			return nil, nil, err
		}
		maps.Copy(gained, own)
		first, last = append(first, cf...), append(last, cl...)
	}
	maps.Copy(visible, gained)
	return first, last, nil
}

func (c *compiler) addGraph(f *Flow, rename map[string]string, visible map[string]bool) (first, last []int, err error) {
	n := len(f.nodes)
	req, prov := make([]map[string]bool, n), make([]map[string]bool, n)
	all := maps.Clone(visible)
	for i, child := range f.nodes {
		r, p := needs(child)
		req[i], prov[i] = map[string]bool{}, map[string]bool{}
		for name := range r {
			req[i][renamed(rename, name)] = true
		}
		for name := range p {
			prov[i][renamed(rename, name)] = true
			all[renamed(rename, name)] = true
		}
	}
	entries, exits := make([][]int, n), make([][]int, n)
	for i, child := range f.nodes {
		own := maps.Clone(all)
		for name := range prov[i] {
			// What a part provides it must not find already there.
			if !visible[name] {
				delete(own, name)
			}
		}
		entries[i], exits[i], err = c.add(child, rename, own)
		if err != nil {
			return nil, nil, err
		}
	}
	after := make([][]int, n)
	for i := range n {
		for j := range n {
			if i != j && shares(prov[i], req[j]) {
				after[j] = append(after[j], i)
				c.link(exits[i], entries[j])
			}
		}
	}
	if stuck := cyclic(after); len(stuck) > 0 {
		var parts []string
		for _, i := range stuck {
			parts = append(parts, nodeName(f.nodes[i]))
		}
		slices.Sort(parts)
		return nil, nil, &CycleError{Flow: c.flow.Name, Parts: parts}
	}
	maps.Copy(visible, all)
	for i := range n {
		first, last = append(first, entries[i]...), append(last, exits[i]...)
	}
	return first, last, nil
}

func (c *compiler) link(from, to []int) {
	for _, j := range to {
		for _, i := range from {
			if !slices.Contains(c.steps[j].preds, i) {
				c.steps[j].preds = append(c.steps[j].preds, i)
				c.steps[i].succs = append(c.steps[i].succs, j)
			}
		}
	}
}

// sort puts the steps into an order that respects their edges and is otherwise
// that of the declaration.
func (p *program) sort() error {
	left := make([]int, len(p.steps))
	for i, s := range p.steps {
		left[i] = len(s.preds)
	}
	done := make([]bool, len(p.steps))
	for len(p.order) < len(p.steps) {
		next := -1
		for i := range p.steps {
			if !done[i] && left[i] == 0 {
				next = i
				break
			}
		}
		if next < 0 {
			var parts []string
			for i, s := range p.steps {
				if !done[i] {
					parts = append(parts, s.task.Name)
				}
			}
			slices.Sort(parts)
			return &CycleError{Flow: p.flow.Name, Parts: parts}
		}
		done[next] = true
		p.order = append(p.order, next)
		for _, j := range p.steps[next].succs {
			left[j]--
		}
	}
	return nil
}

// cyclic returns the members that no order exists for, when each comes after
// those that after names.
func cyclic(after [][]int) []int {
	done := make([]bool, len(after))
	for range after {
		for i := range after {
			ready := !done[i]
			for _, j := range after[i] {
				ready = ready && done[j]
			}
			done[i] = done[i] || ready
		}
	}
	var stuck []int
	for i := range done {
		if !done[i] {
			stuck = append(stuck, i)
		}
	}
	return stuck
}

func shares(a, b map[string]bool) bool {
	for name := range a {
		if b[name] {
			return true
		}
	}
	return false
}

func nodeName(n Node) string {
	switch n := n.(type) {
	case *Task:
		return n.Name
	case *Flow:
		return n.Name
	case *rebound:
		return nodeName(n.inner)
	}
	return ""
}
