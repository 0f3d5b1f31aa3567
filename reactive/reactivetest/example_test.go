package reactivetest_test

import (
	"context"
	"fmt"

	"github.com/charmed-go/charms/reactive/reactivetest"
)

// One hook: what goes in is a value, and so is what comes out. In a test it is
// reactivetest.Run(t, charm, state, event).
func Example() {
	site := reactivetest.Relation{Endpoint: "site", Units: map[string]map[string]string{"proxy/0": nil}}
	state := reactivetest.State{Relations: []reactivetest.Relation{site}, Flags: []string{"web.installed"}}

	result, err := web.Run(context.Background(), state, reactivetest.RelationJoined(site, "proxy/0"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Handlers())
	fmt.Println(result.State.Relation(site).LocalData["url"])
	// Output:
	// [follow configuration publish]
	// http://here/
}

// A state that Juju never shows is refused, with what to do about it.
func ExampleInconsistentError() {
	db := reactivetest.Relation{Endpoint: "db"}
	state := reactivetest.State{Relations: []reactivetest.Relation{db}, Config: map[string]any{"prt": 8080}}

	_, err := web.Run(context.Background(), state, reactivetest.RelationChanged(db, "pg/0"))
	fmt.Println(err)
	// Output:
	// the state and the event do not fit:
	// - State.Config has "prt", which is no option in the charm's files: correct the name, or declare the option there.
	// - db-relation-changed is about the unit "pg/0", which is not in Units of the relation db:1: add it there, with what it publishes.
}

// A hook that writes although nothing is new is found out by a second run.
func ExampleRepeatError() {
	charm := web
	charm.Twice = true
	_, err := charm.Run(context.Background(), reactivetest.State{}, reactivetest.UpdateStatus())
	fmt.Println(err)
	// Output:
	// update-status ran a second time, with nothing new, and wrote: state-set --file - (data web.updates)
}

// The results of an action.
func ExampleAction() {
	event := reactivetest.Action("add", map[string]any{"a": 40})
	result, err := web.Run(context.Background(), reactivetest.State{}, event)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.Action.Results)
	// Output: map[sum:42]
}
