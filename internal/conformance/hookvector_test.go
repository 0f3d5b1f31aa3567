package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// A hookVector is a vector with hooks that run one after the other (FORMAT.md,
// section 2).
type hookVector struct {
	ID    string `json:"id"`
	Charm struct {
		Unit      string            `json:"unit"`
		Endpoints []vectorEndpoint  `json:"endpoints"`
		KV        map[string]any    `json:"kv"`
		Files     map[string]string `json:"files"`

		// Python says that what is in KV and in Snapshots, the state of ops
		// objects, was left by a Python charm in its file: see secondPart.
		Python    bool                       `json:"python"`
		Snapshots map[string]json.RawMessage `json:"snapshots"`
	} `json:"charm"`
	Steps []json.RawMessage `json:"steps"`
}

type vectorEndpoint struct {
	Name      string `json:"name"`
	Role      string `json:"role"`
	Interface string `json:"interface"`
}

// A vectorStep is what every step has.
type vectorStep struct {
	Hook          string             `json:"hook"`
	Relation      string             `json:"relation"`
	RemoteApp     string             `json:"remote_app"`
	RemoteUnit    string             `json:"remote_unit"`
	DepartingUnit string             `json:"departing_unit"`
	Files         map[string]*string `json:"files"`
	Model         *modelChange       `json:"model"`
	Expect        vectorExpect       `json:"expect"`
}

type modelChange struct {
	Leader    *bool                      `json:"leader"`
	Config    map[string]any             `json:"config"`
	Relations map[string]*vectorRelation `json:"relations"`
}

type vectorRelation struct {
	App   string                       `json:"app"`
	Units []string                     `json:"units"`
	Data  map[string]map[string]string `json:"data"`
}

type vectorExpect struct {
	Failed    bool     `json:"failed"`
	Error     string   `json:"error"`
	Flags     []string `json:"flags"`
	Published []struct {
		Relation string             `json:"relation"`
		App      bool               `json:"app"`
		Data     map[string]*string `json:"data"`
	} `json:"published"`
	KVSet    map[string]any                  `json:"kv_set"`
	KVDel    []string                        `json:"kv_del"`
	Joined   map[string][][2]string          `json:"joined"`
	Departed map[string][][3]json.RawMessage `json:"departed"`
	Tools    int                             `json:"tools"`
}

// A hookRunner plays the steps of a vector on a simulated unit agent.
type hookRunner struct {
	vector    hookVector
	dir       string
	leader    bool
	config    map[string]any
	relations map[string]*vectorRelation
	store     *unitdata.Memory
	// open opens the store of a hook, if it is another one than store.
	open func(*hooktool.Client, hooktool.Process) (unitdata.Store, error)

	// The last dispatch.
	charm *reactive.Charm
	err   error
	model *model.Model
	calls int64
	// writes are the calls of relation-set among them.
	writes int64
	// manageEverywhere says that the endpoints of the charm keep flags of their
	// own in every hook, which the reference does in some only; then these
	// flags are compared where it does.
	ownFlags func(flag string) bool
	// oneUnit says that the charm compares the data of the unit that a hook is
	// about, as charms do, and not of all as the reference does.
	oneUnit bool
	// ownKeys says which keys of the state store are an endpoint's own, where
	// the vectors have what is in them elsewhere.
	ownKeys func(key string) bool
}

func newHookRunner(t testing.TB, line []byte) *hookRunner {
	t.Helper()
	r := &hookRunner{relations: make(map[string]*vectorRelation), dir: t.TempDir()}
	decodeVector(t, line, &r.vector)
	entries := make(map[string]json.RawMessage)
	for key, v := range r.vector.Charm.KV {
		entries[key] = json.RawMessage(mustEncode(t, v))
	}
	r.store = unitdata.NewMemory(entries)
	if r.vector.Charm.Python {
		r.store = r.takeOver(t)
	}
	metadata := map[string]any{"name": "charm", "summary": "a charm", "description": "a charm"}
	for _, ep := range r.vector.Charm.Endpoints {
		byRole, _ := metadata[ep.Role].(map[string]any)
		if byRole == nil {
			byRole = make(map[string]any)
			metadata[ep.Role] = byRole
		}
		byRole[ep.Name] = map[string]any{"interface": ep.Interface}
	}
	text, err := yaml.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	r.write(t, "metadata.yaml", string(text))
	for name, content := range r.vector.Charm.Files {
		r.write(t, name, content)
	}
	return r
}

// decodeVector decodes JSON with all digits of its numbers.
func decodeVector(t testing.TB, text []byte, v any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(v); err != nil {
		t.Fatalf("cannot read the vector: %v", err)
	}
}

func mustEncode(t testing.TB, v any) string {
	t.Helper()
	text, err := canonicaljson.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (r *hookRunner) write(t testing.TB, name, content string) {
	t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run plays one step with the charm that newCharm makes.
func (r *hookRunner) run(t testing.TB, step *vectorStep, newCharm func() *reactive.Charm) {
	t.Helper()
	for name, content := range step.Files {
		if content == nil {
			_ = os.Remove(filepath.Join(r.dir, name))
		} else {
			r.write(t, name, *content)
		}
	}
	if step.Model != nil {
		r.change(step.Model)
	}
	r.model = r.newModel(t, step)
	tools := &vectorTools{relations: r.relations}
	execution := agent.Execution{
		Unit: r.vector.Charm.Unit, Hook: step.Hook,
		Relation: step.Relation, RemoteUnit: step.RemoteUnit, RemoteApp: step.RemoteApp,
		DepartingUnit: step.DepartingUnit, CharmDir: r.dir, Seed: 1, Around: tools.call,
	}
	transport := os.Getenv(transportEnv)
	if transport == "exec" {
		var err error
		if execution.ToolsDir, err = hookToolDir(); err != nil {
			t.Fatal(err)
		}
	}
	a, err := agent.New(r.model, execution)
	if err != nil {
		t.Fatal(err)
	}
	process := hooktool.Process{Dir: r.dir, Tools: a}
	if transport != "" {
		// A socket's path must be short.
		dir, err := os.MkdirTemp("", "v")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		if err := a.Serve(filepath.Join(dir, "s")); err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		process.Tools = nil
	}
	process.Env = append(a.Env(), hooktool.TransportEnv+"="+transport)
	r.err = reactive.Dispatch(context.Background(), func() *reactive.Charm {
		r.charm = newCharm()
		if !r.oneUnit {
			r.charm.CompareAllUnits()
		}
		open := r.open
		if open == nil {
			open = func(*hooktool.Client, hooktool.Process) (unitdata.Store, error) { return r.store, nil }
		}
		r.charm.Store(open)
		return r.charm
	}, process)
	exit := agent.Exit{}
	if r.err != nil {
		exit.Code = 1
	}
	result, err := a.Finish(exit)
	if err != nil {
		t.Fatal(err)
	}
	if r.err == nil && result.Err != nil {
		t.Fatalf("the commit failed: %v", result.Err)
	}
	r.calls, r.writes = tools.n.Load(), tools.writes.Load()
}

// vectorTools counts hook tools. It answers relation-list itself: in some
// vectors a departing unit is still listed in its -departed hook, which no
// simulation of Juju would do.
type vectorTools struct {
	relations map[string]*vectorRelation
	n, writes atomic.Int64
}

// transportEnv is how the charms of hook vectors reach their agent: "socket" or
// "exec"; by default they call it directly.
const transportEnv = "CONFORMANCE_TRANSPORT"

func (c *vectorTools) call(call hooktool.Call, next func() (hooktool.Result, error)) (hooktool.Result, error) {
	if i := slices.Index(call.Args, "-r"); call.Tool == "relation-list" && i >= 0 && !slices.Contains(call.Args, "--app") {
		if rel := c.relations[call.Args[i+1]]; rel != nil {
			c.n.Add(1)
			out, err := json.Marshal(append([]string{}, rel.Units...))
			return hooktool.Result{Stdout: out}, err
		}
	}
	res, err := next()
	// An executed tool learns from the agent that it must read its input, and
	// then calls once more.
	if err == nil || !strings.Contains(err.Error(), "requires stdin") {
		// The reference has no store in Juju.
		if call.Tool != "juju-log" && !strings.HasPrefix(call.Tool, "state-") {
			c.n.Add(1)
		}
		if call.Tool == "relation-set" {
			c.writes.Add(1)
		}
	}
	return res, err
}

func (r *hookRunner) change(m *modelChange) {
	if m.Leader != nil {
		r.leader = *m.Leader
	}
	if m.Config != nil {
		r.config = m.Config
	}
	for id, rel := range m.Relations {
		if rel == nil {
			delete(r.relations, id)
		} else {
			r.relations[id] = rel
		}
	}
}

// newModel makes a Juju model of what the vector says at this step.
func (r *hookRunner) newModel(t testing.TB, step *vectorStep) *model.Model {
	t.Helper()
	local := applicationOf(r.vector.Charm.Unit)
	m := &model.Model{
		Name: "m", UUID: "6e4eb7c4-1c1c-4f5b-8f5a-000000000001", Type: model.Machine,
		Applications: map[string]*model.Application{},
		Secrets:      map[string]*model.Secret{},
	}
	addApp := func(name string) *model.Application {
		app := m.Applications[name]
		if app == nil {
			app = &model.Application{Units: map[string]*model.Unit{}, Config: map[string]*model.Option{}}
			m.Applications[name] = app
		}
		return app
	}
	addUnit := func(name string) {
		app := addApp(applicationOf(name))
		if app.Units[name] == nil {
			app.Units[name] = &model.Unit{Life: model.Alive, Address: "10.0.0.1", State: map[string]string{}}
		}
	}
	app := addApp(local)
	roles := map[string]string{"provides": model.Provider, "requires": model.Requirer, "peers": model.Peer}
	others := map[string]string{model.Provider: model.Requirer, model.Requirer: model.Provider}
	byName := make(map[string]model.Endpoint)
	for _, ep := range r.vector.Charm.Endpoints {
		e := model.Endpoint{Name: ep.Name, Role: roles[ep.Role], Interface: ep.Interface}
		byName[ep.Name] = e
		app.Endpoints = append(app.Endpoints, e)
	}
	for name, value := range r.config {
		kind := "string"
		switch v := value.(type) {
		case bool:
			kind = "boolean"
		case json.Number:
			kind = "float"
			if _, err := v.Int64(); err == nil {
				kind = "int"
			}
			f, err := v.Float64()
			if err != nil {
				t.Fatal(err)
			}
			value = f
		}
		app.Config[name] = &model.Option{Type: kind, Value: value}
	}
	addUnit(r.vector.Charm.Unit)
	if r.leader {
		app.Leader = r.vector.Charm.Unit
	} else {
		app.Leader = local + "/999999"
	}
	for _, id := range slices.Sorted(maps.Keys(r.relations)) {
		rel := r.relations[id]
		endpoint, number, _ := strings.Cut(id, ":")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		e := byName[endpoint]
		mr := &model.Relation{
			ID: n, Interface: e.Interface, Life: model.Alive,
			Units:  model.NewUnits(r.vector.Charm.Unit),
			Joined: map[string]model.Units{r.vector.Charm.Unit: model.NewUnits(rel.Units...)},
			Data:   map[string]model.Bag{},
		}
		mr.Endpoints = append(mr.Endpoints, model.RelationEndpoint{Application: local, Name: endpoint, Role: e.Role})
		if e.Role != model.Peer {
			addApp(rel.App)
			mr.Endpoints = append(mr.Endpoints, model.RelationEndpoint{Application: rel.App, Name: "remote", Role: others[e.Role]})
		}
		for name, data := range rel.Data {
			mr.Data[name] = model.Bag(maps.Clone(data))
			if strings.Contains(name, "/") {
				addUnit(name)
				mr.Units.Add(name)
			}
		}
		m.Relations = append(m.Relations, mr)
	}
	return m
}

func applicationOf(name string) string {
	app, _, _ := strings.Cut(name, "/")
	return app
}

// bookkeeping are keys of the state store that are the dispatcher's own
// (FORMAT.md, section 2.5, and conformance/README.md, item 2).
func bookkeeping(key string) bool {
	for _, prefix := range []string{
		"reactive.dispatch.", "reactive.state_watch", "reactive.flag_set_triggers.", "reactive.flag_clear_triggers.",
		"reactive.flag_triggers.", "reactive.data_changed.endpoint.", "sqlitefile.", sqlitefile.SnapshotPrefix,
	} {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// keep stores what the reference did in a hook of which nothing is kept here.
func (r *hookRunner) keep(t testing.TB, want *vectorExpect) {
	t.Helper()
	changes := unitdata.Changes{Set: make(map[string]json.RawMessage), Delete: want.KVDel}
	for key, v := range want.KVSet {
		changes.Set[key] = json.RawMessage(mustEncode(t, v))
	}
	if err := r.store.Commit(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
}

// compare holds the last dispatch against what the step expects. The content of
// the state store before the step is before.
func (r *hookRunner) compare(t testing.TB, n int, step *vectorStep, before map[string]json.RawMessage) {
	t.Helper()
	want := &step.Expect
	if (r.err != nil) != want.Failed {
		t.Fatalf("step %d (%s): failed is %v, want %v: %v (%s)", n, step.Hook, r.err != nil, want.Failed, r.err, want.Error)
	}
	after := r.store.Entries()
	var flags []string
	for key := range after {
		if name, ok := strings.CutPrefix(key, "reactive.states."); ok {
			flags = append(flags, name)
		}
	}
	slices.Sort(flags)
	r.compareFlags(t, n, step, flags)
	r.compareKV(t, n, step, before, after)
	if want.Failed {
		return
	}
	r.comparePublished(t, n, step)
	r.compareUnits(t, n, step)
	if int(r.calls) > want.Tools {
		t.Errorf("step %d (%s): %d hook tools, the reference needed %d", n, step.Hook, r.calls, want.Tools)
	}
}

func (r *hookRunner) compareFlags(t testing.TB, n int, step *vectorStep, got []string) {
	t.Helper()
	want := step.Expect.Flags
	if r.ownFlags != nil && !r.inOwnHook(step) {
		got = slices.DeleteFunc(slices.Clone(got), r.ownFlags)
		want = slices.DeleteFunc(slices.Clone(want), r.ownFlags)
	}
	if !slices.Equal(got, want) {
		t.Errorf("step %d (%s): flags are %q, want %q", n, step.Hook, got, want)
	}
}

// inOwnHook reports whether the step is a hook of an endpoint's relation.
func (r *hookRunner) inOwnHook(step *vectorStep) bool {
	return step.Relation != "" && strings.Contains(step.Hook, "-relation-")
}

func (r *hookRunner) compareKV(t testing.TB, n int, step *vectorStep, before, after map[string]json.RawMessage) {
	t.Helper()
	ignore := func(key string) bool {
		if bookkeeping(key) || r.ownKeys != nil && r.ownKeys(key) {
			return true
		}
		flag, ok := strings.CutPrefix(key, "reactive.states.")
		return ok && r.ownFlags != nil && r.ownFlags(flag) && !r.inOwnHook(step)
	}
	want := make(map[string]string)
	for key, v := range before {
		want[key] = string(v)
	}
	for key, v := range step.Expect.KVSet {
		want[key] = mustEncode(t, v)
	}
	for _, key := range step.Expect.KVDel {
		delete(want, key)
	}
	got := make(map[string]string)
	for key, v := range after {
		got[key] = string(v)
	}
	for _, m := range []map[string]string{want, got} {
		maps.DeleteFunc(m, func(key, _ string) bool { return ignore(key) })
		for key, text := range m {
			m[key] = canonicaljson.Canonical(text)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("step %d (%s): the state store holds\n  %q, want\n  %q", n, step.Hook, got, want)
	}
}

func (r *hookRunner) comparePublished(t testing.TB, n int, step *vectorStep) {
	t.Helper()
	local := applicationOf(r.vector.Charm.Unit)
	want := make(map[string]map[string]string)
	for id, rel := range r.relations {
		want[id+" "+local] = maps.Clone(rel.Data[local])
		want[id+" "+r.vector.Charm.Unit] = maps.Clone(rel.Data[r.vector.Charm.Unit])
	}
	for _, p := range step.Expect.Published {
		name := p.Relation + " " + r.vector.Charm.Unit
		if p.App {
			name = p.Relation + " " + local
		}
		if want[name] == nil {
			want[name] = make(map[string]string)
		}
		for key, value := range p.Data {
			if value == nil || *value == "" {
				delete(want[name], key)
			} else {
				want[name][key] = *value
			}
		}
	}
	for _, rel := range r.model.Relations {
		id := fmt.Sprintf("%s:%d", rel.Endpoints[0].Name, rel.ID)
		for _, name := range []string{local, r.vector.Charm.Unit} {
			got, want := map[string]string(rel.Data[name]), want[id+" "+name]
			if len(got)+len(want) > 0 && !maps.Equal(got, want) {
				t.Errorf("step %d (%s): %s has published in %s\n  %q, want\n  %q", n, step.Hook, name, id, got, want)
			}
		}
	}
}

func (r *hookRunner) compareUnits(t testing.TB, n int, step *vectorStep) {
	t.Helper()
	for _, ep := range r.charm.Endpoints() {
		if want, ok := step.Expect.Joined[ep.Name()]; ok {
			got := [][2]string{}
			for u := range ep.Units().Values() {
				got = append(got, [2]string{u.RelationID(), u.Name()})
			}
			if !slices.Equal(got, want) {
				t.Errorf("step %d (%s): joined in %s are %q, want %q", n, step.Hook, ep.Name(), got, want)
			}
		}
		if want, ok := step.Expect.Departed[ep.Name()]; ok {
			got := [][3]any{}
			for u := range ep.DepartedUnits().Values() {
				data, err := u.Received(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, [3]any{u.RelationID(), u.Name(), data.Map()})
			}
			if !sameValue(t, got, want) {
				t.Errorf("step %d (%s): departed from %s are %v, want %s", n, step.Hook, ep.Name(), got, want)
			}
		}
	}
}

// sameValue reports whether two values are the same once they are JSON.
func sameValue(t testing.TB, a, b any) bool {
	t.Helper()
	var x, y any
	decodeVector(t, []byte(mustEncode(t, a)), &x)
	decodeVector(t, []byte(mustEncode(t, b)), &y)
	return reflect.DeepEqual(x, y)
}
