package flags_test

import (
	"fmt"

	"github.com/charmed-go/charms/flags"
)

// A condition says in words what it waits for, and what is missing.
func Example() {
	var (
		installed = flags.New("web.installed")
		ready     = flags.New("db.ready")
		broken    = flags.New("db.broken")
	)
	serve := flags.When(installed, ready).Unless(broken)
	fmt.Println(serve)

	var set flags.Set
	set.Set(installed)
	fmt.Println(serve.Explain(&set))
	set.Set(ready)
	fmt.Println(serve.Explain(&set))
	// Output:
	// web.installed and db.ready and not db.broken
	// false [{db.ready false}]
	// true [{web.installed true} {db.ready true} {db.broken false}]
}

// A trigger changes other flags at once.
func ExampleTrigger() {
	var (
		available  = flags.New("db.available")
		configured = flags.New("web.configured")
	)
	var set flags.Set
	t := flags.Trigger{WhenNot: available, Clear: []flags.Flag{configured}}
	set.AddTrigger(t)
	fmt.Println(t)

	set.Set(available)
	set.Set(configured)
	set.Clear(available)
	fmt.Println(set.IsSet(configured))
	// Output:
	// when db.available is cleared: clear web.configured
	// false
}

// Rounds tell what changed a moment ago from what changed before.
func ExampleSet_NextRound() {
	installed := flags.New("web.installed")
	var set flags.Set
	set.Set(installed)
	set.NextRound()
	fmt.Println(set.ChangedLast(installed), set.Changes())
	set.NextRound()
	fmt.Println(set.ChangedLast(installed))
	// Output:
	// true []
	// false
}
