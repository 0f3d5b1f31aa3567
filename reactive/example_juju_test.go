package reactive_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// hookOf runs one hook of a charm that build puts together, as a charm's own
// test does with reactivetest.Run.
func hookOf(metadata string, s reactivetest.State, e reactivetest.Event, build func(c *reactive.Charm)) (*reactivetest.Result, error) {
	charm := reactivetest.Charm{Files: files("name: app\nsummary: An app.\ndescription: An app.\n" + metadata), New: func() *reactive.Charm {
		c := reactive.New("app")
		build(c)
		return c
	}}
	result, err := charm.Run(context.Background(), s, e)
	if err == nil {
		err = result.Err
	}
	return result, err
}

// The leader makes a password, publishes where it is, and lets the other side
// read it. When Juju says that it is time, it makes another one.
func ExampleLeader_SetSecret() {
	build := func(c *reactive.Charm) {
		users := c.Endpoint("users", charmfile.Provider, "login")
		c.HandleLeader("make a password", flags.WhenAny(users.Joined(), c.SecretRotate("password")), func(ctx context.Context, l *reactive.Leader) error {
			password := "correct horse battery staple" // made by crypto/rand, really
			secret, err := l.SetSecret(ctx, hooktool.Secret{
				Label: "password", Rotate: hooktool.RotateMonthly,
				Content: map[string]string{"password": password},
			})
			if err != nil {
				return err
			}
			for rel := range users.Relations().Values() {
				if err := secret.Grant(ctx, rel); err != nil {
					return err
				}
				bag, err := rel.ToPublishApp(ctx, l)
				if err != nil {
					return err
				}
				if err := bag.SetRaw("password", secret.URI().String()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	users := reactivetest.Relation{Endpoint: "users", Units: map[string]map[string]string{"wiki/0": nil}}
	state := reactivetest.State{Leader: true, Relations: []reactivetest.Relation{users}}

	result, err := hookOf("provides: {users: {interface: login}}\n", state, reactivetest.RelationJoined(users, "wiki/0"), build)
	if err != nil {
		fmt.Println(err)
		return
	}
	secret, _ := result.State.Secret("password")
	uri := result.State.Relation(users).LocalAppData["password"]
	fmt.Println(secret.Rotate, secret.Grants, strings.HasSuffix(uri, secret.ID))
	// Output: monthly [{wiki 1}] true
}

// The charm says which ports are open; what to open and to close is found out.
func ExampleHook_SetPorts() {
	build := func(c *reactive.Charm) {
		c.Handle("open the port", flags.When(c.ConfigChanged("port")), func(ctx context.Context, h *reactive.Hook) error {
			config, err := reactive.DecodeConfig[struct{ Port int }](ctx, h)
			if err != nil {
				return err
			}
			h.SetPorts(hooktool.PortRange{From: config.Port}, hooktool.PortRange{Protocol: "udp", From: 53})
			return nil
		})
	}
	state := reactivetest.State{Ports: []string{"53/udp", "80/tcp"}, Config: map[string]any{"port": 8080}}

	result, err := hookOf("config: {options: {port: {type: int, default: 80}}}\n", state, reactivetest.ConfigChanged(), build)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.State.Ports)
	// Output: [53/udp 8080/tcp]
}

// The leader decides, all units see it, on Juju 3 and on Juju 4.
func ExampleCharm_LeadershipSettings() {
	build := func(c *reactive.Charm) {
		peers := c.Endpoint("peers", charmfile.Peer, "app-peers")
		settings := c.LeadershipSettings(peers)
		c.HandleLeader("choose the primary", flags.Unless(settings.IsSet("primary")), func(_ context.Context, l *reactive.Leader) error {
			settings.Set(l, map[string]string{"primary": l.Unit()})
			return nil
		})
		c.Handle("follow the primary", flags.When(settings.Changed("primary")), func(_ context.Context, h *reactive.Hook) error {
			h.SetStatus(reactive.Active("primary is " + settings.Get("primary")))
			return nil
		})
	}
	peers := reactivetest.Relation{Endpoint: "peers"}
	state := reactivetest.State{Leader: true, Relations: []reactivetest.Relation{peers}, JujuVersion: "4.0.15"}

	result, err := hookOf("peers: {peers: {interface: app-peers}}\n", state, reactivetest.LeaderElected(), build)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(result.State.Status.Message)
	fmt.Println(result.State.Relation(peers).LocalAppData)
	// Output:
	// primary is app/0
	// map[leadership-settings:{"primary": "app/0"}]
}

// Work that wants a disk waits for its flag.
func ExampleCharm_Storage() {
	build := func(c *reactive.Charm) {
		data := c.Storage("data")
		c.Handle("use the disk", flags.When(data.Attached()), func(ctx context.Context, h *reactive.Hook) error {
			disks, err := data.Instances(ctx)
			if err != nil {
				return err
			}
			h.SetStatus(reactive.Active("data in " + disks[0].Location))
			return nil
		})
		c.Handle("let the disk go", flags.When(data.Detaching()), func(_ context.Context, h *reactive.Hook) error {
			h.SetStatus(reactive.BlockedStatus("needs a disk"))
			return nil
		})
	}
	state := reactivetest.State{Storage: []reactivetest.Storage{{ID: "data/0", Location: "/srv"}}}
	for _, event := range []reactivetest.Event{reactivetest.StorageAttached("data/0"), reactivetest.StorageDetaching("data/0")} {
		result, err := hookOf("storage: {data: {type: filesystem}}\n", state, event, build)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(result.State.Status)
	}
	// Output:
	// {active data in /srv}
	// {blocked needs a disk}
}
