package reactive_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

// wiki charms a wiki that needs a database. It is the charm of the package's
// tour.
type wiki struct {
	installed flags.Flag
	db        *reactive.Endpoint
}

// New puts the charm together, anew for every hook.
func New() *reactive.Charm {
	charm := reactive.New("wiki")
	w := &wiki{
		installed: charm.Flag("wiki.installed"),
		db:        charm.Endpoint("db", charmfile.Requirer, "mysql"),
	}
	charm.Handle("install the wiki", flags.Unless(w.installed), w.install)
	charm.Handle("wait for a database", flags.When(w.installed).Unless(w.db.Joined()), w.wait)
	charm.Handle("configure the wiki", flags.When(w.installed, w.db.Joined()).WhenAny(
		w.db.Changed("host"), charm.ConfigChanged("title")), w.configure)
	reactive.HandleAction(charm, "backup", w.backup)
	return charm
}

// install runs once: it sets the flag that it waits not to be set.
func (w *wiki) install(ctx context.Context, h *reactive.Hook) error {
	if err := h.Progress(ctx, "installing the wiki"); err != nil {
		return err
	}
	h.Set(w.installed)
	return nil
}

func (w *wiki) wait(context.Context, *reactive.Hook) error {
	return reactive.Waiting("for a database")
}

// configure runs when the database or the title changed.
func (w *wiki) configure(ctx context.Context, h *reactive.Hook) error {
	settings, err := reactive.DecodeConfig[struct {
		Title string `json:"title"`
	}](ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	data, err := w.db.Received(ctx)
	if err != nil {
		return err
	}
	host, ok := data.Value("host").(string)
	if !ok {
		return reactive.Waiting("for the database's address")
	}
	h.Clear(w.db.Changed("host"))
	h.SetStatus(reactive.Active(fmt.Sprintf("%q with the database at %s", settings.Title, host)))
	return nil
}

// backup is an action with typed parameters and results.
func (w *wiki) backup(_ context.Context, _ *reactive.Hook, params struct {
	Path string `json:"path"`
}) (map[string]string, error) {
	return map[string]string{"file": params.Path + "/wiki.tar"}, nil
}

// database is the charm on the other side: it publishes its address.
func database() *reactive.Charm {
	charm := reactive.New("database")
	ep := charm.Endpoint("db", charmfile.Provider, "mysql")
	charm.Handle("publish the address", flags.When(ep.Joined()), func(ctx context.Context, _ *reactive.Hook) error {
		for rel := range ep.Relations().Values() {
			bag, err := rel.ToPublish(ctx)
			if err != nil {
				return err
			}
			if err := bag.Set("host", "10.0.0.7"); err != nil {
				return err
			}
		}
		return nil
	})
	return charm
}

func files(text string) fstest.MapFS {
	return fstest.MapFS{"charmcraft.yaml": &fstest.MapFile{Data: []byte(text)}}
}

var wikiCharm = jujusim.Charm{Run: reactive.Program(New), Files: files(`
name: wiki
summary: A wiki.
description: A wiki that needs a database.
requires: {db: {interface: mysql}}
config: {options: {title: {type: string, default: Notes}}}
actions: {backup: {description: Make a backup., params: {path: {type: string, default: /srv}}}}
`)}

var databaseCharm = jujusim.Charm{Run: reactive.Program(database), Files: files(`
name: database
summary: A database.
description: A database.
provides: {db: {interface: mysql}}
`)}

// The whole of a charm, run in a simulated Juju: it waits for its database,
// follows its configuration and answers an action.
func Example() {
	ctx := context.Background()
	juju, err := jujusim.New(jujusim.Options{})
	check(err)
	defer juju.Close()
	show := func() {
		unit, _ := juju.Status().Unit("wiki/0")
		fmt.Printf("%s: %s\n", unit.Workload, unit.Message)
	}

	check(juju.Deploy("wiki", wikiCharm, jujusim.DeployOptions{}))
	check(juju.Settle(ctx))
	show()

	check(juju.Deploy("database", databaseCharm, jujusim.DeployOptions{}))
	_, err = juju.Relate("wiki:db", "database:db")
	check(err)
	check(juju.Settle(ctx))
	show()

	check(juju.Configure("wiki", map[string]any{"title": "Recipes"}))
	check(juju.Settle(ctx))
	show()

	result, err := juju.RunAction(ctx, "wiki/0", "backup", nil)
	check(err)
	fmt.Println(result.Results["file"])

	// Output:
	// waiting: for a database
	// active: "Notes" with the database at 10.0.0.7
	// active: "Recipes" with the database at 10.0.0.7
	// /srv/wiki.tar
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
