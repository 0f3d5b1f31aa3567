package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/charmed-go/charms/internal/picture"
)

func traceCommand() command {
	return command{
		name:    "trace",
		args:    "FILE...",
		summary: "make a page of what charms did",
		help: `
Makes a page for a browser of traces: of what "reactive simulate --trace" wrote,
or of the records that each unit keeps of its last hooks. Several files make one
timeline, with a row for each unit. The page is one file, needs no network and
holds no values of data.

  juju scp web/0:'/var/lib/juju/agents/unit-web-0/charm/.reactive/*.jsonl' web-0/
  juju scp web/1:'/var/lib/juju/agents/unit-web-1/charm/.reactive/*.jsonl' web-1/
  reactive trace web-0/*.jsonl web-1/*.jsonl --html web.html

Without --html it prints a line for each hook.`,
		setup: func(fs *flag.FlagSet) func(context.Context, streams, []string) error {
			html := fs.String("html", "", "write the page to `FILE`")
			title := fs.String("title", "", "the page's `TITLE`")
			return func(_ context.Context, s streams, args []string) error {
				if len(args) == 0 {
					return usagef("takes at least one file")
				}
				hooks, err := readTraces(args)
				if err != nil {
					return err
				}
				if *html == "" {
					printHooks(s, hooks)
					return nil
				}
				if *title == "" {
					*title = filepath.Base(args[0])
				}
				f, err := os.OpenFile(*html, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
				if err != nil {
					return fmt.Errorf("cannot write the page: %w", err)
				}
				return errors.Join(picture.Write(f, picture.Page{Title: *title, Hooks: hooks}), f.Close())
			}
		},
	}
}

// readTraces reads files and orders their hooks by time.
func readTraces(paths []string) ([]picture.Hook, error) {
	var hooks []picture.Hook
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read the trace: %w", err)
		}
		list, err := picture.Read(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		hooks = append(hooks, list...)
	}
	slices.SortStableFunc(hooks, func(a, b picture.Hook) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Unit, b.Unit))
	})
	return hooks, nil
}

func printHooks(s streams, hooks []picture.Hook) {
	for _, h := range hooks {
		handlers, changes := 0, 0
		for _, step := range h.Steps {
			if step.Flag == "" {
				handlers++
			} else {
				changes++
			}
		}
		line := fmt.Sprintf("%s  %-12s %-44s %8.1f ms  %d handlers, %d flag changes, %d hook tools",
			h.Time.UTC().Format("2006-01-02 15:04:05.000"), h.Unit, title(h), h.Duration.Seconds()*1e3, handlers, changes, h.Calls)
		switch {
		case h.Error != "":
			line += "  FAILED: " + h.Error
		case h.Outcome != "":
			line += "  " + h.Outcome
		}
		fmt.Fprintln(s.stdout, line)
	}
}

func title(h picture.Hook) string {
	other := cmp.Or(h.RemoteUnit, h.RemoteApp)
	switch {
	case h.Relation == "":
		return h.Hook
	case other == "":
		return fmt.Sprintf("%s (%s)", h.Hook, h.Relation)
	}
	return fmt.Sprintf("%s (%s with %s)", h.Hook, h.Relation, other)
}
