// Package reactivetest tests a charm one hook at a time: a state goes in, one
// hook runs, and the state after it comes out.
//
// A charm's test, as a whole:
//
//	func TestPublishesItsPort(t *testing.T) {
//		t.Parallel()
//		charm := reactivetest.Charm{New: web.New, Files: os.DirFS("..")}
//		site := reactivetest.Relation{
//			Endpoint: "site",
//			Units:    map[string]map[string]string{"proxy/0": {"ingress-address": "10.0.0.9"}},
//		}
//		state := reactivetest.State{
//			Leader:    true,
//			Config:    map[string]any{"port": 8080},
//			Relations: []reactivetest.Relation{site},
//			Flags:     []string{"web.installed"},
//		}
//
//		result := reactivetest.Run(t, charm, state, reactivetest.RelationJoined(site, "proxy/0"))
//
//		if got := result.State.Relation(site).LocalData["port"]; got != "8080" {
//			t.Errorf("the port is %q", got)
//		}
//		if !result.Ran("publish the port") || result.State.Status.State != "active" {
//			t.Errorf("handlers %q, status %v", result.Handlers(), result.State.Status)
//		}
//
//		// The state after a hook is the state before the next one.
//		result = reactivetest.Run(t, charm, result.State, reactivetest.RelationDeparted(site, "proxy/0"))
//	}
//
// The hook runs in the test's own process, with the real dispatch, and the hook
// tools are those of the simulated unit agent (package jujusim/agent), which
// answers and commits as Juju 3.6 and 4.0 do: what the test sees written is what
// Juju would have accepted. A hook that fails leaves nothing behind here either.
// Unit data is kept in Juju's charm state, whatever store the charm has chosen
// with reactive.Charm.Store.
//
// # Consistency
//
// A state that Juju never shows makes a test that proves nothing. So before the
// hook runs, the state and the event are checked against each other and against
// the charm's files, and the test fails with sentences that say what is wrong
// and how to mend it:
//
//	the state and the event do not fit:
//	- db-relation-changed is about the unit "pg/1", which is not in Units of the
//	  relation db:1: add it there, with what it publishes.
//
// # Hooks that run again
//
// Juju runs hooks again after a crash, and hooks like update-status over and
// over. With Charm.Twice every hook runs a second time after it went well, and
// a charm that then writes anything fails the test.
//
// # What it is not
//
// One unit, one hook: what several units do to each other, and in which orders,
// is tested in a whole simulated model, with package jujusim.
package reactivetest
