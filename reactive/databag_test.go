package reactive_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

// What is deleted from a databag is gone for the remote side, too, and what can
// only be read cannot be deleted from.
func TestDeletedIsGone(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{Seed: 1})
	site := jujusim.Charm{
		Files: files("name: site\nsummary: s\ndescription: d\nprovides: {site: {interface: kv}}\n"),
		Run: reactive.Program(func() *reactive.Charm {
			c := reactive.New("site")
			ep := c.Endpoint("site", charmfile.Provider, "kv")
			c.HandleEvery("publish", func(ctx context.Context, h *reactive.Hook) error {
				for rel := range ep.Relations().Values() {
					bag, err := rel.ToPublish(ctx)
					if err != nil {
						return err
					}
					if h.Event().Hook == "update-status" {
						_, err = bag.Delete("password")
					} else {
						err = errors.Join(bag.Set("password", "hunter2"), bag.Set("port", 80))
					}
					if err != nil {
						return err
					}
					for u := range rel.Units().Values() {
						bag, err := u.Received(ctx)
						if err != nil {
							return err
						}
						if _, err := bag.Delete("ingress-address"); !errors.Is(err, reactive.ErrReadOnly) {
							t.Errorf("deleting from another's databag gives %v", err)
						}
					}
				}
				return nil
			})
			return c
		}),
	}
	must(t, m.Deploy("site", site, jujusim.DeployOptions{}))
	must(t, m.Deploy("quiet", quiet, jujusim.DeployOptions{}))
	_, err := m.Relate("site:site", "quiet:db")
	must(t, err)
	must(t, m.Settle(t.Context()))
	published := func() (bag map[string]string) {
		m.View(func(data *model.Model) { bag = maps.Clone(data.Relations[0].Data["site/0"]) })
		return bag
	}
	if got := published(); got["password"] != `"hunter2"` || got["port"] != "80" {
		t.Fatalf("published is %q", got)
	}
	must(t, m.UpdateStatus("site/0"))
	must(t, m.Settle(t.Context()))
	got := published()
	if _, there := got["password"]; there || got["port"] != "80" {
		t.Errorf("published is %q", got)
	}
}
