package rules

import (
	"maps"
	"slices"
)

// visible checks what a dispatch saw of its relations against the hooks before
// it. current is the relation of the hook itself, if it has one.
func (u *unitCheck) visible(i int, d *Dispatch, current *relation, kind string) {
	remote := d.Env["JUJU_REMOTE_UNIT"]
	for _, read := range d.Reads {
		for _, ids := range read.RelationIDs {
			for _, id := range ids {
				if r := u.relations[id]; r != nil && r.broken {
					u.report(V2, i, "relation-ids lists %s", id)
				}
			}
		}
		for id, seen := range read.Relations {
			r := u.relations[id]
			if seen.List != nil {
				want := map[string]bool{}
				if r != nil {
					want = maps.Clone(r.joined)
				}
				if r != nil && r == current {
					switch kind {
					case "joined":
						want[remote] = true
					case "departed":
						delete(want, remote)
					}
				}
				if !slices.Equal(sorted(seen.List), sorted(slices.Collect(maps.Keys(want)))) {
					u.report(V1, i, "relation-list of %s is %v, joined are %v", id, seen.List, sorted(slices.Collect(maps.Keys(want))))
				}
			}
			for owner, bag := range seen.Bags {
				if owner == application(owner) || owner == u.s.Unit {
					continue
				}
				if bag["ingress-address"] == "" || bag["egress-subnets"] == "" {
					u.report(V5, i, "the data of %s in %s is %v", owner, id, bag)
				}
			}
			if r == nil || r != current {
				continue
			}
			if kind == "departed" && slices.Contains(seen.Refused, remote) {
				u.report(V3, i, "relation-get of %s fails", remote)
			}
			from := remote
			if from == "" {
				from = d.Env["JUJU_REMOTE_APP"]
			}
			if bag, ok := seen.Bags[from]; ok && seen.Default != nil && !maps.Equal(bag, seen.Default) {
				u.report(V4, i, "it is %v, the data of %s is %v", seen.Default, from, bag)
			}
		}
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// stable checks that what was read twice in one dispatch was the same.
func (u *unitCheck) stable(i int, d *Dispatch) {
	written := make(map[string]bool)
	for _, w := range d.Writes {
		written[number(w.Relation)+" "+w.Owner] = true
	}
	bags := make(map[string]map[string]string)
	lists := make(map[string][]string)
	ids := make(map[string][]string)
	var config *string
	for _, read := range d.Reads {
		for endpoint, list := range read.RelationIDs {
			if first, ok := ids[endpoint]; ok && !slices.Equal(sorted(first), sorted(list)) {
				u.report(V9, i, "relation-ids %s was %v and is %v", endpoint, first, list)
			}
			ids[endpoint] = list
		}
		for id, seen := range read.Relations {
			if seen.List != nil {
				if first, ok := lists[id]; ok && !slices.Equal(sorted(first), sorted(seen.List)) {
					u.report(V7, i, "relation-list of %s was %v and is %v", id, first, seen.List)
				}
				lists[id] = seen.List
			}
			for owner, bag := range seen.Bags {
				key := number(id) + " " + owner
				if first, ok := bags[key]; ok && !maps.Equal(first, bag) && !written[key] {
					u.report(V6, i, "the data of %s in %s was %v and is %v", owner, id, first, bag)
				}
				bags[key] = bag
			}
		}
		if read.Config != nil {
			if config != nil && *config != *read.Config {
				u.report(V8, i, "config-get was %s and is %s", *config, *read.Config)
			}
			config = read.Config
		}
	}
}

// state checks what charm state held at the start of each dispatch.
func (u *unitCheck) state() {
	state := make(map[string]string)
	for i := range u.s.Dispatches {
		d := &u.s.Dispatches[i]
		if !d.Loose && len(d.Reads) > 0 && d.Reads[0].State != nil && !maps.Equal(state, d.Reads[0].State) {
			u.report(W1, i, "state-get is %v, kept was %v", d.Reads[0].State, state)
			state = maps.Clone(d.Reads[0].State)
		}
		if !d.kept() {
			continue
		}
		for _, p := range d.State {
			if p.Value == "" {
				delete(state, p.Key)
			} else {
				state[p.Key] = p.Value
			}
		}
	}
}
