package reactive

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/unitdata"
)

// maxRounds is how many rounds of flag handlers a hook may have, as in the
// reference.
const maxRounds = 100

// A phase is a part of a dispatch; some conditions hold in one phase only.
type phase string

const (
	phaseRestricted phase = "restricted"
	phaseHooks      phase = "hooks"
	phaseFlags      phase = "flags"
	phaseEnd        phase = "end"
)

// run is one dispatch: a charm in one hook.
type run struct {
	charm   *Charm
	process hooktool.Process
	event   Event
	unit    string
	tools   *hooktool.Client
	store   unitdata.Store
	data    *unitdata.Data
	set     *flags.Set
	log     *slog.Logger
	record  *recorder
	breaker *breaker

	endpoints []*Endpoint
	bagsMu    sync.Mutex
	bags      map[bagID]*readBag

	phase    phase
	byFlag   map[flags.Flag][]int
	always   []int
	patterns map[string][]string

	file     *charmfile.Charm
	config   map[string]any
	deposed  bool
	ledAt    time.Time
	fleeting []flags.Flag
	events   []flags.Flag // those of fleeting that tell of an event
	pending  []string     // events of the hook before
	juju     jujuRun

	status    *Status
	verdict   *Status
	appStatus *Status
	progress  bool

	acted   bool  // the action's own handler returned
	writing bool  // what the hook changed is being written
	failure error // of something that cannot return one
}

// title names the event for errors.
func (r *run) title() string {
	s := r.event.String()
	if r.event.Relation != "" && r.event.Hook != "" {
		s += " (" + r.event.Relation
		if r.event.RemoteUnit != "" {
			s += " with " + r.event.RemoteUnit
		} else if r.event.RemoteApp != "" {
			s += " with " + r.event.RemoteApp
		}
		s += ")"
	}
	return s
}

// dispatch runs the charm for one event. It writes what the handlers changed
// only if all went well.
func (r *run) dispatch(ctx context.Context) error {
	c := r.charm
	c.run = r
	defer func() { c.run = nil }()

	r.bags = make(map[bagID]*readBag)
	for _, ep := range c.Endpoints() {
		ep.run = r
		ep.relations = NewKeyList((*Relation).ID)
		r.endpoints = append(r.endpoints, ep)
	}
	r.loadFlags()
	if err := r.loadTriggers(); err != nil {
		return err
	}
	for _, t := range c.triggers {
		r.set.AddTrigger(t)
	}
	r.record.begin(r)

	settle, finish := r.settle, r.finish
	if r.event.restricted() {
		settle, finish = r.settleRestricted, r.finishRestricted
	} else if err := r.start(ctx); err != nil {
		return fmt.Errorf("hook %s: %w", r.title(), err)
	}
	err := settle(ctx)
	var verdict *statusError
	switch {
	case errors.As(err, &verdict):
		r.verdict = &verdict.status
	case err != nil && !errors.Is(err, ErrStop):
		return err
	}
	early := err != nil
	if err := finish(ctx, early); err != nil {
		return fmt.Errorf("hook %s: %w", r.title(), err)
	}
	return nil
}

// settleRestricted runs the handlers of a restricted hook, in which there are no
// endpoints.
func (r *run) settleRestricted(ctx context.Context) error {
	r.phase = phaseRestricted
	return r.once(ctx)
}

// finishRestricted writes what a restricted hook changed.
func (r *run) finishRestricted(ctx context.Context, _ bool) error {
	r.status = cmp.Or(r.verdict, r.status)
	if err := r.storeTriggers(); err != nil {
		return err
	}
	if err := r.mayWrite(ctx); err != nil {
		return err
	}
	if err := r.data.Commit(ctx); err != nil {
		return err
	}
	return r.writeStatus(ctx)
}

// start updates what Juju told the unit before any handler runs.
func (r *run) start(ctx context.Context) error {
	r.data.SetAuthor("the framework")
	r.record.by("")
	for _, fn := range r.charm.onStart {
		if err := call(ctx, fn, &Hook{r}); err != nil {
			return err
		}
	}
	if err := r.loadPending(); err != nil {
		return err
	}
	if err := r.setAutomatic(ctx); err != nil {
		return err
	}
	if err := r.loadRelations(ctx); err != nil {
		return err
	}
	for _, ep := range r.endpoints {
		if err := ep.start(ctx); err != nil {
			return fmt.Errorf("endpoint %q: %w", ep.name, err)
		}
	}
	if err := r.setJujuFlags(ctx); err != nil {
		return err
	}
	return r.set.Err()
}

// settle runs the hook-named handlers and then rounds of flag handlers until
// none is left to run.
func (r *run) settle(ctx context.Context) error {
	r.phase = phaseHooks
	if err := r.once(ctx); err != nil {
		return err
	}
	r.phase = phaseFlags
	r.set.NextRound()
	for round := range maxRounds {
		r.record.round = round
		candidates := r.charm.handlers
		if round > 0 {
			candidates = r.candidates()
		}
		queue, err := r.collect(ctx, candidates)
		if err != nil || len(queue) == 0 {
			return err
		}
		if err := r.runAll(ctx, queue); err != nil {
			return err
		}
		r.set.NextRound()
	}
	queue, err := r.collect(ctx, r.candidates())
	if err != nil || len(queue) == 0 {
		return err
	}
	return fmt.Errorf("hook %s: %w", r.title(), r.unsettled())
}

// unsettled tells of the rounds in which nothing but handlers that keep each
// other awake can have run.
func (r *run) unsettled() *UnsettledError {
	ran, changed := make(map[string]bool), flags.NewSet()
	for _, s := range r.record.record.Steps {
		switch {
		case s.Phase != string(phaseFlags) || s.Round < maxRounds/2:
		case s.IsChange():
			changed.Set(flags.New(s.Flag))
		default:
			ran[s.Handler] = true
		}
	}
	e := &UnsettledError{Rounds: maxRounds, Flags: changed.List()}
	for _, h := range r.charm.handlers {
		if ran[h.Name] {
			e.Handlers = append(e.Handlers, h.Name)
		}
	}
	return e
}

// once collects and runs the handlers of a phase without rounds.
func (r *run) once(ctx context.Context) error {
	queue, err := r.collect(ctx, r.charm.handlers)
	if err != nil {
		return err
	}
	return r.runAll(ctx, queue)
}

// candidates returns the handlers that can match after the first round: those
// one of whose flags changed in the last round, and those without flags, in the
// order of registration.
func (r *run) candidates() []*Handler {
	if r.byFlag == nil {
		r.byFlag = make(map[flags.Flag][]int)
		for i, h := range r.charm.handlers {
			if !h.relevant {
				r.always = append(r.always, i)
				continue
			}
			for _, f := range h.flags {
				r.byFlag[f] = append(r.byFlag[f], i)
			}
		}
	}
	indexes := slices.Clone(r.always)
	for _, f := range r.set.ChangesLast() {
		indexes = append(indexes, r.byFlag[f]...)
	}
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	list := make([]*Handler, len(indexes))
	for i, index := range indexes {
		list[i] = r.charm.handlers[index]
	}
	return list
}

// collect returns those of handlers that match.
func (r *run) collect(ctx context.Context, handlers []*Handler) ([]*Handler, error) {
	var queue []*Handler
	for _, h := range handlers {
		ok, err := r.holds(ctx, h)
		if err != nil {
			return nil, &HandlerError{r.title(), h.Name, err}
		}
		if ok {
			queue = append(queue, h)
		}
	}
	return queue, nil
}

// runAll runs handlers in order. After each that cleared a flag, those that
// wait for their turn are tested again.
func (r *run) runAll(ctx context.Context, queue []*Handler) error {
	for len(queue) > 0 {
		h := queue[0]
		queue = queue[1:]
		clears := r.set.Clears()
		if err := r.invoke(ctx, h); err != nil {
			return err
		}
		if r.set.Clears() != clears {
			var err error
			if queue, err = r.collect(ctx, queue); err != nil {
				return err
			}
		}
	}
	return nil
}

// holds tests the conditions of a handler.
func (r *run) holds(ctx context.Context, h *Handler) (bool, error) {
	for i := range h.On {
		ok, err := r.test(ctx, h, &h.On[i])
		if !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (r *run) test(ctx context.Context, h *Handler, on *Condition) (bool, error) {
	switch on.kind {
	case onHook:
		if r.phase != phaseHooks {
			return false, nil
		}
		return r.matches(on.patterns)
	case onFiles:
		return r.filesChanged(on.patterns)
	case onOnce:
		return !r.data.Has(onceKey(h.Name)), nil
	case onLeader:
		return r.isLeader(ctx)
	case onRestricted:
		return r.phase == phaseRestricted && r.event.Hook == on.patterns[0], nil
	case onEvery:
		return r.phase == phaseFlags && r.record.round == 0, nil
	case onAction:
		return r.phase == phaseHooks && r.event.Action == on.patterns[0], nil
	}
	return r.phase == phaseFlags && on.flags.Holds(r.set), nil
}

func onceKey(handler string) string { return "reactive.invoked." + handler }

// matches reports whether the hook matches one of patterns.
func (r *run) matches(patterns []string) (bool, error) {
	if r.event.Hook == "" {
		return false, nil
	}
	for _, pattern := range patterns {
		names, ok := r.patterns[pattern]
		if !ok {
			var endpoints []charmfile.Endpoint
			if strings.Contains(pattern, ":") {
				file, err := r.charmFile()
				if err != nil {
					return false, err
				}
				endpoints = file.Endpoints
			}
			names = ExpandHookPattern(pattern, endpoints)
			if r.patterns == nil {
				r.patterns = make(map[string][]string)
			}
			r.patterns[pattern] = names
		}
		if slices.Contains(names, r.event.Hook) {
			return true, nil
		}
	}
	return false, nil
}

// charmFile reads the charm's files, once in a hook and only if asked.
func (r *run) charmFile() (*charmfile.Charm, error) {
	if r.file == nil {
		file, err := charmfile.Load(r.process.Dir)
		if err != nil {
			return nil, err
		}
		r.file = file
	}
	return r.file, nil
}

// filesChanged reports whether one of files changed, and remembers all.
func (r *run) filesChanged(files []string) (bool, error) {
	changed := false
	for _, name := range files {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(r.process.Dir, name)
		}
		var sum any
		content, err := os.ReadFile(path)
		switch {
		case err == nil:
			md5sum := md5.Sum(content)
			sum = hex.EncodeToString(md5sum[:])
		case !errors.Is(err, fs.ErrNotExist):
			return false, fmt.Errorf("cannot tell whether a file changed: %w", err)
		}
		key := "reactive.files_changed." + name
		var was any
		if _, err := r.data.Get(key, &was); err != nil {
			return false, err
		}
		if was != sum {
			changed = true
			if err := r.data.Set(key, sum); err != nil {
				return false, err
			}
		}
	}
	return changed, nil
}

// invoke runs one handler.
func (r *run) invoke(ctx context.Context, h *Handler) error {
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("hook %s: stopped before handler %q: %w", r.title(), h.Name, err)
	}
	if runs, err := r.breakBefore(ctx, h); !runs || err != nil {
		return err
	}
	r.data.SetAuthor(fmt.Sprintf("handler %q", h.Name))
	done := r.record.handler(r, h)
	err := call(ctx, h.Do, &Hook{r})
	if err == nil || errors.Is(err, ErrStop) {
		err = cmp.Or(r.failure, r.set.Err(), err)
	}
	done(err)
	var verdict *statusError
	switch {
	case errors.Is(err, ErrStop), errors.As(err, &verdict):
		return err
	case err != nil:
		return &HandlerError{r.title(), h.Name, err}
	}
	if slices.ContainsFunc(h.On, func(c Condition) bool { return c.kind == onOnce }) {
		return r.data.Set(onceKey(h.Name), true)
	}
	return nil
}

// call runs a function of the charm and makes an error of its panic.
func call(ctx context.Context, fn func(ctx context.Context, h *Hook) error, hook *Hook) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, debug.Stack()}
		}
	}()
	return fn(ctx, hook)
}

// finish writes what the hook changed.
func (r *run) finish(ctx context.Context, early bool) error {
	r.phase = phaseEnd
	r.data.SetAuthor("the framework")
	r.record.by("")
	if err := r.finalStatus(ctx); err != nil {
		return err
	}
	for _, ep := range r.endpoints {
		if err := ep.finish(); err != nil {
			return err
		}
	}
	if err := r.planPorts(ctx); err != nil {
		return err
	}
	if err := r.savePending(early); err != nil {
		return err
	}
	r.clearAutomatic()
	if err := r.mayWrite(ctx); err != nil {
		return err
	}
	r.writing = true
	if err := r.publish(ctx); err != nil {
		return err
	}
	if err := r.writeJuju(ctx); err != nil {
		return err
	}
	if err := r.data.Commit(ctx); err != nil {
		return err
	}
	return r.writeStatus(ctx)
}

// mayWrite returns the error because of which nothing of the hook is kept, if
// there is one. What is refused for its size is refused before anything is
// written.
func (r *run) mayWrite(ctx context.Context) error {
	if err := cmp.Or(r.failure, r.set.Err(), context.Cause(ctx)); err != nil {
		return err
	}
	return r.data.Check(ctx)
}

// parallel calls fn for 0 to n-1, some at the same time, and returns the first
// error.
func parallel(ctx context.Context, n int, fn func(ctx context.Context, i int) error) error {
	switch n {
	case 0:
		return nil
	case 1:
		return fn(ctx, 0)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for i := range n {
		group.Go(func() error { return fn(ctx, i) })
	}
	return group.Wait()
}
