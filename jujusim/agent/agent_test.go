package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/rpc"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
)

func Example() {
	ctx := context.Background()
	m := &model.Model{
		Name: "test", UUID: "deadbeef-0bad-400d-8000-4b1d0d06f00d",
		Applications: map[string]*model.Application{
			"web": {
				Leader: "web/0",
				Config: map[string]*model.Option{"port": {Type: "int", Default: 80}},
				Units:  map[string]*model.Unit{"web/0": {Machine: "0", Address: "10.0.0.1"}},
			},
		},
	}
	a, err := agent.New(m, agent.Execution{Unit: "web/0", Hook: "config-changed"})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	port, err := a.Call(ctx, hooktool.Call{Tool: "config-get", Args: []string{"--format=json", "port"}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := a.Call(ctx, hooktool.Call{Tool: "open-port", Args: []string{"80"}}); err != nil {
		log.Fatal(err)
	}
	result, err := a.Finish(agent.Exit{Code: 0})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s%s: %v\n", port.Stdout, result.Outcome, m.Unit("web/0").OpenPorts())
	// Output:
	// 80
	// committed: [80/tcp]
}

// testModel has web (two units) related to db (two units), a peer relation of
// web's, and a subordinate of web's.
func testModel(version string) *model.Model {
	unit := func(n int) *model.Unit {
		return &model.Unit{
			Machine: fmt.Sprint(n), Address: fmt.Sprintf("10.0.0.%d", n), Interface: "eth0", CIDR: "10.0.0.0/24",
			Status: model.Status{Status: "waiting"},
		}
	}
	m := &model.Model{
		Name: "test", UUID: "deadbeef-0bad-400d-8000-4b1d0d06f00d", Version: version,
		Applications: map[string]*model.Application{
			"web": {
				Leader: "web/0",
				Endpoints: []model.Endpoint{
					{Name: "db", Role: model.Requirer}, {Name: "cluster", Role: model.Peer}, {Name: "info", Role: model.Provider},
				},
				Config: map[string]*model.Option{"port": {Type: "int", Default: 80}},
				Units:  map[string]*model.Unit{"web/0": unit(1), "web/1": unit(2)},
			},
			"db": {
				Leader:    "db/0",
				Endpoints: []model.Endpoint{{Name: "server", Role: model.Provider}},
				Units:     map[string]*model.Unit{"db/0": unit(3), "db/1": unit(4)},
			},
			"log": {
				Leader: "log/0", Subordinate: true,
				Endpoints: []model.Endpoint{{Name: "host", Role: model.Requirer, Scope: model.Container}},
				Units: map[string]*model.Unit{
					"log/0": {Machine: "1", Principal: "web/0", Address: "10.0.0.1"},
					"log/1": {Machine: "2", Principal: "web/1", Address: "10.0.0.2"},
				},
			},
		},
		Relations: []*model.Relation{
			{ID: 1, Endpoints: []model.RelationEndpoint{
				{Application: "web", Name: "db", Role: model.Requirer}, {Application: "db", Name: "server", Role: model.Provider},
			}},
			{ID: 2, Endpoints: []model.RelationEndpoint{{Application: "web", Name: "cluster", Role: model.Peer}}},
			{ID: 3, Scope: model.Container, Endpoints: []model.RelationEndpoint{
				{Application: "web", Name: "info", Role: model.Provider}, {Application: "log", Name: "host", Role: model.Requirer},
			}},
		},
	}
	for _, r := range m.Relations {
		for _, e := range r.Endpoints {
			for _, name := range m.Applications[e.Application].UnitNames() {
				r.Enter(m, name)
			}
		}
		for _, e := range r.Endpoints {
			for _, name := range m.Applications[e.Application].UnitNames() {
				for _, other := range r.RemoteUnits(m, name) {
					r.SetJoined(m, name, other, true)
				}
			}
		}
	}
	m.Relation(1).Data["web"] = model.Bag{"key": "app"}
	return m
}

func start(t *testing.T, m *model.Model, x agent.Execution) *agent.Agent {
	t.Helper()
	a, err := agent.New(m, x)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// run calls a tool and returns what a person would see: its output and errors,
// and its exit code if that is not 0.
func run(t *testing.T, a *agent.Agent, command string) string {
	t.Helper()
	words := strings.Fields(command)
	result, err := a.Call(t.Context(), hooktool.Call{Tool: words[0], Args: words[1:], Stdin: []byte{}})
	if err != nil {
		return "request: " + err.Error()
	}
	out := strings.TrimSuffix(string(result.Stdout)+string(result.Stderr), "\n")
	if result.Code != 0 {
		out += fmt.Sprintf(" (%d)", result.Code)
	}
	return out
}

// script runs commands and compares what they give.
func script(t *testing.T, a *agent.Agent, commands ...[2]string) {
	t.Helper()
	for _, c := range commands {
		if got := run(t, a, c[0]); got != c[1] {
			t.Errorf("%s\n got %q\nwant %q", c[0], got, c[1])
		}
	}
}

func finish(t *testing.T, a *agent.Agent, code int) *agent.Result {
	t.Helper()
	result, err := a.Finish(agent.Exit{Code: code})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		x    agent.Execution
		want string
	}{
		{"no unit", agent.Execution{Hook: "install"}, `cannot run hook "install": model "test" has no unit ""`},
		{"nothing", agent.Execution{Unit: "web/0"}, "cannot run anything on unit web/0: want a hook, an action or juju-exec, got 0 of them"},
		{"two", agent.Execution{Unit: "web/0", Hook: "install", Exec: true}, "cannot run anything on unit web/0: want a hook, an action or juju-exec, got 2 of them"},
		{"relation", agent.Execution{Unit: "web/0", Hook: "db-relation-changed", Relation: "db:9"}, `cannot run hook "db-relation-changed" on unit web/0: model "test" has no relation 9`},
		{"id", agent.Execution{Unit: "web/0", Hook: "db-relation-changed", Relation: "db"}, `cannot run hook "db-relation-changed" on unit web/0: relation id "db" is not valid`},
		{"foreign", agent.Execution{Unit: "db/0", Hook: "x-relation-changed", Relation: "2"}, `cannot run hook "x-relation-changed" on unit db/0: it is not in relation 2`},
		{"ambiguous", agent.Execution{Unit: "web/0", Exec: true, Relation: "1"}, `cannot run juju-exec on unit web/0: unable to determine remote-unit, please disambiguate: ["db/0" "db/1"]`},
		{"stranger", agent.Execution{Unit: "web/0", Exec: true, Relation: "1", RemoteUnit: "db/7"}, `cannot run juju-exec on unit web/0: remote unit "db/7" is not in relation db:1`},
		{"storage", agent.Execution{Unit: "web/0", Hook: "data-storage-attached", Storage: "data/0"}, `cannot run hook "data-storage-attached" on unit web/0: it has no storage "data/0"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := agent.New(testModel(""), test.x); err == nil || err.Error() != test.want {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestEnv(t *testing.T) {
	t.Parallel()
	m := testModel(model.Juju4)
	m.LegacyProxy.HTTPS = "http://proxy"
	m.Unit("web/0").Storage = map[string]*model.StorageInstance{"data/0": {Kind: "filesystem", Location: "/srv"}}
	get := func(x agent.Execution, key string) string {
		return hooktool.Process{Env: start(t, m, x).Env()}.Getenv(key)
	}
	seeded := agent.Execution{Unit: "web/0", Hook: "install", Seed: 7}
	if a, b := get(seeded, "JUJU_CONTEXT_ID"), get(seeded, "JUJU_CONTEXT_ID"); a != b || !strings.HasPrefix(a, "web/0-install-") {
		t.Errorf("context ids of one seed: %q and %q", a, b)
	}
	random := agent.Execution{Unit: "web/0", Hook: "install"}
	if a, b := get(random, "JUJU_CONTEXT_ID"), get(random, "JUJU_CONTEXT_ID"); a == b {
		t.Errorf("both context ids are %q", a)
	}
	for _, test := range []struct {
		x         agent.Execution
		key, want string
	}{
		{agent.Execution{Hook: "install", ToolsDir: "/tools", Path: "/bin"}, "PATH", "/tools:/bin"},
		{agent.Execution{Hook: "data-storage-attached", Storage: "data/0"}, "JUJU_STORAGE_LOCATION", "/srv"},
		{agent.Execution{Hook: "app-pebble-custom-notice", Workload: "app", NoticeID: "5", NoticeType: "custom", NoticeKey: "x/y"}, "JUJU_NOTICE_KEY", "x/y"},
		{agent.Execution{Hook: "app-pebble-check-failed", Workload: "app", CheckName: "up"}, "JUJU_PEBBLE_CHECK_NAME", "up"},
		{agent.Execution{Hook: "secret-remove", Secret: "secret:x", SecretRevision: 3}, "JUJU_SECRET_REVISION", "3"},
		{agent.Execution{Action: "juju-exec", ActionID: "9"}, "JUJU_ACTION_TAG", "action-9"},
		{agent.Execution{Action: "juju-exec", ActionID: "9"}, "JUJU_DISPATCH_PATH", ""},
		{agent.Execution{Action: "backup"}, "JUJU_DISPATCH_PATH", "actions/backup"},
		{agent.Execution{Hook: "install", APIAddresses: []string{"a:1", "b:2"}}, "JUJU_API_ADDRESSES", "a:1 b:2"},
		{agent.Execution{Hook: "install"}, "JUJU_VERSION", "4.0.15"},
		{agent.Execution{Hook: "pre-series-upgrade", TargetBase: "ubuntu@22.04", TargetSeries: "jammy"}, "JUJU_TARGET_BASE", "ubuntu@22.04"},
		{agent.Execution{Hook: "install"}, "HTTPS_PROXY", "http://proxy"},
		{agent.Execution{Hook: "install"}, "http_proxy", ""},
	} {
		test.x.Unit = "web/0"
		if got := get(test.x, test.key); got != test.want {
			t.Errorf("%+v: %s is %q, want %q", test.x, test.key, got, test.want)
		}
	}
	if env := start(t, m, random).Env(); slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "JUJU_SLA=") }) {
		t.Error("Juju 4 sets JUJU_SLA")
	}
}

func TestSocketRequests(t *testing.T) {
	t.Parallel()
	a := start(t, testModel(""), agent.Execution{Unit: "web/0", Hook: "install"})
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	if err := a.Serve(socket); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
	if err := a.Serve(socket); err == nil {
		t.Error("serving twice did not fail")
	}
	client, err := rpc.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	good := agent.Request{ContextId: a.ContextID(), Dir: "/", CommandName: "is-leader", Args: []string{"--format=json"}}
	for _, test := range []struct {
		change func(r *agent.Request)
		want   string
	}{
		{func(r *agent.Request) { r.Token = "x" }, "bad request: token does not match"},
		{func(r *agent.Request) { r.CommandName = "" }, "bad request: command not specified"},
		{func(r *agent.Request) { r.Dir = "." }, "bad request: Dir is not absolute"},
		{func(r *agent.Request) { r.CommandName = "foo" }, "bad request: unknown command: foo"},
		{func(r *agent.Request) { r.ContextId = "x" }, `bad request: wrong context ID; got "x"`},
		{func(r *agent.Request) { r.CommandName, r.Args = "state-set", []string{"--file", "-"} }, "hook tool requires stdin, none supplied"},
	} {
		request := good
		test.change(&request)
		var response agent.Response
		if err := client.Call("Jujuc.Main", request, &response); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	var response agent.Response
	if err := client.Call("Jujuc.Main", good, &response); err != nil || string(response.Stdout) != "true\n" {
		t.Errorf("got %q, %v", response.Stdout, err)
	}
	finish(t, a, 0)
	if err := client.Call("Jujuc.Main", good, &response); err == nil {
		t.Error("a call after the end did not fail")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := rpc.Dial("unix", socket); err == nil {
		t.Error("the socket is there after Close")
	}
}

func TestInProcessRequests(t *testing.T) {
	t.Parallel()
	a := start(t, testModel(""), agent.Execution{Unit: "web/0", Hook: "install"})
	var refused *agent.RequestError
	_, err := a.Call(t.Context(), hooktool.Call{Tool: "foo"})
	if !errors.As(err, &refused) || refused.Text != "bad request: unknown command: foo" {
		t.Errorf("got %v", err)
	}
	_, err = a.Call(t.Context(), hooktool.Call{Tool: "relation-set", Args: []string{"-r", "1", "--file", "-"}})
	if !errors.As(err, &refused) || refused.Text != "hook tool requires stdin, none supplied" {
		t.Errorf("got %v", err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = a.Call(canceled, hooktool.Call{Tool: "is-leader"}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	script(t, a, [2]string{"state-set a=1", ""})
	finish(t, a, 0)
	if _, err = a.Call(t.Context(), hooktool.Call{Tool: "is-leader"}); !errors.Is(err, agent.ErrEnded) {
		t.Errorf("got %v", err)
	}
	if _, err = a.Finish(agent.Exit{}); !errors.Is(err, agent.ErrEnded) {
		t.Errorf("got %v", err)
	}
	if err := a.Serve("/nonexistent"); !errors.Is(err, agent.ErrEnded) {
		t.Errorf("got %v", err)
	}
}

// TestJuju4 shows what differs between the versions.
func TestJuju4(t *testing.T) {
	t.Parallel()
	for version, want := range map[string][]string{
		model.Juju3: {
			"{}", "ERROR permission denied (1)", "ERROR permission denied (1)",
			"ERROR max allowed value length (65536) exceeded (1)", `["db:1"]`,
		},
		model.Juju4: {
			"request: bad request: unknown command: leader-get", "app", "ERROR relation unit not found (1)",
			"ERROR max allowed value length (65536): quota limit exceeded (1)", `["db:1"]`,
		},
	} {
		a := start(t, testModel(version), agent.Execution{Unit: "web/1", Hook: "db-relation-changed", Relation: "1", RemoteUnit: "db/0"})
		script(t, a,
			[2]string{"leader-get --format=json", want[0]},
			[2]string{"relation-get --app key web", want[1]},
			[2]string{"relation-get - log/0", want[2]},
			[2]string{"state-set a=" + strings.Repeat("x", 65537), want[3]},
			[2]string{"relation-ids db --format=json", want[4]},
		)
	}
	if names := agent.ToolNames(model.Juju4); slices.Contains(names, "leader-get") || !slices.Contains(agent.ToolNames(""), "leader-get") {
		t.Errorf("tools of Juju 4: %v", names)
	}
}

func TestBrokenRelation(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{model.Juju3: "[]", model.Juju4: `["db:1"]`} {
		m := testModel(version)
		m.Relation(1).Life = model.Dying
		m.Relation(1).Leave("web/0")
		a := start(t, m, agent.Execution{Unit: "web/0", Hook: "db-relation-broken", Relation: "1"})
		script(t, a, [2]string{"relation-ids db --format=json", want}, [2]string{"relation-get --format=json", "{}"})
		finish(t, a, 0)
	}
}

// TestCommitTogether has a commit that fails on a secret: Juju 3 has written the
// secrets before it, Juju 4 writes nothing at all.
func TestCommitTogether(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]int{model.Juju3: 2, model.Juju4: 1} {
		m := testModel(version)
		m.Secrets = map[string]*model.Secret{"00000000000000000000": {Owner: "db", Latest: 1, Revisions: map[int]map[string]string{1: {"pass": "x"}}}}
		a := start(t, m, agent.Execution{Unit: "web/0", Hook: "install"})
		run(t, a, "secret-add --label mine pass=word")
		script(t, a, [2]string{"secret-set 00000000000000000000 pass=new", ""}, [2]string{"state-set a=1", ""})
		result := finish(t, a, 0)
		if result.Outcome != agent.CommitFailed || result.Err.Error() != "updating secrets: permission denied" {
			t.Errorf("%s: %s, %v", version, result.Outcome, result.Err)
		}
		if len(m.Secrets) != want || len(m.Unit("web/0").State) != 0 || len(result.Changes.Secrets) != want-1 {
			t.Errorf("%s: secrets %v, state %v, changed %v", version, m.Secrets, m.Unit("web/0").State, result.Changes.Secrets)
		}
	}
}

func TestLeadershipLost(t *testing.T) {
	t.Parallel()
	m := testModel("")
	a := start(t, m, agent.Execution{Unit: "web/0", Hook: "db-relation-changed", Relation: "1", RemoteUnit: "db/0"})
	script(t, a, [2]string{"relation-set --app key=new", ""}, [2]string{"relation-set mine=1", ""}, [2]string{"status-set active", ""})
	m.Lock()
	m.Applications["web"].Leader = "web/1"
	m.Unlock()
	script(t, a, [2]string{"is-leader", "False"}, [2]string{"relation-set --app key=newer", "ERROR cannot write relation settings (1)"})
	m.Lock()
	m.Applications["web"].Leader = "web/0"
	m.Unlock()
	script(t, a, [2]string{"is-leader", "False"})
	m.Lock()
	m.Applications["web"].Leader = "web/1"
	m.Unlock()
	result := finish(t, a, 0)
	if result.Outcome != agent.CommitFailed || result.Err.Error() != `"web/0" is not leader of "web"` {
		t.Errorf("%s, %v", result.Outcome, result.Err)
	}
	if m.Relation(1).Data["web"]["key"] != "app" || m.Relation(1).Data["web/0"]["mine"] != "" || m.Unit("web/0").Status.Status != "active" {
		t.Errorf("bags %v, status %v", m.Relation(1).Data, m.Unit("web/0").Status)
	}
}

func TestRelationGone(t *testing.T) {
	t.Parallel()
	m := testModel("")
	a := start(t, m, agent.Execution{Unit: "web/0", Hook: "update-status"})
	script(t, a, [2]string{"relation-set -r 1 a=1", ""})
	m.Lock()
	m.Relations = m.Relations[1:]
	m.Unlock()
	script(t, a, [2]string{"relation-ids db", "db:1"})
	if result := finish(t, a, 0); result.Outcome != agent.CommitFailed {
		t.Errorf("%s, %v", result.Outcome, result.Err)
	}
}

// TestStableReads changes the world in the middle of a hook.
func TestStableReads(t *testing.T) {
	t.Parallel()
	m := testModel("")
	m.Relation(1).Data["db/0"]["host"] = "old"
	x := agent.Execution{Unit: "web/0", Hook: "db-relation-changed", Relation: "1", RemoteUnit: "db/0", Cache: new(agent.Cache)}
	a := start(t, m, x)
	before := [][2]string{{"relation-get host", "old"}, {"config-get port", "80"}, {"relation-list --format=json", `["db/0","db/1"]`}, {"status-get", "waiting"}}
	script(t, a, before...)
	m.Lock()
	m.Relation(1).Data["db/0"]["host"] = "new"
	m.Relation(1).Data["db/1"]["host"] = "new"
	m.Relation(1).Leave("db/1")
	m.Applications["web"].Config["port"].Value = 81
	m.Unit("web/0").Status.Status = "active"
	m.Unlock()
	script(t, a, before...)
	script(t, a, [2]string{"relation-get host db/1", "new"})
	finish(t, a, 0)

	x.Hook, x.Relation, x.RemoteUnit = "update-status", "", ""
	script(t, start(t, m, x), [2]string{"relation-get -r 1 host db/0", "old"}, [2]string{"config-get port", "81"})
	x.Hook, x.Relation, x.RemoteUnit = "db-relation-changed", "1", "db/0"
	script(t, start(t, m, x), [2]string{"relation-get host", "new"})
	x.Hook, x.RemoteUnit, x.DepartingUnit = "db-relation-departed", "db/1", "db/1"
	a = start(t, m, x)
	script(t, a, [2]string{"relation-list", "db/0"}, [2]string{"relation-get host", "new"})
	if result := finish(t, a, 0); !m.Relation(1).Joined["web/0"].Has("db/0") || m.Relation(1).Joined["web/0"].Has("db/1") ||
		len(result.Changes.Relations[1].Joined["web/0"]) != 1 {
		t.Errorf("joined %v, changes %+v", m.Relation(1).Joined, result.Changes.Relations[1])
	}
}

// TestFailedHook leaves nothing but what is written at once.
func TestFailedHook(t *testing.T) {
	t.Parallel()
	for _, code := range []int{1, agent.Killed} {
		m := testModel("")
		want := m.Clone()
		a := start(t, m, agent.Execution{Unit: "web/0", Hook: "db-relation-joined", Relation: "1", RemoteUnit: "db/0"})
		for _, c := range []string{"relation-set a=1", "relation-set --app a=1", "state-set a=1", "open-port 80", "secret-add pass=word", "juju-reboot"} {
			if got := run(t, a, c); strings.Contains(got, "ERROR") {
				t.Errorf("%s: %s", c, got)
			}
		}
		result := finish(t, a, code)
		if text := asJSON(t, result.Changes); result.Outcome != agent.Failed || text != "{}" {
			t.Errorf("%s: %s", result.Outcome, text)
		}
		if got, want := asJSON(t, m), asJSON(t, want); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAcrossModels relates web to an offer of another model.
func TestAcrossModels(t *testing.T) {
	t.Parallel()
	m := testModel("")
	m.Applications["db"].ModelName, m.Applications["db"].ModelUUID = "other", "aaaaaaaa-0bad-400d-8000-4b1d0d06f00d"
	r := m.Relation(1)
	r.Endpoints[0].Alias, r.Endpoints[1].Alias = "remote-7", "pg"
	r.Data["db/0"]["host"] = "h"
	a := start(t, m, agent.Execution{Unit: "web/0", Hook: "db-relation-changed", Relation: "1", RemoteUnit: "pg/0"})
	script(t, a,
		[2]string{"relation-list --format=json", `["pg/0","pg/1"]`},
		[2]string{"relation-list --app", "pg"},
		[2]string{"relation-get host", "h"},
		[2]string{"relation-get host pg/0", "h"},
		[2]string{"relation-get --app --format=json", "{}"},
		[2]string{"relation-model-get", "uuid: aaaaaaaa-0bad-400d-8000-4b1d0d06f00d"},
		[2]string{"relation-get host pg/9", `ERROR cannot read settings for unit "pg/9" in relation "web:db pg:server": unit "pg/9": settings not found (1)`},
	)
	id := run(t, a, "secret-add pass=word")
	script(t, a, [2]string{"secret-grant " + id + " -r 1 --unit pg/0", ""})
	finish(t, a, 0)
	for _, s := range m.Secrets {
		if fmt.Sprint(s.Grants) != "[{db/0 1}]" {
			t.Errorf("grants: %v", s.Grants)
		}
	}
	b := start(t, m, agent.Execution{Unit: "db/0", Hook: "server-relation-changed", Relation: "1", RemoteUnit: "remote-7/0"})
	env := hooktool.Process{Env: b.Env()}
	if got := env.Getenv("JUJU_REMOTE_APP") + " " + env.Getenv("JUJU_MODEL_NAME"); got != "remote-7 other" {
		t.Errorf("environment: %s", got)
	}
	script(t, b, [2]string{"relation-list --format=json", `["remote-7/0","remote-7/1"]`}, [2]string{"secret-get " + id, "pass: word"})
}

func TestContainerScope(t *testing.T) {
	t.Parallel()
	a := start(t, testModel(""), agent.Execution{Unit: "log/1", Hook: "host-relation-changed", Relation: "3", RemoteUnit: "web/1"})
	script(t, a, [2]string{"relation-list", "web/1"})
	if got := (hooktool.Process{Env: a.Env()}).Getenv("JUJU_PRINCIPAL_UNIT"); got != "web/1" {
		t.Errorf("principal unit %q", got)
	}
}

// TestConcurrent runs two units of one model at a time, each with calls in
// several goroutines.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	m := testModel("")
	var done sync.WaitGroup
	for _, unit := range []string{"web/0", "web/1", "db/0"} {
		done.Go(func() {
			a, err := agent.New(m, agent.Execution{Unit: unit, Hook: "update-status"})
			if err != nil {
				t.Error(err)
				return
			}
			defer a.Close()
			var calls sync.WaitGroup
			for i := range 20 {
				calls.Go(func() {
					for _, args := range [][]string{
						{"relation-get", "-r", "1", "-", "db/1"}, {"state-set", fmt.Sprintf("k%d=v", i)}, {"status-set", "active"},
						{"relation-set", "-r", "1", fmt.Sprintf("k%d=v", i)}, {"config-get"}, {"goal-state"},
					} {
						if r, err := a.Call(context.Background(), hooktool.Call{Tool: args[0], Args: args[1:]}); err != nil || r.Code == 2 {
							t.Errorf("%s %q: %d %s %v", unit, args, r.Code, r.Stderr, err)
						}
					}
					a.Env()
				})
			}
			calls.Wait()
			if result, err := a.Finish(agent.Exit{}); err != nil || result.Outcome != agent.Committed {
				t.Errorf("%s: %+v, %v", unit, result, err)
			}
		})
	}
	done.Wait()
	for _, unit := range []string{"web/0", "web/1", "db/0"} {
		if n := len(m.Unit(unit).State); n != 20 {
			t.Errorf("%s has %d keys of state", unit, n)
		}
	}
}
