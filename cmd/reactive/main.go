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
	"strings"
	"syscall"

	"github.com/charmed-go/charms/internal/commandline"
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
		return noCommand(name, s)
	}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	do := c.setup(fs)
	args, err := commandline.Parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return help([]string{name}, s)
	case err != nil:
		err = usagef("%v", err)
	default:
		err = do(ctx, s, args)
	}
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

// noCommand says that there is no command of a name, and returns the exit code.
func noCommand(name string, s streams) int {
	names := []string{"help", "version"}
	for _, c := range commands() {
		names = append(names, c.name)
	}
	fmt.Fprintf(s.stderr, "reactive: there is no command %q%s; see \"reactive help\"\n", name, commandline.DidYouMean(name, names))
	return 2
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
			return noCommand(args[0], s)
		}
		fmt.Fprintf(s.stdout, "usage: reactive %s\n\n%s\n", strings.TrimSpace(c.name+" "+c.args), strings.TrimSpace(c.help))
		fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
		c.setup(fs)
		commandline.PrintFlags(s.stdout, fs)
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
