package jujustory

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/rules"
)

// A Recorder is the charm with which the stories were recorded: each dispatch
// reads all there is to read, performs its steps and keeps a record. One
// Recorder serves all units of a simulated model.
type Recorder struct {
	// Steps returns what a dispatch does after it has read; nil is nothing. It
	// is called with the dispatch's number in the life of the unit, from 1.
	Steps func(unit string, d *Dispatch) [][]string
	// Await is called for the step ["await", NAME], and Kill for the steps
	// ["kill"] and ["term"]; it returns once the process is dead.
	Await func(ctx context.Context, unit string)
	Kill  func(ctx context.Context, unit string)
	// Rewrite changes each word of a step before it is done.
	Rewrite func(word string) string
	// Save is called with what the step ["save", NAME, TOOL, …] has got.
	Save func(name, text string)
	// Quiet dispatches read nothing at the start.
	Quiet func(unit string, d *Dispatch) bool

	mu       sync.Mutex
	records  map[string]*Dispatch // by context id
	numbers  map[string]int
	endpoint map[string][]string // by application
}

// Charm is the recorder as a charm with the given endpoints and files.
func (r *Recorder) Charm(app string, c jujusim.Charm, endpoints ...string) jujusim.Charm {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.endpoint == nil {
		r.endpoint = make(map[string][]string)
	}
	r.endpoint[app] = endpoints
	c.Run = r.run
	return c
}

// process is one dispatch while it runs.
type process struct {
	*Recorder
	ctx  context.Context
	p    hooktool.Process
	d    *Dispatch
	unit string
}

func (r *Recorder) run(ctx context.Context, p hooktool.Process) int {
	unit := p.Getenv("JUJU_UNIT_NAME")
	d := &Dispatch{Hook: p.Getenv("JUJU_HOOK_NAME"), Path: p.Getenv("JUJU_DISPATCH_PATH"), Env: map[string]string{}}
	for _, e := range p.Env {
		if key, value, _ := strings.Cut(e, "="); strings.HasPrefix(key, "JUJU_") {
			d.Env[key] = value
		}
	}
	switch {
	case d.Hook != "":
		d.At = d.Hook
	case d.Path != "":
		d.At = d.Path
	default:
		d.At = "exec"
	}
	r.mu.Lock()
	if r.records == nil {
		r.records, r.numbers = make(map[string]*Dispatch), make(map[string]int)
	}
	r.numbers[unit]++
	d.Seq = r.numbers[unit]
	r.records[p.Getenv("JUJU_CONTEXT_ID")] = d
	r.mu.Unlock()
	x := &process{r, ctx, p, d, unit}
	if r.Quiet == nil || !r.Quiet(unit, d) {
		d.View = x.view()
	} else {
		d.View.NotRead = true
	}
	if ctx.Err() != nil {
		// What fails because the process is dead says nothing.
		d.View = View{NotRead: true}
		return 1
	}
	if r.Steps == nil {
		return 0
	}
	for _, step := range r.Steps(unit, d) {
		if code, end := x.step(step); end {
			return code
		}
		if ctx.Err() != nil {
			return 1
		}
	}
	return 0
}

// json runs a hook tool and returns what it printed, or how it failed.
func (x *process) json(tool string, args ...string) json.RawMessage {
	result, err := x.p.Tools.Call(x.ctx, hooktool.Call{Tool: tool, Args: args})
	if err == nil && result.Code == 0 && json.Valid(result.Stdout) {
		return json.RawMessage(strings.TrimSpace(string(result.Stdout)))
	}
	text := strings.TrimSpace(string(result.Stderr))
	if err != nil {
		result.Code, text = 1, err.Error()
	}
	failure, _ := json.Marshal(map[string]any{"!code": result.Code, "!stderr": text})
	return failure
}

const asJSON = "--format=json"

func (x *process) view() View {
	v := View{
		Leader: x.json("is-leader", asJSON), Config: x.json("config-get", asJSON), State: x.json("state-get", asJSON),
		Status: x.json("status-get", "--include-data", asJSON), Ports: x.json("opened-ports", asJSON),
		RelationIDs: make(map[string]json.RawMessage), Relations: make(map[string]RelationView),
	}
	v.Secrets, v.GoalState = x.json("secret-ids", asJSON), x.json("goal-state", asJSON)
	if strings.HasPrefix(x.d.At, "actions/") {
		v.Action = x.json("action-get", asJSON)
	}
	var ids []string
	app, _, _ := strings.Cut(x.unit, "/")
	for _, endpoint := range x.endpoint[app] {
		raw := x.json("relation-ids", asJSON, endpoint)
		v.RelationIDs[endpoint] = raw
		var list []string
		decode(raw, &list)
		ids = append(ids, list...)
	}
	current := x.d.Env["JUJU_RELATION_ID"]
	if current != "" && !slices.Contains(ids, current) {
		ids = append(ids, current)
	}
	for _, id := range ids {
		v.Relations[id] = x.relation(app, id, id == current)
	}
	return v
}

func (x *process) relation(app, id string, current bool) RelationView {
	seen := RelationView{List: x.json("relation-list", asJSON, "-r", id), App: x.json("relation-list", asJSON, "-r", id, "--app"), Bags: make(map[string]json.RawMessage)}
	var units []string
	decode(seen.List, &units)
	if current {
		for _, key := range []string{"JUJU_REMOTE_UNIT", "JUJU_DEPARTING_UNIT"} {
			if unit := x.d.Env[key]; unit != "" && unit != x.unit && !slices.Contains(units, unit) {
				units = append(units, unit)
			}
		}
		seen.Default = x.json("relation-get", asJSON)
	}
	for _, unit := range units {
		seen.Bags[unit] = x.json("relation-get", asJSON, "-r", id, "-", unit)
	}
	var remote string
	if decode(seen.App, &remote) {
		seen.Bags[remote] = x.json("relation-get", asJSON, "-r", id, "--app", "-", remote)
	}
	seen.Bags[app] = x.json("relation-get", asJSON, "-r", id, "--app", "-", app)
	return seen
}

// step performs one step; end says that the process ends with the code.
func (x *process) step(words []string) (code int, end bool) {
	if x.Rewrite != nil {
		words = slices.Clone(words)
		for i := range words {
			words[i] = x.Rewrite(words[i])
		}
	}
	act := Act{Act: words}
	defer func() { x.d.Acts = append(x.d.Acts, act) }()
	switch words[0] {
	case "read":
		if v := x.view(); x.ctx.Err() == nil {
			act.View = &v
		}
	case "exit":
		code, _ = strconv.Atoi(words[1])
		return code, true
	case "await":
		if x.Await != nil {
			x.Await(x.ctx, x.unit)
		}
	case "kill", "term":
		if x.Kill != nil {
			x.Kill(x.ctx, x.unit)
		}
		return 1, true
	case "print":
		fmt.Fprintln(x.p.Stdout, words[1])
	case "eprint":
		fmt.Fprintln(x.p.Stderr, words[1])
	case "tool", "stdin", "save":
		call := hooktool.Call{}
		switch words[0] {
		case "tool":
			call.Tool, call.Args = words[1], words[2:]
		default:
			call.Tool, call.Args = words[2], words[3:]
		}
		if words[0] == "stdin" {
			call.Stdin = []byte(words[1])
		}
		result, err := x.p.Tools.Call(x.ctx, call)
		if err != nil {
			return 1, true
		}
		act.Code, act.Out, act.Stderr = result.Code, strings.TrimRight(string(result.Stdout), "\n"), strings.TrimRight(string(result.Stderr), "\n")
		if words[0] == "save" && x.Save != nil {
			x.Save(words[1], act.Out)
		}
	}
	return 0, false
}

// Story is what the recorder recorded, with the outcomes and times of the
// model's history.
func (r *Recorder) Story(m *jujusim.Model) *Story {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &Story{Name: "simulated", Units: make(map[string]*Unit)}
	bags := make(map[string]map[string]string)
	reboots := make(map[string][]int64)
	for _, h := range m.History() {
		written := changes(bags, h)
		d := r.records[h.Getenv("JUJU_CONTEXT_ID")]
		if d == nil {
			// Commands of juju-exec leave no record but what they changed.
			d = &Dispatch{At: h.At, View: View{NotRead: true}, Env: map[string]string{}, Acts: written, silent: true}
		}
		d.Time = h.Start.UnixMilli()
		end := h.End.UnixMilli()
		d.End, d.Exit, d.skipped = &end, Exit{Code: h.Exit}, h.Skipped
		switch h.Outcome {
		case jujusim.Killed:
			d.Exit = Exit{Signal: "SIGKILL"}
		case jujusim.Failed:
			if d.Exit.Code == 0 {
				d.Exit.Code = 1
			}
		}
		for i := range d.Acts {
			d.Acts[i].Time = d.Time
		}
		u := s.Units[h.Unit]
		if u == nil {
			u = &Unit{Env: map[string]string{"JUJU_MACHINE_ID": h.Machine}}
			s.Units[h.Unit] = u
		}
		u.Dispatches = append(u.Dispatches, *d)
		if h.Changes.Reboot || h.Changes.RebootNow {
			reboots[h.Machine] = append(reboots[h.Machine], end)
		}
	}
	for _, u := range s.Units {
		u.reboots = reboots[u.Env["JUJU_MACHINE_ID"]]
	}
	return s
}

// changes are acts that amount to what a dispatch changed. bags are what the
// bags and the state held before it, by what they are, and then hold after it.
func changes(bags map[string]map[string]string, h *jujusim.Dispatch) []Act {
	var acts []Act
	write := func(what string, now map[string]string, command ...string) {
		for _, key := range slices.Sorted(maps.Keys(now)) {
			if now[key] != bags[what][key] {
				command = append(command, key+"="+now[key])
			}
		}
		for key := range bags[what] {
			if _, there := now[key]; !there {
				command = append(command, key+"=")
			}
		}
		bags[what] = now
		acts = append(acts, Act{Act: command})
	}
	for id, c := range h.Changes.Relations {
		for owner, bag := range c.Data {
			command := []string{"tool", "relation-set", "-r", strconv.Itoa(id)}
			if owner != h.Unit {
				command = append(command, "--app")
			}
			write(fmt.Sprint(id, owner), bag, command...)
		}
	}
	if u := h.Changes.Units[h.Unit]; u != nil && u.State != nil {
		write("state "+h.Unit, *u.State, "tool", "state-set")
	}
	return acts
}

// RemovedAlone marks units that remove-unit removed.
func RemovedAlone(sequences []rules.Sequence, units ...string) []rules.Sequence {
	for i := range sequences {
		if slices.Contains(units, sequences[i].Unit) {
			sequences[i].RemovedAlone = true
		}
	}
	return sequences
}
