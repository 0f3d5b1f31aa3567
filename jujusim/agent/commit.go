package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/charmed-go/charms/jujusim/model"
)

// How an execution ends.
const (
	// Committed: what was buffered is in the model.
	Committed = "committed"
	// Failed: the process failed or was killed; what was buffered is dropped.
	Failed = "failed"
	// CommitFailed: the process did well, but the controller refused what was
	// buffered; the hook counts as failed.
	CommitFailed = "commit-failed"
)

// commitFailed is the message of an action whose commit failed.
const commitFailed = "committing requested changes failed"

// Killed is the exit code of a process that a signal ended.
const Killed = -1

// An Exit says how the charm's process ended.
type Exit struct {
	// Code is its exit code, or Killed.
	Code int
	// Missing says that there was none, because the charm has no program for it:
	// Juju takes a hook as run, and an action as failed.
	Missing bool
	// Stdout and Stderr are what it printed; they become results of an action.
	Stdout, Stderr []byte
}

// A Result says what an execution came to.
type Result struct {
	// Outcome is Committed, Failed or CommitFailed.
	Outcome string
	// Err says why a commit failed.
	Err error
	// Changes are all differences it made to the model, and what it left
	// besides.
	Changes Changes
}

// Changes are what is different in a model after an execution. Each leaf is the
// whole new value. The JSON form is that of the recorded hook-tool vectors.
type Changes struct {
	Units        map[string]*UnitChanges        `json:"units,omitempty"`
	Applications map[string]*ApplicationChanges `json:"applications,omitempty"`
	Relations    map[int]*RelationChanges       `json:"relations,omitempty"`
	// Secrets by id; nil when one was removed.
	Secrets map[string]*model.Secret `json:"secrets,omitempty"`
	// Log are the messages of juju-log, ActionLog those of action-log.
	Log       []LogLine     `json:"log,omitempty"`
	ActionLog []string      `json:"action-log,omitempty"`
	Action    *ActionResult `json:"action,omitempty"`
	// Reboot says that the unit wants its machine rebooted.
	Reboot bool `json:"reboot,omitempty"`
	// RebootNow says that the process was killed for it and the hook is to run
	// again.
	RebootNow bool `json:"reboot-now,omitempty"`
	// Storage are the instances that storage-add asked for.
	Storage []StorageRequest `json:"storage,omitempty"`
}

// UnitChanges are what changed of a unit; nil fields did not.
type UnitChanges struct {
	Status          *model.Status                 `json:"status,omitempty"`
	State           *map[string]string            `json:"state,omitempty"`
	Ports           *map[string][]model.PortRange `json:"ports,omitempty"`
	WorkloadVersion *string                       `json:"workload-version,omitempty"`
}

// ApplicationChanges are what changed of an application; nil fields did not.
type ApplicationChanges struct {
	Status         *model.Status      `json:"status,omitempty"`
	LeaderSettings *map[string]string `json:"leader-settings,omitempty"`
}

// RelationChanges are what changed of a relation: whole bags, and whom a unit
// has joined.
type RelationChanges struct {
	Data   map[string]model.Bag   `json:"data,omitempty"`
	Joined map[string]model.Units `json:"joined,omitempty"`
}

// before is what was in the model before the execution changed it. Nil means
// that it did not.
type before struct {
	unitStatus, appStatus *model.Status
	leaderSettings        map[string]string
	version               *string
	state                 *map[string]string
	ports                 *map[string][]model.PortRange
	relations             map[int]*relationBefore
	// secrets by id; nil for one that was not there.
	secrets map[string]*model.Secret
}

type relationBefore struct {
	data map[string]model.Bag
	// joined says that whom the unit has joined is not the same any more.
	joined bool
}

// Finish ends the execution as its process ended. After exit code 0 (any code,
// for juju-exec and its action) what was buffered is committed to the model, else it is
// dropped; what tools wrote at once stays in either case. No tool can be called
// afterwards, and a second Finish fails with [ErrEnded].
func (a *Agent) Finish(exit Exit) (*Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return nil, fmt.Errorf("cannot finish %s on unit %s: %w", a.x.what(), a.x.Unit, ErrEnded)
	}
	a.ended = true
	a.m.Lock()
	defer a.m.Unlock()
	if a.unit() == nil {
		return nil, fmt.Errorf("cannot finish %s: unit %s is gone from the model", a.x.what(), a.x.Unit)
	}
	result := &Result{Outcome: Failed}
	if exit.Code == 0 && !(exit.Missing && a.action != nil) || a.x.exec() {
		if result.Err = a.commit(); result.Err != nil {
			result.Outcome = CommitFailed
		} else {
			result.Outcome = Committed
			a.join()
		}
	}
	if a.action != nil {
		a.endAction(exit, result)
	}
	a.changes(result)
	return result, nil
}

// commit writes what was buffered. Juju 3 writes secrets first, one by one, and
// the rest in one transaction; Juju 4 writes all in one.
func (a *Agent) commit() error {
	if a.m.Kubernetes() {
		for _, ports := range []endpointPorts{a.ports.open, a.ports.close} {
			for _, ranges := range ports {
				if slices.ContainsFunc(ranges, func(r model.PortRange) bool { return r.Protocol == "icmp" }) {
					return errors.New("protocol icmp on caas models not supported")
				}
			}
		}
	}
	if !a.m.Juju4() {
		if err := a.commitSecrets(); err != nil {
			return err
		}
		return a.commitRest(func() error { return nil })
	}
	return a.commitRest(func() error {
		before := make(map[string]*model.Secret)
		for _, id := range a.secrets.touched() {
			if s := a.m.Secrets[id]; s != nil {
				before[id] = s.Clone()
			} else {
				before[id] = nil
			}
		}
		err := a.commitSecrets()
		if err != nil {
			a.restoreSecrets(before)
		}
		return err
	})
}

// commitRest checks everything, calls last, and if all is well writes.
func (a *Agent) commitRest(last func() error) error {
	for _, r := range a.relations {
		if !r.unit.dirty() && !r.app.dirty() {
			continue
		}
		if a.m.Relation(r.ID) != r.Relation {
			return fmt.Errorf("cannot update relation settings: relation %d not found", r.ID)
		}
		if r.app.dirty() && !a.m.IsLeader(a.x.Unit) {
			return a.notLeaderOf()
		}
	}
	ports, err := a.commitPorts()
	if err != nil {
		return err
	}
	for _, r := range a.relations {
		for _, s := range []*settings{r.unit, r.app} {
			if a.m.Juju4() && s.dirty() && bagSize(s.now) > maxBagSize {
				return a.quota("max allowed size (%d)", maxBagSize)
			}
		}
	}
	if a.state != nil && a.state.dirty && bsonSize(a.state.now) > maxStateSize && !a.m.Juju4() {
		return a.quota("max allowed size (%d)", maxStateSize)
	}
	if err := a.checkStorage(); err != nil {
		return err
	}
	if err := last(); err != nil {
		return err
	}
	for _, r := range a.relations {
		a.commitBag(r, a.x.Unit, r.unit)
		a.commitBag(r, model.ApplicationOf(a.x.Unit), r.app)
	}
	u := a.unit()
	if a.ports.open != nil || a.ports.close != nil {
		a.before.ports = new(u.Ports)
		u.Ports = ports
	}
	if a.state != nil && a.state.dirty {
		a.before.state = new(u.State)
		u.State = a.state.now
	}
	return nil
}

func (a *Agent) notLeaderOf() error {
	return fmt.Errorf("%q is not leader of %q", a.x.Unit, model.ApplicationOf(a.x.Unit))
}

func (s *settings) dirty() bool { return s != nil && s.changed != nil }

// commitBag writes the keys that were set into a new bag, so that whoever holds
// the old one sees no change.
func (a *Agent) commitBag(r *relation, name string, s *settings) {
	if !s.dirty() {
		return
	}
	old := r.Data[name]
	bag := make(model.Bag, len(old)+len(s.changed))
	maps.Copy(bag, old)
	for key, value := range s.changed {
		if value == "" {
			delete(bag, key)
		} else {
			bag[key] = value
		}
	}
	if r.Data == nil {
		r.Data = make(map[string]model.Bag)
	}
	r.Data[name] = bag
	b := a.relationBefore(r)
	if b.data == nil {
		b.data = make(map[string]model.Bag)
	}
	b.data[name] = old
}

func (a *Agent) relationBefore(r *relation) *relationBefore {
	b := a.before.relations[r.ID]
	if b == nil {
		b = new(relationBefore)
		a.before.relations[r.ID] = b
	}
	return b
}

// join remembers that relation-joined or relation-departed has been run, for a
// unit of which the model keeps that.
func (a *Agent) join() {
	r, event := a.hookRelation, a.relationEvent()
	if event != "joined" && event != "departed" {
		return
	}
	joined, ok := r.Joined[a.x.Unit]
	remote := a.actual(a.x.RemoteUnit)
	if !ok || joined.Has(remote) == (event == "joined") {
		return
	}
	r.SetJoined(a.m, a.x.Unit, remote, event == "joined")
	a.relationBefore(r).joined = true
}

// endAction gives the action its status, message and last results.
func (a *Agent) endAction(exit Exit, result *Result) {
	r := a.action
	if exit.Missing {
		r.Status, r.Message = "failed", fmt.Sprintf("action not implemented on unit %q", a.x.Unit)
		return
	}
	results := cloneResults(r.Results)
	results["return-code"] = exit.Code
	for key, text := range map[string][]byte{"stdout": exit.Stdout, "stderr": exit.Stderr} {
		switch {
		case len(text) == 0:
		case utf8.Valid(text):
			results[key] = string(text)
		default:
			results[key] = base64.StdEncoding.EncodeToString(text)
			results[key+"-encoding"] = "base64"
		}
	}
	switch {
	case exit.Code == Killed:
		r.Status, r.Message = "failed", "terminated"
	case exit.Code != 0:
		r.Status, r.Message = "failed", fmt.Sprintf("exit status %d", exit.Code)
	case result.Outcome == CommitFailed:
		if r.Status != "failed" {
			r.Status, r.Message = "failed", commitFailed
		}
		results["stderr"] = strings.TrimPrefix(string(exit.Stderr)+"\n"+result.Err.Error(), "\n")
	}
	r.Results = results
}

// changes compares the model with what it was.
func (a *Agent) changes(result *Result) {
	c, b := &result.Changes, &a.before
	for _, line := range a.logs {
		if line.Level != actionLevel {
			c.Log = append(c.Log, line)
		}
	}
	c.ActionLog = a.actionLogs
	c.Action = a.action
	c.Reboot = a.reboot != rebootSkip && result.Outcome == Committed
	c.RebootNow = a.reboot == rebootNow
	if result.Outcome == Committed {
		c.Storage = a.storage
	}
	a.unitChanges(c)
	var app ApplicationChanges
	own := a.application()
	if b.appStatus != nil && !equalStatus(*b.appStatus, own.Status) {
		app.Status = new(own.Status.Clone())
	}
	if b.leaderSettings != nil && !maps.Equal(b.leaderSettings, own.LeaderSettings) {
		app.LeaderSettings = new(maps.Clone(own.LeaderSettings))
	}
	if app != (ApplicationChanges{}) {
		c.Applications = map[string]*ApplicationChanges{model.ApplicationOf(a.x.Unit): &app}
	}
	for id, rb := range b.relations {
		r := a.relations[id]
		rc := new(RelationChanges)
		for name, old := range rb.data {
			if now := r.Data[name]; !maps.Equal(old, now) || old == nil {
				if rc.Data == nil {
					rc.Data = make(map[string]model.Bag)
				}
				rc.Data[name] = maps.Clone(now)
			}
		}
		if rb.joined {
			rc.Joined = map[string]model.Units{a.x.Unit: maps.Clone(r.Joined[a.x.Unit])}
		}
		if rc.Data != nil || rc.Joined != nil {
			if c.Relations == nil {
				c.Relations = make(map[int]*RelationChanges)
			}
			c.Relations[id] = rc
		}
	}
	a.secretDifferences(c)
}

func (a *Agent) unitChanges(c *Changes) {
	var change UnitChanges
	b, u := &a.before, a.unit()
	if b.unitStatus != nil && !equalStatus(*b.unitStatus, u.Status) {
		change.Status = new(u.Status.Clone())
	}
	if b.version != nil && *b.version != u.WorkloadVersion {
		change.WorkloadVersion = new(u.WorkloadVersion)
	}
	if b.state != nil && !maps.Equal(*b.state, u.State) {
		change.State = new(maps.Clone(u.State))
	}
	if b.ports != nil && !maps.EqualFunc(sorted(*b.ports), u.Ports, slices.Equal) {
		change.Ports = new(maps.Clone(u.Ports))
	}
	if change != (UnitChanges{}) {
		c.Units = map[string]*UnitChanges{a.x.Unit: &change}
	}
}

func sorted(ports map[string][]model.PortRange) map[string][]model.PortRange {
	c := make(map[string][]model.PortRange, len(ports))
	for endpoint, ranges := range ports {
		if len(ranges) > 0 {
			c[endpoint] = model.SortPorts(slices.Clone(ranges))
		}
	}
	return c
}

func equalStatus(a, b model.Status) bool {
	return a.Status == b.Status && a.Message == b.Message &&
		(len(a.Data) == 0 && len(b.Data) == 0 || reflect.DeepEqual(a.Data, b.Data))
}
