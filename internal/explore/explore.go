package explore

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
)

// A Step is one thing that the operator does.
type Step func(m *jujusim.Model) error

// Options say what to explore. Steps are needed; everything else has a value
// that works.
type Options struct {
	// Runs is how many orders to run, the first included; 0 means 100.
	Runs int
	// Seed is the seed of the first run; those that follow take the next ones.
	Seed uint64
	// Kill is the chance that a hook is killed; 0 means one in eight, a
	// negative one never.
	Kill float64
	// Workers is how many models run at a time; 0 means one a processor.
	Workers int
	// Sim says what models to make. Seed, Dir and OnEvent are set here.
	Sim jujusim.Options
	// Steps are what the operator does, in this order. Hooks run between them
	// or not, as chance has it; after the last one all hooks run, and then
	// update-status on every unit.
	Steps []Step
	// Ignore, if not nil, says what need not be the same in the end.
	Ignore func(Item) bool
	// Report, if not nil, is called after each run, one at a time.
	Report func(Progress)
}

// A Progress says how far an exploration is.
type Progress struct {
	Runs, Hooks, Kills int
}

// A Result is what came of an exploration.
type Result struct {
	// Runs is how many runs there were, and Orders how many different orders of
	// hooks.
	Runs, Orders int
	// Hooks and Kills are how many hooks ran, killed ones included, and how
	// many were killed.
	Hooks, Kills int
	// Difference is the first run that ended otherwise than the first one, or
	// nil.
	Difference *Difference
}

// A kill is a hook that was killed: the hook that began as the model's nth, at
// a call of a hook tool.
type kill struct {
	nth   int
	point jujusim.Point
}

// A run is what one run came to.
type run struct {
	seed    uint64
	err     error // the model could not be run at all
	failure string
	state   map[Item]string
	history []*jujusim.Dispatch
	kills   []kill
	killed  int
	order   uint64
}

// Run explores. The error says that the model cannot be run: a step failed, or
// the context ended. That hooks fail or never settle, or that runs end in
// different states, is a Difference.
func Run(ctx context.Context, opts Options) (*Result, error) {
	if opts.Runs <= 0 {
		opts.Runs = 100
	}
	if opts.Kill == 0 {
		opts.Kill = 1.0 / 8
	}
	if opts.Workers <= 0 {
		opts.Workers = runtime.GOMAXPROCS(0)
	}
	first := opts.once(ctx, opts.Seed, nil, false)
	if first.err != nil {
		return nil, first.err
	}
	e := &exploration{opts: opts, first: first, orders: map[uint64]bool{first.order: true}}
	e.result = Result{Runs: 1, Hooks: len(first.history)}
	if first.failure != "" {
		e.result.Orders = 1
		e.result.Difference = opts.difference(first, first)
		return &e.result, nil
	}
	if err := e.rest(ctx); err != nil {
		return nil, err
	}
	e.result.Orders = len(e.orders)
	if e.bad != nil {
		e.result.Difference = opts.difference(first, opts.shrink(ctx, first, e.bad))
	}
	return &e.result, nil
}

type exploration struct {
	opts  Options
	first *run

	mu     sync.Mutex
	next   int
	orders map[uint64]bool
	bad    *run // of those that differ the one with the lowest seed
	result Result
	err    error
}

// rest does all runs but the first. The lowest run that differs is found
// whatever the workers' speed: runs below one that differs are all done.
func (e *exploration) rest(ctx context.Context) error {
	e.next = 1
	var workers sync.WaitGroup
	for range e.opts.Workers {
		workers.Go(func() {
			for {
				e.mu.Lock()
				n := e.next
				e.next++
				stop := n >= e.opts.Runs || e.bad != nil || e.err != nil || ctx.Err() != nil
				e.mu.Unlock()
				if stop {
					return
				}
				e.take(e.opts.once(ctx, e.opts.Seed+uint64(n), nil, true))
			}
		})
	}
	workers.Wait()
	if e.err == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return e.err
}

func (e *exploration) take(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.err != nil {
		e.err = errors.Join(e.err, r.err)
		return
	}
	e.result.Runs++
	e.result.Hooks += len(r.history)
	e.result.Kills += r.killed
	e.orders[r.order] = true
	if e.opts.differs(e.first, r) && (e.bad == nil || r.seed < e.bad.seed) {
		e.bad = r
	}
	// What is not needed any more is let go.
	if e.bad != r {
		r.history, r.state = nil, nil
	}
	if e.opts.Report != nil {
		e.opts.Report(Progress{e.result.Runs, e.result.Hooks, e.result.Kills})
	}
}

func (o Options) differs(first, r *run) bool {
	return r.failure != "" || len(o.compare(first.state, r.state)) > 0
}

// once runs the model once. With random, hooks are killed and operator's steps
// come at random; only the kills given are done otherwise.
func (o Options) once(ctx context.Context, seed uint64, kills []kill, random bool) *run {
	r := &run{seed: seed}
	sim := o.Sim
	sim.Seed, sim.Dir, sim.OnEvent = seed, "", nil
	m, err := jujusim.New(sim)
	if err != nil {
		r.err = err
		return r
	}
	defer func() { r.err = errors.Join(r.err, m.Close()) }()
	d := &driver{o: o, m: m, run: r, rng: rand.New(rand.NewPCG(seed, 0x6578706c6f7265)), random: random, kills: kills, led: make(map[string]bool)}
	// The choices of an order and those of its kills are apart, so that
	// leaving out a kill keeps the steps where they were.
	d.steps = rand.New(rand.NewPCG(seed, 0x7374657073))
	r.err = d.drive(ctx)
	r.history = m.History()
	r.state = State(m.Snapshot())
	r.order = orderOf(r.history)
	return r
}

// A driver drives one run.
type driver struct {
	o          Options
	m          *jujusim.Model
	run        *run
	rng, steps *rand.Rand
	random     bool
	kills      []kill
	hooks      int
	led        map[string]bool // applications that have been given a leader
}

func (d *driver) drive(ctx context.Context) error {
	for _, step := range d.o.Steps {
		if err := step(d.m); err != nil {
			return fmt.Errorf("cannot explore: %w", err)
		}
		if err := d.lead(); err != nil {
			return err
		}
		// Some steps follow at once, some after a few hooks, some when all is
		// quiet.
		most := -1
		if d.random || d.kills != nil {
			most = []int{0, d.steps.IntN(6), d.steps.IntN(40), -1}[d.steps.IntN(4)]
		}
		if err := d.settle(ctx, most); err != nil || d.run.failure != "" {
			return err
		}
	}
	if err := d.settle(ctx, -1); err != nil || d.run.failure != "" {
		return err
	}
	// Nothing may change any more for its own sake.
	if err := d.m.UpdateStatus(); err != nil {
		return fmt.Errorf("cannot explore: %w", err)
	}
	return d.settle(ctx, -1)
}

// lead makes the first unit of each new application its leader. Who leads is
// chance otherwise, and what units remember depends on it.
func (d *driver) lead() error {
	leader := make(map[string]string)
	first := make(map[string]string)
	d.m.View(func(data *model.Model) {
		for name, a := range data.Applications {
			leader[name] = a.Leader
		}
	})
	for name := range leader {
		if units := d.m.Units(name); len(units) > 0 {
			first[name] = units[0]
		}
	}
	for name, unit := range first {
		if d.led[name] || leader[name] == unit {
			d.led[name] = true
			continue
		}
		d.led[name] = true
		if err := d.m.SetLeader(unit); err != nil {
			return fmt.Errorf("cannot explore: %w", err)
		}
	}
	return nil
}

// settle runs at most so many hooks, or all.
func (d *driver) settle(ctx context.Context, most int) error {
	limit := d.hooks + 2000 + 500*d.units()
	for n := 0; most < 0 || n < most; n++ {
		h, ok := d.m.Next()
		if !ok {
			break
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		d.aim(h)
		done, err := d.m.Do(ctx, h)
		if err != nil {
			return fmt.Errorf("cannot explore: %w", err)
		}
		d.hooks++
		switch {
		case done.Outcome == jujusim.Killed:
			d.run.killed++
		case done.Outcome == jujusim.Failed:
			d.run.failure = fmt.Sprintf("%s failed: %s", h, lastWords(done))
			return nil
		case d.hooks > limit:
			d.run.failure = fmt.Sprintf("the model does not settle: %d hooks ran, and %s runs again", d.hooks, h)
			return nil
		}
	}
	return nil
}

// aim decides whether the hook that comes next is to be killed.
func (d *driver) aim(h jujusim.Hook) {
	if !d.random {
		for _, k := range d.kills {
			if k.nth == d.hooks {
				d.m.KillAt(k.point)
			}
		}
		return
	}
	if d.o.Kill < 0 || d.rng.Float64() >= d.o.Kill {
		return
	}
	// Most hooks make few calls; call 0 is the exit, when all is done but
	// nothing is committed.
	p := jujusim.Point{Unit: h.Unit, At: h.Name, Call: d.rng.IntN(12), After: d.rng.IntN(2) == 0}
	if p.Call == 0 {
		p.After = false
	}
	d.run.kills = append(d.run.kills, kill{d.hooks, p})
	d.m.KillAt(p)
}

func (d *driver) units() int {
	n := 0
	for _, a := range d.m.Status().Applications {
		n += a.Units
	}
	return n
}

// lastWords is what a failed hook said last.
func lastWords(d *jujusim.Dispatch) string {
	if d.Err != "" {
		return d.Err
	}
	for _, line := range slices.Backward(d.Log) {
		if line.Level == "WARNING" || line.Level == "ERROR" {
			return strings.TrimSpace(line.Message)
		}
	}
	return fmt.Sprintf("exit status %d", d.Exit)
}

// orderOf sums up an order of hooks.
func orderOf(history []*jujusim.Dispatch) uint64 {
	h := fnv.New64a()
	for _, d := range history {
		fmt.Fprintln(h, d.Hook, d.At, d.Outcome)
	}
	return h.Sum64()
}

// shrink looks for a simpler run that differs too: the same order with fewer
// kills.
func (o Options) shrink(ctx context.Context, first, bad *run) *run {
	if len(bad.kills) == 0 {
		return bad
	}
	try := func(kills []kill) *run {
		if r := o.once(ctx, bad.seed, kills, false); r.err == nil && o.differs(first, r) {
			r.kills = kills
			return r
		}
		return nil
	}
	// An empty list, unlike none, keeps the operator's steps at random.
	if r := try([]kill{}); r != nil {
		return r
	}
	for _, k := range bad.kills[:min(len(bad.kills), 40)] {
		if r := try([]kill{k}); r != nil {
			return r
		}
	}
	return bad
}
