package reactive_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/internal/testcharm"
	"github.com/charmed-go/charms/unitdata"
)

// A crowd is a unit with many related units.
type crowd struct {
	model *model.Model
	dir   string
	tick  int
}

func newCrowd(t testing.TB, units int) *crowd {
	rel := &model.Relation{
		ID: 1, Interface: "kv", Units: model.Units{}, Data: map[string]model.Bag{},
		Endpoints: []model.RelationEndpoint{{Application: "app", Name: "db", Role: model.Requirer}, {Application: "remote", Name: "site", Role: model.Provider}},
	}
	remote := &model.Application{Units: map[string]*model.Unit{}, Endpoints: []model.Endpoint{{Name: "site", Role: model.Provider}}}
	m := &model.Model{Name: "m", UUID: "deadbeef-0bad-400d-8000-4b1d0d06f00d", Relations: []*model.Relation{rel}, Applications: map[string]*model.Application{
		"remote": remote,
		"app": {
			Units:     map[string]*model.Unit{"app/0": {Address: "10.0.0.1", State: map[string]string{}}},
			Endpoints: []model.Endpoint{{Name: "db", Role: model.Requirer}, {Name: "site", Role: model.Provider}, {Name: "cluster", Role: model.Peer}},
		},
	}}
	rel.Units.Add("app/0")
	rel.Data["app/0"], rel.Data["app"], rel.Data["remote"] = model.Bag{}, model.Bag{}, model.Bag{}
	for i := range units {
		name := fmt.Sprintf("remote/%d", i)
		remote.Units[name] = &model.Unit{}
		rel.Units.Add(name)
		rel.Data[name] = model.Bag{"host": "10.0.0.2", "port": "5432", "name": "pg"}
	}
	c := &crowd{model: m, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(c.dir, "charmcraft.yaml"), []byte(testcharm.Metadata), 0o644); err != nil {
		t.Fatal(err)
	}
	c.joined(t)
	return c
}

// joined lets the unit remember that somebody has joined, as after the first of
// all those hooks.
func (c *crowd) joined(t testing.TB) {
	a, err := agent.New(c.model, agent.Execution{Unit: "app/0", Exec: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	data, err := unitdata.Open(t.Context(), unitdata.NewJujuState(hooktool.New(a)))
	if err == nil {
		err = data.Set("reactive.states.endpoint.db.joined", nil)
	}
	if err == nil {
		err = data.Commit(t.Context())
	}
	if err == nil {
		_, err = a.Finish(agent.Exit{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// execution is the relation-changed of a unit that has published something new.
func (c *crowd) execution(unit int) agent.Execution {
	c.tick++
	name := fmt.Sprintf("remote/%d", unit)
	c.model.Lock()
	c.model.Relations[0].Data[name]["host"] = fmt.Sprintf("10.1.%d.%d", c.tick/250%250, c.tick%250)
	c.model.Unlock()
	return agent.Execution{Unit: "app/0", Hook: "db-relation-changed", Relation: "1", RemoteUnit: name, CharmDir: c.dir}
}

// changed runs a relation-changed in this process. Juju is how much of it the
// simulated agent took for its answers.
func (c *crowd) changed(t testing.TB, unit int) (record *reactive.Record, juju time.Duration) {
	x := c.execution(unit)
	var took atomic.Int64
	x.Around = func(_ hooktool.Call, next func() (hooktool.Result, error)) (hooktool.Result, error) {
		start := time.Now()
		defer func() { took.Add(int64(time.Since(start))) }()
		return next()
	}
	a, err := agent.New(c.model, x)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	record, err = reactive.DispatchRecord(t.Context(), testcharm.NewReader, hooktool.Process{Env: a.Env(), Dir: c.dir, Tools: a})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Finish(agent.Exit{}); err != nil {
		t.Fatal(err)
	}
	if len(record.Steps) == 0 {
		t.Fatal("the hook saw no change")
	}
	return record, time.Duration(took.Load())
}

var crowds = []int{1, 10, 100, 1000, 10_000}

// usual returns how long something takes when nobody else wants the processor:
// a tenth of the times are shorter.
func usual(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/10]
}

// The relation-changed hook of one unit among many, without the process around
// it: calls of hook tools, and what the framework takes beside the agent's
// answers, also as a multiple of that with one unit.
func BenchmarkRelationChanged(b *testing.B) {
	one := newCrowd(b, 1)
	for _, units := range crowds {
		b.Run(fmt.Sprintf("%d units", units), func(b *testing.B) {
			c := newCrowd(b, units)
			var calls int64
			var times, answers, alone []time.Duration
			turn := func() {
				record, juju := c.changed(b, len(times)%units)
				times, answers, calls = append(times, record.Duration-juju), append(answers, juju), calls+record.Calls
				record, juju = one.changed(b, 0)
				alone = append(alone, record.Duration-juju)
			}
			b.ReportAllocs()
			for b.Loop() {
				turn()
			}
			b.ReportMetric(float64(calls)/float64(len(times)), "calls/hook")
			b.ReportMetric(float64(usual(times).Microseconds()), "µs/hook")
			b.ReportMetric(float64(usual(answers).Microseconds()), "µs/agent")
			b.ReportMetric(float64(usual(times))/float64(usual(alone)), "x-one-unit")
		})
	}
}

// What a related unit adds to the charm state, once all of them have been seen.
func BenchmarkStatePerUnit(b *testing.B) {
	for _, keys := range []int{3, 10} {
		b.Run(fmt.Sprintf("%d keys", keys), func(b *testing.B) {
			var perUnit float64
			turn := func() { perUnit = statePerUnit(b, keys) }
			for b.Loop() {
				turn()
			}
			b.ReportMetric(perUnit, "B/unit")
		})
	}
}

func statePerUnit(b *testing.B, keys int) float64 {
	const units = 200
	c := newCrowd(b, units)
	for name, bag := range c.model.Relations[0].Data {
		for i := len(bag); i < keys && strings.Contains(name, "remote/"); i++ {
			bag[fmt.Sprintf("key-%d", i)] = "value"
		}
	}
	size := func() (n int) {
		for key, value := range c.model.Unit("app/0").State {
			n += len(key) + len(value)
		}
		return n
	}
	c.changed(b, 0)
	before := size()
	for i := range units - 1 {
		c.changed(b, i+1)
	}
	return float64(size()-before) / (units - 1)
}

// build compiles a program as a packed charm has it.
func build(b *testing.B, pkg, source string) string {
	dir := b.TempDir()
	if source != "" {
		pkg = filepath.Join(dir, "main.go")
		if err := os.WriteFile(pkg, []byte(source), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("cannot build %s: %v\n%s", pkg, err, text)
	}
	return out
}

func empty(b *testing.B) string { return build(b, "", "package main\n\nfunc main() {}\n") }

func light(b *testing.B) string { return build(b, "./internal/testcharm/dispatch", "") }

// spent runs a program and returns how long it took.
func spent(b *testing.B, program, dir string, env []string, args ...string) time.Duration {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("%s: %v\n%s", program, err, stderr.Bytes())
	}
	return time.Since(start)
}

// process runs a hook as a process of its own, over the agent's socket.
func (c *crowd) process(b *testing.B, program string, x agent.Execution) time.Duration {
	a, err := agent.New(c.model, x)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if err := a.Serve(filepath.Join(c.dir, "agent.socket")); err != nil {
		b.Fatal(err)
	}
	took := spent(b, program, c.dir, a.Env())
	if _, err := a.Finish(agent.Exit{}); err != nil {
		b.Fatal(err)
	}
	return took
}

// A program that calls hook tools and does nothing else.
const toolsOnly = `package main

import (
	"context"
	"os"

	"github.com/charmed-go/charms/hooktool"
)

func main() {
	ctx := context.Background()
	tools, err := hooktool.Dial(ctx, hooktool.Process{Env: os.Environ(), Dir: "/"})
	if err != nil {
		panic(err)
	}
	defer tools.Close()
	for range %d {
		if _, err := tools.Config(ctx); err != nil {
			panic(err)
		}
	}
}
`

// A whole hook, from the start of the process to its end; an empty Go program;
// and a program that calls as many hook tools and does nothing else, by turns.
// beyond-tools/empty is the hook without what these calls take.
func BenchmarkProcess(b *testing.B) {
	charm, nothing := light(b), empty(b)
	c := newCrowd(b, 1)
	c.process(b, charm, c.execution(0))
	calls := lastCalls(b, c.dir)
	tools := build(b, "", fmt.Sprintf(toolsOnly, calls))
	var hooks, empties, alone []time.Duration
	turn := func() {
		hooks = append(hooks, c.process(b, charm, c.execution(0)))
		empties = append(empties, spent(b, nothing, c.dir, []string{}))
		alone = append(alone, c.process(b, tools, c.execution(0)))
	}
	for b.Loop() {
		turn()
	}
	hook, none, called := usual(hooks), usual(empties), usual(alone)
	b.ReportMetric(float64(hook.Microseconds()), "µs/hook")
	b.ReportMetric(float64(none.Microseconds()), "µs/empty")
	b.ReportMetric(float64(called.Microseconds()), "µs/tools")
	b.ReportMetric(float64(calls), "calls/hook")
	b.ReportMetric(float64(hook)/float64(none), "hook/empty")
	b.ReportMetric(float64(hook-(called-none))/float64(none), "beyond-tools/empty")
}

// lastCalls returns how many hook tools the last hook called.
func lastCalls(b *testing.B, dir string) int {
	records, err := reactive.ReadRecords(dir)
	if err != nil || len(records) == 0 {
		b.Fatalf("there are no records: %v", err)
	}
	return int(records[len(records)-1].Calls)
}

// memoryOf returns the most memory that a process had so far, in bytes, by what
// Linux says (VmHWM).
func memoryOf(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	var kB int64
	_, err = fmt.Sscanf(strings.TrimSpace(rest), "%d kB", &kB)
	return kB << 10, err
}

// peak runs a hook as a process, and returns the most memory it had at any of
// its hook tools; the last one logs that all is done.
func (c *crowd) peak(b *testing.B, program string) int64 {
	x := c.execution(0)
	var most, failed atomic.Int64
	var pid int
	started := make(chan struct{})
	x.Around = func(_ hooktool.Call, next func() (hooktool.Result, error)) (hooktool.Result, error) {
		<-started
		got, err := memoryOf(pid)
		if err != nil {
			failed.Add(1)
		}
		most.Store(max(most.Load(), got)) // the agent runs one tool at a time
		return next()
	}
	a, err := agent.New(c.model, x)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if err := a.Serve(filepath.Join(c.dir, "agent.socket")); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Dir, cmd.Env = c.dir, a.Env()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	pid = cmd.Process.Pid
	close(started)
	if err := cmd.Wait(); err != nil || failed.Load() > 0 {
		b.Fatalf("the hook ended with %v; %d times its memory could not be read", err, failed.Load())
	}
	if _, err := a.Finish(agent.Exit{}); err != nil {
		b.Fatal(err)
	}
	return most.Load()
}

// The memory of the process of a hook, by related units: the most it had, in
// the hook of one unit, and in one that reads what all of them publish.
func BenchmarkMemory(b *testing.B) {
	one, all := build(b, "./internal/testcharm/reader", ""), light(b)
	for _, units := range []int{1, 10_000} {
		for name, charm := range map[string]string{"reads one": one, "reads all": all} {
			b.Run(fmt.Sprintf("%d units/%s", units, name), func(b *testing.B) {
				c := newCrowd(b, units)
				var most int64
				turn := func() { most = max(most, c.peak(b, charm)) }
				for b.Loop() {
					turn()
				}
				b.ReportMetric(float64(most)/1e6, "MB")
			})
		}
	}
}

// A light charm's program: its size, and the time from start to end when it has
// nothing to do but say how it is used.
func BenchmarkLightCharm(b *testing.B) {
	charm, nothing := light(b), empty(b)
	var charms, empties []time.Duration
	turn := func() {
		charms = append(charms, spent(b, charm, b.TempDir(), []string{}, "help"))
		empties = append(empties, spent(b, nothing, b.TempDir(), []string{}))
	}
	for b.Loop() {
		turn()
	}
	size := func(name string) float64 {
		info, err := os.Stat(name)
		if err != nil {
			b.Fatal(err)
		}
		return float64(info.Size()) / 1e6
	}
	if size(charm) > 10 {
		b.Errorf("a light charm has %.1f MB", size(charm))
	}
	b.ReportMetric(size(charm), "MB")
	b.ReportMetric(size(nothing), "MB-empty")
	b.ReportMetric(float64(usual(charms).Microseconds()), "µs/start")
	b.ReportMetric(float64(usual(charms))/float64(usual(empties)), "start/empty")
}

// The record that a hook leaves is small, whatever the number of units.
func BenchmarkRecord(b *testing.B) {
	c := newCrowd(b, 1000)
	record, _ := c.changed(b, 0)
	var text []byte
	turn := func() {
		var err error
		if text, err = json.Marshal(record); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		turn()
	}
	b.ReportMetric(float64(len(text)), "B/record")
}

// The first round of a hook tests every handler: what a hook with many, none of
// which matches, takes more than one without any.
func BenchmarkFirstRound(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("%d handlers and flags", n), func(b *testing.B) {
			bench := newBench(b)
			first := func(handlers int) time.Duration {
				record, err := bench.run(b, "start", func(charm *reactive.Charm) {
					for i := range handlers {
						charm.Handle(fmt.Sprintf("handler %d", i), flags.When(flags.New(fmt.Sprintf("flag.%d", i))), nothing)
					}
				})
				if err != nil {
					b.Fatal(err)
				}
				return record.Duration
			}
			var with, without []time.Duration
			turn := func() { with, without = append(with, first(n)), append(without, first(0)) }
			for b.Loop() {
				turn()
			}
			b.ReportMetric(float64((usual(with) - usual(without)).Nanoseconds()), "ns/first-round")
			b.ReportMetric(float64(usual(with))/float64(usual(without)), "x-no-handlers")
		})
	}
}
