// Observability is the main job of this repository, on one machine and without
// Juju: in a simulated model it deploys a web application with three units,
// each of which really serves HTTP, and metrics over mutual TLS, on the
// loopback; and a Prometheus application that really runs an engine. It
// relates the two, waits until Prometheus scrapes all three units, adds a unit,
// removes one, and shows that Prometheus follows. All the while it sends requests
// to the units through a load balancer, which a third charm makes with HAProxy,
// and none of them may fail.
//
//	go run ./examples/observability
//
// Where Prometheus or HAProxy is not installed, what is built in takes its place.
// It exits with 0 if all that came true, and with 1 and the reason if not.
//
// The charms are those of the directories web, prometheus and
// ../loadbalancer-provider. They run in this process, or packed:
//
//	go run ./cmd/reactive pack --platform amd64 --output /tmp/charms examples/observability/web
//	go run ./cmd/reactive pack --platform amd64 --output /tmp/charms examples/observability/prometheus
//	go run ./cmd/reactive pack --platform amd64 --output /tmp/charms examples/loadbalancer-provider
//	go run ./examples/observability --charms /tmp/charms
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/charmed-go/charms/examples/loadbalancer-provider/providercharm"
	"github.com/charmed-go/charms/examples/observability/prometheuscharm"
	"github.com/charmed-go/charms/examples/observability/webcharm"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	"golang.org/x/term"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:]))
}

// charms are the charms of the model by name. Behind its name each has its
// command line in this program too, so that their workloads can be started.
func charms() map[string]func() *reactive.Charm {
	return map[string]func() *reactive.Charm{
		providerName: providercharm.New,
		"web":        func() *reactive.Charm { return webcharm.NewIn("web") },
		"prometheus": func() *reactive.Charm { return prometheuscharm.NewIn("prometheus") },
	}
}

// commandLine returns the charm whose command line the arguments are, nil for
// none, and what they are for it.
func commandLine(args []string) (func() *reactive.Charm, []string) {
	switch {
	case len(args) == 0:
		return nil, nil
	case args[0] == "standin":
		// This is how that charm starts its load balancer.
		return charms()[providerName], args
	}
	return charms()[args[0]], args[1:]
}

func run(ctx context.Context, args []string) int {
	if newCharm, words := commandLine(args); newCharm != nil {
		return reactive.Run(ctx, newCharm, hooktool.Process{
			Args: words, Env: os.Environ(), Dir: ".",
			Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		})
	}
	set := flag.NewFlagSet("observability", flag.ContinueOnError)
	var opts options
	set.BoolVar(&opts.keep, "keep", false, "leave everything running until interrupted, and print where")
	set.BoolVar(&opts.verbose, "v", false, "show every hook")
	set.StringVar(&opts.engine, "engine", "auto", "prometheus (the executable), embedded, or auto: the executable if there is one")
	set.StringVar(&opts.balancer, "balancer", "auto", "haproxy, standin, or auto: haproxy if there is one")
	set.StringVar(&opts.charms, "charms", "", "a `directory` with the packed charms, to run these as Juju would")
	set.Uint64Var(&opts.seed, "seed", uint64(time.Now().UnixNano()), "chooses the order of hooks, where Juju leaves it open")
	if err := set.Parse(args); err != nil {
		return 2
	}
	if err := opts.check(set.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// When the terminal is closed, too, everything is taken away.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	// When nobody reads the output any more, everything is still taken away. The
	// signal alone does not tell: charms get it when a server closes a socket.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	running, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d := &drive{options: opts, began: time.Now(), teller: teller{out: &output{os.Stdout, cancel}}}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		d.width = width
	}
	err := d.all(running)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintf(os.Stderr, "\nGiven up (%v). Nothing is left running.\n", context.Cause(ctx))
	default:
		fmt.Fprintf(os.Stderr, "\nFAILED: %v (seed %d)\n", err, opts.seed)
	}
	return 1
}

// check checks the command line.
func (o options) check(rest []string) error {
	engines := []string{"auto", "prometheus", "embedded"}
	balancers := []string{"auto", "haproxy", "standin"}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case !slices.Contains(engines, o.engine):
		return fmt.Errorf("--engine %q is none of %v", o.engine, engines)
	case !slices.Contains(balancers, o.balancer):
		return fmt.Errorf("--balancer %q is none of %v", o.balancer, balancers)
	}
	for _, program := range []string{o.engine, o.balancer} {
		if program == "prometheus" || program == "haproxy" {
			if _, err := exec.LookPath(program); err != nil {
				return fmt.Errorf("%s is not installed", program)
			}
		}
	}
	return nil
}

// output ends a run that nobody sees.
type output struct {
	to  io.Writer
	end context.CancelCauseFunc
}

func (o *output) Write(text []byte) (int, error) {
	n, err := o.to.Write(text)
	if err != nil {
		o.end(fmt.Errorf("cannot print: %w", err))
	}
	return n, err
}
