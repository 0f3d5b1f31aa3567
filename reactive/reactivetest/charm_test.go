package reactivetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing/fstest"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

const metadata = `
name: web
summary: A charm for tests.
description: A charm for tests.
requires:
  db: {interface: pgsql}
  one: {interface: pgsql, limit: 1}
provides:
  site: {interface: http}
  beside: {interface: beside, scope: container}
peers: {cluster: {interface: cluster}}
storage: {data: {type: filesystem, multiple: {range: 0-2}}, disk: {type: block}}
resources: {binary: {type: file, filename: binary}}
containers: {app: {bases: [{name: ubuntu, channel: "24.04"}]}}
config:
  options:
    port: {type: int, default: 80}
    title: {type: string}
actions:
  add: {description: Adds., params: {a: {type: integer}, b: {type: integer, default: 2}}, required: [a]}
  break: {description: Breaks.}
`

// web is the charm under test.
var web = reactivetest.Charm{New: newWeb, Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(metadata)}}}

func newWeb() *reactive.Charm {
	c := reactive.New("web")
	db := c.Endpoint("db", charmfile.Requirer, "pgsql")
	site := c.Endpoint("site", charmfile.Provider, "http")
	cluster := c.Endpoint("cluster", charmfile.Peer, "cluster")
	installed := c.Flag("web.installed")
	c.HandleHook("install", "install", func(_ context.Context, h *reactive.Hook) error {
		h.Set(installed)
		h.SetStatus(reactive.WaitingStatus("for the start"))
		return nil
	})
	c.Handle("follow configuration", flags.When(c.ConfigChanged("port")), func(ctx context.Context, h *reactive.Hook) error {
		config, err := h.Config(ctx)
		if err != nil {
			return err
		}
		if fmt.Sprint(config["port"]) == "13" {
			return errors.New("13 brings bad luck")
		}
		h.Log().InfoContext(ctx, "the port is set", "port", config["port"])
		h.SetStatus(reactive.Active(fmt.Sprintf("port %v", config["port"])))
		return h.Tools().OpenPorts(ctx, hooktool.PortRange{From: 80})
	})
	c.Handle("publish", flags.When(site.Joined()), func(ctx context.Context, h *reactive.Hook) error {
		for rel := range site.Relations().Values() {
			bag, err := rel.ToPublish(ctx)
			if err != nil {
				return err
			}
			if err := bag.SetRaw("url", "http://here/"); err != nil {
				return err
			}
		}
		return nil
	})
	c.Handle("use the database", flags.WhenAny(db.Changed(), db.Departed()), func(ctx context.Context, h *reactive.Hook) error {
		h.Clear(db.Changed())
		h.Clear(db.Departed())
		db.DepartedUnits().Clear()
		return h.Data().Set("web.databases", db.Units().Len())
	})
	c.HandleLeader("lead", flags.When(cluster.Joined()), func(ctx context.Context, l *reactive.Leader) error {
		for rel := range cluster.Relations().Values() {
			bag, err := rel.ToPublishApp(ctx, l)
			if err != nil {
				return err
			}
			if err := bag.SetRaw("leader", l.Unit()); err != nil {
				return err
			}
		}
		return nil
	})
	c.HandleHook("keep a password", "leader-elected", func(ctx context.Context, h *reactive.Hook) error {
		_, err := h.Tools().SecretAdd(ctx, hooktool.Secret{Label: "admin", Content: map[string]string{"password": "hush-hush"}})
		return err
	})
	c.HandleHook("restless", "update-status", func(ctx context.Context, h *reactive.Hook) error {
		var n int
		if _, err := h.Data().Get("web.updates", &n); err != nil {
			return err
		}
		if _, err := os.ReadFile(h.Path("charmcraft.yaml")); err != nil {
			return err
		}
		return h.Data().Set("web.updates", n+1)
	})
	reactive.HandleAction(c, "add", func(_ context.Context, _ *reactive.Hook, p struct{ A, B int }) (map[string]int, error) {
		return map[string]int{"sum": p.A + p.B}, nil
	})
	reactive.HandleAction(c, "break", func(ctx context.Context, h *reactive.Hook, _ struct{}) (map[string]int, error) {
		return nil, errors.Join(h.ActionLog(ctx, "about to break"), errors.New("out of paper"))
	})
	return c
}
