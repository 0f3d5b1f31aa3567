package explore

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/charmed-go/charms/jujusim"
)

// A Difference is a run that did not end as the first one did. It is an error,
// so that a test can fail with it.
type Difference struct {
	// Seed is the seed of the run, and First that of the run it is held
	// against.
	Seed, First uint64
	// Failure says that the run did not come to an end: a hook failed, or the
	// model never settles.
	Failure string
	// Changes are what differs in the end.
	Changes []Change
	// Expected and Story are the hooks of the first run and of this one that
	// had a part in what differs, in the order in which they ran.
	Expected, Story []string
}

// A Change is one thing that differs.
type Change struct {
	Item      Item
	Want, Got string
}

// absent stands for a thing that is not there.
const absent = "(nothing)"

// compare returns what differs between two states.
func (o Options) compare(want, got map[Item]string) []Change {
	var list []Change
	add := func(i Item, w, g string) {
		if o.Ignore == nil || !o.Ignore(i) {
			list = append(list, Change{i, w, g})
		}
	}
	for i, w := range want {
		if g, ok := got[i]; !ok {
			add(i, w, absent)
		} else if g != w {
			add(i, w, g)
		}
	}
	for i, g := range got {
		if _, ok := want[i]; !ok {
			add(i, absent, g)
		}
	}
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Item.String(), b.Item.String()), cmp.Compare(a.Got, b.Got))
	})
	return list
}

func (o Options) difference(first, bad *run) *Difference {
	d := &Difference{Seed: bad.seed, First: first.seed, Failure: bad.failure}
	if bad.failure == "" {
		d.Changes = o.compare(first.state, bad.state)
		d.Expected = story(first.history, d.Changes)
		d.Story = story(bad.history, d.Changes)
	} else {
		d.Story = ending(bad.history)
	}
	return d
}

// story returns the hooks that changed one of the things, or were killed on the
// units that they belong to.
func story(history []*jujusim.Dispatch, changes []Change) []string {
	var lines []string
	for _, h := range history {
		var did []string
		for _, c := range changes {
			if text := touched(h, c.Item); text != "" && !slices.Contains(did, text) {
				did = append(did, text)
			}
		}
		switch {
		case h.Outcome == jujusim.Killed && slices.ContainsFunc(changes, func(c Change) bool { return c.Item.Owner == h.Unit }):
			lines = append(lines, fmt.Sprintf("%s was killed after %d hook tools", h.Hook, len(h.Calls)))
		case len(did) > 0 && h.Outcome == jujusim.Done:
			lines = append(lines, fmt.Sprintf("%s: %s", h.Hook, strings.Join(did, ", ")))
		}
	}
	return lines
}

// ending is the end of a run that came to none: the last hooks of the unit
// whose hook it was.
func ending(history []*jujusim.Dispatch) []string {
	if len(history) == 0 {
		return nil
	}
	unit := history[len(history)-1].Unit
	var lines []string
	for _, h := range history {
		if h.Unit == unit {
			lines = append(lines, fmt.Sprintf("%s: %s", h.Hook, h.Outcome))
		}
	}
	return lines
}

// touched says what a hook did to a thing, or "".
func touched(h *jujusim.Dispatch, i Item) string {
	show := func(v string) string { return fmt.Sprintf("%s = %s", short(i, h.Unit), clip(mask(v))) }
	if i.Kind == "relation" {
		r := h.Changes.Relations[i.Relation]
		if r == nil {
			return ""
		}
		bag, ok := r.Data[i.Owner]
		if !ok {
			return ""
		}
		for k, v := range bag {
			if mask(k) == i.Key {
				return show(v)
			}
		}
		return fmt.Sprintf("no %s", short(i, h.Unit))
	}
	if a := h.Changes.Applications[i.Owner]; a != nil {
		if i.Kind == "status" && a.Status != nil {
			return show(statusText(*a.Status))
		}
		if i.Kind == "leader settings" && a.LeaderSettings != nil {
			return show((*a.LeaderSettings)[i.Key])
		}
	}
	u := h.Changes.Units[i.Owner]
	switch {
	case u == nil:
	case i.Kind == "status" && u.Status != nil:
		return show(statusText(*u.Status))
	case i.Kind == "version" && u.WorkloadVersion != nil:
		return show(*u.WorkloadVersion)
	case i.Kind == "ports" && u.Ports != nil:
		return show(fmt.Sprint(*u.Ports))
	case i.Kind == "state" && u.State != nil:
		for k, v := range charmState(*u.State) {
			if mask(k) == i.Key {
				return show(v)
			}
		}
		return fmt.Sprintf("no %s", short(i, h.Unit))
	}
	return ""
}

// short names a thing beside the unit whose hook it is.
func short(i Item, unit string) string {
	switch {
	case i.Kind == "relation" && i.Owner == unit:
		return i.Key
	case i.Kind == "relation":
		return i.Owner + "'s " + i.Key
	case i.Key != "":
		return i.Kind + " " + i.Key
	}
	return i.Kind
}

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return s
}

// Error is the whole report, in several lines.
func (d *Difference) Error() string {
	var b strings.Builder
	if d.Failure != "" {
		fmt.Fprintf(&b, "seed %d does not end well: %s\n", d.Seed, d.Failure)
		writeStory(&b, "What the unit did:", d.Story)
		return strings.TrimRight(b.String(), "\n")
	}
	fmt.Fprintf(&b, "seed %d ends in another state than seed %d:\n", d.Seed, d.First)
	for n, c := range d.Changes {
		if n == 12 {
			fmt.Fprintf(&b, "  … and %d more\n", len(d.Changes)-n)
			break
		}
		fmt.Fprintf(&b, "  %s: %s instead of %s\n", c.Item, clip(c.Got), clip(c.Want))
	}
	writeStory(&b, fmt.Sprintf("What led there, with seed %d:", d.Seed), d.Story)
	writeStory(&b, fmt.Sprintf("and with seed %d:", d.First), d.Expected)
	return strings.TrimRight(b.String(), "\n")
}

func writeStory(b *strings.Builder, heading string, lines []string) {
	const most = 16
	if len(lines) == 0 {
		return
	}
	fmt.Fprintln(b, heading)
	if skip := len(lines) - most; skip > 0 {
		fmt.Fprintf(b, "  (%d hooks before)\n", skip)
		lines = lines[skip:]
	}
	for _, l := range lines {
		fmt.Fprintf(b, "  %s\n", l)
	}
}
