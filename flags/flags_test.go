package flags_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/flags"
)

func flagsOf(names string) []flags.Flag {
	var list []flags.Flag
	for _, name := range strings.Fields(names) {
		list = append(list, flags.New(name))
	}
	return list
}

func TestConditionHolds(t *testing.T) {
	t.Parallel()
	a, b, c := flags.New("a"), flags.New("b"), flags.New("c")
	for _, test := range []struct {
		condition flags.Condition
		text      string
		holds     string // the sets of a, b and c for which it holds
	}{
		{flags.Condition{}, "always", "- a b c ab ac bc abc"},
		{flags.When(), "always", "- a b c ab ac bc abc"},
		{flags.WhenAny(), "never", ""},
		{flags.Unless(), "always", "- a b c ab ac bc abc"},
		{flags.UnlessAll(), "never", ""},
		{flags.When(a), "a", "a ab ac abc"},
		{flags.When(a, b), "a and b", "ab abc"},
		{flags.WhenAny(a, b), "a or b", "a b ab ac bc abc"},
		{flags.Unless(a), "not a", "- b c bc"},
		{flags.Unless(a, b), "not (a or b)", "- c"},
		{flags.UnlessAll(a, b), "not (a and b)", "- a b c ac bc"},
		{flags.When(a).Unless(b), "a and not b", "a ac"},
		{flags.When(a, b).Unless(c), "a and b and not c", "ab"},
		{flags.When(a).WhenAny(b, c), "a and (b or c)", "ab ac abc"},
		{flags.When(a).UnlessAll(b, c), "a and not (b and c)", "a ab ac"},
		{flags.Or(flags.When(a, b), flags.When(c)), "(a and b) or c", "c ab ac bc abc"},
		{flags.And(), "always", "- a b c ab ac bc abc"},
		{flags.Or(), "never", ""},
		{flags.And(flags.Or(flags.When(a), flags.When(b))).When(c), "(a or b) and c", "ac bc abc"},
		{flags.Not(flags.When(a).Unless(b)), "not (a and not b)", "- b c ab bc abc"},
		{flags.Not(flags.Or()), "always", "- a b c ab ac bc abc"},
	} {
		t.Run(test.text, func(t *testing.T) {
			t.Parallel()
			if got := test.condition.String(); got != test.text {
				t.Errorf("the condition prints as %q", got)
			}
			holds := strings.Fields(test.holds)
			for _, names := range strings.Fields("- a b c ab ac bc abc") {
				var set flags.Set
				for _, name := range strings.Trim(names, "-") {
					set.Set(flags.New(string(name)))
				}
				want := slices.Contains(holds, names)
				if got := test.condition.Holds(&set); got != want {
					t.Errorf("with %q: holds is %v", names, got)
				}
				if got, _ := test.condition.Explain(&set); got != want {
					t.Errorf("with %q: explained as %v", names, got)
				}
			}
		})
	}
}

// What Explain names must be what decides: changing all the flags it names
// makes a condition hold that did not.
func TestExplainNamesWhatDecides(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	all := flagsOf("a b c d e")
	some := func() []flags.Flag {
		list := slices.Clone(all)
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list[:1+rng.IntN(3)]
	}
	kinds := []func(...flags.Flag) flags.Condition{flags.When, flags.WhenAny, flags.Unless, flags.UnlessAll}
	explained := 0
	for range 2000 {
		used := make(map[flags.Flag]bool)
		c := flags.And()
		for range 1 + rng.IntN(2) {
			// Parts that share flags can contradict each other.
			list := slices.DeleteFunc(some(), func(f flags.Flag) bool { return used[f] })
			if len(list) == 0 {
				continue
			}
			for _, f := range list {
				used[f] = true
			}
			c = flags.And(c, kinds[rng.IntN(len(kinds))](list...))
		}
		var set flags.Set
		for _, f := range all {
			set.Toggle(f, rng.IntN(2) == 0)
		}
		holds, reasons := c.Explain(&set)
		if holds {
			continue
		}
		if len(reasons) == 0 {
			t.Fatalf("%s does not hold for %v and nothing is said to decide it", c, set.List())
		}
		before := set.List()
		for _, r := range reasons {
			if r.Set != set.IsSet(r.Flag) {
				t.Fatalf("%s: %s is said to be set: %v", c, r.Flag, r.Set)
			}
			set.Toggle(r.Flag, !r.Set)
		}
		if !c.Holds(&set) {
			t.Fatalf("%s does not hold for %v, nor after changing %v", c, before, reasons)
		}
		explained++
	}
	if explained < 200 {
		t.Fatalf("only %d conditions were explained", explained)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	a, b, c := flags.New("a"), flags.New("b"), flags.New("c")
	set := flags.NewSet(b, a)
	if got := set.List(); !slices.Equal(got, flagsOf("a b")) {
		t.Errorf("set are %v", got)
	}
	set.Toggle(c, true)
	set.Toggle(a, false)
	for _, test := range []struct {
		what      string
		got, want bool
	}{
		{"all b c", set.All(b, c), true}, {"all a b", set.All(a, b), false}, {"all", set.All(), true},
		{"any a b", set.Any(a, b), true}, {"any a", set.Any(a), false}, {"any", set.Any(), false},
		{"none a", set.None(a), true}, {"none a b", set.None(a, b), false}, {"none", set.None(), true},
		{"not all a b", set.NotAll(a, b), true}, {"not all b c", set.NotAll(b, c), false}, {"not all", set.NotAll(), false},
	} {
		if test.got != test.want {
			t.Errorf("%s is %v", test.what, test.got)
		}
	}
	if got := set.Missing(flagsOf("z a b z")...); !slices.Equal(got, flagsOf("a z")) {
		t.Errorf("missing are %v", got)
	}
}

// A flag that is set again did not change; one that is cleared although it is
// not set did not change either, but somebody asked to clear one.
func TestChanges(t *testing.T) {
	t.Parallel()
	a, b := flags.New("a"), flags.New("b")
	set := flags.NewSet(a)
	var changes []string
	set.Watch(func(c flags.Change) { changes = append(changes, fmt.Sprint(c.Flag, c.Set, c.Round)) })
	set.Set(a)
	set.Clear(b)
	if len(changes) != 0 || set.Clears() != 1 {
		t.Errorf("changes are %v, clears %d", changes, set.Clears())
	}
	set.NextRound()
	set.Set(b)
	set.Clear(a)
	set.NextRound()
	if want := []string{"b true 1", "a false 1"}; !slices.Equal(changes, want) {
		t.Errorf("changes are %q, want %q", changes, want)
	}
	if got := set.ChangesLast(); !slices.Equal(got, flagsOf("a b")) {
		t.Errorf("changed in the last round: %v", got)
	}
}

// Triggers of one event are one: a flag that several set is set once, though what
// another causes cleared it meanwhile.
func TestTriggersActAsOne(t *testing.T) {
	t.Parallel()
	var set flags.Set
	var order []string
	set.Watch(func(c flags.Change) {
		order = append(order, fmt.Sprintf("%s=%v by %s", c.Flag, c.Set, c.Trigger))
	})
	a := flags.New("a")
	set.Set(flags.New("y"))
	order = nil
	set.AddTrigger(flags.Trigger{When: a, Clear: flagsOf("y"), Call: func() error { order = append(order, "call"); return nil }})
	set.AddTrigger(flags.Trigger{When: a, Set: flagsOf("b c b")})
	set.AddTrigger(flags.Trigger{When: flags.New("b"), Set: flagsOf("d")})
	set.AddTrigger(flags.Trigger{When: flags.New("c"), Clear: flagsOf("b")})
	set.AddTrigger(flags.Trigger{WhenNot: flags.New("y"), Set: flagsOf("e")})
	set.Set(a)
	want := []string{"a=true by ", "b=true by a", "d=true by b", "c=true by a", "b=false by c", "y=false by a", "e=true by y", "call"}
	if !slices.Equal(order, want) {
		t.Errorf("changes are %q, want %q", order, want)
	}
}

func TestTriggersWithoutEnd(t *testing.T) {
	t.Parallel()
	var set flags.Set
	a, b := flags.New("a"), flags.New("b")
	set.AddTrigger(flags.Trigger{When: a, Clear: []flags.Flag{a}})
	set.AddTrigger(flags.Trigger{WhenNot: a, Set: []flags.Flag{b, a}})
	set.Set(a)
	var loop *flags.TriggerLoopError
	if !errors.As(set.Err(), &loop) || !slices.Equal(loop.Flags, []flags.Flag{a, b}) {
		t.Fatalf("the error is %v", set.Err())
	}
	if got := set.Err().Error(); !strings.Contains(got, "a, b") {
		t.Errorf("the error does not name the flags: %s", got)
	}
}

func TestTriggerCallFails(t *testing.T) {
	t.Parallel()
	var set flags.Set
	boom := errors.New("boom")
	set.AddTrigger(flags.Trigger{When: flags.New("a"), Call: func() error { return boom }})
	set.AddTrigger(flags.Trigger{When: flags.New("b"), Set: flagsOf("c")})
	set.Set(flags.New("a"))
	if !errors.Is(set.Err(), boom) {
		t.Errorf("the error is %v", set.Err())
	}
	set.Set(flags.New("b"))
	if set.IsSet(flags.New("c")) {
		t.Error("a trigger ran after another one failed")
	}
}

func TestMistakesPanic(t *testing.T) {
	t.Parallel()
	for name, mistake := range map[string]func(){
		"setting no flag":             func() { new(flags.Set).Set(flags.Flag{}) },
		"a condition without flag":    func() { flags.When(flags.Flag{}) },
		"a trigger that never comes":  func() { new(flags.Set).AddTrigger(flags.Trigger{Set: flagsOf("a")}) },
		"a trigger that does nothing": func() { new(flags.Set).AddTrigger(flags.Trigger{When: flags.New("a")}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			mistake()
		})
	}
}

// A set keeps up with a plain map through any sequence of calls.
func FuzzSet(f *testing.F) {
	f.Add([]byte("\x00\x11\x02\x81"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		var set flags.Set
		want := make(map[string]bool)
		for _, op := range ops {
			name := string('a' + rune(op&7))
			switch f := flags.New(name); op >> 6 {
			case 0, 1:
				set.Set(f)
				want[name] = true
			case 2:
				set.Clear(f)
				delete(want, name)
			case 3:
				set.NextRound()
			}
		}
		for _, flag := range set.List() {
			if !want[flag.String()] {
				t.Errorf("%s is set", flag)
			}
		}
		if set.Len() != len(want) {
			t.Errorf("%d flags are set, want %d", set.Len(), len(want))
		}
	})
}

// The cost of a condition does not depend on how many flags there are.
func BenchmarkHolds(b *testing.B) {
	for _, n := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprintf("%d flags", n), func(b *testing.B) {
			var set flags.Set
			for i := range n {
				set.Set(flags.New(fmt.Sprintf("flag.%d", i)))
			}
			c := flags.When(flags.New("flag.1"), flags.New("flag.2")).Unless(flags.New("other"))
			b.ReportAllocs()
			for b.Loop() {
				if !c.Holds(&set) {
					b.Fatal("does not hold")
				}
			}
		})
	}
}
