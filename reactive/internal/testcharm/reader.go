package testcharm

import (
	"context"
	"fmt"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// NewReader returns a charm that uses the data of the unit that changed.
func NewReader() *reactive.Charm {
	c := reactive.New("app")
	db := c.Endpoint("db", charmfile.Requirer, "kv")
	c.Handle("use the unit", flags.When(db.Changed("host")), func(ctx context.Context, h *reactive.Hook) error {
		h.Clear(db.Changed())
		for _, key := range []string{"host", "port", "name"} {
			h.Clear(db.Changed(key))
		}
		rel, _ := db.Relations().Get(h.Event().Relation)
		unit, ok := rel.Units().Get(h.Event().RemoteUnit)
		if !ok {
			return fmt.Errorf("%s is not in %s", h.Event().RemoteUnit, rel.ID())
		}
		bag, err := unit.Received(ctx)
		if err != nil {
			return err
		}
		return h.Data().Set("app.host", bag.Value("host"))
	})
	return c
}
