package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/charmed-go/charms/cmd/reactive/internal/charmgraph"
	"github.com/charmed-go/charms/internal/charmlint"
	"github.com/charmed-go/charms/internal/picture"
)

func lintCommand() command {
	return command{
		name:    "lint",
		args:    "[DIR]",
		summary: "find mistakes that the compiler cannot see",
		help: `
Compiles the charm in DIR (or here), asks it for its handlers, reads its sources
and its charmcraft.yaml, and says what does not fit together: handlers that wait
for a flag nobody sets, flags nobody reads, endpoints, options and actions that
differ between code and charmcraft.yaml, handlers that can keep each other
awake, and unit data that grows without end. --rules lists all rules.

  reactive lint
  reactive lint --skip option-unused ./web

The exit code is 1 if anything is found. As a test of the charm:

  func TestLint(t *testing.T) { reactivetest.Lint(t, charm.New) }`,
		setup: func(fs *flag.FlagSet) func(context.Context, streams, []string) error {
			var skip list
			fs.Var(&skip, "skip", "leave out the rule `ID` (can be given several times)")
			asJSON := fs.Bool("json", false, "print JSON, for programs")
			rules := fs.Bool("rules", false, "list the rules, and stop")
			return func(ctx context.Context, s streams, args []string) error {
				if *rules {
					for _, r := range charmlint.Rules() {
						fmt.Fprintf(s.stdout, "%-20s %s\n", r.ID, r.Sentence)
					}
					return nil
				}
				dir := "."
				switch len(args) {
				case 0:
				case 1:
					dir = args[0]
				default:
					return usagef("takes one directory, not %d", len(args))
				}
				g, err := askCharm(ctx, dir)
				if err != nil {
					return err
				}
				found, err := charmlint.Check(ctx, charmlint.Options{Dir: dir, Graph: g, Skip: skip})
				if err != nil {
					return err
				}
				return printFindings(s, found, *asJSON)
			}
		},
	}
}

func printFindings(s streams, found []charmlint.Finding, asJSON bool) error {
	if asJSON {
		type finding struct {
			Rule   string `json:"rule"`
			Place  string `json:"place"`
			Detail string `json:"detail"`
		}
		all := []finding{}
		for _, f := range found {
			all = append(all, finding{f.Rule.ID, f.Place, f.Detail})
		}
		e := json.NewEncoder(s.stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(all); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			fmt.Fprintf(s.stdout, "%s\n  %s\n", f, f.Rule.Sentence)
		}
	}
	if len(found) > 0 {
		return errFound
	}
	return nil
}

// askCharm compiles the charm in dir and asks it for its handlers.
func askCharm(ctx context.Context, dir string) (g picture.Graph, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return g, err
	}
	tmp, err := os.MkdirTemp("", "reactive-lint-")
	if err != nil {
		return g, fmt.Errorf("cannot compile the charm: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	build := exec.CommandContext(ctx, "go", "build", "-o", tmp+string(filepath.Separator), "./...")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		return g, fmt.Errorf("cannot compile the charm in %s: %w\n%s", dir, err, strings.TrimSpace(string(out)))
	}
	programs, err := os.ReadDir(tmp)
	if err != nil {
		return g, err
	}
	var refused error
	for _, p := range programs {
		// A charm may have other programs that use the framework.
		g, ok, err := charmgraph.Of(ctx, filepath.Join(tmp, p.Name()), dir)
		switch {
		case ok && err == nil:
			return g, nil
		case ok && refused == nil:
			refused = err
		}
	}
	if refused != nil {
		return g, refused
	}
	return g, fmt.Errorf("there is no charm in %s: no program there uses package reactive", dir)
}
