package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/charmed-go/charms/endpoints/prometheus-manual/promserver"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/load"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

//go:generate cp ../loadbalancer-provider/charmcraft.yaml loadbalancer-provider/charmcraft.yaml

//go:embed web/charmcraft.yaml prometheus/charmcraft.yaml loadbalancer-provider/charmcraft.yaml
var charmFiles embed.FS

type options struct {
	keep     bool
	verbose  bool
	engine   string
	balancer string
	charms   string
	seed     uint64
}

// Nothing may take longer than this.
const (
	timeForAll  = 2 * time.Minute
	timeForStep = time.Minute
)

// drive is one run of the example.
type drive struct {
	options
	teller
	began time.Time
	dir   string
	site  site
	model *jujusim.Model
	hooks int
	load  *load.Load
	sent  load.Report
}

// all does everything, and takes everything away again.
func (d *drive) all(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "obs-")
	if err != nil {
		return err
	}
	d.dir = dir
	if d.site, err = findSite(); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	event := func(e jujusim.Event) { d.event(ctx, e) }
	d.model, err = jujusim.New(jujusim.Options{Seed: d.seed, Name: "observability", Dir: dir, OnEvent: event})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		if d.load != nil {
			d.load.Stop()
		}
		// Also what a charm left running, if something went wrong.
		err = errors.Join(err, d.endWorkloads(), d.model.Close(), os.RemoveAll(dir))
	}()
	d.introduce()
	limited, cancel := context.WithTimeoutCause(ctx, timeForAll, fmt.Errorf("it took longer than %v", timeForAll))
	defer cancel()
	if err := d.story(limited); err != nil {
		return errors.Join(err, context.Cause(limited))
	}
	if d.keep {
		return d.wait(ctx)
	}
	if err := d.step(limited, "Remove all applications", d.removeAll); err != nil {
		return err
	}
	d.say("\nAll of it came true, in %.1f s: Prometheus followed the units that came and went,\n"+
		"and none of %d requests failed. --seed %d repeats it.",
		time.Since(d.began).Seconds(), d.sent.Requests, d.seed)
	return nil
}

// story is what there is to see.
func (d *drive) story(ctx context.Context) error {
	steps := []struct {
		what string
		do   func(ctx context.Context) error
	}{
		{"Deploy web (three units), prometheus, loadbalancer", d.deploy},
		{"Relate web:metrics and prometheus:manual-jobs", d.relate("web:metrics", "prometheus:manual-jobs")},
		{"Relate web:loadbalancer and loadbalancer:lb-consumers", d.relate("web:loadbalancer", "loadbalancer:lb-consumers")},
		{"See that the units of web have their load balancer", d.balanced},
		{"Wait until Prometheus scrapes all three units", d.scraped},
		{"See that metrics need a client certificate", d.refused},
		{"Send requests until all three units answer", d.startLoad},
		{"Add web/3", d.add},
		{"Wait until it answers requests", d.answering("web/0", "web/1", "web/2", "web/3")},
		{"Wait until Prometheus scrapes all four", d.scraped},
		{"Drain web/2: juju run web/2 drain", d.action("web/2", "drain")},
		{"Wait until it gets no requests", d.answering("web/0", "web/1", "web/3")},
		{"Resume web/2: juju run web/2 resume", d.action("web/2", "resume")},
		{"Wait until it answers requests again", d.answering("web/0", "web/1", "web/2", "web/3")},
		{"Remove web/1", d.remove},
		{"Wait until only the other three answer", d.answering("web/0", "web/2", "web/3")},
		{"Wait until Prometheus scrapes just these", d.scraped},
		{"See that the units of web know each other", d.acquainted},
		{"Stop sending", d.stopLoad},
	}
	for _, step := range steps {
		if err := d.step(ctx, step.what, step.do); err != nil {
			return err
		}
	}
	return d.report(ctx)
}

// step does one thing and tells how it went.
func (d *drive) step(ctx context.Context, what string, do func(ctx context.Context) error) error {
	d.begin(fmt.Sprintf("%6.1f s  %s", time.Since(d.began).Seconds(), what))
	hooks := d.hooks
	ctx, cancel := context.WithTimeout(ctx, timeForStep)
	defer cancel()
	var before load.Report
	if d.load != nil {
		before = d.load.Report()
	}
	err := do(ctx)
	result := "done"
	if d.hooks > hooks {
		result += fmt.Sprintf(", %d hooks", d.hooks-hooks)
	}
	if d.load != nil {
		since := d.load.Report().Since(before)
		switch since.Requests {
		case 0:
		case 1:
			result += ", 1 request"
		default:
			result += fmt.Sprintf(", %d requests", since.Requests)
		}
		if err == nil && since.Failed() > 0 {
			err = fmt.Errorf("requests have failed: %v", since)
		}
	}
	if err != nil {
		if result = "failed"; errors.Is(ctx.Err(), context.Canceled) {
			result = "given up"
		}
		d.end(result)
		return fmt.Errorf("%s: %w", strings.ToLower(what[:1])+what[1:], err)
	}
	d.end(result)
	return nil
}

// event tells what happens in the model. What happens to hooks when the run is
// given up is of no interest.
func (d *drive) event(ctx context.Context, e jujusim.Event) {
	if e.Kind == jujusim.DispatchStarted {
		d.doing(e.Dispatch.Hook.String())
	}
	if e.Kind != jujusim.DispatchEnded || ctx.Err() != nil {
		return
	}
	d.hooks++
	if d.verbose || e.Dispatch.Outcome != jujusim.Done {
		d.say("          %s: %s", e.Dispatch.Hook, e.Dispatch.Outcome)
	}
	if e.Dispatch.Outcome != jujusim.Done {
		for _, line := range e.Dispatch.Log {
			d.say("          %s %s", line.Level, line.Message)
		}
	}
}

func (d *drive) deploy(ctx context.Context) error {
	for _, app := range []struct {
		name, charm string
		units       int
		config      map[string]any
	}{
		{"prometheus", "prometheus", 1, map[string]any{
			"port": 0, "engine": d.engine, "scrape-interval": "1s", "service-manager": "process",
		}},
		{"web", "web", 3, map[string]any{
			"address": d.site.network.String(), "http-port": d.site.http, "metrics-port": d.site.metrics,
			"loadbalancer-port": d.site.http, "scrape-interval": "1s", "service-manager": "process",
		}},
		{"loadbalancer", providerName, 1, map[string]any{
			"driver": d.balancer, "address": d.site.balancer(), "drain_timeout": 10, "service_manager": "process",
		}},
	} {
		charm, err := d.charm(app.charm)
		if err != nil {
			return err
		}
		if err := d.model.Deploy(app.name, charm, jujusim.DeployOptions{Units: app.units, Config: app.config}); err != nil {
			return err
		}
	}
	return d.model.Settle(ctx)
}

// charm is a charm that runs in this process, or a packed one.
func (d *drive) charm(name string) (jujusim.Charm, error) {
	if d.charms != "" {
		packed, err := filepath.Glob(filepath.Join(d.charms, name+"_*.charm"))
		if err == nil && len(packed) != 1 {
			err = fmt.Errorf("want one file %s_*.charm in %s, found %d", name, d.charms, len(packed))
		}
		if err != nil {
			return jujusim.Charm{}, err
		}
		return jujusim.Charm{Path: packed[0]}, nil
	}
	files, err := fs.Sub(charmFiles, name)
	newCharm := charms()[name]
	return jujusim.Charm{Files: files, Run: func(ctx context.Context, p hooktool.Process) int {
		return reactive.Run(ctx, newCharm, p)
	}}, err
}

func (d *drive) relate(one, other string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if _, err := d.model.Relate(one, other); err != nil {
			return err
		}
		return d.model.Settle(ctx)
	}
}

func (d *drive) add(ctx context.Context) error {
	if _, err := d.model.AddUnit("web", 1); err != nil {
		return err
	}
	return d.model.Settle(ctx)
}

func (d *drive) remove(ctx context.Context) error {
	if err := d.model.RemoveUnit("web/1"); err != nil {
		return err
	}
	return d.model.Settle(ctx)
}

func (d *drive) removeAll(ctx context.Context) error {
	// Where the load balancer goes first, units of web need not take leave of it.
	for _, app := range []string{"loadbalancer", "prometheus", "web"} {
		if err := d.model.RemoveApplication(app); err != nil {
			return err
		}
		if err := d.model.Settle(ctx); err != nil {
			return err
		}
	}
	if left := d.workloads(); len(left) > 0 {
		return fmt.Errorf("processes are left: %v", left)
	}
	return nil
}

// prometheus is the server of the prometheus application.
func (d *drive) prometheus() (*promserver.Client, error) {
	for _, unit := range d.model.Status().Units {
		if !strings.HasPrefix(unit.Name, "prometheus/") {
			continue
		}
		if url, _, ok := strings.Cut(unit.Message, " "); ok && strings.HasPrefix(url, "http://") {
			return &promserver.Client{URL: url}, nil
		}
	}
	return nil, errors.New("the prometheus application does not say where it serves")
}

// scraped waits until the targets of Prometheus are the units of web that there
// are, and a query says of each that it is up.
func (d *drive) scraped(ctx context.Context) error {
	server, err := d.prometheus()
	if err != nil {
		return err
	}
	want := d.model.Units("web")
	slices.Sort(want)
	state := "nothing is known"
	for {
		targets, up, err := scrapedNow(ctx, server)
		switch {
		case err == nil:
			// Series of a job that is gone stay in the answers for some minutes,
			// as they do with every Prometheus.
			isUp := func(unit string) bool { return slices.Contains(up, unit) }
			if slices.Equal(targets, want) && !slices.ContainsFunc(want, func(unit string) bool { return !isUp(unit) }) {
				return nil
			}
			state = fmt.Sprintf("targets are %v, up are %v", targets, up)
		case ctx.Err() == nil:
			state = err.Error()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("want %v: %s", want, state)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// scrapedNow returns the units of web that Prometheus has as targets, and those
// that are up.
func scrapedNow(ctx context.Context, server *promserver.Client) (targets, up []string, err error) {
	all, err := server.Targets(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	for _, target := range all {
		targets = append(targets, target.Labels["juju_unit"])
	}
	samples, err := server.Query(ctx, `up{juju_application="web"} == 1`)
	if err != nil {
		return nil, nil, err
	}
	for _, sample := range samples {
		up = append(up, sample.Labels["juju_unit"])
	}
	slices.Sort(targets)
	return targets, up, nil
}

// endWorkloads ends what runs in the model's directory, and waits for that.
func (d *drive) endWorkloads() error {
	deadline := time.Now().Add(10 * time.Second)
	for left := d.workloads(); len(left) > 0; left = d.workloads() {
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot end processes %v", left)
		}
		for _, pid := range left {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("cannot end process %d: %w", pid, err)
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// workloads are the processes that work in the model's directory.
func (d *drive) workloads() []int {
	var pids []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A directory that was removed is shown with more behind its path.
		dir, err := os.Readlink(filepath.Join("/proc", entry.Name(), "cwd"))
		if err == nil && strings.HasPrefix(dir, d.dir+"/") || d.isBalancer(entry.Name()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// leader is the leader of the web application.
func (d *drive) leader() (unit string) {
	d.model.View(func(data *model.Model) { unit = data.Applications["web"].Leader })
	return unit
}

// wait waits until somebody interrupts.
func (d *drive) wait(ctx context.Context) error {
	server, err := d.prometheus()
	if err != nil {
		return err
	}
	d.say("\nLeft running until you press Ctrl-C:\n  Prometheus     %s\n  load balancer  http://%s", server.URL, d.site.front())
	for _, unit := range d.model.Status().Units {
		if strings.HasPrefix(unit.Name, "web/") {
			d.say("  %-13s  %s", unit.Name, d.site.page(unit.Name))
		}
	}
	<-ctx.Done()
	d.say("")
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeForStep)
	defer cancel()
	return d.step(removing, "Remove all applications", d.removeAll)
}
