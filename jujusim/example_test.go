package jujusim_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"testing/fstest"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
)

// Two charms are deployed and related; then the web application grows, and one
// of its hooks is killed on the way.
func Example() {
	ctx := context.Background()
	m, err := jujusim.New(jujusim.Options{Seed: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	// The database tells everybody who joins where it is.
	db := jujusim.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(`
name: db
summary: A database.
description: A database.
provides:
  server: {interface: sql}
`)}},
		Run: func(ctx context.Context, p hooktool.Process) int {
			if p.Getenv("JUJU_HOOK_NAME") == "server-relation-joined" {
				p.Tools.Call(ctx, hooktool.Call{Tool: "relation-set", Args: []string{"port=5432"}})
			}
			p.Tools.Call(ctx, hooktool.Call{Tool: "status-set", Args: []string{"active"}})
			return 0
		},
	}
	// The web application is active once it knows.
	web := jujusim.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte(`
name: web
summary: A web application.
description: A web application.
requires:
  db: {interface: sql}
`)}},
		Run: func(ctx context.Context, p hooktool.Process) int {
			if p.Getenv("JUJU_HOOK_NAME") != "db-relation-changed" {
				return 0
			}
			port, err := p.Tools.Call(ctx, hooktool.Call{Tool: "relation-get", Args: []string{"port"}})
			if err != nil || port.Code != 0 {
				return 1
			}
			p.Tools.Call(ctx, hooktool.Call{Tool: "open-port", Args: []string{"80"}})
			p.Tools.Call(ctx, hooktool.Call{Tool: "status-set", Args: []string{"active", "uses port " + strings.TrimSpace(string(port.Stdout))}})
			return 0
		},
	}
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}
	check(m.Deploy("web", web, jujusim.DeployOptions{Units: 2}))
	check(m.Deploy("db", db, jujusim.DeployOptions{}))
	_, err = m.Relate("web:db", "db:server")
	check(err)
	check(m.Settle(ctx))

	m.KillAt(jujusim.Point{Unit: "web/2", At: "db-relation-changed", Call: 2})
	_, err = m.AddUnit("web", 1)
	check(err)
	check(m.RemoveUnit("web/0"))
	check(m.Settle(ctx))
	for _, d := range m.History() {
		if d.Outcome != jujusim.Done {
			fmt.Println(d.Hook, d.Outcome)
		}
	}
	fmt.Print(m.Status())
	// Output:
	// web/2 db-relation-changed (1, db/0) killed
	// Model  Version
	// test   3.6.28
	//
	// App  Version  Status  Scale  Charm  Channel  Rev  Exposed  Message
	// web           active      2  web               0  no       uses port 5432
	// db            active      1  db                0  no
	//
	// Unit    Workload  Agent  Machine  Public address  Ports   Message
	// web/1   active    idle   1        10.0.0.11       80/tcp  uses port 5432
	// web/2*  active    idle   3        10.0.0.13       80/tcp  uses port 5432
	// db/0*   active    idle   2        10.0.0.12
	//
	// Integration provider  Requirer  Interface  Type     Message
	// db:server             web:db    sql        regular
}
