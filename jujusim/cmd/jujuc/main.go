// Command jujuc is the hook tools of a simulated Juju, all in one: it runs the
// tool under whose name it was called, or, called as jujuc, the one that its
// first argument names. See package jujuc for how to install it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/charmed-go/charms/jujusim/jujuc"
)

func main() {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "jujuc" {
		if len(args) == 0 {
			fmt.Fprintln(os.Stderr, "usage: jujuc TOOL [argument ...]")
			os.Exit(2)
		}
		name, args = args[0], args[1:]
	}
	os.Exit(jujuc.Main(name, args))
}
