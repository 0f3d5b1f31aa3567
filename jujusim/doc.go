// Package jujusim is a simulated Juju: it deploys charms, relates and scales
// them, and runs their hooks as Juju does, in one process and without a cloud.
//
//	m, err := jujusim.New(jujusim.Options{Seed: 1})
//	if err != nil {
//		return err
//	}
//	defer m.Close()
//	m.Deploy("web", jujusim.Charm{Path: "./charms/web"}, jujusim.DeployOptions{Units: 3})
//	m.Deploy("db", jujusim.Charm{Files: dbFiles, Run: dbRun}, jujusim.DeployOptions{})
//	m.Relate("web:db", "db:server")
//	if err := m.Settle(ctx); err != nil { // runs hooks until none is left to run
//		return err // unit web/0 is in error: db-relation-changed (1, db/0) failed: …
//	}
//	fmt.Print(m.Status())
//
// A charm is either a directory or packed .charm file whose executable dispatch
// is run for each hook, in an environment and with a socket like Juju's, or a Go
// function that gets the same as a [hooktool.Process]. One model runs both.
//
// # Order
//
// Nothing runs by itself: [Model.Step] runs one hook, [Model.Settle] all there
// are. Which hook comes next is chosen at random among what Juju could run next,
// from [Options].Seed alone, so a run can be repeated, and other seeds show other
// legal orders: units take turns in any order, hear of news late, are told of
// several changes at once. Tests that want one certain order ask [Model.Legal]
// and say [Model.Do]; those that want hooks to overlap say [Model.Start]. What
// is legal is what package rules says of recordings of a real Juju.
//
// # Failure
//
// What a hook writes is committed when it ends well and dropped when it fails
// or is killed. A failed hook puts its unit into error: Settle goes on with the
// other units and then returns a [HookError]; [Model.Resolve] lets the unit go
// on, and [Options].Retries does it by itself. [Model.KillAt] kills a charm at a
// certain hook-tool call or right before its changes are committed, after which
// the hook runs again. [Model.At] changes the model in the middle of a hook, and
// [Model.Reboot] restarts a machine.
//
// # Looking
//
// [Model.Status] is what juju status says, as data and as its table.
// [Model.Snapshot] has everything else: databags, charm state, ports, config,
// secrets. [Model.History] has each dispatch with its environment, hook-tool
// calls, log and outcome, and [Options].OnEvent tells of them while they happen.
package jujusim
