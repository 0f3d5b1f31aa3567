package rules

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
)

// overlaps checks that neither a unit nor a machine runs two dispatches at once.
func (c *checker) overlaps(sequences []Sequence) {
	type run struct {
		s *Sequence
		i int
	}
	machines := make(map[string][]run)
	for k := range sequences {
		s := &sequences[k]
		last := -1
		for i := range s.Dispatches {
			d := &s.Dispatches[i]
			if d.Loose {
				continue
			}
			if last >= 0 && d.Start < max(s.Dispatches[last].Start, s.Dispatches[last].End) {
				c.report(U1, s, i, "dispatch %d had not ended", last+1)
			}
			last = i
			if s.Machine != "" {
				machines[s.Machine] = append(machines[s.Machine], run{s, i})
			}
		}
	}
	for _, machine := range slices.Sorted(maps.Keys(machines)) {
		runs := machines[machine]
		slices.SortStableFunc(runs, func(a, b run) int {
			return cmp.Compare(a.s.Dispatches[a.i].Start, b.s.Dispatches[b.i].Start)
		})
		for k := 1; k < len(runs); k++ {
			a, b := runs[k-1], runs[k]
			if a.s != b.s && b.s.Dispatches[b.i].Start < a.s.Dispatches[a.i].End {
				c.report(M1, b.s, b.i, "%s had not ended its %s", a.s.Unit, a.s.Dispatches[a.i].At)
			}
		}
	}
}

// removals checks that a unit which was removed alone is seen to depart only
// after it has left.
func (c *checker) removals(sequences []Sequence) {
	left := make(map[string]int64) // by unit and relation
	for k := range sequences {
		s := &sequences[k]
		if !s.RemovedAlone {
			continue
		}
		for i := range s.Dispatches {
			d := &s.Dispatches[i]
			if _, kind, ok := d.relationHook(); ok && kind == "broken" {
				left[s.Unit+" "+number(d.Env["JUJU_RELATION_ID"])] = max(d.Start, d.End)
			}
		}
	}
	for k := range sequences {
		s := &sequences[k]
		for i := range s.Dispatches {
			d := &s.Dispatches[i]
			if _, kind, ok := d.relationHook(); !ok || kind != "departed" {
				continue
			}
			remote := d.Env["JUJU_REMOTE_UNIT"]
			if d.Env["JUJU_DEPARTING_UNIT"] != remote {
				continue
			}
			if at, ok := left[remote+" "+number(d.Env["JUJU_RELATION_ID"])]; ok && d.Start < at {
				c.report(R9, s, i, "%s had not ended its -broken", remote)
			}
		}
	}
}

// leaders checks the first leader of each application: the unit that ran
// leader-elected first, unless it came after another unit had installed.
func (c *checker) leaders(sequences []Sequence) {
	first := make(map[string]*Sequence)
	at := make(map[string]int)
	installed := make(map[string]int64)
	led := make(map[string]map[string]int64) // when units first saw is-leader true
	for k := range sequences {
		s := &sequences[k]
		app := application(s.Unit)
		for i := range s.Dispatches {
			d := &s.Dispatches[i]
			// One that was killed before it could tell may have led.
			if l := leader(d); l != nil && *l || l == nil && d.At == "install" {
				if led[app] == nil {
					led[app] = make(map[string]int64)
				}
				if _, ok := led[app][s.Unit]; !ok {
					led[app][s.Unit] = d.Start
				}
			}
			if before, ok := installed[app]; d.At == "install" && (!ok || d.Start < before) {
				installed[app] = d.Start
			}
			if d.At != "leader-elected" || first[app] == s {
				continue
			}
			if f := first[app]; f == nil || d.Start < f.Dispatches[at[app]].Start {
				first[app], at[app] = s, i
			}
		}
	}
	for _, app := range slices.Sorted(maps.Keys(first)) {
		s := first[app]
		second := false
		for unit, since := range led[app] {
			second = second || unit != s.Unit && since < s.Dispatches[at[app]].Start
		}
		if second {
			continue
		}
		for i := range s.Dispatches[:at[app]] {
			d := &s.Dispatches[i]
			if l := leader(d); d.At == "install" && l != nil && !*l && d.Start == installed[app] {
				c.report(L2, s, at[app], "is-leader was false in install")
			}
		}
	}
}

// A version is one committed value of a bag. It became visible at some time
// between from and to.
type version struct {
	from, to int64
	values   map[string]string
}

type change struct {
	from, to int64
	writes   []Write
}

func own(key string) bool {
	return key == "ingress-address" || key == "egress-subnets" || key == "private-address"
}

// histories returns the committed values of every bag that was written, by
// relation number and owner, and who wrote them.
func histories(sequences []Sequence) (map[string][]version, map[string]map[string]bool) {
	changes := make(map[string][]change)
	writers := make(map[string]map[string]bool)
	for k := range sequences {
		s := &sequences[k]
		for i := range s.Dispatches {
			d := &s.Dispatches[i]
			byBag := make(map[string][]Write)
			for _, w := range d.Writes {
				if own(w.Key) {
					continue
				}
				key := number(w.Relation) + " " + w.Owner
				if writers[key] == nil {
					writers[key] = make(map[string]bool)
				}
				writers[key][s.Unit] = true
				byBag[key] = append(byBag[key], w)
			}
			if !d.kept() {
				continue
			}
			from, to := d.End, int64(math.MaxInt64)
			switch {
			case d.Loose:
				from = d.Start
				if d.End >= d.Start {
					to = d.End
				}
			case d.End < d.Start:
				from = d.Start
			}
			if !d.Loose {
				for _, next := range s.Dispatches[i+1:] {
					if !next.Loose {
						to = next.Start
						break
					}
				}
			}
			for key, writes := range byBag {
				changes[key] = append(changes[key], change{from, to, writes})
			}
		}
	}
	bags := make(map[string][]version)
	for key, list := range changes {
		slices.SortStableFunc(list, func(a, b change) int { return cmp.Compare(a.from, b.from) })
		values := map[string]string{}
		versions := []version{{math.MinInt64, math.MinInt64, values}}
		for _, ch := range list {
			next := maps.Clone(values)
			for _, w := range ch.writes {
				if w.Value == "" {
					delete(next, w.Key)
				} else {
					next[w.Key] = w.Value
				}
			}
			if maps.Equal(next, values) {
				continue
			}
			values = next
			versions = append(versions, version{ch.from, ch.to, values})
		}
		bags[key] = versions
	}
	return bags, writers
}

// data checks what passes from unit to unit.
func (c *checker) data(sequences []Sequence) {
	bags, writers := histories(sequences)
	for k := range sequences {
		s := &sequences[k]
		r := &reader{checker: c, s: s, bags: bags, writers: writers, at: make(map[string]int)}
		for i := range s.Dispatches {
			if !s.Dispatches[i].Loose {
				r.dispatch(i, &s.Dispatches[i])
			}
		}
		r.end()
	}
}

// reader follows one unit through what it read.
type reader struct {
	*checker
	s       *Sequence
	bags    map[string][]version
	writers map[string]map[string]bool
	// at is the oldest version that each bag can have been when last read.
	at     map[string]int
	lists  map[string]map[string]bool // by relation id, as last seen
	failed bool
}

func (r *reader) dispatch(i int, d *Dispatch) {
	if d.isHook() {
		r.failed = !d.counts()
	}
	for k, read := range d.Reads {
		for id, seen := range read.Relations {
			if seen.List != nil {
				if r.lists == nil {
					r.lists = make(map[string]map[string]bool)
				}
				r.lists[id] = make(map[string]bool)
				for _, unit := range seen.List {
					r.lists[id][unit] = true
				}
			}
			for owner, bag := range seen.Bags {
				r.bag(i, d, read.Time, k == 0, id, owner, bag)
			}
		}
	}
}

func (r *reader) bag(i int, d *Dispatch, at int64, first bool, id, owner string, bag map[string]string) {
	key := number(id) + " " + owner
	if owner == r.s.Unit || r.writers[key][r.s.Unit] {
		return
	}
	values := make(map[string]string)
	for k, v := range bag {
		if !own(k) {
			values[k] = v
		}
	}
	versions := r.bags[key]
	if versions == nil {
		versions = []version{{math.MinInt64, math.MinInt64, nil}}
	}
	found, older := -1, false
	for n, v := range versions {
		if v.from > at || !maps.Equal(v.values, values) {
			continue
		}
		if n < r.at[key] {
			older = true
			continue
		}
		found = n
		break
	}
	switch {
	case found < 0 && older:
		r.report(X2, r.s, i, "the data of %s in %s is again %v", owner, id, values)
		return
	case found < 0:
		r.report(X1, r.s, i, "the data of %s in %s is %v", owner, id, values)
		return
	}
	r.at[key] = found
	_, kind, ok := d.relationHook()
	if !ok || kind != "changed" || !first || number(d.Env["JUJU_RELATION_ID"]) != number(id) {
		return
	}
	if owner != cmp.Or(d.Env["JUJU_REMOTE_UNIT"], d.Env["JUJU_REMOTE_APP"]) {
		return
	}
	// Any version may be the latest that was not certainly replaced by then.
	latest := false
	for n := found; n < len(versions); n++ {
		replaced := n+1 < len(versions) && versions[n+1].to <= d.Start
		if !replaced && versions[n].from <= at && maps.Equal(versions[n].values, values) {
			latest = true
			r.at[key] = n
			break
		}
	}
	if !latest {
		r.report(X3, r.s, i, "the data of %s in %s is %v", owner, id, values)
	}
}

// end checks that nothing stayed unseen by a unit that is still related.
func (r *reader) end() {
	if r.s.Cut || r.failed {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(r.at)) {
		relation, owner, _ := strings.Cut(key, " ")
		versions := r.bags[key]
		if versions == nil || !r.member(relation, owner) {
			continue
		}
		last := len(versions) - 1
		if !maps.Equal(versions[r.at[key]].values, versions[last].values) {
			r.report(X4, r.s, -1, "of %s in relation %s it saw %v last, not %v", owner, relation, versions[r.at[key]].values, versions[last].values)
		}
	}
}

// member says whether the unit last saw the owner of a bag as related.
func (r *reader) member(relation, owner string) bool {
	for id, list := range r.lists {
		if number(id) != relation {
			continue
		}
		for unit := range list {
			if unit == owner || application(unit) == owner {
				return true
			}
		}
	}
	return false
}
