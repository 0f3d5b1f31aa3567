package jujustory

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/charmed-go/charms/jujusim/rules"
)

// Sequences are the story's units in the form that the rules check. Commands
// run by juju exec, which are no dispatches of the charm, are in them as far as
// they write.
func (s *Story) Sequences() []rules.Sequence {
	var all []rules.Sequence
	for _, name := range s.UnitNames() {
		u := s.Units[name]
		seq := rules.Sequence{Unit: name, Machine: u.Env["JUJU_MACHINE_ID"], Reboots: u.reboots}
		for i := range u.Dispatches {
			seq.Dispatches = append(seq.Dispatches, u.sequenced(name, &u.Dispatches[i]))
		}
		for _, op := range s.Ops {
			s.apply(&seq, op)
		}
		all = append(all, seq)
	}
	return all
}

func (u *Unit) sequenced(unit string, d *Dispatch) rules.Dispatch {
	r := rules.Dispatch{At: d.At, Env: u.FullEnv(d), Start: d.Time, End: d.Time - 1}
	if d.End != nil {
		r.End = *d.End
	}
	switch {
	case d.skipped:
		r.Outcome = rules.Skipped
	case d.Exit.Signal != "":
		r.Outcome = rules.Killed
	case d.Exit.Code != 0:
		r.Outcome = rules.Failed
	}
	if !d.View.NotRead {
		r.Reads = append(r.Reads, d.View.read(d.Time))
	}
	for _, a := range d.Acts {
		if a.View != nil {
			r.Reads = append(r.Reads, a.View.read(a.Time))
		}
		if len(a.Act) > 1 && a.Act[0] == "tool" && a.Code == 0 {
			write(&r, unit, r.Env["JUJU_RELATION_ID"], a.Act[1:])
		}
	}
	return r
}

// write takes note of what a hook tool wrote.
func write(r *rules.Dispatch, unit, relation string, words []string) {
	app, _, _ := strings.Cut(unit, "/")
	owner := unit
	for i := 1; i < len(words); i++ {
		switch word := words[i]; {
		case word == "-r" && i+1 < len(words):
			i++
			relation = words[i]
		case word == "--app":
			owner = app
		default:
			key, value, ok := strings.Cut(word, "=")
			switch {
			case words[0] == "relation-set" && ok:
				r.Writes = append(r.Writes, rules.Write{Relation: relation, Owner: owner, Pair: rules.Pair{Key: key, Value: value}})
			case words[0] == "state-set" && ok:
				r.State = append(r.State, rules.Pair{Key: key, Value: value})
			case words[0] == "state-delete":
				r.State = append(r.State, rules.Pair{Key: word})
			}
		}
	}
}

// apply takes note of what an operator's command did to a unit.
func (s *Story) apply(seq *rules.Sequence, op Op) {
	for _, cmd := range strings.Split(op.Cmd, " ; juju ") {
		words := Words(strings.TrimPrefix(cmd, "juju "))
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "remove-unit":
			if slices.Contains(words, seq.Unit) && op.Code == 0 {
				// A unit may have left its relations with them, earlier.
				seq.RemovedAlone = !slices.ContainsFunc(seq.Dispatches, func(d rules.Dispatch) bool {
					return strings.HasSuffix(d.At, "-relation-broken") && d.Start < op.Time
				})
			}
		case "resolve":
			if slices.Contains(words, seq.Unit) && slices.Contains(words, "--no-retry") && op.Code == 0 {
				skip(seq, op.Time)
			}
		case "exec", "sudo":
			if slices.Contains(words, seq.Unit) {
				exec(seq, op, words)
			}
		}
	}
}

func skip(seq *rules.Sequence, at int64) {
	for i := len(seq.Dispatches) - 1; i >= 0; i-- {
		d := &seq.Dispatches[i]
		if d.Start > at || d.Loose || d.At == "exec" || strings.HasPrefix(d.At, "actions/") {
			continue
		}
		if d.Outcome == rules.Failed || d.Outcome == rules.Killed {
			d.Outcome = rules.Skipped
		}
		return
	}
}

func exec(seq *rules.Sequence, op Op, words []string) {
	script := words[len(words)-1]
	if op.Code != 0 && !strings.Contains(script, "exit ") {
		return
	}
	r := rules.Dispatch{At: "exec", Loose: true, Start: op.Time, End: op.End}
	if slices.Contains(words, "--background") {
		r.End = op.Time - 1
	}
	relation := ""
	if i := slices.Index(words, "-r"); i >= 0 && i+1 < len(words) {
		relation = words[i+1]
	}
	for _, command := range strings.FieldsFunc(script, func(c rune) bool { return c == ';' || c == '&' }) {
		if words := strings.Fields(command); len(words) > 0 {
			write(&r, seq.Unit, relation, words)
		}
	}
	if len(r.Writes)+len(r.State) == 0 {
		return
	}
	i := slices.IndexFunc(seq.Dispatches, func(d rules.Dispatch) bool { return d.Start > max(r.Start, r.End) })
	if i < 0 {
		i = len(seq.Dispatches)
	}
	seq.Dispatches = slices.Insert(seq.Dispatches, i, r)
}

// read is the view in the form that the rules check.
func (v *View) read(at int64) rules.Read {
	r := rules.Read{Time: at, Relations: make(map[string]rules.RelationRead)}
	decode(v.Leader, &r.Leader)
	if !failed(v.State) && v.State != nil {
		r.State = map[string]string{}
		decode(v.State, &r.State)
		if r.State == nil {
			r.State = map[string]string{}
		}
	}
	if !failed(v.Config) && v.Config != nil {
		text := string(v.Config)
		r.Config = &text
	}
	r.RelationIDs = make(map[string][]string)
	for endpoint, raw := range v.RelationIDs {
		var ids []string
		if decode(raw, &ids) {
			r.RelationIDs[endpoint] = ids
		}
	}
	for id, seen := range v.Relations {
		rel := rules.RelationRead{Bags: make(map[string]map[string]string)}
		decode(seen.List, &rel.List)
		decode(seen.Default, &rel.Default)
		for owner, raw := range seen.Bags {
			var bag map[string]string
			if decode(raw, &bag) {
				rel.Bags[owner] = bag
			} else {
				rel.Refused = append(rel.Refused, owner)
			}
		}
		r.Relations[id] = rel
	}
	return r
}

func failed(raw json.RawMessage) bool { return bytes.Contains(raw, []byte(`"!code"`)) }

func decode(raw json.RawMessage, into any) bool {
	return raw != nil && !failed(raw) && json.Unmarshal(raw, into) == nil
}
