package unitdata_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/unitdata"
)

// A unit plays hooks of one unit in a simulated Juju.
type unit struct {
	model *model.Model
	calls []string
}

func newUnit() *unit {
	return &unit{model: &model.Model{Name: "m", Applications: map[string]*model.Application{
		"app": {Units: map[string]*model.Unit{"app/0": {State: map[string]string{}}}},
	}}}
}

func (u *unit) state() map[string]string { return u.model.Applications["app"].Units["app/0"].State }

// hook runs do in a hook, which Juju commits if do returns no error.
func (u *unit) hook(t *testing.T, do func(ctx context.Context, store unitdata.Store) error) error {
	t.Helper()
	a, err := agent.New(u.model, agent.Execution{Unit: "app/0", Hook: "update-status"})
	if err != nil {
		t.Fatal(err)
	}
	u.calls = nil
	err = do(t.Context(), unitdata.NewJujuState(hooktool.New(&recorder{a, u})))
	exit := agent.Exit{}
	if err != nil {
		exit.Code = 1
	}
	if _, finishErr := a.Finish(exit); finishErr != nil {
		t.Fatal(finishErr)
	}
	return err
}

type recorder struct {
	hooktool.Transport
	unit *unit
}

func (r *recorder) Call(ctx context.Context, c hooktool.Call) (hooktool.Result, error) {
	r.unit.calls = append(r.unit.calls, c.Tool)
	return r.Transport.Call(ctx, c)
}

// stores are the stores that must behave alike. Each call of the function is a
// hook.
func stores() map[string]func(t *testing.T) func(do func(ctx context.Context, store unitdata.Store) error) error {
	type hook = func(do func(ctx context.Context, store unitdata.Store) error) error
	return map[string]func(t *testing.T) hook{
		"Memory": func(t *testing.T) hook {
			store := &unitdata.Memory{}
			return func(do func(ctx context.Context, store unitdata.Store) error) error {
				work := store.Clone()
				err := do(t.Context(), work)
				if err == nil {
					store = work
				}
				return err
			}
		},
		"JujuState": func(t *testing.T) hook {
			u := newUnit()
			return func(do func(ctx context.Context, store unitdata.Store) error) error { return u.hook(t, do) }
		},
	}
}

func each(t *testing.T, test func(t *testing.T, hook func(do func(d *unitdata.Data) error) error)) {
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook := open(t)
			test(t, func(do func(d *unitdata.Data) error) error {
				return hook(func(ctx context.Context, store unitdata.Store) error {
					d, err := unitdata.Open(ctx, store)
					if err != nil {
						return err
					}
					if err := do(d); err != nil {
						return err
					}
					return d.Commit(ctx)
				})
			})
		})
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDataIsKept(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, hook func(do func(d *unitdata.Data) error) error) {
		ok(t, hook(func(d *unitdata.Data) error {
			return errors.Join(d.Set("a", 1), d.Set("b.x", map[string]any{"k": []int{1, 2}}), d.Set("b.y", nil))
		}))
		boom := errors.New("boom")
		if err := hook(func(d *unitdata.Data) error { d.Unset("a"); return boom }); !errors.Is(err, boom) {
			t.Fatal(err)
		}
		ok(t, hook(func(d *unitdata.Data) error {
			if got := d.Keys(""); !slices.Equal(got, []string{"a", "b.x", "b.y"}) {
				t.Errorf("keys are %q", got)
			}
			var x struct{ K []int }
			if has, err := d.Get("b.x", &x); !has || err != nil || !slices.Equal(x.K, []int{1, 2}) {
				t.Errorf("b.x is %v, %v, %v", x, has, err)
			}
			if !d.Has("b.y") {
				t.Error("a null value is lost")
			}
			if has, err := d.Get("nope", &x); has || err != nil {
				t.Errorf("a missing value is %v, %v", has, err)
			}
			d.UnsetRange("b.")
			return nil
		}))
		ok(t, hook(func(d *unitdata.Data) error {
			if got := d.Keys(""); !slices.Equal(got, []string{"a"}) {
				t.Errorf("keys are %q", got)
			}
			return nil
		}))
	})
}

// Limits of one entry are met by the layout; that of all is told, with who
// stored what.
func TestLimits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, hook func(do func(d *unitdata.Data) error) error) {
		large := strings.Repeat("ä", 100_000)
		longKey := strings.Repeat("k", 1000)
		ok(t, hook(func(d *unitdata.Data) error {
			return errors.Join(d.Set("large", large), d.Set(longKey, "v"))
		}))
		ok(t, hook(func(d *unitdata.Data) error {
			var got string
			if _, err := d.Get("large", &got); err != nil || got != large {
				t.Errorf("a large value is lost: %v", err)
			}
			if !d.Has(longKey) {
				t.Error("a long key is lost")
			}
			d.Unset("large")
			return nil
		}))
		err := hook(func(d *unitdata.Data) error {
			d.SetAuthor(`handler "hoard"`)
			return d.Set("hoard", strings.Repeat("x", unitdata.MaxTotal))
		})
		var limit *unitdata.LimitError
		if !errors.As(err, &limit) || !errors.Is(err, unitdata.ErrTooLarge) {
			t.Fatalf("the error is %v", err)
		}
		for _, want := range []string{`"hoard"`, `handler "hoard"`, "2097152"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error does not say %q: %v", want, err)
			}
		}
		ok(t, hook(func(d *unitdata.Data) error {
			if d.Has("hoard") || !d.Has(longKey) {
				t.Error("what was refused was kept, or something else was lost")
			}
			if err := d.Set(strings.Repeat("k", unitdata.MaxKey+1), 1); !errors.Is(err, unitdata.ErrTooLarge) {
				t.Errorf("a key of any length is taken: %v", err)
			}
			return nil
		}))
	})
}

func TestSeen(t *testing.T) {
	t.Parallel()
	bag := unitdata.Bag{Relation: "db:1", Name: "mysql/0"}
	other := unitdata.Bag{Relation: "db:1", Name: "mysql/1"}
	each(t, func(t *testing.T, hook func(do func(d *unitdata.Data) error) error) {
		note := func(bag unitdata.Bag, key, text string, want bool) {
			t.Helper()
			ok(t, hook(func(d *unitdata.Data) error {
				if _, err := d.Seen(t.Context(), bag); err != nil {
					return err
				}
				if got := d.Note(bag, key, unitdata.SumOf(text)); got != want {
					t.Errorf("%s: %s=%s is new: %v", bag, key, text, got)
				}
				return nil
			}))
		}
		note(bag, "host", `"a"`, true)
		note(bag, "host", `"a"`, false)
		note(bag, "port", `1`, true)
		note(bag, "host", `"a"`, false)
		note(bag, "host", `"b"`, true)
		note(bag, "host", `"a"`, true)
		note(other, "host", `"a"`, true)
		ok(t, hook(func(d *unitdata.Data) error { d.Forget(bag); return nil }))
		note(bag, "host", `"a"`, true)
		note(other, "host", `"a"`, false)
	})
}

// A remote unit that publishes ever new keys cannot fill the charm state.
func TestSeenIsBounded(t *testing.T) {
	t.Parallel()
	bag := unitdata.Bag{Relation: "db:1", Name: "mysql/0"}
	each(t, func(t *testing.T, hook func(do func(d *unitdata.Data) error) error) {
		for i := range 3 {
			ok(t, hook(func(d *unitdata.Data) error {
				if _, err := d.Seen(t.Context(), bag); err != nil {
					return err
				}
				for k := range 3000 {
					d.Note(bag, fmt.Sprintf("key-%d-%d", i, k), unitdata.SumOf("1"))
				}
				seen, err := d.Seen(t.Context(), bag)
				if seen.Len() > 4000 {
					t.Errorf("%d values are remembered", seen.Len())
				}
				return err
			}))
		}
	})
}

// A store that a Python charm left is understood: what it had seen is not new.
func TestReferenceSums(t *testing.T) {
	t.Parallel()
	store := unitdata.NewMemory(map[string]json.RawMessage{
		"reactive.data_changed.endpoint.db.db:1.mysql/0.port":     json.RawMessage(`"16fc18d787294ad5171100e33d05d4e2"`),
		"reactive.data_changed.endpoint.db.db:1.mysql/0.a.b":      json.RawMessage(`"16fc18d787294ad5171100e33d05d4e2"`),
		"reactive.data_changed.endpoint.of.a.charms.own.making":   json.RawMessage(`"16fc18d787294ad5171100e33d05d4e2"`),
		"reactive.data_changed.endpoint.db.db:1.mysql/0.not.md5":  json.RawMessage(`"0"`),
		"reactive.data_changed.endpoint.db.db:1.mysql/0.no.text":  json.RawMessage(`5`),
		"reactive.data_changed.endpoint.db.db:1.mysql/0.no.digit": json.RawMessage(`"zzfc18d787294ad5171100e33d05d4e2"`),
	})
	bag := unitdata.Bag{Relation: "db:1", Name: "mysql/0"}
	for range 2 {
		d, err := unitdata.Open(t.Context(), store)
		ok(t, err)
		d.Rollback()
		seen, err := d.Seen(t.Context(), bag)
		ok(t, err)
		for key, want := range map[string]bool{"port": true, "a.b": true, "host": false} {
			if got := seen.Same(key, unitdata.SumOf("3306")); got != want {
				t.Errorf("%s was seen: %v", key, got)
			}
		}
		ok(t, d.Commit(t.Context()))
	}
	if got := len(store.Entries()); got != 4 {
		t.Errorf("%d entries are left: %q", got, slices.Sorted(maps.Keys(store.Entries())))
	}
}

// Setting what is there, in whatever spelling, writes nothing.
func TestNothingIsWrittenForNothing(t *testing.T) {
	t.Parallel()
	u := newUnit()
	set := func(ctx context.Context, store unitdata.Store) error {
		d, err := unitdata.Open(ctx, store)
		ok(t, err)
		ok(t, d.Set("a", map[string]int{"x": 1, "y": 2}))
		ok(t, d.Set("b", "temporary"))
		d.Unset("b")
		return d.Commit(ctx)
	}
	ok(t, u.hook(t, set))
	ok(t, u.hook(t, set))
	if slices.Contains(u.calls, "state-set") || slices.Contains(u.calls, "state-delete") {
		t.Errorf("the second hook wrote: %q", u.calls)
	}

	store := unitdata.NewMemory(map[string]json.RawMessage{"a": json.RawMessage(`{"y":2,  "x":1}`)})
	d, err := unitdata.Open(t.Context(), store)
	ok(t, err)
	ok(t, d.Set("a", map[string]int{"x": 1, "y": 2}))
	if c := d.Changes(); !c.Empty() {
		t.Errorf("another spelling of the same value counts as changed: %v", c)
	}
}

// A hook reads two keys of the charm state, whatever the unit remembers, and
// not a byte for units that it does not look at.
func TestCallsDoNotGrow(t *testing.T) {
	t.Parallel()
	u := newUnit()
	ok(t, u.hook(t, func(ctx context.Context, store unitdata.Store) error {
		d, err := unitdata.Open(ctx, store)
		ok(t, err)
		for i := range 5000 {
			bag := unitdata.Bag{Relation: "db:1", Name: fmt.Sprintf("mysql/%d", i)}
			if _, err := d.Seen(ctx, bag); err != nil {
				return err
			}
			d.Note(bag, "ingress-address", unitdata.SumOf(fmt.Sprint(i)))
		}
		return d.Commit(ctx)
	}))
	ok(t, u.hook(t, func(ctx context.Context, store unitdata.Store) error {
		d, err := unitdata.Open(ctx, store)
		ok(t, err)
		bag := unitdata.Bag{Relation: "db:1", Name: "mysql/4711"}
		seen, err := d.Seen(ctx, bag)
		if !seen.Same("ingress-address", unitdata.SumOf("4711")) {
			t.Error("what was seen is lost")
		}
		d.Note(bag, "ingress-address", unitdata.SumOf("new"))
		return errors.Join(err, d.Commit(ctx))
	}))
	if len(u.calls) != 3 {
		t.Errorf("the hook called %q", u.calls)
	}
}

func TestNotJSON(t *testing.T) {
	t.Parallel()
	d, err := unitdata.Open(t.Context(), &unitdata.Memory{})
	ok(t, err)
	if err := d.Set("channel", make(chan int)); err == nil || !strings.Contains(err.Error(), `"channel"`) {
		t.Errorf("the error is %v", err)
	}
}

// A damaged charm state is an error that says so, and is not overwritten.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	for _, damaged := range []string{"{", "2#{\"data\": {", "x#", `{"data": 5}`} {
		u := newUnit()
		u.state()["reactive"] = damaged
		err := u.hook(t, func(ctx context.Context, store unitdata.Store) error {
			_, err := unitdata.Open(ctx, store)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "reactive") {
			t.Errorf("%q: the error is %v", damaged, err)
		}
		if u.state()["reactive"] != damaged {
			t.Errorf("%q was overwritten", damaged)
		}
	}
}

// Both stores agree through any sequence of hooks.
func TestStoresAgree(t *testing.T) {
	t.Parallel()
	var results []map[string]string
	for _, name := range []string{"Memory", "JujuState"} {
		rng := rand.New(rand.NewPCG(7, 7))
		hook := stores()[name](t)
		var last map[string]string
		for range 200 {
			_ = hook(func(ctx context.Context, store unitdata.Store) error {
				d, err := unitdata.Open(ctx, store)
				ok(t, err)
				last = make(map[string]string)
				for _, key := range d.Keys("") {
					raw, _ := d.Raw(key)
					last[key] = string(raw)
				}
				for range rng.IntN(6) {
					key := fmt.Sprintf("k%d", rng.IntN(20))
					if rng.IntN(3) == 0 {
						d.Unset(key)
					} else {
						ok(t, d.Set(key, strings.Repeat("v", rng.IntN(30_000))))
					}
				}
				if rng.IntN(4) == 0 {
					return errors.New("the hook fails")
				}
				return d.Commit(ctx)
			})
		}
		results = append(results, last)
	}
	if !maps.Equal(results[0], results[1]) {
		t.Errorf("the stores hold %d and %d entries", len(results[0]), len(results[1]))
	}
}

func FuzzSeen(f *testing.F) {
	f.Add([]byte("0123456789"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var seen unitdata.Seen
		if seen.UnmarshalBinary(data) != nil {
			return
		}
		out, err := seen.MarshalBinary()
		ok(t, err)
		var again unitdata.Seen
		ok(t, again.UnmarshalBinary(out))
		if again.Len() != seen.Len() {
			t.Errorf("%d values became %d", seen.Len(), again.Len())
		}
	})
}

// A unit remembers what it was told from hook to hook.
func Example() {
	ctx := context.Background()
	store := &unitdata.Memory{}

	data, _ := unitdata.Open(ctx, store)
	_ = data.Set("backup.last", map[string]string{"file": "a.tar"})
	_ = data.Commit(ctx)

	data, _ = unitdata.Open(ctx, store) // the next hook
	var last struct{ File string }
	_, _ = data.Get("backup.last", &last)
	fmt.Println(last.File)
	// Output: a.tar
}
