// Command plain is a charm that keeps its unit data in Juju's charm state.
package main

import "github.com/charmed-go/charms/reactive"

func main() {
	reactive.Main(func() *reactive.Charm { return reactive.New("plain") })
}
