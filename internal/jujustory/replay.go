package jujustory

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/charmed-go/charms/jujusim"
)

// charms are the charms of the stories.
var charms = map[string]struct {
	files     string
	endpoints []string
}{
	"prov": {`
provides:
  db: {interface: kv}
  db2: {interface: kv}
peers:
  cluster: {interface: kv-peer}
`, []string{"cluster", "db", "db2"}},
	"cons": {`
requires:
  src: {interface: kv}
  src2: {interface: kv}
`, []string{"src", "src2"}},
	"solo": {"", nil},
	"subo": {`
subordinate: true
requires:
  host: {interface: kv, scope: container}
`, []string{"host"}},
}

func charmFiles(name, revision string) fstest.MapFS {
	return fstest.MapFS{
		"revision.txt": {Data: []byte(revision)},
		"charmcraft.yaml": {Data: []byte("name: " + name + "\nsummary: s\ndescription: d\n" + charms[name].files + `
config:
  options:
    a: {type: string, default: x}
    num: {type: int, default: 5}
    flag: {type: boolean, default: false}
    f: {type: float, default: 1.5}
    unset: {type: string}
actions:
  do:
    params:
      s: {type: string}
      num: {type: integer, default: 3}
  slow:
    parallel: true
    execution-group: slow
`)},
	}
}

// A moment is something that a replay does.
type moment struct {
	at int64
	// rank orders what has the same time: what ends comes before what begins.
	rank int
	do   func() error
}

// A Replay plays a story in a simulated model: it does what the operator did and
// runs, in the recorded order, what the units ran. It fails where the simulated
// Juju would not run what the real one ran.
type Replay struct {
	*Recorder
	Story *Story
	Model *jujusim.Model
	// Differences are what dispatches saw and should not have, or the reverse.
	Differences []string
	// Compared counts what was compared.
	Compared int

	ctx     context.Context
	running map[string]*play // by unit
	waiting []*operation
	// unsure says that a secret was removed, after which real units were seen to
	// read it for some time.
	unsure bool
	ids    map[string]string // recorded to simulated, of relations and secrets
	back   map[string]string // simulated to recorded
}

// A play is a dispatch while it is replayed.
type play struct {
	unit     string
	recorded *Dispatch
	run      *jujusim.Running
	started  chan *jujusim.Running // holds run once it is known
	blocked  chan struct{}         // an await was reached
	release  chan struct{}         // it may go on
	paused   bool
}

// An operation is an operator's command that may take effect from now on.
type operation struct {
	op    Op
	apply func() error
	// seen says whether a dispatch saw its effect; nil if that cannot be told.
	seen func(d *Dispatch) bool
}

// certain says whether it has taken effect by then, for all that is known.
func (o *operation) certain(at int64) bool {
	return o.op.End <= at && !strings.Contains(o.op.Cmd, "--background")
}

// NewReplay makes a replay of the story in a fresh model, which Close ends.
func NewReplay(s *Story) (*Replay, error) {
	m, err := jujusim.New(jujusim.Options{Version: "4.0", SilentPeers: true, MixedContainers: true})
	if err != nil {
		return nil, err
	}
	r := &Replay{
		Recorder: &Recorder{}, Story: s, Model: m,
		running: make(map[string]*play),
		ids:     make(map[string]string), back: make(map[string]string),
	}
	r.Steps = r.steps
	r.Await, r.Kill = r.await, r.kill
	r.Rewrite, r.Save = r.simulated, r.save
	r.Quiet = func(unit string, d *Dispatch) bool { return r.running[unit].recorded.View.NotRead }
	return r, nil
}

// Close ends the replay's model.
func (r *Replay) Close() error { return r.Model.Close() }

// Run plays the story to its end. The error says what the simulated Juju would
// not do.
func (r *Replay) Run(ctx context.Context) error {
	r.ctx = ctx
	for _, m := range r.moments() {
		if err := m.do(); err != nil {
			return err
		}
	}
	if err := r.settle(func(*operation) bool { return true }); err != nil {
		return err
	}
	for _, unit := range r.Story.UnitNames() {
		if p := r.running[unit]; p != nil {
			if err := r.finish(p); err != nil {
				return err
			}
		}
	}
	r.rest()
	return nil
}

func (r *Replay) moments() []moment {
	var all []moment
	for _, op := range r.Story.Ops {
		all = append(all, moment{op.Time, 1, func() error { return r.operate(op) }})
	}
	// What other stories did to the model at the same time is in the notes.
	for _, note := range r.Story.Notes {
		if times := retryNote.FindStringSubmatch(note); times != nil {
			for i, retries := range []int{1000, 0} {
				at, _ := strconv.ParseInt(times[i+1], 10, 64)
				all = append(all, moment{at, 1, func() error { r.Model.SetRetries(retries); return nil }})
			}
		}
	}
	for _, unit := range r.Story.UnitNames() {
		u := r.Story.Units[unit]
		for i := range u.Dispatches {
			d := &u.Dispatches[i]
			all = append(all, moment{d.Time, 2, func() error { return r.begin(unit, d) }})
			waited := false
			for _, a := range d.Acts {
				if waited {
					all = append(all, moment{a.Time, 0, func() error { return r.goOn(unit, d) }})
				}
				waited = len(a.Act) > 0 && a.Act[0] == "await"
			}
			if d.End != nil {
				all = append(all, moment{*d.End, 0, func() error { return r.end(unit, d) }})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b moment) int { return cmp.Or(cmp.Compare(a.at, b.at), a.rank-b.rank) })
	return all
}

// steps are the recorded acts of the dispatch that is played.
func (r *Replay) steps(unit string, d *Dispatch) [][]string {
	var steps [][]string
	for _, a := range r.running[unit].recorded.Acts {
		if !a.filesOnly() {
			steps = append(steps, a.Act)
		}
	}
	return steps
}

var (
	retryNote   = regexp.MustCompile(`automatically-retry-hooks was true from about t=([0-9]+) to t=([0-9]+)`)
	recordedIDs = regexp.MustCompile(`\b(?:cluster|db2?|src2?|host):[0-9]+\b|secret://UUID[0-9]+/SECRET[0-9]+|\bSECRET[0-9]+\b`)
	modelIDs    = regexp.MustCompile(`\b(?:cluster|db2?|src2?|host):[0-9]+\b|secret://[-0-9a-f]+/[0-9a-v]{20}|\b[0-9a-v]{20}\b`)
)

// simulated puts the model's own ids into a recorded text.
func (r *Replay) simulated(text string) string {
	return recordedIDs.ReplaceAllStringFunc(text, func(id string) string { return r.lookup(r.ids, id) })
}

// recorded puts the recorded ids into a text of the model's.
func (r *Replay) recorded(text string) string {
	return modelIDs.ReplaceAllStringFunc(text, func(id string) string { return r.lookup(r.back, id) })
}

func (r *Replay) lookup(ids map[string]string, id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := ids[id]; ok {
		return other
	}
	return id
}

func (r *Replay) learn(recorded, simulated string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[recorded], r.back[simulated] = simulated, recorded
}

// save learns the id of a secret that a recorded dispatch saved, too.
func (r *Replay) save(name, text string) {
	for _, u := range r.Story.Units {
		for _, d := range u.Dispatches {
			for _, a := range d.Acts {
				if len(a.Act) > 1 && a.Act[0] == "save" && a.Act[1] == name {
					r.learn(a.Out, text)
					r.learn(a.Out[strings.LastIndex(a.Out, "/")+1:], text[strings.LastIndex(text, "/")+1:])
				}
			}
		}
	}
}

// await blocks a dispatch until the replay comes to what follows.
func (r *Replay) await(ctx context.Context, unit string) {
	r.mu.Lock()
	p := r.running[unit]
	r.mu.Unlock()
	select {
	case p.blocked <- struct{}{}:
	case <-ctx.Done():
		return
	}
	select {
	case <-p.release:
	case <-ctx.Done():
	}
}

func (r *Replay) kill(ctx context.Context, unit string) {
	r.mu.Lock()
	p := r.running[unit]
	r.mu.Unlock()
	run := <-p.started
	run.Kill()
	<-ctx.Done()
}

// pause waits until the dispatch awaits something or has ended.
func (p *play) pause() {
	if p.paused {
		return
	}
	select {
	case <-p.blocked:
		p.paused = true
	case <-p.run.Done():
	}
}

// resume lets a dispatch that awaits something go on, unless it was killed.
func (p *play) resume() {
	if !p.paused {
		return
	}
	p.paused = false
	select {
	case p.release <- struct{}{}:
	case <-p.run.Done():
	}
}

// goOn lets a dispatch that awaits something go on.
func (r *Replay) goOn(unit string, d *Dispatch) error {
	p := r.running[unit]
	if p == nil || p.recorded != d {
		return fmt.Errorf("%s does not run %s", unit, d.At)
	}
	p.resume()
	p.pause()
	return nil
}

// begin starts what a unit ran.
func (r *Replay) begin(unit string, d *Dispatch) error {
	if p := r.running[unit]; p != nil {
		if err := r.finish(p); err != nil {
			return err
		}
	}
	if err := r.settle(func(o *operation) bool { return o.certain(d.Time) }); err != nil {
		return err
	}
	for !r.possible(unit, d) && len(r.waiting) > 0 {
		if err := r.apply(); err != nil {
			return err
		}
	}
	if err := r.enter(unit, d); err != nil {
		return err
	}
	r.enterGoal(unit, d)
	if err := r.lead(unit, d); err != nil {
		return err
	}
	p := &play{unit: unit, recorded: d, blocked: make(chan struct{}), release: make(chan struct{}), started: make(chan *jujusim.Running, 1)}
	r.mu.Lock()
	r.running[unit] = p
	r.mu.Unlock()
	run, err := r.start(unit, d)
	if err != nil {
		return fmt.Errorf("%s, dispatch %d, at %d ms: %w", unit, d.Seq, d.Time, err)
	}
	p.run = run
	p.started <- run
	p.pause()
	return nil
}

func (r *Replay) start(unit string, d *Dispatch) (*jujusim.Running, error) {
	if name, ok := strings.CutPrefix(d.At, "actions/"); ok {
		var params map[string]any
		decode(d.View.Action, &params)
		return r.Model.StartAction(r.ctx, unit, name, params)
	}
	if d.At == "exec" {
		return r.Model.StartExec(r.ctx, unit, jujusim.ExecOptions{
			Run: r.run, Relation: r.simulated(d.Env["JUJU_RELATION_ID"]), RemoteUnit: d.Env["JUJU_REMOTE_UNIT"],
		})
	}
	if d.At == "update-status" {
		if err := r.Model.UpdateStatus(unit); err != nil {
			return nil, err
		}
	}
	h, err := r.hook(unit, d)
	if err != nil {
		return nil, err
	}
	return r.Model.Start(r.ctx, h)
}

// end ends a dispatch that ended in the story.
func (r *Replay) end(unit string, d *Dispatch) error {
	p := r.running[unit]
	if p == nil || p.recorded != d {
		return fmt.Errorf("%s does not run %s", unit, d.At)
	}
	return r.finish(p)
}

func (r *Replay) finish(p *play) error {
	if p.recorded.Exit.Signal == "lost" {
		p.run.KillAgent()
	}
	p.resume()
	for p.pause(); p.paused; p.pause() {
		p.resume()
	}
	dispatch, err := p.run.Wait()
	if err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.running, p.unit)
	seen := r.records[dispatch.Getenv("JUJU_CONTEXT_ID")]
	r.mu.Unlock()
	r.compare(p.unit, p.recorded, seen, dispatch)
	return nil
}
