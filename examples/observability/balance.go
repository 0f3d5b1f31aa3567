package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/internal/load"
)

// providerName is the name of the charm that makes load balancers.
const providerName = "loadbalancer-provider"

// introduce says what there is to see, and chooses what it is made with.
func (d *drive) introduce() {
	choose := func(choice *string, program, builtIn, description string) string {
		path, err := exec.LookPath(program)
		missing := ""
		if *choice == "" || *choice == "auto" {
			*choice = program
			if err != nil {
				*choice, missing = builtIn, "; "+program+" is not installed"
			}
		}
		if *choice == builtIn {
			return description + missing
		}
		return cmp.Or(path, program)
	}
	d.say("Three charms in a simulated model of Juju. What they run is real, and serves on")
	d.say("the loopback of this machine:")
	d.say("  web           an application that serves HTTP, and metrics over mutual TLS")
	d.say("  prometheus    %s", choose(&d.engine, "prometheus", "embedded", "the engine from Prometheus's libraries, built in"))
	d.say("  loadbalancer  %s", choose(&d.balancer, "haproxy", "standin", "a stand-in: a small proxy, built in"))
	d.say("")
}

// balanced checks that the units of web have their load balancer.
func (d *drive) balanced(context.Context) error {
	for _, unit := range d.model.Status().Units {
		if strings.HasPrefix(unit.Name, "web/") && !strings.Contains(unit.Message, "behind "+d.site.front()) {
			return fmt.Errorf("%s is %s: %s", unit.Name, unit.Workload, unit.Message)
		}
	}
	return nil
}

// startLoad begins to send requests, with new connections and with kept ones,
// and waits until all units answer.
func (d *drive) startLoad(ctx context.Context) error {
	d.load = load.Start(load.Options{
		Address: d.site.front(), Path: "/echo", Fresh: 3, Kept: 3, Think: 20 * time.Millisecond,
	})
	return d.answering("web/0", "web/1", "web/2")(ctx)
}

// answering waits until just these units answer requests.
func (d *drive) answering(units ...string) func(ctx context.Context) error {
	const sample = 60
	return func(ctx context.Context) error {
		for {
			before := d.load.Report()
			err := d.load.Await(ctx, sample)
			since := d.load.Report().Since(before)
			who := slices.Sorted(maps.Keys(since.Answers))
			switch {
			case since.Failed() > 0:
				return fmt.Errorf("requests have failed: %v", since)
			case slices.Equal(who, units):
				return nil
			case err != nil:
				return fmt.Errorf("want answers of %v, have them of %v: %w", units, who, err)
			}
		}
	}
}

// action runs an action, and lets the model come to rest.
func (d *drive) action(unit, name string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		result, err := d.model.RunAction(ctx, unit, name, nil)
		if err != nil {
			return err
		}
		if result.Status != "completed" {
			return fmt.Errorf("action %s of %s: %s", name, unit, result.Message)
		}
		return d.model.Settle(ctx)
	}
}

// stopLoad ends the load. None of its requests may have failed.
func (d *drive) stopLoad(context.Context) error {
	r := d.load.Stop()
	d.sent, d.load = r, nil
	if r.Failed() > 0 {
		return fmt.Errorf("requests have failed: %v", r)
	}
	if r.Requests == 0 || r.Connections == 0 {
		return errors.New("no requests were sent")
	}
	return nil
}

// isBalancer reports whether a process is an HAProxy of this run, which runs
// where this program does.
func (d *drive) isBalancer(pid string) bool {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
	program, args, _ := bytes.Cut(text, []byte{0})
	return err == nil && filepath.Base(string(program)) == "haproxy" && bytes.Contains(args, []byte(d.dir+"/"))
}

// reportLoad shows what became of the requests.
func (d *drive) reportLoad() {
	made := map[string]string{"haproxy": "HAProxy", "standin": "the stand-in"}[d.balancer]
	d.say("\nRequests through the load balancer (%s at %s)", made, d.site.front())
	d.say("  %6d sent, %d failed (over %d connections, new ones and kept ones)", d.sent.Requests, d.sent.Failed(), d.sent.Connections)
	for _, unit := range slices.Sorted(maps.Keys(d.sent.Answers)) {
		d.say("  %6d answered by %s", d.sent.Answers[unit], unit)
	}
}
