// Magpie is a charm whose units check the network between them: whether they
// reach each other over ICMP, TCP and UDP, with which MTU and how fast, whether
// their names resolve, and whether bonds are in order. The status of each unit
// says in one line what is wrong with whom.
//
// It is written after OpenStack's charm "magpie", whose options it keeps where
// they make sense. The checks are those of package
// endpoints/magpie/netcheck.
//
// Build it as the dispatch of a charm:
//
//	go build -o dispatch ./examples/magpie
//
// Beside the hooks, the binary has one more command, "responder", which is what
// the units measure each other with. The charm runs it as a service.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/charmed-go/charms/reactive"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "responder" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
		defer stop()
		if err := respond(ctx, os.Args[2]); err != nil {
			fmt.Fprintf(os.Stderr, "ERROR %v\n", err)
			os.Exit(1)
		}
		return
	}
	reactive.Main(New)
}
