package reactive

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/commandline"
)

// A Command is a word of the charm's own command line.
type Command struct {
	// Name is the word, Args what may follow it and Short what it does, in a
	// few words. Long is the rest of its help, in lines.
	Name, Args, Short, Long string
	// Run does the work. The arguments are those behind the word. Its error is
	// printed and makes the process exit with 1.
	Run func(ctx context.Context, p hooktool.Process) error
}

type command struct {
	Command
	// run does the work of a command that is about the charm.
	run func(ctx context.Context, c *cli) error
}

// AddCommand adds a word to the charm's own command line, such as one that runs
// the workload. It panics if there is one of that name already.
func (c *Charm) AddCommand(cmd Command) {
	if _, ok := c.commands[cmd.Name]; ok || slices.ContainsFunc(builtins(), func(b command) bool { return b.Name == cmd.Name }) {
		panic(fmt.Sprintf("reactive: the charm's command line already has the command %q (%s)", cmd.Name, place(callSite(1))))
	}
	c.commands[cmd.Name] = command{Command: cmd}
}

// cli is one run of the charm's command line.
type cli struct {
	charm   *Charm
	process hooktool.Process
	command command
	flags   *flag.FlagSet
	json    bool
	args    []string
}

// A usageError says what is wrong with a command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func builtins() []command {
	return []command{
		{Command{Name: "flags", Short: "list the flags that are set", Long: `
Lists the flags that are set, since when, and what set them. In a hook or
through juju exec they are read from Juju; elsewhere they are those at the end
of the last hook on record.

  dispatch flags
  dispatch flags --json
`}, showFlags},
		{Command{Name: "handlers", Short: "list the handlers and what they wait for", Long: `
Lists the charm's handlers in the order in which they run, what each waits for,
and when it last ran. An asterisk marks those that ran in the last hook.

  dispatch handlers
`}, showHandlers},
		{Command{Name: "explain", Args: "HANDLER | --flag FLAG", Short: "say why a handler ran in the last hook or did not", Long: `
Says why a handler ran in the last hook, or which part of its condition kept it
from running: which flag, when that was last set or cleared, and by which
handler. A part of the name will do if only one handler has it. With --flag it
says the same of a flag, and which handlers and triggers are about it.

  dispatch explain configure             the handler with "configure" in its name
  dispatch explain -n 2 configure        the same in the hook before the last one
  dispatch explain --flag web.ready      who set it, and who waits for it
`}, explain},
		{Command{Name: "trace", Short: "show what happened in the last hooks", Long: `
Shows the last hooks: the handlers that ran, in which round, how long they took,
and the flags that they set (+) and cleared (-). It reads the records in the
charm directory, so it works without Juju too, also after a hook failed.

  dispatch trace                         the last hook
  dispatch trace -n 20                   the last twenty
  dispatch trace --html /tmp/web.html    all on record, as a page with a timeline
`}, trace},
		{Command{Name: "graph", Short: "show how handlers and flags are tied together", Long: `
Shows the handlers, what each waits for, and the flags that each was seen to
change in the hooks on record. With --html it writes a page that needs no
network: handlers and flags as a graph to filter and click through, and the
hooks on record as a timeline, which says of each handler why it ran or not.

  juju exec --unit web/0 './dispatch graph --html /tmp/web.html'
  juju scp web/0:/tmp/web.html .
`}, showGraph},
		{Command{Name: "set", Args: "FLAG...", Short: "set flags by hand", Long: `
Sets flags, and runs the triggers that wait for them. Handlers see them in the
next hook. It works in a hook, in juju debug-hooks and through juju exec:

  juju exec --unit web/0 './dispatch set web.configured'
`}, setFlags},
		{Command{Name: "clear", Args: "FLAG...", Short: "clear flags by hand", Long: `
Clears flags, and runs the triggers that wait for that. Handlers see it in the
next hook. It works in a hook, in juju debug-hooks and through juju exec:

  juju exec --unit web/0 './dispatch clear web.configured'
`}, setFlags},
		{Command{Name: "data", Args: "[PREFIX]", Short: "show what the unit remembers", Long: `
Shows what the unit remembers from hook to hook, apart from flags: each key and
the size of its value; only keys that begin with PREFIX if one is given. Values
may be secret, so they are shown with --values only. It works in a hook, in juju
debug-hooks and through juju exec:

  juju exec --unit web/0 './dispatch data'
`}, showData},
		{Command{Name: "dispatch", Short: "run the hook, as Juju does", Long: `
Runs the hook, the action or the commands of juju exec that the environment
describes, as the charm does without any arguments.
`}, dispatchCommand},
	}
}

// runCommand runs the charm's command line and returns the exit code: 0 done, 1
// failed, 2 a wrong command line.
func runCommand(ctx context.Context, newCharm func() *Charm, p hooktool.Process) int {
	c := &cli{charm: newCharm(), process: p}
	args := p.Args
	if len(args) > 0 && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		if args = args[1:]; len(args) > 0 {
			args = []string{args[0], "--help"}
		}
	}
	if len(args) == 0 {
		c.overview(p.Stdout)
		return 0
	}
	cmd, ok := c.find(args[0])
	if !ok {
		var names []string
		for _, cmd := range c.all() {
			names = append(names, cmd.Name)
		}
		fmt.Fprintf(p.Stderr, "ERROR there is no command %q%s; \"dispatch help\" lists them\n", args[0], commandline.DidYouMean(args[0], names))
		return 2
	}
	c.command, c.args = cmd, args[1:]
	c.flags = flag.NewFlagSet(cmd.Name, flag.ContinueOnError)
	c.flags.SetOutput(io.Discard)
	if cmd.Run != nil {
		if slices.Equal(c.args, []string{"--help"}) {
			c.help()
			return 0
		}
		sub := p
		sub.Args = c.args
		return c.fail(cmd.Run(ctx, sub))
	}
	c.flags.BoolVar(&c.json, "json", false, "print JSON, for programs")
	return c.fail(cmd.run(ctx, c))
}

// fail tells an error and returns the exit code for it.
func (c *cli) fail(err error) int {
	var usage *usageError
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(c.process.Stderr, "ERROR %v; \"dispatch help %s\" says more\n", err, c.command.Name)
		return 2
	}
	fmt.Fprintf(c.process.Stderr, "ERROR %v\n", err)
	return 1
}

// parse parses the arguments of a command that takes between least and most
// words besides flags. Flags may stand before and behind the words.
func (c *cli) parse(least, most int) error {
	words, err := commandline.Parse(c.flags, c.args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help()
		return err
	case err != nil:
		return &usageError{err.Error()}
	case len(words) < least:
		return &usageError{fmt.Sprintf("%s takes %s", c.command.Name, c.command.Args)}
	case most >= 0 && len(words) > most:
		return &usageError{fmt.Sprintf("%s does not take %q", c.command.Name, strings.Join(words[most:], " "))}
	}
	c.args = words
	return nil
}

func (c *cli) find(name string) (command, bool) {
	for _, cmd := range c.all() {
		if cmd.Name == name {
			return cmd, true
		}
	}
	return command{}, false
}

func (c *cli) all() []command {
	list := builtins()
	for _, name := range slices.Sorted(keysOf(c.charm.commands)) {
		list = append(list, c.charm.commands[name])
	}
	return list
}

func (c *cli) overview(w io.Writer) {
	fmt.Fprintf(w, "This is the charm %q. Juju runs it without arguments for every hook; by hand it\ntells what it does and why.\n\nUsage: dispatch COMMAND [ARGUMENTS]\n\n", c.charm.name)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, cmd := range c.all() {
		fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSpace(cmd.Name+" "+cmd.Args), cmd.Short)
	}
	t.Flush()
	handler := "install the server"
	if len(c.charm.handlers) > 0 {
		handler = c.charm.handlers[0].Name
	}
	fmt.Fprintf(w, `
"dispatch help COMMAND" says more. Most commands print JSON with --json. They
read the records of the last hooks in the charm directory, so all but set, clear
and data work without Juju. From outside the unit:

  juju exec --unit %s/0 './dispatch explain "%s"'
`, c.charm.name, handler)
}

// help prints the help of the command.
func (c *cli) help() {
	w := c.process.Stdout
	fmt.Fprintf(w, "Usage: dispatch %s\n\n%s\n", strings.TrimSpace(c.command.Name+" "+c.command.Args), strings.TrimSpace(c.command.Long))
	commandline.PrintFlags(w, c.flags)
}

// print prints v as JSON if that is wanted, and reports whether it did.
func (c *cli) print(v any) (bool, error) {
	if !c.json {
		return false, nil
	}
	encoder := json.NewEncoder(c.process.Stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return true, encoder.Encode(v)
}

func (c *cli) inHook() bool { return c.process.Getenv("JUJU_CONTEXT_ID") != "" }

func dispatchCommand(ctx context.Context, c *cli) error {
	if err := c.parse(0, 0); err != nil {
		return err
	}
	return Dispatch(ctx, func() *Charm { return c.charm }, c.process)
}
