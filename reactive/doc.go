// Package reactive is for writing Juju charms in the reactive style: a charm is
// a set of handlers, each with a condition over flags. Juju's hooks, relation
// data and configuration turn into flags, and handlers run until nothing is left
// to do.
//
// # A tour
//
// This is the whole of a charm. It installs a wiki once, waits for a database,
// and configures the wiki whenever the database's address or the title changes:
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//
//		"github.com/charmed-go/charms/charmfile"
//		"github.com/charmed-go/charms/flags"
//		"github.com/charmed-go/charms/reactive"
//	)
//
//	// wiki charms a wiki that needs a database.
//	type wiki struct {
//		installed flags.Flag
//		db        *reactive.Endpoint
//	}
//
//	// New puts the charm together. Juju starts a new process for every hook, and
//	// New is called in each.
//	func New() *reactive.Charm {
//		charm := reactive.New("wiki")
//		w := &wiki{
//			installed: charm.Flag("wiki.installed"),
//			db:        charm.Endpoint("db", charmfile.Requirer, "mysql"),
//		}
//		charm.Handle("install the wiki", flags.Unless(w.installed), w.install)
//		charm.Handle("wait for a database", flags.When(w.installed).Unless(w.db.Joined()), w.wait)
//		charm.Handle("configure the wiki", flags.When(w.installed, w.db.Joined()).
//			WhenAny(w.db.Changed("host"), charm.ConfigChanged("title")), w.configure)
//		return charm
//	}
//
//	func (w *wiki) install(ctx context.Context, h *reactive.Hook) error {
//		// Here the wiki's package is installed.
//		h.Set(w.installed)
//		return nil
//	}
//
//	func (w *wiki) wait(ctx context.Context, h *reactive.Hook) error {
//		return reactive.Waiting("for a database")
//	}
//
//	func (w *wiki) configure(ctx context.Context, h *reactive.Hook) error {
//		config, err := h.Config(ctx)
//		if err != nil {
//			return err
//		}
//		db, err := w.db.Received(ctx)
//		if err != nil {
//			return err
//		}
//		// Here the wiki's configuration is written.
//		h.Clear(w.db.Changed("host"))
//		h.SetStatus(reactive.Active(fmt.Sprintf("%v, with %v", config["title"], db.Value("host"))))
//		return nil
//	}
//
//	func main() { reactive.Main(New) }
//
// With it goes its charmcraft.yaml:
//
//	name: wiki
//	summary: A wiki.
//	description: A wiki that needs a database.
//	requires: {db: {interface: mysql}}
//	config: {options: {title: {type: string, default: Notes}}}
//
// And this is a test, which runs the charm in a simulated Juju:
//
//	package main
//
//	import (
//		"testing"
//
//		"github.com/charmed-go/charms/jujusim"
//		"github.com/charmed-go/charms/reactive"
//	)
//
//	func TestWaitsForDatabase(t *testing.T) {
//		juju, err := jujusim.New(jujusim.Options{})
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer juju.Close()
//		charm := jujusim.Charm{Path: ".", Run: reactive.Program(New)}
//		if err := juju.Deploy("wiki", charm, jujusim.DeployOptions{}); err != nil {
//			t.Fatal(err)
//		}
//		if err := juju.Settle(t.Context()); err != nil {
//			t.Fatal(err)
//		}
//		unit, _ := juju.Status().Unit("wiki/0")
//		if unit.Message != "for a database" {
//			t.Errorf("the unit says %q", unit.Message)
//		}
//	}
//
// # What happens in a hook
//
// Juju starts the charm for every hook, action and juju-exec. First the flags
// that follow Juju are brought up to date: those of the configuration, of the
// leadership and of the endpoints. Then the handlers for that hook by name run,
// once. Then rounds of flag handlers follow. In a round all handlers whose
// conditions hold run, in the order of their registration; when one clears a
// flag, those not yet run are tested again. Flags that are set in a round count
// from the next, and from the second round on a handler runs only if one of its
// flags changed in the round before. The hook ends when no handler is left to
// run. In restricted hooks (collect-metrics, meter-status-changed) only their
// own handlers run.
//
// A flag that stays set makes its handlers run in every hook, not only in the
// one that set it. A handler whose work is to be done once clears a flag, or
// waits for the absence of one that it sets, like "install the wiki" above.
//
// All that handlers change - flags, data, databags, statuses, ports - is held in
// memory, and written at the end of a hook that went well. A hook that fails, is
// killed, or panics leaves nothing behind, and Juju runs it again.
//
// # Relations
//
// An [Endpoint] has a flag for units that joined, one for units that departed,
// and flags for data that changed, one for each key. Interfaces are built on it:
// [Requester] and [Responder] for requests that get responses, and the packages
// below endpoints for interfaces that exist in the world.
//
// # On a unit
//
// The charm's binary is also its command line: "dispatch explain HANDLER" says
// why a handler ran in the last hook or did not, "dispatch trace" shows what
// happened, "dispatch help" lists the rest. "juju debug-code --at HANDLER" stops
// hooks before a handler, to look around and go on step by step.
//
// The semantics are those of charms.reactive 1.5.3, held against recordings of
// it; docs/reference/deviations.md lists where they differ and why.
package reactive
