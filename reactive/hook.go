package reactive

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"time"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
)

// A Hook is what a handler works with: the event that Juju started the charm
// for, the unit's flags and data, and Juju's hook tools.
//
// What a handler changes through it is held in memory and written at the end of
// the hook, if the hook goes well; Juju then commits it all in one transaction.
// Only what Juju itself does at once is said to be so.
//
// A Hook is valid until the hook ends, and not safe for concurrent use.
type Hook struct{ run *run }

// A Leader is a Hook of the unit that leads its application. Only with it can
// be written what belongs to the application, so work of a follower that does
// so does not compile. A handler gets one through [Charm.HandleLeader], or asks
// for one with [Hook.Leader].
type Leader struct{ *Hook }

// Event returns what Juju started the charm for.
func (h *Hook) Event() Event { return h.run.event }

// Unit returns the name of the local unit, such as "web/0".
func (h *Hook) Unit() string { return h.run.unit }

// Application returns the name of the local application, such as "web".
func (h *Hook) Application() string { return applicationOf(h.run.unit) }

// Model returns the name and the UUID of the Juju model.
func (h *Hook) Model() (name, uuid string) {
	return h.run.process.Getenv("JUJU_MODEL_NAME"), h.run.process.Getenv("JUJU_MODEL_UUID")
}

// JujuVersion returns the version of the unit agent, such as "3.6.28".
func (h *Hook) JujuVersion() string { return h.run.process.Getenv("JUJU_VERSION") }

// CharmDir returns the charm directory.
func (h *Hook) CharmDir() string { return h.run.process.Dir }

// Path returns the path of a file in the charm directory; an absolute path
// stays as it is.
func (h *Hook) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(h.run.process.Dir, name)
}

// Tools returns the hook tools, for what the framework has no words for. What
// is written through them is not held back until the end of the hook.
func (h *Hook) Tools() *hooktool.Client { return h.run.tools }

// Log returns a logger that writes to Juju's log.
func (h *Hook) Log() *slog.Logger { return h.run.log }

// Set sets a flag; see [flags.Set.Set].
func (h *Hook) Set(f flags.Flag) { h.run.set.Set(f) }

// Clear clears a flag; see [flags.Set.Clear].
func (h *Hook) Clear(f flags.Flag) { h.run.set.Clear(f) }

// Toggle sets a flag if on is true and clears it otherwise.
func (h *Hook) Toggle(f flags.Flag, on bool) { h.run.set.Toggle(f, on) }

// IsSet reports whether a flag is set.
func (h *Hook) IsSet(f flags.Flag) bool { return h.run.set.IsSet(f) }

// Flags returns the unit's flags, for questions about many of them.
func (h *Hook) Flags() *flags.Set { return h.run.set }

// Trigger adds a trigger until the end of the hook; see [flags.Trigger].
func (h *Hook) Trigger(t flags.Trigger) { h.run.set.AddTrigger(t) }

// Matches reports whether the current hook matches one of patterns; see
// [ExpandHookPattern].
func (h *Hook) Matches(patterns ...string) (bool, error) { return h.run.matches(patterns) }

// Leader returns the capability of the application's leader, or nil if the unit
// does not lead it. Juju guarantees at least 30 seconds of leadership from the
// moment it says so.
func (h *Hook) Leader(ctx context.Context) (*Leader, error) {
	leader, err := h.run.isLeader(ctx)
	if err != nil || !leader {
		return nil, err
	}
	return &Leader{h}, nil
}

// Config returns the charm's configuration: string, bool, [json.Number], or nil
// by option. It is read once in a hook.
func (h *Hook) Config(ctx context.Context) (map[string]any, error) {
	config, err := h.run.configuration(ctx)
	return maps.Clone(config), err
}

func (r *run) configuration(ctx context.Context) (map[string]any, error) {
	if r.config == nil {
		config, err := r.tools.Config(ctx)
		if err != nil {
			return nil, err
		}
		if config == nil {
			config = map[string]any{}
		}
		r.config = config
	}
	return r.config, nil
}

// leaderFor is how long an answer that the unit leads is relied on. Juju
// guarantees 30 seconds from the moment it is asked.
const leaderFor = 15 * time.Second

// isLeader asks Juju, until it once said no: a unit that lost the leadership
// does not get it back within a hook.
func (r *run) isLeader(ctx context.Context) (bool, error) {
	if r.deposed || time.Since(r.ledAt) < leaderFor {
		return !r.deposed, nil
	}
	now := time.Now()
	leader, err := r.tools.IsLeader(ctx)
	if err != nil {
		return false, err
	}
	if r.deposed = !leader; leader {
		r.ledAt = now
	}
	r.record.record.Leader = &leader
	return leader, nil
}

// ErrStop returned from a handler ends the hook well: no further handler runs, and
// what the hook did so far is kept.
var ErrStop = errors.New("stop the hook")
