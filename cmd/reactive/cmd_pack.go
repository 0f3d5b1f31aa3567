package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
	"github.com/charmed-go/charms/cmd/reactive/internal/pack"
)

func packCommand() command {
	return command{
		name:    "pack",
		args:    "[DIR]",
		summary: "make .charm archives, one for each platform",
		help: `
Reads charmcraft.yaml in DIR (or here), compiles the Go programs of its parts
for each platform, and writes NAME_PLATFORM.charm. It needs the Go tool and
nothing else: no charmcraft, no containers, no network but what the Go tool
needs for modules that are not yet on this machine.

  reactive pack                          all platforms
  reactive pack --platform arm64         one of them
  reactive pack --output dist ./web      another place to write, another charm

The same sources make the same bytes, so two people can compare what they
packed. A charm that Juju 3.6 or 4 would refuse, or that could not work, is
refused here, with the rule it breaks; --rules lists them all.

The smallest charmcraft.yaml, which charmcraft takes as well:

  type: charm
  name: web
  summary: A web server
  description: A web server behind a load balancer.
  base: ubuntu@24.04
  platforms: {amd64: , arm64: }
  parts:
    charm:
      plugin: go
      source: .
      build-snaps: [go]
      organize: {bin/web: dispatch}

Of parts, the plugins go and dump are run as charmcraft runs them, with
organize, stage and prime; a part with scripts is refused.

Then: juju deploy ./web_amd64.charm`,
		setup: func(fs *flag.FlagSet) func(context.Context, streams, []string) error {
			var opts pack.Options
			var platforms list
			fs.Var(&platforms, "platform", "pack only the platform `NAME` (can be given several times)")
			fs.StringVar(&opts.OutDir, "output", ".", "write the archives to `DIR`")
			fs.StringVar(&opts.Version, "version", "", "the charm's `VERSION` as juju status shows it, instead of git describe's")
			rules := fs.Bool("rules", false, "list what Juju would refuse, and stop")
			return func(ctx context.Context, s streams, args []string) error {
				if *rules {
					for _, r := range archive.Rules() {
						fmt.Fprintf(s.stdout, "%-22s %s\n", r.ID, r.Sentence)
					}
					return nil
				}
				if len(args) > 1 {
					return usagef("takes one directory, not %d", len(args))
				}
				if len(args) == 1 {
					opts.Dir = args[0]
				}
				opts.Platforms = platforms
				p := newProgress(s)
				opts.Report = p.report
				_, err := pack.Pack(ctx, opts)
				p.clear()
				return err
			}
		},
	}
}

// A progress shows what packing is at: on a terminal in one line that changes,
// elsewhere in one line for each program and archive.
type progress struct {
	stdout, stderr io.Writer
	terminal       bool

	mu       sync.Mutex
	building pack.Event // the last one, while a program is built
	start    time.Time
	compiled int
	stop     chan struct{} // ends the clock
}

func newProgress(s streams) *progress {
	f, ok := s.stderr.(*os.File)
	return &progress{stdout: s.stdout, stderr: s.stderr, terminal: ok && isatty.IsTerminal(f.Fd())}
}

func (p *progress) report(e pack.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Step {
	case pack.Building:
		p.building, p.start, p.compiled = e, time.Now(), 0
		if !p.terminal {
			fmt.Fprintf(p.stderr, "%s: building %s\n", e.Platform, e.Program)
		} else if p.stop == nil {
			p.stop = make(chan struct{})
			go p.clock(p.stop)
		}
	case pack.Compiling:
		p.building = e
		p.compiled++
	case pack.Packed:
		p.end()
		version := ""
		if e.Result.Version != "" {
			version = ", version " + e.Result.Version
		}
		fmt.Fprintf(p.stdout, "%s  %.1f MB%s\n", e.Result.Path, float64(e.Result.Size)/1e6, version)
		return
	}
	p.show()
}

// clock shows that time passes while one package takes long.
func (p *progress) clock(stop chan struct{}) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for {
		select {
		case <-stop:
			return
		case <-second.C:
			p.mu.Lock()
			// It may have been stopped while it waited.
			if p.stop == stop {
				p.show()
			}
			p.mu.Unlock()
		}
	}
}

func (p *progress) show() {
	text := fmt.Sprintf("%s: building %s: %.0f s", p.building.Platform, p.building.Program, time.Since(p.start).Seconds())
	if p.compiled > 0 {
		text += fmt.Sprintf(", %d packages, now %s", p.compiled, p.building.Package)
	}
	p.line("%s", text)
}

func (p *progress) line(format string, args ...any) {
	if !p.terminal {
		return
	}
	line := fmt.Sprintf(format, args...)
	if r := []rune(line); len(r) > 78 {
		line = string(r[:77]) + "…"
	}
	fmt.Fprintf(p.stderr, "\r\x1b[K%s", line)
}

// clear takes the line away.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

func (p *progress) end() {
	if p.stop != nil {
		close(p.stop)
		p.stop = nil
	}
	if p.terminal {
		fmt.Fprint(p.stderr, "\r\x1b[K")
	}
}
