package reactive

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/internal/commandline"
)

func keysOf[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// final returns the flags after a dispatch, given as its record.
func (r *Record) final() []string {
	set := flags.NewSet(newFlags(r.Flags)...)
	if r.Error == "" {
		for _, s := range r.Steps {
			if s.IsChange() {
				set.Toggle(flags.New(s.Flag), s.Set)
			}
		}
	}
	return names(set.List())
}

// currentFlags returns the flags that are set now, and where that is known from.
func (c *cli) currentFlags(ctx context.Context, records []Record) (list []string, source string, err error) {
	if c.inHook() {
		r, closeRun, err := c.open(ctx)
		if err != nil {
			return nil, "", err
		}
		defer closeRun()
		return names(r.set.List()), "", nil
	}
	if len(records) == 0 {
		return nil, "", errors.New("no hook is on record here, and this is no hook: run it on a unit, in the charm directory")
	}
	last := &records[len(records)-1]
	return last.final(), fmt.Sprintf("As of the end of %s, %s.\n", last.Title(), last.Time.Local().Format(time.DateTime)), nil
}

func showFlags(ctx context.Context, c *cli) error {
	if err := c.parse(0, 0); err != nil {
		return err
	}
	records, err := ReadRecords(c.process.Dir)
	if err != nil {
		return err
	}
	list, source, err := c.currentFlags(ctx, records)
	if err != nil {
		return err
	}
	histories := make([]FlagHistory, len(list))
	for i, name := range list {
		histories[i] = FlagHistory{Flag: name, Set: true, Last: lastChangeOf(c.charm, name, list, records)}
	}
	if done, err := c.print(histories); done {
		return err
	}
	fmt.Fprint(c.process.Stdout, source)
	if len(list) == 0 {
		fmt.Fprintln(c.process.Stdout, "No flag is set.")
		return nil
	}
	w := tabwriter.NewWriter(c.process.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "FLAG\tSINCE")
	for _, f := range histories {
		fmt.Fprintf(w, "%s\t%s\n", printable(f.Flag), f.Last)
	}
	return w.Flush()
}

// lastChangeOf finds the last change of a flag that led to the flags that are set
// now.
func lastChangeOf(c *Charm, flag string, now []string, records []Record) *FlagChange {
	if len(records) == 0 {
		return nil
	}
	r := newReplay(c, records)
	if change := r.last.changeAfter(flag, now); change != nil {
		change.Time = time.Now()
		return change
	}
	if r.last.Error != "" {
		return r.lastChange(flag, 0)
	}
	return r.lastChange(flag, len(r.last.Steps))
}

// A handlerRow is what the command handlers tells of one.
type handlerRow struct {
	Handler string    `json:"handler"`
	Waits   string    `json:"waits_for"`
	Last    time.Time `json:"last_run,omitzero"`
	Hook    string    `json:"last_hook,omitempty"`
	Now     bool      `json:"ran_in_last_hook"`
}

func showHandlers(_ context.Context, c *cli) error {
	if err := c.parse(0, 0); err != nil {
		return err
	}
	records, err := ReadRecords(c.process.Dir)
	if err != nil {
		return err
	}
	last := make(map[string]int)
	for i, record := range records {
		for _, s := range record.Steps {
			if !s.IsChange() {
				last[s.Handler] = i
			}
		}
	}
	rows := []handlerRow{}
	for _, h := range c.charm.handlers {
		row := handlerRow{Handler: h.Name, Waits: h.String()}
		if i, ok := last[h.Name]; ok {
			row.Last, row.Hook, row.Now = records[i].Time, records[i].Title(), i == len(records)-1
		}
		rows = append(rows, row)
	}
	if done, err := c.print(rows); done {
		return err
	}
	w := tabwriter.NewWriter(c.process.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "HANDLER\tWAITS FOR\tLAST RUN")
	for _, row := range rows {
		when := "-"
		if row.Hook != "" {
			when = fmt.Sprintf("%s, %s", row.Last.Local().Format(time.DateTime), row.Hook)
		}
		mark := ""
		if row.Now {
			mark = "*"
		}
		fmt.Fprintf(w, "%s%s\t%s\t%s\n", row.Handler, mark, row.Waits, when)
	}
	return w.Flush()
}

func explain(ctx context.Context, c *cli) error {
	flagName := c.flags.String("flag", "", "explain this `FLAG` instead of a handler")
	n := c.flags.Int("n", 1, "explain the hook that is number `N` from the end")
	if err := c.parse(0, -1); err != nil {
		return err
	}
	records, err := ReadRecords(c.process.Dir)
	if err != nil {
		return err
	}
	if *n < 1 || *n > max(len(records), 1) {
		return fmt.Errorf("there are %s on record, so there is no number %d from the end", plural(len(records), "hook"), *n)
	}
	records = records[:max(0, len(records)-*n+1)]
	if *flagName != "" {
		var now []string
		switch {
		case *n == 1 && c.inHook():
			if now, _, err = c.currentFlags(ctx, records); err != nil {
				return err
			}
		case len(records) > 0:
			now = records[len(records)-1].final()
		}
		return c.explainFlag(*flagName, now, records)
	}
	if len(c.args) == 0 {
		return &usageError{"explain takes a handler, or --flag FLAG; \"dispatch handlers\" lists the handlers"}
	}
	name, err := c.handlerNamed(strings.Join(c.args, " "))
	if err != nil {
		return err
	}
	e, err := Explain(c.charm, name, records)
	if err != nil {
		return err
	}
	if done, err := c.print(e); done {
		return err
	}
	fmt.Fprint(c.process.Stdout, e)
	return nil
}

// handlerNamed finds a handler by its name or a part of it.
func (c *cli) handlerNamed(text string) (string, error) {
	var names, found []string
	for _, h := range c.charm.handlers {
		if h.Name == text {
			return text, nil
		}
		if strings.Contains(strings.ToLower(h.Name), strings.ToLower(text)) {
			found = append(found, h.Name)
		}
		names = append(names, h.Name)
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("there is no handler %q%s; \"dispatch handlers\" lists them", text, commandline.DidYouMean(text, names))
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several handlers have %q in their names: %q", text, found)
}

// flagNames returns the flags that the charm or its records know.
func (c *cli) flagNames(records []Record) []string {
	list := names(c.charm.Flags())
	for _, t := range c.charm.Triggers() {
		list = append(list, t.When.String(), t.WhenNot.String())
		list = append(list, names(slices.Concat(t.Set, t.Clear))...)
	}
	for _, r := range records {
		list = append(list, r.Flags...)
		for _, s := range r.Steps {
			list = append(list, s.Flag)
		}
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(name string) bool { return name == "" })
}

// A flagExplanation is what explain --flag tells.
type flagExplanation struct {
	FlagHistory
	Handlers []string `json:"handlers"`
	Triggers []string `json:"triggers"`
}

// explainFlag tells of a flag, given those that are set.
func (c *cli) explainFlag(name string, now []string, records []Record) error {
	f := flags.New(name)
	e := flagExplanation{
		FlagHistory: FlagHistory{Flag: name, Set: slices.Contains(now, name), Last: lastChangeOf(c.charm, name, now, records)},
		Handlers:    []string{}, Triggers: []string{},
	}
	for _, h := range c.charm.handlers {
		if slices.Contains(h.flags, f) {
			e.Handlers = append(e.Handlers, h.Name)
		}
	}
	for _, t := range c.charm.Triggers() {
		if t.When == f || t.WhenNot == f || slices.Contains(t.Set, f) || slices.Contains(t.Clear, f) {
			e.Triggers = append(e.Triggers, t.String())
		}
	}
	if e.Last == nil && !e.Set && len(e.Handlers) == 0 && len(e.Triggers) == 0 {
		return fmt.Errorf("the charm has no handler or trigger about a flag %q, and no hook on record changed it%s", name,
			commandline.DidYouMean(name, c.flagNames(records)))
	}
	if done, err := c.print(e); done {
		return err
	}
	w := c.process.Stdout
	state := "not set"
	if e.Set {
		state = "set"
	}
	if e.Last == nil {
		fmt.Fprintf(w, "%s is %s; no hook on record changed it.\n", name, state)
	} else {
		fmt.Fprintf(w, "%s is %s: it was %s.\n", name, state, e.Last)
	}
	for _, part := range []struct {
		title string
		list  []string
	}{{"Handlers that wait for it or for its absence:", e.Handlers}, {"Triggers about it:", e.Triggers}} {
		if len(part.list) > 0 {
			fmt.Fprintf(w, "\n%s\n  %s\n", part.title, strings.Join(part.list, "\n  "))
		}
	}
	return nil
}

func trace(_ context.Context, c *cli) error {
	n := c.flags.Int("n", 1, "show the last `N` hooks")
	html := c.flags.String("html", "", "write a page to look at in a browser to `FILE`")
	if err := c.parse(0, 0); err != nil {
		return err
	}
	if *html != "" {
		return c.writePage(*html, "timeline")
	}
	records, err := ReadRecords(c.process.Dir)
	if err != nil {
		return err
	}
	records = records[max(0, len(records)-max(*n, 1)):]
	if done, err := c.print(records); done {
		return err
	}
	if len(records) == 0 {
		fmt.Fprintln(c.process.Stdout, "No hook is on record here.")
	}
	for i := range records {
		if i > 0 {
			fmt.Fprintln(c.process.Stdout)
		}
		fmt.Fprint(c.process.Stdout, records[i].Text())
	}
	return nil
}

// Text returns the record for people: a line for the hook, then a line for each
// handler that ran, with the flags it changed below it. Flags that the framework
// itself changed stand together, as there may be one for every option.
func (r *Record) Text() string {
	lines := []string{fmt.Sprintf("%s  %s  %s", r.Time.Local().Format("2006-01-02 15:04:05.000"), r.Unit, r.Summary())}
	phase, round := "", -1
	for i, s := range r.Steps {
		if s.Phase != phase || s.Phase == string(phaseFlags) && s.Round != round {
			phase, round = s.Phase, s.Round
			switch phase {
			case "start":
				lines = append(lines, "  before the handlers")
			case string(phaseEnd):
				lines = append(lines, "  after the handlers")
			case string(phaseFlags):
				lines = append(lines, fmt.Sprintf("  round %d", round+1))
			default:
				lines = append(lines, fmt.Sprintf("  %s handlers", strings.TrimSuffix(phase, "s")))
			}
		}
		if !s.IsChange() {
			line := fmt.Sprintf("    %-40s %8s", s.Handler, s.Duration.Round(time.Microsecond))
			if s.Error != "" {
				line += "  " + printable(s.Error)
			}
			lines = append(lines, line)
			continue
		}
		flag, last := printable(s.Flag), &lines[len(lines)-1]
		if i > 0 && s.besides(r.Steps[i-1]) && len(*last)+len(flag) < 100 {
			*last += " " + flag
			continue
		}
		line := "      "
		if s.Handler == "" {
			line = "    "
		}
		if s.Set {
			line += "+ " + flag
		} else {
			line += "- " + flag
		}
		if s.Trigger != "" {
			line += fmt.Sprintf("  (trigger of %s)", s.Trigger)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// besides reports whether the framework itself made a change as it made the one
// before.
func (s Step) besides(before Step) bool {
	before.Flag = s.Flag
	return s == before && s.Handler == "" && s.Trigger == ""
}
