// The dispatch of the charm that testcharm.NewReader returns.
package main

import (
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/internal/testcharm"
)

func main() { reactive.Main(testcharm.NewReader) }
