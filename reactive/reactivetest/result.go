package reactivetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

// A Result is what came of one hook.
type Result struct {
	// State is the state after the hook, with which the next one can be run. Of a
	// hook that failed nothing is kept but what Juju does at once, such as a
	// status shown with Hook.Progress.
	State State
	// Record is what ran, in order, and which flags changed meanwhile. It is nil
	// if the charm could not be started.
	Record *reactive.Record
	// Err is why the hook failed, nil if it went well: a
	// [*reactive.HandlerError], a [*reactive.UnsettledError], what Juju or the
	// store said, or what Juju refused to commit. An action that fails is no hook
	// that fails; see Action.
	Err error
	// Action is how an action ended, nil for anything else.
	Action *ActionResult
	// Log is what was logged, oldest first.
	Log []LogLine
	// Calls are the hook tools that ran, in order.
	Calls []Call
	// AddedStorage is what the charm asked for: how many instances, by storage.
	AddedStorage map[string]int
	// Reboot is whether the charm asked for a reboot.
	Reboot bool
}

// An ActionResult is how an action ended.
type ActionResult struct {
	// Failed is whether it failed, and Message why.
	Failed  bool
	Message string
	// Results are what it answered; keys with dots are maps in maps.
	Results map[string]any
	// Log are its messages of progress.
	Log []string
}

// A LogLine is a message in Juju's log. Level is TRACE, DEBUG, INFO, WARNING or
// ERROR.
type LogLine struct{ Level, Message string }

// A Call is one call of a hook tool. The content of secrets is not shown.
type Call struct {
	Tool string
	Args []string
	// Code is the exit code.
	Code int
}

// String returns the call as a command.
func (c Call) String() string { return strings.Join(append([]string{c.Tool}, c.Args...), " ") }

// writers are the hook tools that change something in Juju. The answers of an
// action and the log are no state.
var writers = []string{
	"application-version-set", "close-port", "juju-reboot", "leader-set", "open-port", "relation-set",
	"secret-add", "secret-grant", "secret-remove", "secret-revoke", "secret-set",
	"state-delete", "state-set", "status-set", "storage-add",
}

// Writes reports whether the call writes something that Juju keeps.
func (c Call) Writes() bool { return slices.Contains(writers, c.Tool) }

// Ran reports whether the handler of that name ran.
func (r *Result) Ran(handler string) bool { return slices.Contains(r.Handlers(), handler) }

// Handlers returns the names of the handlers that ran, in order.
func (r *Result) Handlers() []string {
	if r.Record == nil {
		return nil
	}
	var list []string
	for _, step := range r.Record.Steps {
		if !step.IsChange() {
			list = append(list, step.Handler)
		}
	}
	return list
}

// IsSet reports whether a flag is set after the hook.
func (r *Result) IsSet(f flags.Flag) bool { return slices.Contains(r.State.Flags, f.String()) }

// WasSet reports whether a flag was set at any time in the hook, as those are
// that live for one hook only.
func (r *Result) WasSet(f flags.Flag) bool {
	if r.Record == nil {
		return r.IsSet(f)
	}
	return slices.Contains(r.Record.Flags, f.String()) ||
		slices.ContainsFunc(r.Record.Steps, func(s reactive.Step) bool { return s.Set && s.Flag == f.String() })
}

// Logged reports whether a message with that text in it was logged.
func (r *Result) Logged(text string) bool {
	return slices.ContainsFunc(r.Log, func(l LogLine) bool { return strings.Contains(l.Message, text) })
}

// Relation returns the relation of an endpoint, with the same ID if rel has one;
// the zero Relation if there is none.
func (s State) Relation(rel Relation) Relation {
	for _, r := range s.Relations {
		if r.Endpoint == rel.Endpoint && (rel.ID == 0 || rel.ID == r.ID) {
			return r
		}
	}
	return Relation{}
}

// Secret returns the secret with a label, and whether there is one.
func (s State) Secret(label string) (Secret, bool) {
	for _, secret := range s.Secrets {
		if secret.Label == label {
			return secret, true
		}
	}
	return Secret{}, false
}

// fill takes over what the agent says of the execution.
func (r *Result) fill(c agent.Changes) {
	for _, line := range c.Log {
		r.Log = append(r.Log, LogLine(line))
	}
	if c.Action != nil {
		r.Action = &ActionResult{
			Failed: c.Action.Status != "completed", Message: c.Action.Message, Results: c.Action.Results, Log: c.ActionLog,
		}
		for _, key := range []string{"stdout", "stderr", "return-code"} {
			delete(r.Action.Results, key) // the process's, which there is none of
		}
	}
	r.Reboot = c.Reboot || c.RebootNow
	for _, s := range c.Storage {
		if r.AddedStorage == nil {
			r.AddedStorage = make(map[string]int)
		}
		r.AddedStorage[s.Name] += s.Count
	}
}

// A callLog notes the calls of hook tools.
type callLog struct {
	mu    sync.Mutex
	calls []Call
}

func (l *callLog) around(c hooktool.Call, next func() (hooktool.Result, error)) (hooktool.Result, error) {
	l.mu.Lock()
	i := len(l.calls)
	l.calls = append(l.calls, Call{Tool: c.Tool, Args: agent.ShownArgs(c)})
	l.mu.Unlock()
	result, err := next()
	l.mu.Lock()
	l.calls[i].Code = result.Code
	l.mu.Unlock()
	return result, err
}

func (l *callLog) list() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}

// conclude does what Juju does after the hook went well.
func (x *execution) conclude() {
	e, m := x.event, x.model
	switch {
	case e.kind == relationEvent && (e.name == "departed" || e.name == "broken"):
		i, _ := e.findRelation(x.state) // checked before
		id := x.state.Relations[i].ID
		if e.name == "broken" {
			m.Relations = slices.DeleteFunc(m.Relations, func(r *model.Relation) bool { return r.ID == id })
			for _, s := range m.Secrets {
				s.Grants = slices.DeleteFunc(s.Grants, func(g model.SecretGrant) bool { return g.Relation == id })
			}
		} else {
			m.Relation(id).Leave(e.unit)
		}
	case e.kind == storageEvent && e.name == "detaching":
		delete(m.Unit(x.state.Unit).Storage, e.subject)
	}
}

// after makes the state of what the model is after the hook.
func (x *execution) after(ctx context.Context) (State, error) {
	s, m := x.state.Clone(), x.model
	unit, app := m.Unit(s.Unit), m.Application(s.Unit)
	if err := readData(ctx, m, s.Unit, &s); err != nil {
		return s, err
	}
	s.Ports = openPorts(unit)
	s.Status, s.ApplicationStatus = statusOf(unit.Status), statusOf(app.Status)
	s.WorkloadVersion = unit.WorkloadVersion
	s.LeaderSettings = maps.Clone(app.LeaderSettings)
	s.Storage = slices.DeleteFunc(s.Storage, func(v Storage) bool { return unit.Storage[v.ID] == nil })
	x.relationsAfter(&s)
	x.secretsAfter(&s)
	return s, nil
}

func statusOf(s model.Status) reactive.Status {
	if s.Status == "unknown" && s.Message == "" {
		return reactive.Status{}
	}
	return reactive.Status{State: s.Status, Message: s.Message}
}

func openPorts(unit *model.Unit) []string {
	endpoints := make(map[model.PortRange][]string)
	for name, ranges := range unit.Ports {
		for _, r := range ranges {
			endpoints[r] = append(endpoints[r], name)
		}
	}
	var list []string
	for r, names := range endpoints {
		p, err := hooktool.ParsePortRange(r.String())
		if err != nil {
			continue // the agent opens no such ports
		}
		if slices.Sort(names); names[0] != "" {
			p.Endpoints = names
		}
		list = append(list, p.String())
	}
	slices.Sort(list)
	return list
}

func (x *execution) relationsAfter(s *State) {
	own := model.ApplicationOf(s.Unit)
	s.Relations = slices.DeleteFunc(s.Relations, func(r Relation) bool { return x.model.Relation(r.ID) == nil })
	for i := range s.Relations {
		r := &s.Relations[i]
		rel := x.model.Relation(r.ID)
		r.LocalData, r.LocalAppData = maps.Clone(rel.Data[s.Unit]), maps.Clone(rel.Data[own])
		maps.DeleteFunc(r.Units, func(name string, _ map[string]string) bool { return !rel.Units.Has(name) })
	}
}

func (x *execution) secretsAfter(s *State) {
	before := s.Secrets
	s.Secrets = nil
	place := func(id string) int {
		return slices.IndexFunc(before, func(b Secret) bool { return b.ID == id })
	}
	ids := x.model.SecretIDs()
	slices.SortStableFunc(ids, func(a, b string) int {
		// Those that were there come first, in the order they had.
		i, j := place(a), place(b)
		if i < 0 {
			i = len(before)
		}
		if j < 0 {
			j = len(before)
		}
		return cmp.Compare(i, j)
	})
	for _, id := range ids {
		var old Secret
		if i := place(id); i >= 0 {
			old = before[i]
		}
		s.Secrets = append(s.Secrets, secretOf(x.model.Secrets[id].Clone(), id, old, s.Unit))
	}
}

func secretOf(m *model.Secret, id string, old Secret, unit string) Secret {
	consumer := m.Consumers[unit]
	s := Secret{
		ID: id, Owner: m.Owner, Label: m.Label, Description: m.Description,
		Revisions: m.Revisions, Tracked: consumer.Revision, Denied: old.Denied,
	}
	switch m.Owner {
	case unit:
		s.Owner = hooktool.OwnerUnit
	case model.ApplicationOf(unit):
		s.Owner = hooktool.OwnerApplication
	default:
		s.Label = consumer.Label
		return s
	}
	s.Rotate = m.Rotate
	if m.Expire != "" {
		s.Expire, _ = time.Parse(time.RFC3339, m.Expire) // as the agent wrote it
	}
	for _, g := range m.Grants {
		s.Grants = append(s.Grants, Grant{To: g.To, Relation: g.Relation})
	}
	return s
}
