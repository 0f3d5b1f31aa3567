package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/internal/picture"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

// A Tracer makes a trace of a model: for each hook what Juju saw of it, and of
// charms made with package reactive their own record besides. It holds no
// values of data.
type Tracer struct {
	hooks []picture.Hook
	start time.Time
}

// Event takes in an event of the model.
func (t *Tracer) Event(e jujusim.Event) {
	switch e.Kind {
	case jujusim.DispatchStarted:
		t.start = time.Now()
	case jujusim.DispatchEnded:
		t.hooks = append(t.hooks, hookOf(e.Dispatch, t.start))
	}
}

// Hooks returns the trace so far.
func (t *Tracer) Hooks() []picture.Hook { return t.hooks }

// WriteLines writes the trace as JSON, one hook a line.
func (t *Tracer) WriteLines(w io.Writer) error {
	e := json.NewEncoder(w)
	for _, h := range t.hooks {
		if err := e.Encode(h); err != nil {
			return fmt.Errorf("cannot write the trace: %w", err)
		}
	}
	return nil
}

func hookOf(d *jujusim.Dispatch, start time.Time) picture.Hook {
	h := picture.Hook{
		Time: start, Duration: d.Duration, Unit: d.Unit, Hook: strings.Replace(d.At, "actions/", "action ", 1),
		Relation: d.Getenv("JUJU_RELATION_ID"), RemoteUnit: d.Getenv("JUJU_REMOTE_UNIT"), RemoteApp: d.Getenv("JUJU_REMOTE_APP"),
		Calls: int64(len(d.Calls)),
	}
	if record, ok := recordOf(d); ok {
		h.Flags, h.Steps, h.Rounds, h.Leader = record.Flags, record.Steps, record.Rounds, record.Leader
		h.Error, h.Status = record.Error, record.Status
	}
	switch d.Outcome {
	case jujusim.Failed:
		h.Outcome = "failed"
		if h.Error == "" {
			h.Error = d.Err
		}
		if h.Error == "" {
			h.Error = fmt.Sprintf("exit status %d", d.Exit)
		}
	case jujusim.Killed:
		h.Outcome = "killed"
	}
	for _, c := range d.Calls {
		h.Bytes += int64(c.In + c.Out)
		h.Tools = append(h.Tools, picture.Call{Tool: c.Tool, Args: picture.SafeArgs(c.Tool, c.Args), In: c.In, Out: c.Out, Code: c.Code, Duration: c.Duration})
	}
	h.Changed = changed(d)
	return h
}

// recordOf returns the charm's own record of the dispatch, if it made one.
func recordOf(d *jujusim.Dispatch) (picture.Hook, bool) {
	var h picture.Hook
	dir := d.Getenv("JUJU_CHARM_DIR")
	if dir == "" || !exists(filepath.Join(dir, ".reactive")) {
		return h, false
	}
	records, err := reactive.ReadRecords(dir)
	if err != nil || len(records) == 0 {
		return h, false
	}
	last := records[len(records)-1]
	// A killed hook left none; the last one is then of another dispatch.
	if last.Duration > d.Duration+time.Second || time.Since(last.Time) > d.Duration+time.Second || d.Outcome == jujusim.Killed {
		return h, false
	}
	text, err := json.Marshal(last)
	if err != nil || json.Unmarshal(text, &h) != nil {
		return h, false
	}
	return h, true
}

// changed says in words what a hook changed in the model, without values.
func changed(d *jujusim.Dispatch) []string {
	var list []string
	for id, r := range d.Changes.Relations {
		for owner, bag := range r.Data {
			keys := make([]string, 0, len(bag))
			for k := range bag {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			list = append(list, fmt.Sprintf("relation %d: the data of %s, now with %s", id, owner, strings.Join(keys, ", ")))
		}
	}
	for name, a := range d.Changes.Applications {
		if a.Status != nil {
			list = append(list, fmt.Sprintf("status of %s: %s", name, a.Status.Status))
		}
		if a.LeaderSettings != nil {
			list = append(list, "leader settings of "+name)
		}
	}
	for name, u := range d.Changes.Units {
		if u.Status != nil {
			list = append(list, fmt.Sprintf("status of %s: %s", name, u.Status.Status))
		}
		if u.State != nil {
			list = append(list, fmt.Sprintf("charm state of %s: %d entries", name, len(*u.State)))
		}
		if u.Ports != nil {
			list = append(list, "ports of "+name)
		}
		if u.WorkloadVersion != nil {
			list = append(list, fmt.Sprintf("workload version of %s: %s", name, *u.WorkloadVersion))
		}
	}
	for range d.Changes.Secrets {
		list = append(list, "a secret")
	}
	slices.Sort(list)
	return list
}
