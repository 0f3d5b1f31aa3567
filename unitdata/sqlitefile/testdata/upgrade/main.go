// Command upgrade is a charm that takes over what a Python charm left.
package main

import (
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

func main() {
	reactive.Main(func() *reactive.Charm {
		charm := reactive.New("upgrade")
		charm.Store(sqlitefile.Upgrade)
		return charm
	})
}
