package agent_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	a := start(t, testModel(""), agent.Execution{Unit: "web/0", Hook: "install"})
	for _, name := range agent.ToolNames(model.Juju3) {
		if got := run(t, a, name+" --help"); !strings.HasPrefix(got, "Usage: "+name) || !strings.Contains(got, "\nSummary:\n") {
			t.Errorf("%s --help: %q", name, got)
		}
	}
}

func TestOutputFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := start(t, testModel(""), agent.Execution{Unit: "web/0", Hook: "install", CharmDir: dir})
	script(t, a, [2]string{"is-leader --format=json -o out", ""}, [2]string{"unit-get private-address --output " + dir + "/address", ""})
	for name, want := range map[string]string{"out": "true\n", "address": "10.0.0.1\n"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestStorage(t *testing.T) {
	t.Parallel()
	m := testModel("")
	m.Applications["web"].Storage = map[string]*model.StorageDeclaration{"data": {Type: "filesystem", CountMax: 2}, "logs": {Type: "block", CountMax: -1}}
	m.Unit("web/0").Storage = map[string]*model.StorageInstance{"data/0": {Kind: "filesystem", Location: "/srv"}}
	a := start(t, m, agent.Execution{Unit: "web/0", Hook: "data-storage-attached", Storage: "data/0"})
	script(t, a,
		[2]string{"storage-list --format=json", `["data/0"]`},
		[2]string{"storage-list logs --format=json", "[]"},
		[2]string{"storage-get --format=json", `{"kind":"filesystem","location":"/srv"}`},
		[2]string{"storage-get location", "/srv"},
		[2]string{"storage-get -s data/0 kind", "filesystem"},
		[2]string{"storage-get -s data/9", `ERROR invalid value "data/9" for option -s: storage not found (2)`},
		[2]string{"storage-get nope", `ERROR invalid storage attribute "nope" (1)`},
		[2]string{"storage-add", "ERROR storage add requires a storage directive (2)"},
		[2]string{"storage-add nope", `ERROR invalid storage name: "nope", expected one of: data, logs (1)`},
		[2]string{"storage-add data=0", `ERROR cannot parse directive for storage "data": cannot parse count: count must be greater than zero, got "0" (2)`},
		[2]string{"storage-add data=1,1", `ERROR cannot parse directive for storage "data": storage instance count is already set to 1, new value 1 not valid (2)`},
		[2]string{"storage-add data=", `ERROR cannot parse directive for storage "data": storage directives require at least one field to be specified (2)`},
		[2]string{"storage-add data=1x", `ERROR cannot parse directive for storage "data": unrecognized storage directive "1x" not valid (2)`},
		[2]string{"storage-add data=ebs,1G", `ERROR only count can be specified for "data" (2)`},
		[2]string{"storage-add data=1=1", `ERROR expected "name=directive" or "name", got "data=1=1" (2)`},
		[2]string{"storage-add data data=1", `ERROR storage "data" specified more than once (2)`},
		[2]string{"storage-add data", ""},
		[2]string{"storage-add logs=3", ""},
	)
	if result := finish(t, a, 0); fmt.Sprint(result.Changes.Storage) != "[{data 1} {logs 3}]" {
		t.Errorf("storage: %v, %v", result.Changes.Storage, result.Err)
	}
	b := start(t, m, agent.Execution{Unit: "web/0", Hook: "start"})
	script(t, b, [2]string{"storage-add data=2", ""})
	if result := finish(t, b, 0); result.Outcome != agent.CommitFailed {
		t.Errorf("%s: %v", result.Outcome, result.Changes.Storage)
	}
}

func TestResourceAndCredential(t *testing.T) {
	t.Parallel()
	m := testModel("")
	m.Applications["web"].Resources = map[string]*model.Resource{"site": {Path: "/var/site.tgz"}, "none": {}}
	x := agent.Execution{Unit: "web/0", Hook: "start"}
	script(t, start(t, m, x),
		[2]string{"resource-get site", "/var/site.tgz"},
		[2]string{"resource-get", "ERROR missing required resource name (2)"},
		[2]string{"resource-get none", `ERROR could not download resource: HTTP request failed: resource "web/none" not found (1)`},
		[2]string{"credential-get", "ERROR cannot access cloud credentials: permission denied (1)"},
	)
	m.Applications["web"].Trust = true
	m.Cloud = &hooktool.CloudSpec{Type: "lxd", Name: "localhost",
		Credential: hooktool.CloudCredential{AuthType: "certificate", Attributes: map[string]string{"client-cert": "c"}}}
	const yaml = `type: lxd
name: localhost
region: ""
endpoint: ""
identityendpoint: ""
storageendpoint: ""
credential:
  authtype: certificate
  attributes:
    client-cert: c
  redacted: []
cacertificates: []
skiptlsverify: false
iscontrollercloud: false`
	a := start(t, m, x)
	script(t, a, [2]string{"credential-get", yaml}, [2]string{"credential-get --format=yaml", yaml}, [2]string{"credential-get --format=json",
		`{"type":"lxd","name":"localhost","credential":{"auth-type":"certificate","attrs":{"client-cert":"c"}}}`})
	spec, err := hooktool.New(a).CredentialGet(t.Context())
	if err != nil || spec.Type != "lxd" || spec.Credential.AuthType != "certificate" || spec.Credential.Attributes["client-cert"] != "c" {
		t.Errorf("a charm sees %s %v, %v", spec.Type, spec.Credential.Attributes, err)
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	m := testModel("")
	a := start(t, m, agent.Execution{Unit: "web/0", Action: "backup", Params: map[string]any{"count": 1234567, "to": []string{"a"}}})
	script(t, a,
		[2]string{"action-get --format=json", `{"count":1234567,"to":["a"]}`},
		[2]string{"action-get count", "1.234567e+06"},
		[2]string{"state-set a=1", ""},
		[2]string{"action-log working", ""},
	)
	result, err := a.Finish(agent.Exit{Code: agent.Killed, Stdout: []byte("out"), Stderr: []byte{0xff}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"action-log":["working"],"action":{"status":"failed","message":"terminated","results":{"return-code":-1,"stderr":"/w==","stderr-encoding":"base64","stdout":"out"}}}`
	if got := asJSON(t, result.Changes); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	b := start(t, m, agent.Execution{Unit: "web/0", Action: "juju-exec", Params: map[string]any{"command": "false"}})
	script(t, b, [2]string{"state-set a=1", ""})
	if result := finish(t, b, 4); result.Outcome != agent.Committed || m.Unit("web/0").State["a"] != "1" || result.Changes.Action.Message != "exit status 4" {
		t.Errorf("%s: %+v", result.Outcome, result.Changes.Action)
	}
}

func TestReboot(t *testing.T) {
	t.Parallel()
	m := testModel("")
	killed := false
	a := start(t, m, agent.Execution{Unit: "web/0", Hook: "start", Kill: func() { killed = true }})
	script(t, a, [2]string{"juju-reboot --now", ""})
	if result := finish(t, a, agent.Killed); !killed || result.Changes.Reboot || !result.Changes.RebootNow {
		t.Errorf("killed %v, %+v", killed, result.Changes)
	}
}

func TestLogAndAround(t *testing.T) {
	t.Parallel()
	m := testModel("")
	var logged []string
	var calls []string
	a := start(t, m, agent.Execution{
		Unit: "web/0", Hook: "start",
		Log: func(level, message string) {
			m.Lock()
			defer m.Unlock()
			logged = append(logged, level+" "+message)
		},
		Around: func(c hooktool.Call, next func() (hooktool.Result, error)) (hooktool.Result, error) {
			calls = append(calls, c.Tool)
			if c.Tool == "is-leader" {
				return hooktool.Result{}, errors.New("killed")
			}
			return next()
		},
	})
	script(t, a, [2]string{"juju-log -l warn careful", ""}, [2]string{"juju-log --debug detail", ""}, [2]string{"is-leader", "request: killed"})
	if got := fmt.Sprintf("%q %q", logged, calls); got != `["WARNING careful" "DEBUG detail"] ["juju-log" "juju-log" "is-leader"]` {
		t.Error(got)
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	m := testModel("")
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	x := agent.Execution{Unit: "web/0", Hook: "start", Now: func() time.Time { return now }}
	a := start(t, m, x)
	script(t, a, [2]string{"status-set active", ""})
	id := strings.TrimPrefix(run(t, a, "secret-add --rotate daily --expire 24h pass=word"), "secret://"+m.UUID+"/")
	finish(t, a, 0)
	script(t, start(t, m, x),
		[2]string{"secret-info-get --format=json " + id, `{"` + id + `":{"revision":1,"label":"","owner":"application","rotation":"daily","expiry":"2026-03-05T05:06:07Z","rotates":"2026-03-05T05:06:07Z"}}`},
		[2]string{"goal-state --format=json", `{"units":{"web/0":{"status":"active","since":"2026-03-04 05:06:07Z"},"web/1":{"status":"waiting","since":"2026-03-04 05:06:07Z"}},` +
			`"relations":{"db":{"db":{"status":"joined","since":"2026-03-04 05:06:07Z"},"db/0":{"status":"waiting","since":"2026-03-04 05:06:07Z"},"db/1":{"status":"waiting","since":"2026-03-04 05:06:07Z"}},` +
			`"info":{"log":{"status":"joined","since":"2026-03-04 05:06:07Z"},"log/0":{"status":"","since":"2026-03-04 05:06:07Z"}}}}`},
	)
}

// What is not said of a model in which everybody sees everybody.
func TestGoalState(t *testing.T) {
	t.Parallel()
	m := testModel("")
	m.Unit("web/1").Life, m.Unit("db/1").Life = model.Dying, model.Dead
	m.Applications["db"].ModelName, m.Applications["db"].ModelUUID = "other", "aaaaaaaa-0bad-400d-8000-4b1d0d06f00d"
	m.Relation(1).Endpoints[0].Alias, m.Relation(1).Endpoints[1].Alias = "remote-7", "pg"
	for unit, want := range map[string]hooktool.GoalState{
		// Of the offer's units nothing is known, and of the subordinate ones only
		// that beside it is shown.
		"web/0": {
			Units: map[string]hooktool.GoalStatus{"web/0": {Status: "waiting"}, "web/1": {Status: "dying"}},
			Relations: map[string]map[string]hooktool.GoalStatus{
				"db":   {"admin/other.db": {Status: "joined"}},
				"info": {"log": {Status: "joined"}, "log/0": {}},
			},
		},
		// The offering side sees nothing of its consumers, nor dead units.
		"db/0": {
			Units:     map[string]hooktool.GoalStatus{"db/0": {Status: "waiting"}},
			Relations: map[string]map[string]hooktool.GoalStatus{},
		},
		// A subordinate unit does not see itself.
		"log/1": {
			Units: map[string]hooktool.GoalStatus{},
			Relations: map[string]map[string]hooktool.GoalStatus{
				"host": {"web": {Status: "joined"}, "web/0": {Status: "waiting"}, "web/1": {Status: "dying"}},
			},
		},
	} {
		got, err := hooktool.New(start(t, m, agent.Execution{Unit: unit, Hook: "start"})).GoalState(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Since" }, cmp.Ignore())); diff != "" {
			t.Errorf("%s: %s", unit, diff)
		}
	}
}
