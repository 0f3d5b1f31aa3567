package reactive_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

var jujuVersions = []string{"3.6.28", "4.0.15"}

const vaultMetadata = `
name: vault
summary: A charm that owns secrets.
description: It uses what Juju has besides relations.
provides: {access: {interface: vault}}
peers: {cluster: {interface: cluster}}
storage: {data: {type: filesystem, multiple: {range: 0-3}}}
resources: {binary: {type: file, filename: binary}}
extra-bindings: {admin: null}
config: {options: {password: {type: string, default: first}, ports: {type: string, default: 80/tcp}}}
`

// newVault returns a charm that owns a secret, has storage, a resource and ports.
func newVault() *reactive.Charm {
	c := reactive.New("vault")
	access := c.Endpoint("access", charmfile.Provider, "vault")
	cluster := c.Endpoint("cluster", charmfile.Peer, "cluster")
	settings := c.LeadershipSettings(cluster)
	data, binary := c.Storage("data"), c.Resource("binary")
	c.HandleLeader("keep the password", flags.When(c.ConfigChanged()), func(ctx context.Context, l *reactive.Leader) error {
		config, err := l.Config(ctx)
		if err != nil {
			return err
		}
		_, err = l.SetSecret(ctx, hooktool.Secret{
			Label: "password", Description: "to get in", Rotate: hooktool.RotateDaily,
			Content: map[string]string{"password": config["password"].(string)},
		})
		settings.Set(l, map[string]string{"password-is": config["password"].(string) + "-like"})
		return err
	})
	c.HandleLeader("rotate", flags.When(c.SecretRotate("password")), func(ctx context.Context, l *reactive.Leader) error {
		s, err := l.Secret(ctx, "password")
		if err != nil {
			return err
		}
		was, err := s.Content(ctx)
		if err != nil {
			return err
		}
		_, err = l.SetSecret(ctx, hooktool.Secret{Label: "password", Content: map[string]string{"password": was["password"] + "-rotated"}})
		return err
	})
	c.HandleLeader("clean up", flags.WhenAny(c.SecretRemovable("password"), c.SecretExpired("password")), func(ctx context.Context, l *reactive.Leader) error {
		s, err := l.Secret(ctx, "password")
		if err != nil {
			return err
		}
		var revision int
		if _, err := fmt.Sscan(l.Event().SecretRevision, &revision); err != nil {
			return err
		}
		return s.RemoveRevision(revision)
	})
	c.HandleLeader("give access", flags.When(access.Joined()), func(ctx context.Context, l *reactive.Leader) error {
		s, err := l.Secret(ctx, "password")
		if err != nil || s == nil {
			return err
		}
		for rel := range access.Relations().Values() {
			if err := s.Grant(ctx, rel); err != nil {
				return err
			}
			bag, err := rel.ToPublishApp(ctx, l)
			if err != nil {
				return err
			}
			if err := bag.Set("secret", s.URI().String()); err != nil {
				return err
			}
		}
		return nil
	})
	c.Handle("declare ports", flags.When(c.ConfigChanged("ports")), func(ctx context.Context, h *reactive.Hook) error {
		config, err := h.Config(ctx)
		if err != nil {
			return err
		}
		var ranges []hooktool.PortRange
		for _, text := range strings.Split(config["ports"].(string), ";") {
			if text == "" {
				continue
			}
			p, err := hooktool.ParsePortRange(text)
			if err != nil {
				return err
			}
			ranges = append(ranges, p)
		}
		h.SetPorts(ranges...)
		return nil
	})
	c.HandleEvery("look around", func(ctx context.Context, h *reactive.Hook) error {
		var seen []string
		if h.IsSet(binary.Available()) {
			path, err := binary.Path(ctx)
			if err != nil {
				return err
			}
			seen = append(seen, "binary "+path)
		}
		instances, err := data.Instances(ctx)
		if err != nil {
			return err
		}
		for _, i := range instances {
			seen = append(seen, i.Kind+" "+i.ID)
		}
		if h.IsSet(data.Detaching()) {
			seen = append(seen, "detaching "+h.Event().Storage)
		}
		seen = append(seen, fmt.Sprint("attached ", h.IsSet(data.Attached())), "setting "+settings.Get("password-is"))
		if h.IsSet(settings.Changed("password-is")) {
			if err := h.Data().Set("vault.changed-in", h.Event().String()); err != nil {
				return err
			}
		}
		return h.Data().Set("vault.seen", strings.Join(seen, ", "))
	})
	return c
}

const clientMetadata = `
name: client
summary: A charm that reads a secret.
description: It reads a secret.
requires: {vault: {interface: vault}}
`

// newClient returns a charm that reads the secret of the vault.
func newClient() *reactive.Charm {
	c := reactive.New("client")
	vault := c.Endpoint("vault", charmfile.Requirer, "vault")
	read := func(ctx context.Context, h *reactive.Hook, q hooktool.SecretQuery) error {
		content, err := h.ReadSecret(ctx, q)
		if err != nil {
			return err
		}
		return h.Data().Set("client.password", content["password"])
	}
	c.HandleHook("read", "vault-relation-changed", func(ctx context.Context, h *reactive.Hook) error {
		bag, err := vault.Relations().At(0).ReceivedApp(ctx)
		if err != nil || !bag.Has("secret") {
			return err
		}
		var text string
		if _, err := bag.Get("secret", &text); err != nil {
			return err
		}
		uri, err := hooktool.ParseSecretURI(text)
		if err != nil {
			return err
		}
		return read(ctx, h, hooktool.SecretQuery{URI: uri, Label: "vault"})
	})
	c.Handle("read again", flags.When(c.SecretChanged("vault")), func(ctx context.Context, h *reactive.Hook) error {
		return read(ctx, h, hooktool.SecretQuery{Label: "vault", Refresh: true})
	})
	return c
}

var (
	vault  = jujusim.Charm{Run: reactive.Program(newVault), Files: files(vaultMetadata)}
	client = jujusim.Charm{Run: reactive.Program(newClient), Files: files(clientMetadata)}

	vaultUnderTest = reactivetest.Charm{New: newVault, Files: files(vaultMetadata)}
)

// writesNothing checks that units that have nothing to do write nothing.
func writesNothing(t *testing.T, m *jujusim.Model) {
	t.Helper()
	before := len(m.History())
	must(t, m.UpdateStatus())
	must(t, m.Settle(t.Context()))
	for _, d := range m.History()[before:] {
		for _, c := range d.Calls {
			if (reactivetest.Call{Tool: c.Tool}).Writes() {
				t.Errorf("%s of %s writes: %s %q", d.At, d.Unit, c.Tool, c.Args)
			}
		}
	}
}

// A hook that ends early leaves it to the next one that a secret is to be rotated,
// but not which revision expired or which storage went: only its own hook knows.
func TestEventsThatAreToldAgain(t *testing.T) {
	t.Parallel()
	charm := reactivetest.Charm{Files: files(vaultMetadata), New: func() *reactive.Charm {
		c := reactive.New("vault")
		data := c.Storage("data")
		c.HandleHook("block", "{secret-rotate,secret-expired,secret-remove,data-storage-detaching}", func(context.Context, *reactive.Hook) error {
			return reactive.Blocked("not now")
		})
		c.Handle("see", flags.WhenAny(c.SecretRotate(), c.SecretExpired(), c.SecretRemovable(), data.Detaching()), nothing)
		return c
	}}
	secret := reactivetest.Secret{
		Owner: hooktool.OwnerUnit, Label: "s", Rotate: hooktool.RotateDaily, Expire: time.Now().Add(time.Hour),
		Revisions: map[int]map[string]string{1: {"key": "a"}, 2: {"key": "b"}},
	}
	s := reactivetest.State{Secrets: []reactivetest.Secret{secret}, Storage: []reactivetest.Storage{{ID: "data/0"}}}
	for e, again := range map[string]bool{"secret-rotate": true, "secret-expired": false, "secret-remove": false, "data-storage-detaching": false} {
		event := map[string]reactivetest.Event{
			"secret-rotate": reactivetest.SecretRotate(secret), "secret-expired": reactivetest.SecretExpired(secret, 1),
			"secret-remove": reactivetest.SecretRemove(secret, 1), "data-storage-detaching": reactivetest.StorageDetaching("data/0"),
		}[e]
		r := reactivetest.Run(t, charm, s, event)
		if r.Ran("see") {
			t.Errorf("%s: the hook did not end early", e)
		}
		if r = reactivetest.Run(t, charm, r.State, reactivetest.UpdateStatus()); r.Ran("see") != again {
			t.Errorf("%s: the next hook saw it: %v, want %v", e, r.Ran("see"), again)
		}
	}
}

func TestStorageStory(t *testing.T) {
	t.Parallel()
	for _, version := range jujuVersions {
		data := reactivetest.Storage{ID: "data/0"}
		other := reactivetest.Storage{ID: "data/3"}
		s := reactivetest.State{JujuVersion: version, Storage: []reactivetest.Storage{data}}
		r := reactivetest.Run(t, vaultUnderTest, s, reactivetest.StorageAttached("data/0"))
		if got := r.State.Data["vault.seen"]; got != "filesystem data/0, attached true, setting " {
			t.Errorf("%s: after -attached the unit sees %v", version, got)
		}
		r.State.Storage = append(r.State.Storage, other)
		r = reactivetest.Run(t, vaultUnderTest, r.State, reactivetest.StorageDetaching("data/0"))
		if got := r.State.Data["vault.seen"]; got != "filesystem data/3, detaching data/0, attached true, setting " {
			t.Errorf("%s: in -detaching the unit sees %v", version, got)
		}
		r = reactivetest.Run(t, vaultUnderTest, r.State, reactivetest.StorageDetaching("data/3"))
		if got := r.State.Data["vault.seen"]; got != "detaching data/3, attached false, setting " {
			t.Errorf("%s: in the last -detaching the unit sees %v", version, got)
		}
		if r.IsSet(flags.New("storage.data.detaching")) || r.IsSet(flags.New("storage.data.attached")) {
			t.Errorf("%s: flags are %q", version, r.State.Flags)
		}
	}
}

// What a unit has of Juju, from its deployment on; a hook that is killed when
// all is done leaves nothing, and does it all when it runs again.
func TestUnitStory(t *testing.T) {
	t.Parallel()
	const metadata = `
name: unit
summary: A charm that uses storage, a resource and ports.
description: It also owns a secret.
provides: {access: {interface: vault}}
storage: {data: {type: filesystem, multiple: {range: 1-3}}}
resources: {binary: {type: file, filename: binary}}
config: {options: {port: {type: int, default: 80}, disks: {type: int, default: 1}}}
`
	newUnit := func() *reactive.Charm {
		c := reactive.New("unit")
		data := c.Storage("data")
		c.Resource("binary")
		detached := flags.New("unit.detached")
		c.Trigger(flags.Trigger{When: data.Detaching(), Set: []flags.Flag{detached}})
		c.Handle("follow configuration", flags.When(c.ConfigChanged()), func(ctx context.Context, h *reactive.Hook) error {
			config, err := reactive.DecodeConfig[struct{ Port, Disks int }](ctx, h)
			if err != nil {
				return err
			}
			h.SetPorts(hooktool.PortRange{From: config.Port})
			if more := config.Disks - len(data.IDs()); more > 0 {
				data.Add(h, more)
			}
			_, err = h.SetUnitSecret(ctx, hooktool.Secret{Label: "port", Content: map[string]string{"port": fmt.Sprint(config.Port)}})
			return err
		})
		return c
	}
	charm := jujusim.Charm{Run: reactive.Program(newUnit), Files: files(metadata)}
	for _, version := range jujuVersions {
		m := newModel(t, jujusim.Options{Version: version})
		must(t, m.Deploy("unit", charm, jujusim.DeployOptions{Resources: map[string]string{"binary": "/res/binary"}}))
		must(t, m.Settle(t.Context()))
		if got := strings.Join(unitFlags(t, m, "unit/0"), " "); got != "resource.binary.available storage.data.attached" {
			t.Errorf("%s: the flags are %s", version, got)
		}
		m.KillAt(jujusim.Point{Unit: "unit/0", At: "config-changed"})
		must(t, m.Configure("unit", map[string]any{"port": 443, "disks": 3}))
		must(t, m.Settle(t.Context()))
		var got string
		m.View(func(data *model.Model) {
			u := data.Unit("unit/0")
			got = fmt.Sprint(u.OpenPorts(), len(u.Storage), len(data.Secrets))
			for _, s := range data.Secrets {
				got += fmt.Sprint(" ", s.Latest, s.Revisions[s.Latest])
			}
		})
		if got != "[443/tcp] 3 1 2 map[port:443]" {
			t.Errorf("%s: ports, storage and secrets are %s", version, got)
		}
		if !slices.ContainsFunc(m.History(), func(d *jujusim.Dispatch) bool { return d.Outcome == jujusim.Killed }) {
			t.Errorf("%s: no hook was killed", version)
		}
		for _, id := range []string{"data/0", "data/1", "data/2"} {
			must(t, m.DetachStorage("unit/0", id))
			must(t, m.Settle(t.Context()))
		}
		if got := strings.Join(unitFlags(t, m, "unit/0"), " "); got != "resource.binary.available unit.detached" {
			t.Errorf("%s: without storage the flags are %s", version, got)
		}
		writesNothing(t, m)
	}
}

func TestStorageAdd(t *testing.T) {
	t.Parallel()
	charm := reactivetest.Charm{Files: files(vaultMetadata), New: func() *reactive.Charm {
		c := reactive.New("vault")
		data := c.Storage("data")
		c.HandleHook("ask", "start", func(_ context.Context, h *reactive.Hook) error {
			data.Add(h, 1)
			data.Add(h, 1)
			return nil
		})
		return c
	}}
	r := reactivetest.Run(t, charm, reactivetest.State{}, reactivetest.Start())
	if !maps.Equal(r.AddedStorage, map[string]int{"data": 2}) {
		t.Errorf("it asks for %v", r.AddedStorage)
	}
}

func TestResource(t *testing.T) {
	t.Parallel()
	available := flags.New("resource.binary.available")
	for _, version := range jujuVersions {
		s := reactivetest.State{JujuVersion: version}
		r := reactivetest.Run(t, vaultUnderTest, s, reactivetest.Install())
		if r.IsSet(available) {
			t.Errorf("%s: a resource that was not supplied is available", version)
		}
		r.State.Resources = map[string]string{"binary": "/res/binary"}
		r = reactivetest.Run(t, vaultUnderTest, r.State, reactivetest.UpgradeCharm())
		if got := fmt.Sprint(r.State.Data["vault.seen"]); !r.IsSet(available) || !strings.HasPrefix(got, "binary /res/binary,") {
			t.Errorf("%s: once supplied, flags are %q, and the unit sees %s", version, r.State.Flags, got)
		}
		r.State.Resources = nil
		if r = reactivetest.Run(t, vaultUnderTest, r.State, reactivetest.UpgradeCharm()); r.IsSet(available) {
			t.Errorf("%s: taken away, it is still available", version)
		}
	}
}
