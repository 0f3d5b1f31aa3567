package reactive_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// A flag that is kept only for who asks for it would seem not to be set to who
// asks in a hook.
func TestFlagFirstAskedForInAHook(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*reactive.Charm) flags.Flag{
		"config.changed":       func(c *reactive.Charm) flags.Flag { return c.ConfigChanged("port") },
		"config.set.port":      func(c *reactive.Charm) flags.Flag { return c.ConfigSet("port") },
		"config.default.port":  func(c *reactive.Charm) flags.Flag { return c.ConfigDefault("port") },
		"leadership.is_leader": (*reactive.Charm).IsLeader,
		"upgrade.charm":        (*reactive.Charm).Upgraded,
		"secret.changed":       func(c *reactive.Charm) flags.Flag { return c.SecretChanged() },
	} {
		for _, before := range []bool{true, false} {
			charm := reactivetest.Charm{
				Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte("name: app\nsummary: s\ndescription: d\nconfig: {options: {port: {type: int}}}\n")}},
				New: func() *reactive.Charm {
					c := reactive.New("app")
					if before {
						ask(c)
					}
					c.HandleEvery("look", func(_ context.Context, h *reactive.Hook) error {
						h.IsSet(ask(c))
						return nil
					})
					return c
				},
			}
			result, err := charm.Run(t.Context(), reactivetest.State{}, reactivetest.Start())
			switch {
			case err != nil:
				t.Fatal(err)
			case before && result.Err != nil:
				t.Errorf("%s, asked for before, gives %v", name, result.Err)
			case !before && (result.Err == nil || !strings.Contains(result.Err.Error(), "the flag "+name+" is first asked for in a hook") ||
				!strings.Contains(result.Err.Error(), "kept_test.go:")):
				t.Errorf("%s gives %v", name, result.Err)
			}
		}
	}
}
