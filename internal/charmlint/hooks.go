package charmlint

import (
	"slices"
	"strings"

	"github.com/charmed-go/charms/charmfile"
)

// plainHooks are the hooks that one of Juju 2.9 to 4 runs, whatever a charm
// declares. leader-deposed is not among them: no Juju has ever run it.
var plainHooks = []string{
	"install", "start", "stop", "remove", "config-changed", "update-status", "upgrade-charm",
	"leader-elected", "leader-settings-changed", "pre-series-upgrade", "post-series-upgrade",
	"collect-metrics", "meter-status-changed", "secret-changed", "secret-expired", "secret-remove", "secret-rotate",
}

// hooks finds handlers that wait for a hook by a name that no hook has.
func (c *check) hooks() {
	for _, h := range c.graph.Handlers {
		for _, on := range h.On {
			if on.Kind != "hook" {
				continue
			}
			if len(on.Hooks) == 0 {
				c.add(HookUnknown, h.Place, "handler %q waits for the %s, and %s has no such endpoint", h.Name, on.Text, c.described())
			}
			for _, name := range on.Hooks {
				if !c.isHook(name) {
					c.add(HookUnknown, h.Place, "handler %q waits for the hook %s, which Juju never runs for this charm", h.Name, name)
				}
			}
		}
	}
}

func (c *check) isHook(name string) bool {
	if slices.Contains(plainHooks, name) {
		return true
	}
	for _, kind := range []struct {
		part     string
		events   []string
		declared func(string) bool
	}{
		{"-relation-", []string{"created", "joined", "changed", "departed", "broken"}, func(name string) bool {
			_, ok := c.file.Endpoint(name)
			return ok || name == "juju-info" // which every application provides
		}},
		{"-storage-", []string{"attached", "detaching"}, func(name string) bool {
			return slices.ContainsFunc(c.file.Storage, func(s charmfile.Storage) bool { return s.Name == name })
		}},
		{"-pebble-", []string{"ready", "custom-notice", "check-failed", "check-recovered"}, func(name string) bool {
			_, ok := c.file.Container(name)
			return ok
		}},
	} {
		if i := strings.LastIndex(name, kind.part); i > 0 && slices.Contains(kind.events, name[i+len(kind.part):]) && kind.declared(name[:i]) {
			return true
		}
	}
	return false
}
