package rules

import (
	"cmp"
	"slices"
	"strings"
)

// relation is what the hooks of one relation have led to so far.
type relation struct {
	created, broken bool
	peer            bool
	joined          map[string]bool
	// changing is the joined unit whose first -changed has to come next.
	changing string
}

// unit checks what needs no other sequence.
func (c *checker) unit(s Sequence) {
	u := &unitCheck{checker: c, s: &s, relations: make(map[string]*relation)}
	for i := range s.Dispatches {
		d := &s.Dispatches[i]
		if d.Loose {
			continue
		}
		u.environment(i, d)
		if d.isHook() {
			u.failure(i, d)
			u.life(i, d)
		}
		before, kind := u.relationHook(i, d)
		u.visible(i, d, before, kind)
		u.stable(i, d)
		if d.isHook() && d.counts() {
			u.ran(d)
		}
	}
	u.state()
}

type unitCheck struct {
	*checker
	s         *Sequence
	relations map[string]*relation

	last                      *Dispatch // the last hook, of whatever outcome
	installed, configured     bool
	started, stopped, removed bool
	installLeader, elected    bool
	peersDeparting            bool
	lastStart                 int64
}

func (u *unitCheck) report(rule Rule, i int, format string, args ...any) {
	u.checker.report(rule, u.s, i, format, args...)
}

// failure checks that a hook which did not end well is the next one again.
func (u *unitCheck) failure(i int, d *Dispatch) {
	if p := u.last; p != nil && !p.counts() {
		for _, key := range []string{"JUJU_RELATION_ID", "JUJU_REMOTE_APP", "JUJU_REMOTE_UNIT"} {
			if p.At != d.At || p.Env[key] != d.Env[key] {
				u.report(F1, i, "%s had not ended well", describe(p))
				break
			}
		}
	}
	u.last = d
}

func describe(d *Dispatch) string {
	text := d.At
	if id := d.Env["JUJU_RELATION_ID"]; id != "" {
		text += " of " + id
	}
	if remote := cmp.Or(d.Env["JUJU_REMOTE_UNIT"], d.Env["JUJU_REMOTE_APP"]); remote != "" {
		text += " for " + remote
	}
	return text
}

// life checks the order of hooks over the life of the unit.
func (u *unitCheck) life(i int, d *Dispatch) {
	if !u.installed && d.At != "install" && !strings.HasSuffix(d.At, "-storage-attached") {
		u.report(S1, i, "install has not ended yet")
	}
	if u.stopped && d.At != "remove" || u.removed {
		u.report(D2, i, "the unit has stopped")
	}
	switch d.At {
	case "install":
		if u.installed {
			u.report(S5, i, "install had ended well before")
		}
		if l := leader(d); l != nil && *l {
			u.installLeader = true
		}
	case "leader-elected":
		l := leader(d)
		if l != nil && !*l {
			u.report(L1, i, "is-leader is false")
		}
	case "config-changed":
		if u.installLeader && !u.elected && !u.configured {
			u.report(S4, i, "leader-elected has not run")
		}
	case "start":
		if u.started && !slices.ContainsFunc(u.s.Reboots, func(at int64) bool { return u.lastStart < at && at <= d.Start }) {
			u.report(S5, i, "start had ended well before")
		}
		if !u.configured {
			u.report(S2, i, "config-changed has not run")
		}
	case "stop":
		for id, r := range u.relations {
			for unit := range r.joined {
				u.report(D1, i, "%s has not departed from %s", unit, id)
			}
			if !r.peer && !r.broken {
				u.report(D1, i, "%s is not broken", id)
			}
		}
	case "remove":
		if !u.stopped {
			u.report(D2, i, "stop has not run")
		}
	}
	if _, kind, ok := d.relationHook(); ok && !u.started {
		switch kind {
		case "joined", "changed", "departed":
			u.report(S3, i, "the unit has not started")
		case "broken":
			if slices.ContainsFunc(u.s.Dispatches[i:], func(d Dispatch) bool { return d.At == "start" }) {
				u.report(S3, i, "the unit starts later")
			}
		}
	}
}

func leader(d *Dispatch) *bool {
	for _, r := range d.Reads {
		if r.Leader != nil {
			return r.Leader
		}
	}
	return nil
}

// ran takes note of a hook that counts as run.
func (u *unitCheck) ran(d *Dispatch) {
	switch d.At {
	case "install":
		u.installed = true
	case "config-changed":
		u.configured = true
	case "start":
		u.started, u.lastStart = true, d.Start
	case "leader-elected":
		u.elected = true
	case "stop":
		u.stopped = true
	case "remove":
		u.removed = true
	}
	_, kind, ok := d.relationHook()
	if !ok {
		return
	}
	r := u.relations[d.Env["JUJU_RELATION_ID"]]
	switch remote := d.Env["JUJU_REMOTE_UNIT"]; kind {
	case "created":
		r.created = true
	case "joined":
		r.joined[remote] = true
		r.changing = remote
	case "changed":
		r.changing = ""
	case "departed":
		delete(r.joined, remote)
		r.changing = ""
	case "broken":
		r.broken = true
	}
}

// environment checks the variables that say which relation a hook is about.
func (u *unitCheck) environment(i int, d *Dispatch) {
	if d.Env == nil || d.At == "exec" {
		return
	}
	rel, id := d.Env["JUJU_RELATION"], d.Env["JUJU_RELATION_ID"]
	app, remote, departing := d.Env["JUJU_REMOTE_APP"], d.Env["JUJU_REMOTE_UNIT"], d.Env["JUJU_DEPARTING_UNIT"]
	endpoint, kind, ok := d.relationHook()
	if !ok {
		for key, value := range d.Env {
			switch key {
			case "JUJU_RELATION", "JUJU_RELATION_ID", "JUJU_REMOTE_APP", "JUJU_REMOTE_UNIT", "JUJU_DEPARTING_UNIT":
				if value != "" {
					u.report(E2, i, "%s is %q", key, value)
				}
			}
		}
		return
	}
	if rel != endpoint || !strings.HasPrefix(id, endpoint+":") || app == "" {
		u.report(E1, i, "JUJU_RELATION is %q, JUJU_RELATION_ID %q, JUJU_REMOTE_APP %q", rel, id, app)
	}
	if remote != "" && application(remote) != app {
		u.report(E1, i, "JUJU_REMOTE_UNIT is %q, JUJU_REMOTE_APP %q", remote, app)
	}
	switch kind {
	case "created", "broken":
		if remote != "" {
			u.report(E3, i, "JUJU_REMOTE_UNIT is %q", remote)
		}
	case "joined", "departed":
		if remote == "" {
			u.report(E3, i, "JUJU_REMOTE_UNIT is empty")
		}
	}
	switch {
	case kind != "departed" && departing != "":
		u.report(E4, i, "JUJU_DEPARTING_UNIT is %q", departing)
	case kind == "departed" && departing != remote && departing != u.s.Unit:
		u.report(E4, i, "JUJU_DEPARTING_UNIT is %q, JUJU_REMOTE_UNIT %q", departing, remote)
	}
}

// relationHook checks a hook against what its relation has seen. It returns the
// relation and the kind of hook, or nil for other hooks.
func (u *unitCheck) relationHook(i int, d *Dispatch) (*relation, string) {
	_, kind, ok := d.relationHook()
	if !ok {
		return nil, ""
	}
	id, remote := d.Env["JUJU_RELATION_ID"], d.Env["JUJU_REMOTE_UNIT"]
	own := application(u.s.Unit)
	r := u.relations[id]
	if r == nil {
		r = &relation{joined: make(map[string]bool), peer: d.Env["JUJU_REMOTE_APP"] == own}
		u.relations[id] = r
	}
	if r.peer && d.Env["JUJU_REMOTE_APP"] != own || !r.peer && d.Env["JUJU_REMOTE_APP"] == own {
		u.report(E5, i, "JUJU_REMOTE_APP is %q", d.Env["JUJU_REMOTE_APP"])
	}
	if kind == "created" && r.created {
		u.report(R1, i, "-created of %s had come before", id)
	}
	if kind != "created" && !r.created {
		u.report(R1, i, "-created of %s has not come", id)
	}
	if r.broken {
		u.report(R2, i, "%s is broken", id)
	}
	if r.changing != "" && (kind != "changed" && kind != "departed" || remote != r.changing) {
		u.report(R3, i, "%s has joined %s and its -changed has not come", r.changing, id)
	}
	switch kind {
	case "joined":
		if r.joined[remote] {
			u.report(R4, i, "%s had joined %s before", remote, id)
		}
	case "changed":
		if remote != "" && !r.joined[remote] {
			u.report(R5, i, "%s is not in %s", remote, id)
		}
	case "departed":
		if !r.joined[remote] {
			u.report(R6, i, "%s is not in %s", remote, id)
		}
		if r.peer && d.Env["JUJU_DEPARTING_UNIT"] == u.s.Unit {
			u.peersDeparting = true
		}
	case "broken":
		for unit := range r.joined {
			u.report(R7, i, "%s has not departed from %s", unit, id)
		}
		if r.peer {
			u.report(R8, i, "%s is between peers", id)
		}
	}
	if u.peersDeparting && !r.peer {
		u.report(D2, i, "peers have departed before")
	}
	return r, kind
}
