package reactive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/commandline"
)

// open opens the unit's data and flags without running anything.
func (c *cli) open(ctx context.Context) (r *run, closeRun func(), err error) {
	if !c.inHook() {
		return nil, nil, errors.New("this needs Juju: run it in juju debug-hooks, or through juju exec")
	}
	client, err := hooktool.Dial(ctx, c.process)
	if err != nil {
		return nil, nil, err
	}
	calls := &counter{Transport: client}
	r = newRun(c.charm, c.process, calls)
	closeRun = func() {
		if closer, ok := r.store.(io.Closer); ok {
			closer.Close()
		}
		client.Close()
	}
	if err := r.open(ctx); err != nil {
		closeRun()
		return nil, nil, err
	}
	r.loadFlags()
	return r, closeRun, nil
}

// setFlags is the commands set and clear.
func setFlags(ctx context.Context, c *cli) error {
	if err := c.parse(1, -1); err != nil {
		return err
	}
	r, closeRun, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closeRun()
	for _, t := range c.charm.Triggers() {
		r.set.AddTrigger(t)
	}
	changes := []flagSetting{}
	r.set.Watch(func(change flags.Change) {
		changes = append(changes, flagSetting{change.Flag.String(), change.Set, change.Trigger.String()})
	})
	r.data.SetAuthor("the command line")
	known := c.flagNames(nil)
	on := c.flags.Name() == "set"
	for _, name := range c.args {
		f := flags.New(name)
		if name == "" {
			return &usageError{"a flag needs a name"}
		}
		if r.set.IsSet(f) == on {
			fmt.Fprintf(c.process.Stderr, "%s already is as you want it\n", printable(name))
		} else if !slices.Contains(known, name) && c.charm.sourceOf(name) == "" {
			fmt.Fprintf(c.process.Stderr, "the charm has no handler or trigger about a flag %q%s\n", name, commandline.DidYouMean(name, known))
		}
		r.set.Toggle(f, on)
	}
	if err := errors.Join(r.failure, r.set.Err()); err != nil {
		return err
	}
	if err := r.data.Commit(ctx); err != nil {
		return err
	}
	if done, err := c.print(changes); done {
		return err
	}
	for _, change := range changes {
		fmt.Fprintln(c.process.Stdout, change)
	}
	return nil
}

// A flagSetting is what the commands set and clear tell of a flag they changed.
type flagSetting struct {
	Flag string `json:"flag"`
	Set  bool   `json:"set"`
	// Trigger is the flag whose trigger did it.
	Trigger string `json:"trigger,omitempty"`
}

func (s flagSetting) String() string {
	text := "cleared " + printable(s.Flag)
	if s.Set {
		text = "set " + printable(s.Flag)
	}
	if s.Trigger != "" {
		text += fmt.Sprintf(" (trigger of %s)", printable(s.Trigger))
	}
	return text
}

func showData(ctx context.Context, c *cli) error {
	values := c.flags.Bool("values", false, "show the values too, which may be secret")
	if err := c.parse(0, 1); err != nil {
		return err
	}
	r, closeRun, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closeRun()
	prefix := strings.Join(c.args, "")
	data := make(map[string]any)
	w := tabwriter.NewWriter(c.process.Stdout, 0, 8, 2, ' ', 0)
	for _, key := range r.data.Keys(prefix) {
		if strings.HasPrefix(key, flagPrefix) {
			continue
		}
		text, _ := r.data.Raw(key)
		if *values {
			data[key] = text
			fmt.Fprintf(w, "%s\t%s\n", key, text)
		} else {
			data[key] = len(text)
			fmt.Fprintf(w, "%s\t%s\n", key, plural(len(text), "byte"))
		}
	}
	if done, err := c.print(data); done {
		return err
	}
	if len(data) == 0 {
		fmt.Fprintln(c.process.Stdout, "The unit remembers nothing but flags.")
	}
	return w.Flush()
}
