package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

// A command is one subcommand of reactive.
type command struct {
	name, args, summary string
	// help is what "reactive help NAME" shows before the flags.
	help string
	// setup declares the command's flags and returns what runs after they
	// are parsed.
	setup func(fs *flag.FlagSet) func(ctx context.Context, io streams, args []string) error
}

type streams struct {
	stdout, stderr io.Writer
}

// errUsage is a wrong command line; what is wrong has been said.
var errUsage = errors.New("usage")

// errFound says that a command did its work and that its answer, already
// printed, is no.
var errFound = errors.New("found")

func commands() []command {
	return []command{initCommand(), packCommand(), lintCommand(), simulateCommand(), traceCommand()}
}

func main() {
	if code, ok := runAsHookTool(os.Args); ok {
		os.Exit(code)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run runs the command line args and returns the exit code: 0 done, 1 failed,
// 2 a wrong command line.
func run(ctx context.Context, args []string, s streams) int {
	name := "help"
	if len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "help", "-h", "-help", "--help":
		return help(args, s)
	case "version", "--version":
		fmt.Fprintln(s.stdout, "reactive", toolVersion())
		return 0
	}
	c, ok := find(name)
	if !ok {
		fmt.Fprintf(s.stderr, "reactive: there is no command %q; see \"reactive help\"\n", name)
		return 2
	}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(s.stderr)
	fs.Usage = func() { fmt.Fprintf(s.stderr, "see \"reactive help %s\"\n", name) }
	do := c.setup(fs)
	args, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return help([]string{name}, s)
	case err != nil:
		return 2
	}
	err = do(ctx, s, args)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	case errors.Is(err, errUsage):
		fmt.Fprintf(s.stderr, "reactive %s: %s; see \"reactive help %s\"\n", name, strings.TrimPrefix(err.Error(), errUsage.Error()+": "), name)
		return 2
	case ctx.Err() != nil:
		fmt.Fprintf(s.stderr, "reactive %s: interrupted\n", name)
		return 1
	}
	fmt.Fprintf(s.stderr, "reactive %s: %v\n", name, err)
	return 1
}

// parse parses flags wherever they stand among the arguments, as people type
// them, and returns the rest. All after -- is the rest.
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	var after []string
	if i := slices.Index(args, "--"); i >= 0 {
		args, after = args[:i], args[i+1:]
	}
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		if args = fs.Args(); len(args) == 0 {
			return append(rest, after...), nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

func find(name string) (command, bool) {
	for _, c := range commands() {
		if c.name == name {
			return c, true
		}
	}
	return command{}, false
}

func help(args []string, s streams) int {
	if len(args) > 0 {
		c, ok := find(args[0])
		if !ok {
			fmt.Fprintf(s.stderr, "reactive: there is no command %q; see \"reactive help\"\n", args[0])
			return 2
		}
		fmt.Fprintf(s.stdout, "usage: reactive %s\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), strings.TrimSpace(c.help))
		fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
		c.setup(fs)
		printFlags(s.stdout, fs)
		return 0
	}
	fmt.Fprintf(s.stdout, "reactive starts, packs, checks and tries Juju charms written in Go.\n\nusage: reactive COMMAND [FLAGS] [ARGUMENTS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(s.stdout, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprintf(s.stdout, "  %-10s %s\n  %-10s %s\n", "help", "explain a command, with examples", "version", "print the version of this tool")
	fmt.Fprintf(s.stdout, "\nA first charm in three lines:\n\n  reactive init web && cd web\n  go test ./...\n  reactive pack\n")
	return 0
}

func printFlags(w io.Writer, fs *flag.FlagSet) {
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprintln(w, "\nflags:")
			first = false
		}
		value, usage := flag.UnquoteUsage(f)
		if value != "" {
			value = " " + value
		}
		def := ""
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			def = " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  --%s%s\n        %s%s\n", f.Name, value, usage, def)
	})
}

// toolVersion returns the version this tool was built from.
func toolVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown)"
	}
	return info.Main.Version
}

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// A list is a flag that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
