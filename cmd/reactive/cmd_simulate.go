package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"

	"github.com/charmed-go/charms/cmd/reactive/internal/bundle"
	"github.com/charmed-go/charms/cmd/reactive/internal/simulate"
	"github.com/charmed-go/charms/internal/explore"
	"github.com/charmed-go/charms/internal/picture"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/jujuc"
)

// A simulation is a run of "reactive simulate".
type simulation struct {
	seed    uint64
	explore int
	kill    float64
	workers int
	trace   string
	juju    string
	hooks   bool
	log     bool
}

func simulateCommand() command {
	return command{
		name:    "simulate",
		args:    "BUNDLE",
		summary: "run a bundle's charms in a simulated Juju",
		help: `
Deploys a Juju bundle file into a simulated Juju on this machine and runs its
charms, as compiled, until nothing is left to do. It shows what juju status
would show. The charms may be packed (./web_amd64.charm), unpacked, or the
sources of one (a directory with a charmcraft.yaml, which is packed first); they
need not be written in Go. Nothing leaves this machine, and it takes seconds.

  reactive simulate bundle.yaml

  applications:
    web: {charm: ./web, num_units: 3, options: {port: 8080}}
    db: {charm: ./db_amd64.charm, num_units: 1}
  relations:
  - [web:db, db:clients]

Of the many orders of hooks that Juju allows, --seed chooses one; the same seed
gives the same run. --explore runs many of them, and kills hooks at random
points. All should end in the same state; the first that does not is shown with
its seed and its story:

  reactive simulate bundle.yaml --explore 1000

--trace writes what happened, hook by hook: as a page for a browser if FILE
ends with .html, else as JSON, one hook a line. It holds no values of data.

  reactive simulate bundle.yaml --trace shop.html

Charms run as you, not as root, in directories of their own; but a charm that
installs packages will try to. What they leave running ends with the model. The
exit code is 1 if a hook fails or runs end
in different states.`,
		setup: func(fs *flag.FlagSet) func(context.Context, streams, []string) error {
			var sim simulation
			fs.Uint64Var(&sim.seed, "seed", 1, "choose the order of hooks: the same `NUMBER`, the same order")
			fs.IntVar(&sim.explore, "explore", 0, "run `N` different orders, with hooks killed at random points")
			fs.Float64Var(&sim.kill, "kill", 0.125, "with --explore, the `CHANCE` of a hook to be killed; 0 kills none")
			fs.IntVar(&sim.workers, "workers", 0, "with --explore, run `N` models at a time (default one a processor)")
			fs.StringVar(&sim.trace, "trace", "", "write what happened to `FILE` (.html or .jsonl)")
			fs.StringVar(&sim.juju, "juju", "3.6", "the `VERSION` of Juju to simulate: 3.6 or 4.0")
			fs.BoolVar(&sim.hooks, "hooks", false, "print each hook when it ends")
			fs.BoolVar(&sim.log, "log", false, "print what the charms log")
			return func(ctx context.Context, s streams, args []string) error {
				if len(args) != 1 {
					return usagef("takes one bundle file")
				}
				if sim.explore < 0 {
					return usagef("--explore takes how many orders to run, not %d", sim.explore)
				}
				if sim.explore > 0 && sim.trace != "" {
					return usagef("traces one run; leave out --explore, and give the run's --seed")
				}
				return sim.run(ctx, s, args[0])
			}
		},
	}
}

func (sim simulation) run(ctx context.Context, s streams, path string) (err error) {
	b, err := bundle.Load(path)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "reactive-")
	if err != nil {
		return fmt.Errorf("cannot simulate: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	p := newProgress(streams{io.Discard, s.stderr})
	scenario, err := simulate.Prepare(ctx, b, filepath.Join(tmp, "charms"), p.report)
	p.clear()
	if err != nil {
		return err
	}
	tools, err := hookTools(filepath.Join(tmp, "tools"))
	if err != nil {
		return err
	}
	if err := simulate.Adopt(); err != nil {
		return err
	}
	opts := jujusim.Options{Seed: sim.seed, Version: sim.juju, Kubernetes: b.Kubernetes, ToolsDir: tools, Name: b.Name}
	if sim.explore > 0 {
		return sim.runMany(ctx, s, scenario, opts)
	}
	return sim.runOnce(ctx, s, scenario, opts)
}

// endLeftovers ends what charms left running, and says how many processes, with
// those ended before.
func endLeftovers(s streams, before int) {
	switch n := before + simulate.EndLeftovers(true); n {
	case 0:
	case 1:
		fmt.Fprintln(s.stdout, "One process that a charm left running was ended.")
	default:
		fmt.Fprintf(s.stdout, "%d processes that charms left running were ended.\n", n)
	}
}

// hookTools makes this program the hook tools of charms that execute them.
func hookTools(dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot simulate: %w", err)
	}
	return dir, jujuc.Link(dir, self, agent.ToolNames(""))
}

// runAsHookTool runs this program as a hook tool if it was called as one.
func runAsHookTool(args []string) (code int, ok bool) {
	name := filepath.Base(args[0])
	if os.Getenv("JUJU_CONTEXT_ID") == "" || !slices.Contains(agent.ToolNames(""), name) {
		return 0, false
	}
	return jujuc.Main(name, args[1:]), true
}

func (sim simulation) runOnce(ctx context.Context, s streams, scenario *simulate.Scenario, opts jujusim.Options) (err error) {
	trace, err := sim.openTrace()
	if err != nil {
		return err
	}
	if trace != nil {
		defer func() { err = errors.Join(err, trace.Close()) }()
	}
	tracer := new(simulate.Tracer)
	screen := newScreen(s, sim)
	opts.OnEvent = func(e jujusim.Event) {
		tracer.Event(e)
		screen.event(e)
	}
	m, err := jujusim.New(opts)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, m.Close())
		endLeftovers(s, 0)
	}()
	screen.model = m
	start := time.Now()
	for _, step := range scenario.Steps() {
		if err := step(m); err != nil {
			screen.clear()
			return err
		}
	}
	settled := m.Settle(ctx)
	screen.clear()
	fmt.Fprint(s.stdout, m.Status())
	fmt.Fprintln(s.stdout, summary(tracer.Hooks(), time.Since(start)))
	if trace != nil {
		if err := sim.writeTrace(ctx, trace, scenario, tracer, opts); err != nil {
			return err
		}
		fmt.Fprintf(s.stdout, "The trace is in %s.\n", sim.trace)
	}
	for _, failed := range m.Failed() {
		fmt.Fprintf(s.stderr, "\n%v\n", failed)
		for _, line := range failed.Log {
			fmt.Fprintf(s.stderr, "  %s %s\n", line.Level, line.Message)
		}
	}
	if len(m.Failed()) > 0 {
		return errFound
	}
	return settled
}

func summary(hooks []picture.Hook, took time.Duration) string {
	var calls, bytes int64
	for _, h := range hooks {
		calls += h.Calls
		bytes += h.Bytes
	}
	return fmt.Sprintf("\n%d hooks, %d hook tools and %.1f kB through them, in %.1f s.", len(hooks), calls, float64(bytes)/1e3, took.Seconds())
}

// openTrace opens the file of the trace before anything runs, so that a place
// that cannot be written to is told at once; it is nil if no trace is wanted.
func (sim simulation) openTrace() (*os.File, error) {
	if sim.trace == "" {
		return nil, nil
	}
	f, err := os.OpenFile(sim.trace, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot write the trace: %w", err)
	}
	return f, nil
}

func (sim simulation) writeTrace(ctx context.Context, w io.Writer, scenario *simulate.Scenario, tracer *simulate.Tracer, opts jujusim.Options) error {
	if !strings.HasSuffix(sim.trace, ".html") {
		return tracer.WriteLines(w)
	}
	title := fmt.Sprintf("Simulated model, seed %d", sim.seed)
	if opts.Name != "" {
		title = fmt.Sprintf("%s, seed %d", opts.Name, sim.seed)
	}
	return picture.Write(w, picture.Page{Title: title, Hooks: tracer.Hooks(), Graphs: scenario.Graphs(ctx)})
}

func (sim simulation) runMany(ctx context.Context, s streams, scenario *simulate.Scenario, opts jujusim.Options) error {
	kill := sim.kill
	if kill <= 0 {
		kill = -1
	}
	p := newProgress(s)
	start, last, ended := time.Now(), time.Time{}, 0
	defer func() { endLeftovers(s, ended) }()
	result, err := explore.Run(ctx, explore.Options{
		Runs: sim.explore, Seed: sim.seed, Kill: kill, Workers: sim.workers, Sim: opts, Steps: scenario.Steps(),
		Report: func(r explore.Progress) {
			if time.Since(last) > 100*time.Millisecond {
				last = time.Now()
				ended += simulate.EndLeftovers(false)
				p.line("%d of %d runs, %d hooks, %d killed", r.Runs, sim.explore, r.Hooks, r.Kills)
			}
		},
	})
	p.clear()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "%d runs in %d different orders: %d hooks, %d of them killed, in %.1f s.\n",
		result.Runs, result.Orders, result.Hooks, result.Kills, time.Since(start).Seconds())
	if result.Difference == nil {
		fmt.Fprintln(s.stdout, "All end in the same state.")
		return nil
	}
	fmt.Fprintf(s.stdout, "\n%v\n", result.Difference)
	return errFound
}

// A screen shows a model while it runs: on a terminal the table of juju status,
// which changes in its place.
type screen struct {
	s        streams
	sim      simulation
	model    *jujusim.Model
	terminal bool
	lines    int // of the table on the terminal
	last     time.Time
}

func newScreen(s streams, sim simulation) *screen {
	f, ok := s.stdout.(*os.File)
	return &screen{s: s, sim: sim, terminal: ok && isatty.IsTerminal(f.Fd())}
}

func (c *screen) event(e jujusim.Event) {
	switch {
	case e.Kind == jujusim.DispatchEnded && c.sim.hooks:
		c.clear()
		fmt.Fprintln(c.s.stdout, hookLine(e.Dispatch))
	case e.Kind == jujusim.Logged && c.sim.log:
		c.clear()
		fmt.Fprintf(c.s.stdout, "%s: %s %s\n", e.Unit, e.Line.Level, e.Line.Message)
	}
	if c.terminal && c.model != nil && time.Since(c.last) > 80*time.Millisecond {
		c.last = time.Now()
		c.draw(e)
	}
}

func hookLine(d *jujusim.Dispatch) string {
	line := fmt.Sprintf("%-60s %7.1f ms  %3d hook tools", d.Hook, float64(d.Duration.Microseconds())/1e3, len(d.Calls))
	if d.Outcome != jujusim.Done {
		line += fmt.Sprintf("  %s", strings.ToUpper(string(d.Outcome)))
	}
	return line
}

func (c *screen) draw(e jujusim.Event) {
	text := c.model.Status().String()
	if e.Dispatch != nil {
		text += "\nrunning " + e.Dispatch.Hook.String() + "\n"
	}
	c.clear()
	text = c.fit(text)
	fmt.Fprint(c.s.stdout, text)
	c.lines = strings.Count(text, "\n")
}

// fit cuts a text to the terminal: lines that wrap, or more of them than there
// is room for, could not be taken away again.
func (c *screen) fit(text string) string {
	width, height := 80, 24
	if f, ok := c.s.stdout.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 2 {
			width, height = int(size.Col), int(size.Row)
		}
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > height-2 {
		lines = append(lines[:height-3], fmt.Sprintf("… and %d more lines", len(lines)-height+3))
	}
	for i, line := range lines {
		if r := []rune(line); len(r) >= width {
			lines[i] = string(r[:width-2]) + "…"
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// clear takes the table away.
func (c *screen) clear() {
	if c.lines > 0 {
		fmt.Fprintf(c.s.stdout, "\x1b[%dA\x1b[J", c.lines)
		c.lines = 0
	}
}
