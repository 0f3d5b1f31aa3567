package reactive

import (
	"context"
	"fmt"

	"github.com/charmed-go/charms/hooktool"
)

type command struct {
	help string
	run  func(ctx context.Context, p hooktool.Process) error
}

func runCommand(ctx context.Context, newCharm func() *Charm, p hooktool.Process) int {
	fmt.Fprintln(p.Stderr, "ERROR no command line yet")
	return 2
}
