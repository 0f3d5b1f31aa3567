package flow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

var (
	keyA = flow.NewKey[string]("a")
	keyB = flow.NewKey[string]("b")
	keyC = flow.NewKey[int]("c")
	badA = flow.NewKey[int]("a")
)

func task(name string, requires, provides []flow.AnyKey) *flow.Task {
	return &flow.Task{Name: name, Requires: requires, Provides: provides,
		Execute: func(_ context.Context, d *flow.Data) error {
			for _, k := range provides {
				switch k := k.(type) {
				case flow.Key[string]:
					k.Set(d, name)
				case flow.Key[int]:
					k.Set(d, 1)
				}
			}
			return nil
		}}
}

func TestCompile(t *testing.T) {
	t.Parallel()
	a, b, none := flow.Keys(keyA), flow.Keys(keyB), []flow.AnyKey(nil)
	tests := map[string]struct {
		flow   *flow.Flow
		inputs []flow.AnyKey
		want   error
	}{
		"linear": {flow: flow.Linear("f", task("1", none, a), task("2", a, none))},
		"linear, too late": {flow: flow.Linear("f", task("2", a, none), task("1", none, a)),
			want: &flow.MissingError{Flow: "f", Task: "2", Key: "a"}},
		"input": {flow: flow.Linear("f", task("2", a, none)), inputs: a},
		"unordered siblings": {flow: flow.Unordered("f", task("1", none, a), task("2", a, none)),
			want: &flow.MissingError{Flow: "f", Task: "2", Key: "a"}},
		"after unordered":    {flow: flow.Linear("f", flow.Unordered("u", task("1", none, a), task("2", none, b)), task("3", flow.Keys(keyA, keyB), none))},
		"graph in any order": {flow: flow.Graph("f", task("2", a, b), task("3", b, none), task("1", none, a))},
		"graph cycle": {flow: flow.Graph("f", task("1", a, b), task("2", b, a), task("3", none, none)),
			want: &flow.CycleError{Flow: "f", Parts: []string{"1", "2"}}},
		"graph feeds itself": {flow: flow.Graph("f", task("1", a, a)),
			want: &flow.MissingError{Flow: "f", Task: "1", Key: "a"}},
		"graph missing": {flow: flow.Graph("f", task("1", a, b)),
			want: &flow.MissingError{Flow: "f", Task: "1", Key: "a"}},
		"two providers": {flow: flow.Unordered("f", task("1", none, a), task("2", none, a)),
			want: &flow.AmbiguousError{Flow: "f", Key: "a", Sources: [2]string{"1", "2"}}},
		"input and provider": {flow: flow.Linear("f", task("1", none, a)), inputs: a,
			want: &flow.AmbiguousError{Flow: "f", Key: "a", Sources: [2]string{"", "1"}}},
		"same name": {flow: flow.Linear("f", task("1", none, none), flow.Linear("g", task("1", none, none))),
			want: &flow.DuplicateError{Flow: "f", Task: "1"}},
		"types": {flow: flow.Linear("f", task("1", none, a), task("2", flow.Keys(badA), none)),
			want: &flow.TypeError{Flow: "f", Key: "a", Types: [2]string{"string", "int"}}},
		"rebind feeds": {flow: flow.Linear("f", flow.Rebind(task("1", none, a), keyA, keyB), task("2", b, none))},
		"rebind hides": {flow: flow.Linear("f", flow.Rebind(task("1", none, a), keyA, keyB), task("2", a, none)),
			want: &flow.MissingError{Flow: "f", Task: "2", Key: "a"}},
		"rebind in graph": {flow: flow.Graph("f", task("2", b, none), flow.Rebind(flow.Linear("g", task("1", none, a)), keyA, keyB))},
		"rebind twice": {flow: flow.Linear("f", flow.Rebind(flow.Rebind(task("1", none, a), keyA, flow.NewKey[string]("x")),
			flow.NewKey[string]("x"), keyB), task("2", b, none))},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := flow.Compile(tt.flow, tt.inputs...)
			if fmt.Sprintf("%T %v", err, err) != fmt.Sprintf("%T %v", tt.want, tt.want) {
				t.Errorf("Compile = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestRequiresProvides(t *testing.T) {
	t.Parallel()
	inner := flow.Linear("in", task("1", flow.Keys(keyA), flow.Keys(keyB)), task("2", flow.Keys(keyB), flow.Keys(keyC)))
	for _, tt := range []struct {
		node     flow.Node
		req, pro string
	}{
		{inner, "a", "b c"},
		{flow.Rebind(inner, keyA, flow.NewKey[string]("z")), "z", "b c"},
		{flow.Graph("g", task("2", flow.Keys(keyB), nil), task("1", flow.Keys(keyA), flow.Keys(keyB))), "a", "b"},
		{flow.Unordered("u", task("2", flow.Keys(keyB), nil), task("1", flow.Keys(keyA), flow.Keys(keyB))), "a b", "b"},
	} {
		if got := strings.Join(flow.Requires(tt.node), " "); got != tt.req {
			t.Errorf("Requires = %q, want %q", got, tt.req)
		}
		if got := strings.Join(flow.Provides(tt.node), " "); got != tt.pro {
			t.Errorf("Provides = %q, want %q", got, tt.pro)
		}
	}
}

// recorder notes what tasks do, in order.
type recorder struct {
	mu  sync.Mutex
	log []string
}

func (r *recorder) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, s)
}

func (r *recorder) String() string { return strings.Join(r.log, " ") }

func (r *recorder) task(name string, execute, revert error) *flow.Task {
	return &flow.Task{Name: name,
		Execute: func(context.Context, *flow.Data) error { r.add("+" + name); return execute },
		Revert:  func(context.Context, *flow.Data) error { r.add("-" + name); return revert }}
}

var errBoom = errors.New("boom")

func TestRevert(t *testing.T) {
	t.Parallel()
	stuck := errors.New("stuck")
	tests := map[string]struct {
		build func(r *recorder) *flow.Flow
		want  string
		state flow.State
	}{
		"success": {func(r *recorder) *flow.Flow {
			return flow.Linear("f", r.task("1", nil, nil), r.task("2", nil, nil))
		}, "+1 +2", flow.StateSuccess},
		"the failed task is reverted too": {func(r *recorder) *flow.Flow {
			return flow.Linear("f", r.task("1", nil, nil), r.task("2", errBoom, nil), r.task("3", nil, nil))
		}, "+1 +2 -2 -1", flow.StateReverted},
		"what does not depend on a stuck revert is reverted": {func(r *recorder) *flow.Flow {
			return flow.Linear("f",
				flow.Unordered("u", flow.Linear("l", r.task("1", nil, nil), r.task("2", nil, stuck)), r.task("3", nil, nil)),
				r.task("4", errBoom, nil))
		}, "+1 +2 +3 +4 -4 -3 -2", flow.StateRevertFailure},
	}
	for name, tt := range tests {
		for _, dir := range []string{"", t.TempDir()} {
			t.Run(fmt.Sprintf("%s/durable=%v", name, dir != ""), func(t *testing.T) {
				t.Parallel()
				r := &recorder{}
				res, err := (&flow.Runner{Dir: dir}).Run(t.Context(), "run", tt.build(r))
				if r.String() != tt.want || res.State != tt.state {
					t.Errorf("did %s, ended %s (%v); want %s, %s", r, res.State, err, tt.want, tt.state)
				}
				if tt.state != flow.StateSuccess && !errors.Is(err, errBoom) {
					t.Errorf("error %v does not wrap the cause", err)
				}
			})
		}
	}
}

func TestRevertFailureIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	stuck := errors.New("stuck")
	build := func(revert error) *flow.Flow {
		return flow.Linear("f", r.task("1", nil, nil), r.task("2", nil, revert), r.task("3", errBoom, nil))
	}
	runner := &flow.Runner{Dir: t.TempDir()}
	_, err := runner.Run(t.Context(), "run", build(stuck))
	var failed *flow.RevertFailedError
	if !errors.As(err, &failed) || !slices.Equal(failed.Tasks, []string{"2"}) || !errors.Is(err, stuck) || !errors.Is(err, errBoom) {
		t.Fatalf("Run = %v", err)
	}
	_, err = runner.Resume(t.Context(), "run", build(nil))
	var reverted *flow.RevertedError
	if !errors.As(err, &reverted) || reverted.Task != "3" || !strings.Contains(err.Error(), "boom") {
		t.Fatalf("Resume = %v", err)
	}
	if r.String() != "+1 +2 +3 -3 -2 -2 -1" {
		t.Errorf("did %s", r)
	}
}

func TestOutcomeStaysUntilForgotten(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	runner := &flow.Runner{Dir: t.TempDir()}
	f := flow.Linear("f", r.task("1", nil, nil), task("id", nil, flow.Keys(keyA)))
	for range 2 {
		res, err := runner.Run(t.Context(), "run", f)
		if id, ok := keyA.From(res); err != nil || !ok || id != "id" {
			t.Fatalf("Run = %q, %v, %v", id, ok, err)
		}
	}
	if err := runner.Forget("run"); err != nil {
		t.Fatal(err)
	}
	if _, err := runner.Run(t.Context(), "run", f); err != nil {
		t.Fatal(err)
	}
	if r.String() != "+1 +1" {
		t.Errorf("did %s, want the task once before and once after Forget", r)
	}
	if _, err := runner.Revert(t.Context(), "run", f, nil); err != nil {
		t.Errorf("Revert of a success = %v", err)
	}
	if r.String() != "+1 +1 -1" {
		t.Errorf("did %s, want it reverted", r)
	}
	if _, err := runner.Resume(t.Context(), "other", f); !errors.Is(err, flow.ErrNoRun) {
		t.Errorf("Resume of no run = %v", err)
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	runner := &flow.Runner{Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	var got []string
	f := flow.Linear("f",
		&flow.Task{Name: "1", Execute: func(context.Context, *flow.Data) error { cancel(); return nil }},
		&flow.Task{Name: "2", Requires: flow.Keys(keyA), Execute: func(_ context.Context, d *flow.Data) error {
			got = append(got, keyA.Get(d))
			return nil
		}})
	_, err := runner.Run(ctx, "run", f, keyA.Value("x"))
	var suspended *flow.SuspendedError
	if !errors.As(err, &suspended) || !errors.Is(err, context.Canceled) {
		t.Fatalf("Run = %v, want it suspended", err)
	}
	if _, err := runner.Run(t.Context(), "run", f, keyA.Value("y")); !errors.Is(err, flow.ErrInputsDiffer) {
		t.Errorf("Run with other inputs = %v", err)
	}
	runs, err := runner.Runs()
	if err != nil || len(runs) != 1 || runs[0].Over() || runs[0].Flow != "f" {
		t.Errorf("Runs = %+v, %v", runs, err)
	}
	if err := runner.ResumeAll(t.Context(), func(flow.Run) *flow.Flow { return f }); err != nil {
		t.Error(err)
	}
	if !slices.Equal(got, []string{"x"}) {
		t.Errorf("task 2 got %q", got)
	}
}

// TestCancelledInMemory: a run that could not be resumed leaves nothing half
// done.
func TestCancelledInMemory(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{}
	f := flow.Linear("f", r.task("1", nil, nil),
		&flow.Task{Name: "2", Execute: func(ctx context.Context, _ *flow.Data) error { cancel(); return ctx.Err() }},
		r.task("3", nil, nil))
	res, err := new(flow.Runner).Run(ctx, "run", f)
	if !errors.Is(err, context.Canceled) || res.State != flow.StateReverted || r.String() != "+1 -1" {
		t.Errorf("did %s, %v", r, err)
	}
}

func TestCancelledTaskRunsAgain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{}
	f := flow.Linear("f", r.task("1", nil, nil), &flow.Task{Name: "2",
		Execute: func(ctx context.Context, _ *flow.Data) error { r.add("+2"); cancel(); return ctx.Err() },
		Revert:  func(context.Context, *flow.Data) error { r.add("-2"); return nil }})
	runner := &flow.Runner{Dir: t.TempDir()}
	if res, err := runner.Run(ctx, "run", f); res == nil || res.State != flow.StateSuspended {
		t.Fatalf("Run = %v, %v", res, err)
	}
	if res, err := runner.Run(t.Context(), "run", f); err != nil || !res.Resumed {
		t.Fatalf("Run = %v, %v", res, err)
	}
	if r.String() != "+1 +2 +2" {
		t.Errorf("did %s", r)
	}
	if _, err := runner.Run(ctx, "never", f); !errors.Is(err, context.Canceled) {
		t.Errorf("Run with a cancelled context = %v", err)
	}
	if runs, _ := runner.Runs(); len(runs) != 1 {
		t.Errorf("a run that never began left a journal: %v", runs)
	}
}

func TestChangedFlow(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	runner := &flow.Runner{Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	stop := &flow.Task{Name: "stop", Execute: func(context.Context, *flow.Data) error { cancel(); return nil }}
	if _, err := runner.Run(ctx, "run", flow.Linear("f", r.task("1", nil, nil), r.task("gone", nil, nil), stop, r.task("2", nil, nil))); err == nil {
		t.Fatal("not suspended")
	}
	now := flow.Linear("f", r.task("1", nil, nil), stop, r.task("new", nil, nil))
	now.Version = 2
	_, err := runner.Resume(t.Context(), "run", now)
	var changed *flow.ChangedError
	if !errors.As(err, &changed) || changed.Was != 0 || changed.Now != 2 || !slices.Equal(changed.Lost, []string{"gone"}) {
		t.Errorf("Resume = %v", err)
	}
	if r.String() != "+1 +gone -1" {
		t.Errorf("did %s", r)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tries := 0
		var waits []time.Duration
		f := flow.Linear("f", &flow.Task{Name: "1",
			Retry: flow.Retry{Attempts: 5, Backoff: time.Second, MaxBackoff: 3 * time.Second},
			Execute: func(context.Context, *flow.Data) error {
				waits = append(waits, time.Since(began))
				if tries++; tries < 5 {
					return errBoom
				}
				return nil
			}})
		var events []string
		runner := &flow.Runner{Listener: func(e flow.Event) {
			events = append(events, fmt.Sprintf("%s %s %d/%d", e.Task, e.State, e.Done, e.Total))
		}}
		if _, err := runner.Run(t.Context(), "run", f); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{0, time.Second, 3 * time.Second, 6 * time.Second, 9 * time.Second}
		if !slices.Equal(waits, want) {
			t.Errorf("tries at %v, want %v", waits, want)
		}
		if got := strings.Join(events, ", "); got != " RUNNING 0/1, 1 RUNNING 0/1, 1 RETRYING 0/1, 1 RETRYING 0/1, 1 RETRYING 0/1, 1 RETRYING 0/1, 1 SUCCESS 1/1,  SUCCESS 1/1" {
			t.Errorf("events: %s", got)
		}
	})
}

func TestRetryEnds(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		retry  flow.Retry
		cancel time.Duration
		tries  int
		took   time.Duration
	}{
		"attempts":    {retry: flow.Retry{Attempts: 3, Backoff: time.Second}, tries: 3, took: 3 * time.Second},
		"elapsed":     {retry: flow.Retry{Attempts: 100, Backoff: time.Second, MaxElapsed: 4 * time.Second}, tries: 3, took: 3 * time.Second},
		"context":     {retry: flow.Retry{Attempts: 100, Backoff: time.Hour}, cancel: time.Minute, tries: 1, took: time.Minute},
		"not worth":   {retry: flow.Retry{Attempts: 100, Backoff: time.Hour, If: func(err error) bool { return !errors.Is(err, errBoom) }}, tries: 1},
		"zero: once":  {tries: 1},
		"no backoff ": {retry: flow.Retry{Attempts: 4}, tries: 4},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.cancel > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.cancel)
					defer cancel()
				}
				began, tries := time.Now(), 0
				_, err := new(flow.Runner).Run(ctx, "run", flow.Linear("f", &flow.Task{Name: "1", Retry: tt.retry,
					Execute: func(context.Context, *flow.Data) error { tries++; return errBoom }}))
				if !errors.Is(err, errBoom) || tries != tt.tries || time.Since(began) != tt.took {
					t.Errorf("%d tries in %v (%v), want %d in %v", tries, time.Since(began), err, tt.tries, tt.took)
				}
			})
		})
	}
}

func TestParallel(t *testing.T) {
	t.Parallel()
	for _, parallel := range []int{0, 1, 2, 3, 8} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var nodes []flow.Node
				for i := range 6 {
					nodes = append(nodes, &flow.Task{Name: fmt.Sprint(i),
						Execute: func(context.Context, *flow.Data) error { time.Sleep(time.Second); return nil }})
				}
				if _, err := (&flow.Runner{Parallel: parallel}).Run(t.Context(), "run", flow.Unordered("f", nodes...)); err != nil {
					t.Fatal(err)
				}
				n := max(parallel, 1)
				if want := time.Duration((6+n-1)/n) * time.Second; time.Since(began) != want {
					t.Errorf("took %v, want %v", time.Since(began), want)
				}
			})
		})
	}
}

func TestGraphOrder(t *testing.T) {
	t.Parallel()
	r := &recorder{}
	with := func(tk *flow.Task) *flow.Task {
		inner := tk.Execute
		tk.Execute = func(ctx context.Context, d *flow.Data) error { r.add(tk.Name); return inner(ctx, d) }
		return tk
	}
	f := flow.Graph("f",
		with(task("3", flow.Keys(keyA, keyB), nil)), with(task("2", flow.Keys(keyA), flow.Keys(keyB))), with(task("1", nil, flow.Keys(keyA))))
	if _, err := new(flow.Runner).Run(t.Context(), "run", f); err != nil || r.String() != "1 2 3" {
		t.Errorf("did %s, %v", r, err)
	}
}

func TestTaskMistakes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		task *flow.Task
		want string
	}{
		"forgets to provide": {&flow.Task{Name: "1", Provides: flow.Keys(keyA),
			Execute: func(context.Context, *flow.Data) error { return nil }}, `task did not provide "a"`},
		"provides without Execute": {&flow.Task{Name: "1", Provides: flow.Keys(keyA)}, `task provides "a" and has no Execute`},
		"reads undeclared": {&flow.Task{Name: "1",
			Execute: func(_ context.Context, d *flow.Data) error { keyA.Get(d); return nil }}, `task "1" reads "a" without requiring it`},
		"sets undeclared": {&flow.Task{Name: "1",
			Execute: func(_ context.Context, d *flow.Data) error { keyA.Set(d, ""); return nil }}, `task "1" sets "a" without providing it`},
		"panics": {&flow.Task{Name: "1", Execute: func(context.Context, *flow.Data) error { panic("oh") }}, `panic: oh`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", tt.task))
			var reverted *flow.RevertedError
			if !errors.As(err, &reverted) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Run = %v, want %q", err, tt.want)
			}
		})
	}
}

var keyTLS = flow.NewKey[tlsPair]("tls")

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := flow.Linear("f", &flow.Task{Name: "1", Execute: func(ctx context.Context, _ *flow.Data) error {
		_, err := (&flow.Runner{Dir: dir}).Run(ctx, "run", flow.Linear("f"))
		if !errors.Is(err, flow.ErrLocked) {
			t.Errorf("a second Run = %v", err)
		}
		return nil
	}})
	if _, err := (&flow.Runner{Dir: dir}).Run(t.Context(), "run", f); err != nil {
		t.Fatal(err)
	}
}

func TestRunNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "../x", "a/b", ".x", "a\n", strings.Repeat("a", 201)} {
		if _, err := (&flow.Runner{Dir: t.TempDir()}).Run(t.Context(), name, flow.Linear("f")); err == nil {
			t.Errorf("a run may be called %q", name)
		}
	}
}
