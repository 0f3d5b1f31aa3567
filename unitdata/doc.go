// Package unitdata is what a unit remembers from one hook to the next: flags,
// what was seen of others' data, and a charm's own entries.
//
// A hook opens the data of its unit, changes it in memory, and commits it at
// its end, if it went well:
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//
//		"github.com/charmed-go/charms/unitdata"
//	)
//
//	func main() {
//		ctx := context.Background()
//		store := &unitdata.Memory{}
//
//		data, _ := unitdata.Open(ctx, store)
//		_ = data.Set("backup.last", map[string]string{"file": "a.tar"})
//		_ = data.Commit(ctx)
//
//		data, _ = unitdata.Open(ctx, store) // the next hook
//		var last struct{ File string }
//		_, _ = data.Get("backup.last", &last)
//		fmt.Println(last.File) // a.tar
//	}
//
// A charm gets its data from reactive.Hook and need not open it.
//
// Data is kept by a [Store]. [JujuState] is the usual one: Juju's own charm
// state, which Juju commits together with relation data, so a failed hook
// leaves nothing behind and nothing is lost with a machine's disk. [Memory] is
// for tests. Package sqlitefile keeps the file of Python charms.
//
// Keys that begin with "reactive." are the framework's, with the names and
// values that charms.reactive gives them.
package unitdata
