package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/charmed-go/charms/cmd/reactive/internal/scaffold"
)

func initCommand() command {
	return command{
		name:    "init",
		args:    "NAME",
		summary: "make a new charm",
		help: `
Makes the directory NAME with a charm that builds, tests, packs and runs as it
stands: charmcraft.yaml, the charm and its workload as two packages, their
tests, a bundle to try it in, and a README that says what is where.

  reactive init web
  cd web
  go test ./...                     the charm in a simulated Juju
  reactive simulate bundle.yaml     the same as a compiled program
  reactive pack                     web_amd64.charm, web_arm64.charm

The charm requires the version of the framework that this tool comes from. A
tool that was built from a checkout makes charms that use that checkout, by a
replace line in go.mod; --replace names another one.`,
		setup: func(fs *flag.FlagSet) func(context.Context, streams, []string) error {
			var opts scaffold.Options
			fs.StringVar(&opts.Dir, "dir", "", "make the directory `DIR` instead of NAME")
			fs.StringVar(&opts.Module, "module", "", "the `PATH` of the charm's Go module (default example.com/NAME)")
			fs.StringVar(&opts.Version, "version", "", "require `VERSION` of the framework, such as v1.2.0")
			fs.StringVar(&opts.Replace, "replace", "", "use the checkout of the framework in `DIR`")
			return func(ctx context.Context, s streams, args []string) error {
				if len(args) != 1 {
					return usagef("takes the charm's name")
				}
				opts.Name = args[0]
				if opts.Version == "" && opts.Replace == "" {
					opts.Version, opts.Replace = frameworkOfTool()
				}
				if opts.Version == "" && opts.Replace == "" {
					return usagef("cannot tell which version of the framework this tool comes from: give --version, or --replace with a checkout of it")
				}
				result, err := scaffold.Make(ctx, opts)
				if err != nil {
					return err
				}
				for _, name := range result.Files {
					fmt.Fprintln(s.stdout, filepath.Join(result.Dir, name))
				}
				if result.Unresolved != nil {
					fmt.Fprintf(s.stderr, "The modules that the charm needs could not all be found; run \"go mod tidy\" in it later: %v\n", result.Unresolved)
				}
				fmt.Fprintf(s.stdout, "\nNext:\n\n  cd %s\n  go test ./...\n  reactive simulate bundle.yaml\n  reactive pack\n", result.Dir)
				return nil
			}
		},
	}
}

// frameworkOfTool returns the version of the framework that this tool is part
// of, or the checkout that it was built from.
func frameworkOfTool() (version, replace string) {
	// Only a tool that came as a module has a checksum.
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Sum != "" {
		return info.Main.Version, ""
	}
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
		return "", root
	}
	return "", ""
}
