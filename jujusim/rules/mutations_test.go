package rules_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/charmed-go/charms/jujusim/rules"
)

// A tape is a set of recorded sequences that a test spoils.
type tape struct {
	t   *testing.T
	all []rules.Sequence
}

func record(t *testing.T, story string) *tape {
	for _, s := range stories(t, `"`+story+`"`) {
		if s.Name == story {
			return &tape{t, s.Sequences()}
		}
	}
	t.Fatalf("there is no story %s", story)
	return nil
}

func (p *tape) unit(name string) *rules.Sequence {
	for i := range p.all {
		if p.all[i].Unit == name {
			return &p.all[i]
		}
	}
	p.t.Fatalf("there is no unit %s", name)
	return nil
}

// find returns the first dispatch of a hook for a remote unit ("" for any).
func (p *tape) find(unit, at, remote string) (*rules.Sequence, int) {
	s := p.unit(unit)
	i := slices.IndexFunc(s.Dispatches, func(d rules.Dispatch) bool {
		return d.At == at && (remote == "" || d.Env["JUJU_REMOTE_UNIT"] == remote)
	})
	if i < 0 {
		p.t.Fatalf("%s has no %s for %q", unit, at, remote)
	}
	return s, i
}

func (p *tape) dispatch(unit, at, remote string) *rules.Dispatch {
	s, i := p.find(unit, at, remote)
	return &s.Dispatches[i]
}

func (p *tape) drop(unit, at, remote string) {
	s, i := p.find(unit, at, remote)
	s.Dispatches = slices.Delete(s.Dispatches, i, i+1)
}

// move puts a dispatch before another, at whose time it then ran.
func (p *tape) move(unit, at, remote, before, beforeRemote string) {
	s, i := p.find(unit, at, remote)
	d := s.Dispatches[i]
	s.Dispatches = slices.Delete(s.Dispatches, i, i+1)
	_, j := p.find(unit, before, beforeRemote)
	d.Start, d.End = s.Dispatches[j].Start, s.Dispatches[j].Start
	s.Dispatches = slices.Insert(s.Dispatches, j, d)
}

// again repeats a dispatch right after itself.
func (p *tape) again(unit, at, remote string) {
	s, i := p.find(unit, at, remote)
	d := s.Dispatches[i]
	d.Start = d.End
	s.Dispatches = slices.Insert(s.Dispatches, i+1, d)
}

func (p *tape) env(unit, at, remote, key, value string) {
	d := p.dispatch(unit, at, remote)
	d.Env = maps.Clone(d.Env)
	d.Env[key] = value
}

func TestEveryRuleCanFail(t *testing.T) {
	t.Parallel()
	const scale, data = "b2c-g1-scale-and-remove", "d-data-propagation"
	spoil := map[rules.Rule]struct {
		story string
		with  func(p *tape)
	}{
		rules.U1: {scale, func(p *tape) { p.dispatch("pc/0", "install", "").End += 5000 }},
		rules.M1: {scale, func(p *tape) {
			p.dispatch("pc/0", "install", "").End = p.dispatch("cc/0", "install", "").Start + 1
		}},
		rules.S1: {scale, func(p *tape) { p.move("pc/0", "leader-elected", "", "install", "") }},
		rules.S2: {scale, func(p *tape) { p.move("pc/0", "start", "", "config-changed", "") }},
		rules.S3: {scale, func(p *tape) { p.move("pc/1", "db-relation-joined", "cc/0", "start", "") }},
		rules.S4: {scale, func(p *tape) { p.move("pc/0", "config-changed", "", "leader-elected", "") }},
		rules.S5: {scale, func(p *tape) { p.again("pc/0", "start", "") }},
		rules.L1: {scale, func(p *tape) {
			no := false
			p.dispatch("pc/1", "leader-elected", "").Reads[0].Leader = &no
		}},
		rules.L2: {scale, func(p *tape) {
			no := false
			p.dispatch("pc/0", "install", "").Reads[0].Leader = &no
		}},
		rules.D1: {scale, func(p *tape) { p.drop("pc/0", "cluster-relation-departed", "pc/1") }},
		rules.D2: {scale, func(p *tape) { p.move("pc/0", "remove", "", "stop", "") }},
		rules.R1: {scale, func(p *tape) { p.drop("pc/0", "db-relation-created", "") }},
		rules.R2: {scale, func(p *tape) { p.again("pc/0", "db-relation-broken", "") }},
		rules.R3: {scale, func(p *tape) { p.drop("pc/0", "db-relation-changed", "cc/0") }},
		rules.R4: {scale, func(p *tape) { p.again("pc/0", "db-relation-joined", "cc/0") }},
		rules.R5: {scale, func(p *tape) { p.drop("pc/0", "db-relation-joined", "cc/1") }},
		rules.R6: {scale, func(p *tape) { p.again("pc/0", "db-relation-departed", "cc/0") }},
		rules.R7: {scale, func(p *tape) { p.drop("pc/0", "db-relation-departed", "cc/2") }},
		rules.R8: {scale, func(p *tape) {
			p.again("pc/0", "cluster-relation-departed", "pc/2")
			d := &p.unit("pc/0").Dispatches[p.last("pc/0", "cluster-relation-departed")]
			d.At = "cluster-relation-broken"
		}},
		rules.R9: {scale, func(p *tape) {
			d := p.dispatch("cc/0", "src-relation-departed", "pc/2")
			d.Start = p.dispatch("pc/2", "db-relation-broken", "").Start - 1
		}},
		rules.E1: {scale, func(p *tape) { p.env("pc/0", "db-relation-joined", "cc/0", "JUJU_RELATION", "db2") }},
		rules.E2: {scale, func(p *tape) { p.env("pc/0", "config-changed", "", "JUJU_RELATION_ID", "db:8") }},
		rules.E3: {scale, func(p *tape) { p.env("pc/0", "db-relation-created", "", "JUJU_REMOTE_UNIT", "cc/0") }},
		rules.E4: {scale, func(p *tape) { p.env("pc/0", "db-relation-joined", "cc/0", "JUJU_DEPARTING_UNIT", "cc/0") }},
		rules.E5: {scale, func(p *tape) { p.env("pc/1", "cluster-relation-joined", "pc/0", "JUJU_REMOTE_APP", "cc") }},
		rules.V1: {scale, func(p *tape) {
			p.relation("pc/0", "db-relation-joined", "cc/1", "db:8", func(r *rules.RelationRead) { r.List = []string{"cc/0"} })
		}},
		rules.V2: {scale, func(p *tape) { p.dispatch("pc/0", "stop", "").Reads[0].RelationIDs["db"] = []string{"db:8"} }},
		rules.V3: {scale, func(p *tape) {
			p.relation("pc/0", "db-relation-departed", "cc/0", "db:8", func(r *rules.RelationRead) {
				delete(r.Bags, "cc/0")
				r.Refused = []string{"cc/0"}
			})
		}},
		rules.V4: {scale, func(p *tape) {
			p.relation("pc/0", "db-relation-joined", "cc/0", "db:8", func(r *rules.RelationRead) { r.Default["x"] = "y" })
		}},
		rules.V5: {scale, func(p *tape) {
			p.relation("pc/0", "db-relation-joined", "cc/0", "db:8", func(r *rules.RelationRead) {
				delete(r.Bags["cc/0"], "ingress-address")
			})
		}},
		rules.V6: {scale, func(p *tape) {
			p.secondRead("cc/0", "src-relation-departed", "pc/0").Relations["src:8"].Bags["pc/0"]["from"] = "elsewhere"
		}},
		rules.V7: {scale, func(p *tape) {
			r := p.secondRead("cc/0", "src-relation-departed", "pc/0")
			seen := r.Relations["src:8"]
			seen.List = []string{}
			r.Relations["src:8"] = seen
		}},
		rules.V8: {scale, func(p *tape) {
			text := `{"a":"z"}`
			p.secondRead("cc/0", "src-relation-departed", "pc/0").Config = &text
		}},
		rules.V9: {scale, func(p *tape) {
			p.secondRead("cc/0", "src-relation-departed", "pc/0").RelationIDs["src"] = []string{}
		}},
		rules.X1: {data, func(p *tape) {
			p.relation("cd/0", "src-relation-changed", "pd/0", "src:10", func(r *rules.RelationRead) { r.Bags["pd/0"]["v"] = "77" })
		}},
		rules.X2: {data, func(p *tape) {
			s := p.unit("cd/0")
			s.Dispatches[len(s.Dispatches)-1].Reads[0].Relations["src:10"].Bags["pd"]["av"] = "1"
		}},
		rules.X3: {data, func(p *tape) {
			// In the fourth -changed of pd/0, after v=9 and v=3, v was gone still.
			s := p.unit("cd/0")
			delete(s.Dispatches[len(s.Dispatches)-1].Reads[0].Relations["src:10"].Bags["pd/0"], "v")
		}},
		rules.X4: {data, func(p *tape) {
			s := p.unit("cd/0")
			s.Dispatches = s.Dispatches[:len(s.Dispatches)-1]
		}},
		rules.W1: {"h1-failing-hook-resolve", func(p *tape) {
			s := p.unit("ph/0")
			i := slices.IndexFunc(s.Dispatches, func(d rules.Dispatch) bool { return d.Outcome != rules.Done })
			s.Dispatches[i+1].Reads[0].State = map[string]string{"bad": "1"}
		}},
		rules.F1: {"h1-failing-hook-resolve", func(p *tape) {
			s := p.unit("ph/0")
			i := slices.IndexFunc(s.Dispatches, func(d rules.Dispatch) bool { return d.Outcome == rules.Failed })
			next := slices.IndexFunc(s.Dispatches[i+1:], func(d rules.Dispatch) bool { return d.At == s.Dispatches[i].At })
			s.Dispatches[i+1+next].At = "update-status"
		}},
	}
	for _, rule := range rules.All() {
		t.Run(string(rule), func(t *testing.T) {
			if rule.Sentence() == "" {
				t.Errorf("it has no sentence")
			}
			s, ok := spoil[rule]
			if !ok {
				t.Fatalf("no sequence breaks it")
			}
			p := record(t, s.story)
			s.with(p)
			found := rules.Check(p.all...)
			if !slices.ContainsFunc(found, func(v rules.Violation) bool { return v.Rule == rule }) {
				t.Errorf("it was not found broken, but %v", found)
			}
		})
	}
}

// After a reboot of its machine a unit starts once more, and once only.
func TestStartAfterReboot(t *testing.T) {
	t.Parallel()
	for starts, want := range map[int]int{1: 0, 2: 1} {
		p := record(t, "b2c-g1-scale-and-remove")
		for range starts {
			p.again("pc/0", "start", "")
		}
		s := p.unit("pc/0")
		s.Reboots = []int64{p.dispatch("pc/0", "start", "").End}
		if found := rules.Check(p.all...); len(found) != want || want == 1 && found[0].Rule != rules.S5 {
			t.Errorf("%d starts after the first: found %v", starts, found)
		}
	}
}

func (p *tape) last(unit, at string) int {
	s := p.unit(unit)
	for i := len(s.Dispatches) - 1; i >= 0; i-- {
		if s.Dispatches[i].At == at {
			return i
		}
	}
	p.t.Fatalf("%s has no %s", unit, at)
	return -1
}

// relation changes what a dispatch read of a relation first.
func (p *tape) relation(unit, at, remote, id string, change func(r *rules.RelationRead)) {
	d := p.dispatch(unit, at, remote)
	r := d.Reads[0].Relations[id]
	change(&r)
	d.Reads[0].Relations[id] = r
}

// secondRead returns a copy of what a dispatch read first, read again.
func (p *tape) secondRead(unit, at, remote string) *rules.Read {
	d := p.dispatch(unit, at, remote)
	first := d.Reads[0]
	second := rules.Read{Time: first.Time, RelationIDs: maps.Clone(first.RelationIDs), Relations: map[string]rules.RelationRead{}}
	for id, r := range first.Relations {
		bags := map[string]map[string]string{}
		for owner, bag := range r.Bags {
			bags[owner] = maps.Clone(bag)
		}
		second.Relations[id] = rules.RelationRead{List: r.List, Bags: bags}
	}
	d.Reads = []rules.Read{first, second}
	return &d.Reads[1]
}
