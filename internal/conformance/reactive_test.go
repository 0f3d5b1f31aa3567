package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// reactiveCharm is the charm of a vector of family reactive (FORMAT.md, section
// 3).
type reactiveCharm struct {
	Charm struct {
		Triggers   []vectorTrigger           `json:"triggers"`
		Handlers   []vectorHandler           `json:"handlers"`
		Interfaces []vectorInterface         `json:"interfaces"`
		Callbacks  map[string][]vectorAction `json:"callbacks"`
	} `json:"charm"`
}

type vectorTrigger struct {
	When     string    `json:"when"`
	WhenNot  string    `json:"when_not"`
	Set      oneOrMore `json:"set"`
	Clear    oneOrMore `json:"clear"`
	Callback string    `json:"callback"`
}

// oneOrMore is a list of strings, or one string for a list of one.
type oneOrMore []string

func (l *oneOrMore) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*l = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(l))
}

type vectorHandler struct {
	ID string                       `json:"id"`
	On []map[string]json.RawMessage `json:"on"`
	Do []vectorAction               `json:"do"`
}

type vectorInterface struct {
	Role        string          `json:"role"`
	Interface   string          `json:"interface"`
	Triggers    []vectorTrigger `json:"triggers"`
	ManageFlags []vectorAction  `json:"manage_flags"`
	Handlers    []vectorHandler `json:"handlers"`
}

type vectorAction struct {
	Do         string          `json:"do"`
	Steps      []int           `json:"steps"`
	IfFlag     string          `json:"if_flag"`
	UnlessFlag string          `json:"unless_flag"`
	IfLeader   bool            `json:"if_leader"`
	Flag       string          `json:"flag"`
	On         *bool           `json:"on"`
	AsFlag     string          `json:"as_flag"`
	Endpoint   string          `json:"endpoint"`
	Relation   string          `json:"relation"`
	Key        string          `json:"key"`
	Value      json.RawMessage `json:"value"`
	Received   []string        `json:"received"`
	Config     string          `json:"config"`
	ID         string          `json:"id"`
	Path       string          `json:"path"`
	Content    string          `json:"content"`
	Code       int             `json:"code"`
	What       string          `json:"what"`
	Flags      []string        `json:"flags"`
	Patterns   []string        `json:"patterns"`
	vectorTrigger
}

type reactiveExpect struct {
	Expect struct {
		Invoked *[]string         `json:"invoked"`
		Probes  []json.RawMessage `json:"probes"`
		Error   string            `json:"error"`
	} `json:"expect"`
}

// reactivePlayer carries out the actions of one step.
type reactivePlayer struct {
	t       *testing.T
	runner  *hookRunner
	charm   *reactiveCharm
	step    int
	hook    *vectorStep
	invoked []string
	probes  []any
	ignored map[int]bool // probes of the dispatcher's own bookkeeping
	byName  map[string]*reactive.Endpoint
	joined  map[string]bool
	ctx     context.Context
	current *reactive.Hook
}

var errFail = errors.New("the vector says so")

func runReactive(t *testing.T, line []byte) {
	r := newHookRunner(t, line)
	var charm reactiveCharm
	decodeVector(t, line, &charm)
	for i, raw := range r.vector.Steps {
		r.play(t, &charm, i, raw)
		if t.Failed() {
			return
		}
	}
}

// player returns what carries out the actions of a step.
func (r *hookRunner) player(t *testing.T, charm *reactiveCharm, i int, step *vectorStep) *reactivePlayer {
	p := &reactivePlayer{t: t, runner: r, charm: charm, step: i, hook: step,
		ignored: make(map[int]bool), byName: make(map[string]*reactive.Endpoint), joined: make(map[string]bool)}
	for name := range r.store.Entries() {
		flag, _ := strings.CutPrefix(name, "reactive.states.endpoint.")
		if ep, ok := strings.CutSuffix(flag, ".joined"); ok {
			p.joined[ep] = true
		}
	}
	return p
}

// play plays a step and holds it against what was recorded.
func (r *hookRunner) play(t *testing.T, charm *reactiveCharm, i int, raw json.RawMessage) {
	t.Helper()
	var step vectorStep
	var expect reactiveExpect
	decodeVector(t, raw, &step)
	decodeVector(t, raw, &expect)
	before := r.store.Entries()
	p := r.player(t, charm, i, &step)
	r.run(t, &step, p.build)
	if r.open != nil {
		r.store = readUnitState(t, filepath.Join(r.dir, sqlitefile.FileName))
	}
	var unsettled *reactive.UnsettledError
	if errors.As(r.err, &unsettled) && !step.Expect.Failed {
		// The reference ends such a hook silently (README.md, item 4); what ran
		// until then must be the same, and so must all that follows it.
		p.compareInvoked(expect.Expect.Invoked)
		r.keep(t, &step.Expect)
		return
	}
	r.compare(t, i, &step, before)
	if step.Expect.Error != "RecursionError" {
		p.compareInvoked(expect.Expect.Invoked)
		p.compareProbes(expect.Expect.Probes)
	}
}

func (p *reactivePlayer) compareInvoked(want *[]string) {
	p.t.Helper()
	if want == nil {
		return
	}
	if !slices.Equal(p.invoked, *want) {
		p.t.Errorf("step %d (%s): invoked %q, want %q (%v)", p.step, p.hook.Hook, p.invoked, *want, p.runner.err)
	}
}

func (p *reactivePlayer) compareProbes(want []json.RawMessage) {
	p.t.Helper()
	if len(p.probes) != len(want) {
		p.t.Errorf("step %d (%s): %d probes, want %d", p.step, p.hook.Hook, len(p.probes), len(want))
		return
	}
	for i, got := range p.probes {
		if !p.ignored[i] && !sameValue(p.t, got, want[i]) {
			p.t.Errorf("step %d (%s): probe %d is %s, want %s", p.step, p.hook.Hook, i, mustEncode(p.t, got), want[i])
		}
	}
}

// build makes the charm.
func (p *reactivePlayer) build() *reactive.Charm {
	c := reactive.New("vector")
	c.OnStart(func(ctx context.Context, h *reactive.Hook) error {
		p.ctx, p.current = ctx, h
		return nil
	})
	for _, t := range p.charm.Charm.Triggers {
		c.Trigger(p.trigger(t, ""))
	}
	for _, h := range p.charm.Charm.Handlers {
		p.register(c, h, "")
	}
	for _, i := range p.charm.Charm.Interfaces {
		var names []string
		for _, ep := range p.runner.vector.Charm.Endpoints {
			if ep.Role == i.Role && ep.Interface == i.Interface {
				names = append(names, ep.Name)
			}
		}
		for _, name := range names {
			ep := c.Endpoint(name, charmfile.Role(i.Role), i.Interface)
			// The reference makes the objects of endpoints one by one as it starts
			// them; before, nobody can find them by name.
			ep.OnLoad(func(context.Context, *reactive.Hook) error {
				p.byName[name] = ep
				return nil
			})
			for _, t := range i.Triggers {
				ep.Trigger(p.trigger(t, name))
			}
			ep.ManageFlags(func(ctx context.Context, h *reactive.Hook) error {
				// The reference leaves an interface's own flags alone in the
				// hooks of others once joined; that is its choice, not the
				// author's (README.md, item 5).
				if p.joined[name] && h.Event().Endpoint != name {
					return nil
				}
				return p.do(ctx, h, i.ManageFlags, name)
			})
		}
		for _, h := range i.Handlers {
			for _, name := range names {
				p.register(c, h, name)
			}
		}
	}
	return c
}

func (p *reactivePlayer) flag(name, endpoint string) flags.Flag {
	return flags.New(strings.ReplaceAll(name, "{endpoint_name}", endpoint))
}

func (p *reactivePlayer) flagList(names []string, endpoint string) []flags.Flag {
	var list []flags.Flag
	for _, name := range names {
		list = append(list, p.flag(name, endpoint))
	}
	return list
}

func (p *reactivePlayer) trigger(t vectorTrigger, endpoint string) flags.Trigger {
	trigger := flags.Trigger{Set: p.flagList(t.Set, endpoint), Clear: p.flagList(t.Clear, endpoint)}
	if t.When != "" {
		trigger.When = p.flag(t.When, endpoint)
	}
	if t.WhenNot != "" {
		trigger.WhenNot = p.flag(t.WhenNot, endpoint)
	}
	if t.Callback != "" {
		trigger.Call = func() error {
			p.invoked = append(p.invoked, "!"+t.Callback)
			return p.do(p.ctx, p.current, p.charm.Charm.Callbacks[t.Callback], endpoint)
		}
	}
	return trigger
}

func (p *reactivePlayer) register(c *reactive.Charm, h vectorHandler, endpoint string) {
	handler := reactive.Handler{Name: h.ID}
	if endpoint != "" {
		handler.Name += ":" + endpoint
	}
	for _, on := range h.On {
		for kind, raw := range on {
			var list []string
			if kind != "collect_metrics" && kind != "meter_status_changed" && kind != "only_once" {
				decodeVector(p.t, raw, &list)
			}
			handler.On = append(handler.On, p.condition(kind, list, endpoint))
		}
	}
	handler.Do = func(ctx context.Context, hook *reactive.Hook) error {
		p.invoked = append(p.invoked, handler.Name)
		return p.do(ctx, hook, h.Do, endpoint)
	}
	c.Register(handler)
}

func (p *reactivePlayer) condition(kind string, list []string, endpoint string) reactive.Condition {
	switch kind {
	case "when_all":
		return reactive.OnFlags(flags.When(p.flagList(list, endpoint)...))
	case "when_any":
		return reactive.OnFlags(flags.WhenAny(p.flagList(list, endpoint)...))
	case "when_none":
		return reactive.OnFlags(flags.Unless(p.flagList(list, endpoint)...))
	case "when_not_all":
		return reactive.OnFlags(flags.UnlessAll(p.flagList(list, endpoint)...))
	case "hook":
		return reactive.OnHook(list...)
	case "collect_metrics":
		return reactive.OnCollectMetrics()
	case "meter_status_changed":
		return reactive.OnMeterStatusChanged()
	case "file_changed":
		return reactive.OnFilesChanged(list...)
	case "only_once":
		return reactive.Once()
	}
	p.t.Fatalf("unknown condition %q", kind)
	panic("unreachable")
}

// do carries out actions.
func (p *reactivePlayer) do(ctx context.Context, h *reactive.Hook, actions []vectorAction, endpoint string) error {
	p.ctx, p.current = ctx, h
	for _, a := range actions {
		if a.Endpoint == "" || a.Endpoint == "{endpoint_name}" {
			a.Endpoint = endpoint
		}
		if len(a.Received) > 0 && a.Received[0] == "{endpoint_name}" {
			a.Received = []string{endpoint, a.Received[1]}
		}
		ok, err := p.guarded(ctx, h, a, endpoint)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if err := p.act(ctx, h, a, endpoint); err != nil {
			return err
		}
		if err := h.Flags().Err(); err != nil {
			return err
		}
	}
	return nil
}

func (p *reactivePlayer) guarded(ctx context.Context, h *reactive.Hook, a vectorAction, endpoint string) (bool, error) {
	if a.Steps != nil && !slices.Contains(a.Steps, p.step) {
		return false, nil
	}
	if a.IfFlag != "" && !h.IsSet(p.flag(a.IfFlag, endpoint)) {
		return false, nil
	}
	if a.UnlessFlag != "" && h.IsSet(p.flag(a.UnlessFlag, endpoint)) {
		return false, nil
	}
	if a.IfLeader {
		leader, err := h.Leader(ctx)
		return leader != nil, err
	}
	return true, nil
}

func (p *reactivePlayer) restricted() bool {
	return p.hook.Hook == "collect-metrics" || p.hook.Hook == "meter-status-changed"
}

func (p *reactivePlayer) act(ctx context.Context, h *reactive.Hook, a vectorAction, endpoint string) error {
	ep := p.byName[a.Endpoint]
	if p.restricted() {
		ep = nil
	}
	switch a.Do {
	case "set_flag":
		h.Set(p.flag(a.Flag, endpoint))
	case "clear_flag":
		h.Clear(p.flag(a.Flag, endpoint))
	case "toggle_flag":
		on := a.On != nil && *a.On
		if a.AsFlag != "" {
			on = h.IsSet(p.flag(a.AsFlag, endpoint))
		}
		h.Toggle(p.flag(a.Flag, endpoint), on)
	case "register_trigger":
		h.Trigger(p.trigger(a.vectorTrigger, endpoint))
	case "publish", "publish_raw", "publish_app", "unpublish":
		if ep == nil {
			return nil
		}
		return p.publish(ctx, h, a, ep)
	case "clear_departed":
		if ep != nil {
			ep.DepartedUnits().Clear()
		}
	case "pop_departed":
		if ep != nil && ep.DepartedUnits().Len() > 0 {
			ep.DepartedUnits().RemoveAt(0)
		}
	case "data_changed", "is_data_changed":
		value, err := p.value(ctx, h, a)
		if err != nil {
			return err
		}
		changed, err := h.IsDataChanged(a.ID, value)
		if a.Do == "data_changed" {
			changed, err = h.DataChanged(a.ID, value)
		}
		if changed {
			h.Set(p.flag(a.Flag, endpoint))
		}
		return err
	case "write_file":
		return os.WriteFile(h.Path(a.Path), []byte(a.Content), 0o644)
	case "remove_file":
		if err := os.Remove(filepath.Join(h.CharmDir(), a.Path)); !os.IsNotExist(err) {
			return err
		}
	case "kv_set":
		return h.Data().Set(a.Key, decodeAny(p.t, a.Value))
	case "kv_unset":
		h.Data().Unset(a.Key)
	case "fail":
		return errFail
	case "exit":
		if a.Code == 0 {
			return reactive.ErrStop
		}
		return fmt.Errorf("exit %d", a.Code)
	case "probe":
		value, err := p.probe(ctx, h, a, ep)
		p.probes = append(p.probes, value)
		return err
	default:
		p.t.Fatalf("unknown action %q", a.Do)
	}
	return nil
}

func decodeAny(t *testing.T, raw json.RawMessage) any {
	var v any
	if len(raw) > 0 {
		decodeVector(t, raw, &v)
	}
	return v
}

// value is what an action publishes or compares.
func (p *reactivePlayer) value(ctx context.Context, h *reactive.Hook, a vectorAction) (any, error) {
	switch {
	case len(a.Received) == 2:
		ep := p.byName[a.Received[0]]
		if ep == nil || p.restricted() {
			return nil, nil
		}
		bag, err := ep.Received(ctx)
		if err != nil {
			return nil, err
		}
		return bag.Value(a.Received[1]), nil
	case a.Config != "":
		config, err := h.Config(ctx)
		return config[a.Config], err
	}
	return decodeAny(p.t, a.Value), nil
}

func (p *reactivePlayer) publish(ctx context.Context, h *reactive.Hook, a vectorAction, ep *reactive.Endpoint) error {
	for rel := range ep.Relations().Values() {
		if a.Relation != "" && a.Relation != rel.ID() {
			continue
		}
		var bag *reactive.Databag
		var err error
		if a.Do == "publish_app" {
			leader, leaderErr := h.Leader(ctx)
			if leaderErr != nil {
				return leaderErr
			}
			bag, err = rel.ToPublishApp(ctx, leader)
		} else {
			bag, err = rel.ToPublish(ctx)
		}
		if err != nil {
			return err
		}
		switch a.Do {
		case "unpublish":
			_, err = bag.Delete(a.Key)
		case "publish_raw":
			var raw *string
			decodeVector(p.t, a.Value, &raw)
			if raw == nil {
				raw = new(string)
			}
			err = bag.SetRaw(a.Key, *raw)
		default:
			var value any
			if value, err = p.value(ctx, h, a); err == nil {
				err = bag.Set(a.Key, value)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
