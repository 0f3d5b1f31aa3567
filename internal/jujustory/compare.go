package jujustory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
)

// observe compares what juju status said.
func (r *Replay) observe(op Op) error {
	if err := r.settle(func(o *operation) bool { return o.certain(op.Time) }); err != nil {
		return err
	}
	status := r.Model.Status()
	r.lives(op, status)
	for _, name := range slices.Sorted(maps.Keys(op.Observe.Units)) {
		want := op.Observe.Units[name]
		got, ok := status.Unit(name)
		// Agents that are down are not simulated.
		if !ok || r.running[name] != nil || strings.HasPrefix(want.Message, "agent lost") {
			continue
		}
		r.same(fmt.Sprintf("leader flag of %s at %d ms", name, op.Time), strconv.FormatBool(want.Leader), strconv.FormatBool(got.Leader))
		r.same(fmt.Sprintf("status of %s at %d ms", name, op.Time), want.Workload+": "+want.Message, got.Workload+": "+got.Message)
		ports := want.Ports
		if len(ports)+len(got.Ports) > 0 {
			r.same(fmt.Sprintf("ports of %s at %d ms", name, op.Time), fmt.Sprint(ports), fmt.Sprint(got.Ports))
		}
	}
	return nil
}

// lives compares which units and applications there were. An application that is
// dying may be gone already here: a real one stays for some seconds. A subordinate
// unit may still have to stop here, which real ones were seen not to do.
func (r *Replay) lives(op Op, status jujusim.Status) {
	var units, applications []string
	for _, u := range status.Units {
		if _, ok := op.Observe.Units[u.Name]; ok || u.Principal == "" {
			units = append(units, u.Name)
		}
	}
	recorded := maps.Clone(op.Observe.Applications)
	for _, a := range status.Applications {
		applications = append(applications, a.Name)
		delete(recorded, a.Name)
	}
	maps.DeleteFunc(recorded, func(_, life string) bool { return life != model.Alive })
	slices.Sort(units)
	at := fmt.Sprintf(" at %d ms", op.Time)
	r.same("units"+at, fmt.Sprint(slices.Sorted(maps.Keys(op.Observe.Units))), fmt.Sprint(units))
	r.same("applications missing"+at, "map[]", fmt.Sprint(recorded))
	for _, name := range applications {
		_, there := op.Observe.Applications[name]
		r.same("application "+name+at, "true", strconv.FormatBool(there))
	}
}

func (r *Replay) same(what, want, got string) {
	r.Compared++
	if want != got {
		r.Differences = append(r.Differences, fmt.Sprintf("%s: recorded %s, simulated %s", what, want, got))
	}
}

// rest compares what there is left to do in the end, which is nothing: the stories
// end when all was quiet. What Juju may do once more without news does not count,
// nor do subordinate units, which were seen not to stop.
func (r *Replay) rest() {
	h, ok := r.Model.Next()
	if !ok || h.Name == "config-changed" || strings.HasSuffix(h.Name, "-relation-changed") {
		return
	}
	if u, _ := r.Model.Status().Unit(h.Unit); u.Principal == "" {
		r.same("left to do in the end", "nothing", h.String())
	}
}

// compare compares a recorded dispatch with its replay.
func (r *Replay) compare(unit string, want, got *Dispatch, dispatch *jujusim.Dispatch) {
	where := fmt.Sprintf("%s, dispatch %d (%s)", unit, want.Seq, want.At)
	outcome := map[bool]jujusim.Outcome{true: jujusim.Done, false: jujusim.Failed}[want.Exit.Code == 0 || want.At == "exec"]
	if want.Exit.Signal != "" {
		outcome = jujusim.Killed
	}
	r.same(where+": outcome", string(outcome), string(dispatch.Outcome))
	env := maps.Clone(r.Story.Units[unit].Env)
	maps.Copy(env, want.Env)
	for _, key := range slices.Sorted(maps.Keys(env)) {
		switch key {
		case "JUJU_ACTION_NAME":
			// juju exec is an action of its own.
			if want.At == "exec" {
				continue
			}
		case "JUJU_VERSION", "JUJU_MODEL_NAME", "JUJU_ACTION_UUID", "JUJU_ACTION_TAG", "JUJU_SECRET_ID", "JUJU_AVAILABILITY_ZONE":
			continue
		}
		r.same(where+": "+key, env[key], r.recorded(dispatch.Getenv(key)))
	}
	for _, e := range dispatch.Env {
		key, value, _ := strings.Cut(e, "=")
		if _, ok := env[key]; !ok && strings.HasPrefix(key, "JUJU_") && !leftOut(key) {
			r.same(where+": "+key, "unset", value)
		}
	}
	if got == nil || got.View.NotRead != want.View.NotRead {
		r.Differences = append(r.Differences, where+": it was not recorded")
		return
	}
	switch want.At {
	case "exec":
		want.View.Action = nil
	case "stop", "remove":
		// For some seconds the goal state shows relations that are over, and
		// subordinate units that are gone.
		want.View.GoalState = nil
	}
	want.View.GoalState = r.settledGoal(want)
	r.view(where, &want.View, &got.View)
	acts := 0
	for _, a := range want.Acts {
		if a.filesOnly() {
			continue
		}
		if acts >= len(got.Acts) {
			r.same(where+": acts", fmt.Sprint(a.Act), "none")
			break
		}
		b := got.Acts[acts]
		acts++
		if r.unsure && len(a.Act) > 1 && strings.HasPrefix(a.Act[1], "secret-") {
			continue
		}
		what := where + ": " + strings.Join(a.Act, " ")
		r.same(what+" (code)", strconv.Itoa(a.Code), strconv.Itoa(b.Code))
		r.same(what, normal(json.RawMessage(a.Out), a.Out), normal(json.RawMessage(r.recorded(b.Out)), r.recorded(b.Out)))
		r.same(what+" (stderr)", a.Stderr, r.recorded(b.Stderr))
		if a.View != nil && b.View != nil {
			r.view(what, a.View, b.View)
		}
	}
	r.unsure = r.unsure || slices.ContainsFunc(want.Acts, func(a Act) bool { return len(a.Act) > 1 && a.Act[1] == "secret-remove" })
}

// settledGoal is the recorded goal state as if every unit that had not run yet was
// waiting: a real one is unknown at first, for a moment that was not recorded.
func (r *Replay) settledGoal(d *Dispatch) json.RawMessage {
	var goal struct {
		Units     map[string]map[string]string            `json:"units"`
		Relations map[string]map[string]map[string]string `json:"relations"`
	}
	if !decode(d.View.GoalState, &goal) {
		return d.View.GoalState
	}
	for _, side := range append(slices.Collect(maps.Values(goal.Relations)), goal.Units) {
		for name, status := range side {
			u := r.Story.Units[name]
			if u != nil && status["status"] == "unknown" && (len(u.Dispatches) == 0 || u.Dispatches[0].Time > d.Time) {
				status["status"] = "waiting"
			}
		}
	}
	text, err := json.Marshal(goal)
	if err != nil {
		return d.View.GoalState
	}
	return text
}

// leftOut says whether a variable was left out of the recordings.
func leftOut(key string) bool {
	switch key {
	case "JUJU_CONTEXT_ID", "JUJU_API_ADDRESSES", "JUJU_MODEL_UUID", "JUJU_CHARM_DIR":
		return true
	}
	return strings.HasPrefix(key, "JUJU_AGENT_")
}

// filesOnly says whether an act has to do with files only, which replays leave
// alone.
func (a *Act) filesOnly() bool {
	return len(a.Act) == 0 || slices.Contains([]string{"ls", "write", "mkdir", "sleep"}, a.Act[0])
}

// view compares what the hook tools showed.
func (r *Replay) view(where string, want, got *View) {
	compare := func(what string, want, got json.RawMessage) {
		if want != nil {
			r.same(where+": "+what, normal(want, string(want)), normal(json.RawMessage(r.recorded(string(got))), string(got)))
		}
	}
	compare("is-leader", want.Leader, got.Leader)
	compare("config-get", want.Config, got.Config)
	compare("state-get", want.State, got.State)
	compare("status-get", want.Status, got.Status)
	compare("opened-ports", want.Ports, got.Ports)
	if !r.unsure {
		compare("secret-ids", want.Secrets, got.Secrets)
	}
	compare("goal-state", want.GoalState, got.GoalState)
	compare("action-get", want.Action, got.Action)
	for endpoint, ids := range want.RelationIDs {
		compare("relation-ids "+endpoint, ids, got.RelationIDs[endpoint])
	}
	for _, id := range slices.Sorted(maps.Keys(want.Relations)) {
		a, b := want.Relations[id], got.Relations[r.simulated(id)]
		compare("relation-list "+id, a.List, b.List)
		compare("relation-list --app "+id, a.App, b.App)
		compare("relation-get "+id, a.Default, b.Default)
		for _, owner := range slices.Sorted(maps.Keys(a.Bags)) {
			compare("relation-get "+id+" "+owner, a.Bags[owner], b.Bags[owner])
		}
	}
}

// normal is a JSON text without what differs from model to model: addresses,
// times and the order of keys.
func normal(raw json.RawMessage, otherwise string) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return otherwise
	}
	text, err := json.Marshal(plain(v))
	if err != nil {
		return otherwise
	}
	return string(text)
}

func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			switch key {
			case "ingress-address", "egress-subnets":
				v[key] = "ADDRESS"
			case "since":
				v[key] = "T"
			default:
				v[key] = plain(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}
