package reactive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
)

// quiet is a charm with the endpoint db and nothing to do.
var quiet = jujusim.Charm{
	Files: files("name: quiet\nsummary: s\ndescription: d\nrequires: {db: {interface: kv}}\n"),
	Run: reactive.Program(func() *reactive.Charm {
		c := reactive.New("quiet")
		c.Endpoint("db", charmfile.Requirer, "kv")
		return c
	}),
}

// A bench runs single hooks of a unit without relations.
type bench struct {
	model *model.Model
	dir   string
}

func newBench(t testing.TB) *bench {
	return &bench{dir: t.TempDir(), model: &model.Model{Name: "m", Applications: map[string]*model.Application{
		"app": {Leader: "app/0", Units: map[string]*model.Unit{"app/0": {State: map[string]string{}}}},
	}}}
}

// run runs a hook with the charm that build makes.
func (b *bench) run(t testing.TB, hook string, build func(c *reactive.Charm)) (*reactive.Record, error) {
	t.Helper()
	record, a, err := b.dispatch(t, hook, build)
	exit := agent.Exit{}
	if err != nil {
		exit.Code = 1
	}
	if _, finishErr := a.Finish(exit); finishErr != nil {
		t.Fatal(finishErr)
	}
	return record, err
}

// dispatch is run up to where Juju hears how the process ended.
func (b *bench) dispatch(t testing.TB, hook string, build func(c *reactive.Charm)) (*reactive.Record, *agent.Agent, error) {
	t.Helper()
	a, err := agent.New(b.model, agent.Execution{Unit: "app/0", Hook: hook, CharmDir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	record, err := reactive.DispatchRecord(context.Background(), func() *reactive.Charm {
		c := reactive.New("app")
		build(c)
		return c
	}, hooktool.Process{Env: a.Env(), Dir: b.dir, Tools: a})
	return record, a, err
}

func ran(r *reactive.Record) []string {
	var list []string
	for _, s := range r.Steps {
		if !s.IsChange() {
			list = append(list, s.Handler)
		}
	}
	return list
}

func set(f flags.Flag) func(context.Context, *reactive.Hook) error {
	return func(_ context.Context, h *reactive.Hook) error { h.Set(f); return nil }
}

func nothing(context.Context, *reactive.Hook) error { return nil }

// Handlers run in the order of their registration; flags set in a round count
// from the next; a handler runs again only if its flags changed.
func TestOrder(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a, c := flags.New("a"), flags.New("c")
	record, err := b.run(t, "start", func(charm *reactive.Charm) {
		charm.Handle("needs c", flags.When(c), nothing)
		charm.Handle("sets a", flags.Unless(a), set(a))
		charm.Handle("needs a, sets c", flags.When(a), set(c))
		charm.HandleHook("start", "start", nothing)
		charm.HandleEvery("every", nothing)
	})
	must(t, err)
	want := []string{"start", "sets a", "every", "needs a, sets c", "needs c"}
	if got := ran(record); !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

// A flag that is cleared takes handlers that wait for it out of the queue.
func TestClearedFlagEmptiesQueue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := flags.New("a")
	record, err := b.run(t, "start", func(charm *reactive.Charm) {
		charm.HandleHook("start", "start", set(a))
		charm.Handle("first", flags.When(a), func(_ context.Context, h *reactive.Hook) error { h.Clear(a); return nil })
		charm.Handle("second", flags.When(a), nothing)
	})
	must(t, err)
	if got, want := ran(record), []string{"start", "first"}; !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestHandlersThatKeepEachOtherAwake(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	a := flags.New("a")
	_, err := b.run(t, "start", func(charm *reactive.Charm) {
		charm.Handle("ping", flags.Unless(a), set(a))
		charm.Handle("pong", flags.When(a), func(_ context.Context, h *reactive.Hook) error { h.Clear(a); return nil })
	})
	var unsettled *reactive.UnsettledError
	if !errors.As(err, &unsettled) {
		t.Fatalf("the error is %v", err)
	}
	if want := []string{"ping", "pong"}; !slices.Equal(unsettled.Handlers, want) {
		t.Errorf("the error names the handlers %q, want %q", unsettled.Handlers, want)
	}
	if want := []flags.Flag{a}; !slices.Equal(unsettled.Flags, want) {
		t.Errorf("the error names the flags %q, want %q", unsettled.Flags, want)
	}
	if !strings.Contains(err.Error(), "hook start: ") || !strings.Contains(err.Error(), "ping, pong") {
		t.Errorf("the error is %v", err)
	}
}

func TestFilesAndOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	build := func(charm *reactive.Charm) {
		charm.Register(reactive.Handler{Name: "file", On: []reactive.Condition{reactive.OnFilesChanged("app.conf", "other.conf")}, Do: nothing})
		charm.HandleOnce("once", flags.When(), nothing)
	}
	writeTo := func(name, text string) { must(t, os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o644)) }
	write := func(text string) { writeTo("app.conf", text) }
	for i, test := range []struct {
		change func()
		want   []string
	}{
		{func() {}, []string{"once"}},
		{func() { write("1") }, []string{"file"}},
		{func() {}, nil},
		{func() { write("2") }, []string{"file"}},
		{func() { write("2") }, nil},
		{func() { must(t, os.Remove(filepath.Join(b.dir, "app.conf"))) }, []string{"file"}},
		{func() { write("3"); writeTo("other.conf", "1") }, []string{"file"}},
		{func() {}, nil},
	} {
		test.change()
		record, err := b.run(t, "update-status", build)
		must(t, err)
		if got := ran(record); !slices.Equal(got, test.want) {
			t.Errorf("hook %d: ran %q, want %q", i, got, test.want)
		}
	}
}

// A restricted hook runs its own handlers only. A trigger that is added in it
// acts until the end of the next hook, as in the reference.
func TestRestrictedHooks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	measured, told := flags.New("app.measured"), flags.New("app.told")
	build := func(charm *reactive.Charm) {
		charm.HandleEvery("every", func(_ context.Context, h *reactive.Hook) error {
			h.Clear(told)
			h.Clear(measured)
			h.Set(measured)
			return nil
		})
		charm.HandleHook("by name", "collect-metrics", nothing)
		charm.Register(reactive.Handler{Name: "measure", On: []reactive.Condition{reactive.OnCollectMetrics()}, Do: func(_ context.Context, h *reactive.Hook) error {
			h.Trigger(flags.Trigger{When: measured, Set: []flags.Flag{told}})
			h.Set(measured)
			return nil
		}})
		charm.Register(reactive.Handler{Name: "meter", On: []reactive.Condition{reactive.OnMeterStatusChanged()}, Do: func(context.Context, *reactive.Hook) error {
			return reactive.Blocked("out of credit")
		}})
	}
	for i, test := range []struct {
		hook string
		ran  []string
		told bool
	}{
		{"update-status", []string{"every"}, false},
		{"collect-metrics", []string{"measure"}, false},
		{"update-status", []string{"every"}, true},
		{"update-status", []string{"every"}, false},
		{"meter-status-changed", []string{"meter"}, false},
	} {
		record, err := b.run(t, test.hook, build)
		must(t, err)
		if got := ran(record); !slices.Equal(got, test.ran) {
			t.Errorf("hook %d, %s: ran %q, want %q", i, test.hook, got, test.ran)
		}
		if got := strings.Contains(b.model.Unit("app/0").State["reactive"], `"reactive.states.app.told"`); got != test.told {
			t.Errorf("hook %d, %s: app.told is %v, want %v", i, test.hook, got, test.told)
		}
	}
	if got := b.model.Unit("app/0").Status; got.Status != "blocked" || got.Message != "out of credit" {
		t.Errorf("the status is %v", got)
	}
}

func TestMistakesNameBothPlaces(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		mistake func(c *reactive.Charm)
		says    []string
	}{
		"two handlers of one name": {func(c *reactive.Charm) {
			c.Handle("x", flags.When(flags.New("a")), nothing)
			c.Handle("x", flags.When(flags.New("a")), nothing)
		}, []string{`"x"`}},
		"a flag declared twice": {func(c *reactive.Charm) { c.Flag("x"); c.Flag("x") }, []string{`"x"`}},
		"an endpoint declared twice": {func(c *reactive.Charm) {
			c.Endpoint("x", charmfile.Peer, "i")
			c.Endpoint("x", charmfile.Peer, "i")
		}, []string{`"x"`}},
		"an action handled twice": {func(c *reactive.Charm) {
			do := func(context.Context, *reactive.Hook, struct{}) (struct{}, error) { return struct{}{}, nil }
			reactive.HandleAction(c, "x", do)
			reactive.HandleAction(c, "x", do)
		}, []string{`"x"`}},
		"a handler that waits for nothing": {func(c *reactive.Charm) { c.Register(reactive.Handler{Name: "x", Do: nothing}) }, []string{`"x"`, "HandleEvery"}},
		"a handler with nothing to do":     {func(c *reactive.Charm) { c.Handle("x", flags.When(flags.New("a")), nil) }, []string{`"x"`}},
		"a handler without flags":          {func(c *reactive.Charm) { c.Handle("x", flags.When(), nothing) }, []string{`"x"`, "HandleEvery"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				text := fmt.Sprint(recover())
				for _, want := range append(test.says, "dispatch_test.go:") {
					if !strings.Contains(text, want) {
						t.Errorf("the panic does not say %q: %s", want, text)
					}
				}
				if strings.Contains(name, "twice") || strings.Contains(name, "two") {
					if strings.Count(text, "dispatch_test.go:") != 2 {
						t.Errorf("the panic does not name two places: %s", text)
					}
				}
			}()
			test.mistake(reactive.New("app"))
		})
	}
}

// In each of many hooks the explanation of each of fifty handlers agrees with
// what really ran, and the flags it names are what decided.
func TestExplainFiftyHandlers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	build := func(charm *reactive.Charm) {
		n := 0
		add := func(c flags.Condition, do func(context.Context, *reactive.Hook) error) {
			charm.Handle(fmt.Sprintf("handler %d", n), c, do)
			n++
		}
		at := func(i int) flags.Flag { return flags.New(fmt.Sprintf("f%d", i)) }
		for i := range 10 {
			add(flags.When(at(i)).Unless(at(i+1)), set(at(i+1)))
			add(flags.WhenAny(at(i+3), at(i+7)), nothing)
			add(flags.When(at(i), at(i+2)), func(_ context.Context, h *reactive.Hook) error { h.Clear(at(i)); return nil })
			add(flags.UnlessAll(at(i), at(i+20)), nothing)
		}
		for i := range 4 {
			charm.HandleHook(fmt.Sprintf("hook %d", i), []string{"start", "stop", "update-status", "install"}[i], set(at(i*3)))
		}
		charm.HandleOnce("once", flags.When(at(3)), nothing)
		charm.HandleEvery("every", nothing)
		charm.HandleLeader("leader", flags.When(at(4)), func(context.Context, *reactive.Leader) error { return nil })
		charm.Register(reactive.Handler{Name: "file", On: []reactive.Condition{reactive.OnFilesChanged("f")}, Do: nothing})
		charm.Handle("blocks", flags.When(at(5)), func(context.Context, *reactive.Hook) error { return reactive.Waiting("for tea") })
		charm.Handle("after", flags.When(at(5)), nothing)
	}
	charm := reactive.New("app")
	build(charm)
	if len(charm.Handlers()) != 50 {
		t.Fatalf("the charm has %d handlers", len(charm.Handlers()))
	}
	explained := 0
	for _, hook := range []string{"install", "start", "update-status", "update-status", "stop", "config-changed", "start"} {
		record, err := b.run(t, hook, build)
		must(t, err)
		records, err := reactive.ReadRecords(b.dir)
		must(t, err)
		did := ran(record)
		for _, h := range charm.Handlers() {
			e, err := reactive.Explain(charm, h.Name, records)
			must(t, err)
			if (len(e.Runs) > 0) != slices.Contains(did, h.Name) {
				t.Errorf("%s: %q is explained as run %d times, and ran are %q", hook, h.Name, len(e.Runs), did)
			}
			if e.Reason == "" || strings.Contains(e.Reason, "upgraded since") {
				t.Errorf("%s: %q has no explanation: %q", hook, h.Name, e.Reason)
			}
			for _, f := range e.Flags {
				if f.Set != (f.Last != nil && f.Last.Set) {
					t.Errorf("%s: %q: %s is set: %v, but last %s", hook, h.Name, f.Flag, f.Set, f.Last)
				}
			}
			explained++
		}
	}
	if explained != 7*50 {
		t.Errorf("%d explanations", explained)
	}
}

// The cost of a round grows with the flags that changed, not with the number of
// handlers.
func BenchmarkRound(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("%d handlers and flags", n), func(b *testing.B) {
			const rounds = 50
			build := func(charm *reactive.Charm) {
				for i := range n {
					charm.Handle(fmt.Sprintf("handler %d", i), flags.When(flags.New(fmt.Sprintf("flag.%d", i))), nothing)
				}
				for i := range rounds {
					charm.Handle(fmt.Sprintf("step %d", i), flags.When(flags.New(fmt.Sprintf("step.%d", i))), set(flags.New(fmt.Sprintf("step.%d", i+1))))
				}
				charm.HandleHook("go", "start", set(flags.New("step.0")))
			}
			var took []time.Duration
			turn := func() { took = append(took, roundTime(b, build, rounds)) }
			for b.Loop() {
				turn()
			}
			b.ReportMetric(float64(usual(took)), "ns/round")
		})
	}
}

// roundTime runs a hook of a new unit and returns how long a round took, of
// those between the first and the last step.
func roundTime(b *testing.B, build func(*reactive.Charm), rounds int) time.Duration {
	record, err := newBench(b).run(b, "start", build)
	if err != nil {
		b.Fatal(err)
	}
	starts := make(map[string]time.Duration)
	for _, s := range record.Steps {
		if !s.IsChange() {
			starts[s.Handler] = s.Start
		}
	}
	return (starts[fmt.Sprintf("step %d", rounds-1)] - starts["step 1"]) / time.Duration(rounds-2)
}

// A store that cannot be closed may have lost what it was given, so that the hook
// failed, and its record says so.
func TestStoreCannotBeClosed(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	full := errors.New("no space left")
	record, err := b.run(t, "install", func(c *reactive.Charm) {
		c.Store(func(*hooktool.Client, hooktool.Process) (unitdata.Store, error) {
			return unclosable{unitdata.NewMemory(nil), full}, nil
		})
		c.HandleEvery("install", set(flags.New("app.installed")))
	})
	if !errors.Is(err, full) || record.Error != full.Error() {
		t.Errorf("the hook ended with %v, and its record with %q", err, record.Error)
	}
	records, err := reactive.ReadRecords(b.dir)
	must(t, err)
	if len(records) != 1 || records[0].Error != full.Error() {
		t.Errorf("on record is %+v", records)
	}
}

type unclosable struct {
	unitdata.Store
	err error
}

func (u unclosable) Close() error { return u.err }
