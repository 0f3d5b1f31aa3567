// Package flags holds what a reactive charm reacts to: flags that are set or
// not, conditions over them, and triggers that change flags when others change.
//
// A flag is declared once and is a value; a condition is a value that can be
// nested, printed and explained:
//
//	package main
//
//	import (
//		"fmt"
//
//		"github.com/charmed-go/charms/flags"
//	)
//
//	func main() {
//		var (
//			installed = flags.New("web.installed")
//			ready     = flags.New("db.ready")
//			broken    = flags.New("db.broken")
//			serving   = flags.New("web.serving")
//		)
//		serve := flags.When(installed, ready).Unless(broken)
//		fmt.Println(serve) // web.installed and db.ready and not db.broken
//
//		var set flags.Set
//		set.AddTrigger(flags.Trigger{When: broken, Clear: []flags.Flag{serving}})
//		set.Set(installed)
//		fmt.Println(serve.Holds(&set)) // false
//		fmt.Println(serve.Explain(&set)) // false [{db.ready false}]
//	}
//
// Everything here is plain values: nothing knows of Juju, of files or of what
// flags mean. Package reactive keeps a unit's flags from hook to hook and runs
// handlers whose conditions hold.
//
// The semantics are those of charms.reactive's flags.py.
package flags
