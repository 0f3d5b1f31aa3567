// Web is the charm of the web application, and the application itself.
package main

import (
	"github.com/charmed-go/charms/examples/observability/webcharm"
	"github.com/charmed-go/charms/reactive"
)

func main() { reactive.Main(webcharm.New) }
