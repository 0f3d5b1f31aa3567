// Package testcharm is a charm that uses much of package reactive, to be run
// both in a test's process and as a compiled dispatch.
package testcharm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// Metadata is the charm's charmcraft.yaml.
const Metadata = `
name: app
summary: A charm for tests.
description: A charm for tests.
requires: {db: {interface: kv}}
provides: {site: {interface: kv}}
peers: {cluster: {interface: kv}}
config:
  options:
    title: {type: string, default: none}
    fail: {type: string, default: ""}
    sleep: {type: string, default: ""}
actions:
  add: {description: Adds., params: {a: {type: integer, default: 1}, b: {type: integer}}, required: [b]}
  break: {description: Fails.}
`

type charm struct {
	started       flags.Flag
	db, site, own *reactive.Endpoint
}

// New returns the charm.
func New() *reactive.Charm {
	c := reactive.New("app")
	t := &charm{
		started: c.Flag("app.started"),
		db:      c.Endpoint("db", charmfile.Requirer, "kv"),
		site:    c.Endpoint("site", charmfile.Provider, "kv"),
		own:     c.Endpoint("cluster", charmfile.Peer, "kv"),
	}
	c.Trigger(flags.Trigger{When: t.db.Departed(), Set: []flags.Flag{flags.New("app.lost")}})
	c.HandleHook("start", "start", t.start)
	c.Handle("follow configuration", flags.When(c.ConfigChanged()), t.configure)
	c.HandleOnce("only once", flags.When(t.started), t.once)
	c.Handle("use the databases", flags.WhenAny(t.db.Changed(), t.db.Departed()), t.use)
	c.Handle("offer the site", flags.When(t.started, t.site.Joined()), t.offer)
	c.HandleLeader("lead", flags.When(t.started, t.own.Joined()), t.lead)
	reactive.HandleAction(c, "add", t.add)
	reactive.HandleAction(c, "break", func(context.Context, *reactive.Hook, struct{}) (map[string]string, error) {
		return map[string]string{"detail": "kept"}, errors.New("out of paper")
	})
	return c
}

func (t *charm) start(_ context.Context, h *reactive.Hook) error {
	h.Set(t.started)
	h.SetStatus(reactive.Active("started"))
	return nil
}

func (t *charm) configure(ctx context.Context, h *reactive.Hook) error {
	config, err := h.Config(ctx)
	if err != nil {
		return err
	}
	switch config["fail"] {
	case "error":
		h.Set(flags.New("app.half-done"))
		return errors.New("told to fail")
	case "panic":
		panic("told to panic")
	case "blocked":
		return reactive.Blocked("told to block")
	}
	if path, _ := config["sleep"].(string); path != "" {
		if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Minute):
			return errors.New("nobody came")
		}
	}
	h.SetStatus(reactive.Active(fmt.Sprintf("title is %v", config["title"])))
	return nil
}

func (t *charm) once(_ context.Context, h *reactive.Hook) error {
	var n int
	if _, err := h.Data().Get("app.once", &n); err != nil {
		return err
	}
	return h.Data().Set("app.once", n+1)
}

func (t *charm) use(ctx context.Context, h *reactive.Hook) error {
	var known []string
	for u := range t.db.Units().Values() {
		bag, err := u.Received(ctx)
		if err != nil {
			return err
		}
		known = append(known, fmt.Sprintf("%s=%v", u.Name(), bag.Value("title")))
	}
	for u := range t.db.DepartedUnits().Values() {
		bag, err := u.Received(ctx)
		if err != nil {
			return err
		}
		known = append(known, fmt.Sprintf("-%s=%v", u.Name(), bag.Value("title")))
	}
	t.db.DepartedUnits().Clear()
	for _, f := range h.Flags().List() {
		if f != t.db.Joined() && f != t.db.Departed() && len(f.String()) > len("endpoint.db.") && f.String()[:len("endpoint.db.")] == "endpoint.db." {
			h.Clear(f)
		}
	}
	return h.Data().Set("app.databases", known)
}

func (t *charm) offer(ctx context.Context, h *reactive.Hook) error {
	config, err := h.Config(ctx)
	if err != nil {
		return err
	}
	for rel := range t.site.Relations().Values() {
		bag, err := rel.ToPublish(ctx)
		if err != nil {
			return err
		}
		if err := bag.Set("title", config["title"]); err != nil {
			return err
		}
	}
	return nil
}

func (t *charm) lead(ctx context.Context, l *reactive.Leader) error {
	for rel := range t.own.Relations().Values() {
		bag, err := rel.ToPublishApp(ctx, l)
		if err != nil {
			return err
		}
		if err := bag.Set("leader", l.Unit()); err != nil {
			return err
		}
	}
	return nil
}

func (t *charm) add(_ context.Context, _ *reactive.Hook, params struct{ A, B int }) (map[string]any, error) {
	return map[string]any{"sum": params.A + params.B, "of": map[string]int{"a": params.A, "b": params.B}}, nil
}
