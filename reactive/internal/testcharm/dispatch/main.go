// The dispatch of the charm of package testcharm.
package main

import (
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/internal/testcharm"
)

func main() { reactive.Main(testcharm.New) }
