package hooktool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	simulated "github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
)

func storyModel(t *testing.T) *model.Model {
	t.Helper()
	unit := func(n int) *model.Unit {
		return &model.Unit{Machine: fmt.Sprint(n), Address: fmt.Sprintf("10.0.0.%d", n), Interface: "eth0", CIDR: "10.0.0.0/24",
			Status: model.Status{Status: "waiting"}}
	}
	m := &model.Model{
		Name: "test", UUID: "deadbeef-0bad-400d-8000-4b1d0d06f00d",
		Applications: map[string]*model.Application{
			"web": {Leader: "web/0", Endpoints: []model.Endpoint{{Name: "db", Role: model.Requirer}},
				Config: map[string]*model.Option{"port": {Type: "int", Default: 80}},
				Units:  map[string]*model.Unit{"web/0": unit(1), "web/1": unit(2)}},
			"db": {Leader: "db/0", Endpoints: []model.Endpoint{{Name: "server", Role: model.Provider}},
				Units: map[string]*model.Unit{"db/0": unit(3)}},
		},
		Relations: []*model.Relation{{ID: 1, Endpoints: []model.RelationEndpoint{
			{Application: "web", Name: "db", Role: model.Requirer}, {Application: "db", Name: "server", Role: model.Provider}}}},
	}
	r := m.Relation(1)
	for _, name := range []string{"web/0", "web/1", "db/0"} {
		r.Enter(m, name)
	}
	for _, name := range []string{"web/0", "web/1"} {
		r.SetJoined(m, name, "db/0", true)
	}
	return m
}

// story uses every tool that a hook of web/0 or web/1 can, and returns what it
// saw.
func story(ctx context.Context, c *hooktool.Client) []string {
	var saw []string
	see := func(what string, v any, err error) {
		text, _ := json.Marshal(v)
		if err != nil {
			text = []byte(err.Error())
		}
		saw = append(saw, what+": "+string(text))
	}
	do := func(what string, err error) { see(what, nil, err) }

	odd := map[string]string{"pem": "line\n\u0085\ufffe😀\x00 ", "-k=": "<<", "gone": ""}
	leader, err := c.IsLeader(ctx)
	see("leader", leader, err)
	ids, err := c.RelationIDs(ctx, "db")
	see("ids", ids, err)
	units, err := c.RelationList(ctx, "db:1")
	see("units", units, err)
	app, err := c.RelationApplication(ctx, "db:1")
	see("application", app, err)
	uuid, err := c.RelationModelUUID(ctx, "db:1")
	see("model", uuid, err)
	do("set", c.RelationSet(ctx, "db:1", odd))
	bag, err := c.RelationGet(ctx, "db:1", map[bool]string{true: "web/0", false: "web/1"}[leader])
	see("own bag", bag, err)
	bag, err = c.RelationGet(ctx, "db:1", "db/0")
	see("remote bag", bag, err)
	do("set app", c.RelationSetApp(ctx, "db:1", map[string]string{"a": "b"}))
	bag, err = c.RelationGetApp(ctx, "db:1", "db")
	see("remote app bag", bag, err)
	bag, err = c.RelationGet(ctx, "db:9", "db/0")
	see("no relation", bag, err)
	config, err := c.Config(ctx)
	see("config", config, err)
	do("leader set", c.LeaderSet(ctx, map[string]string{"-x": "1"}))
	bag, err = c.LeaderGet(ctx)
	see("leader get", bag, err)
	status, err := c.Status(ctx)
	see("status", status, err)
	do("set status", c.SetStatus(ctx, hooktool.StatusActive, "--fine"))
	do("set application status", c.SetApplicationStatus(ctx, hooktool.StatusActive, ""))
	all, err := c.ApplicationStatus(ctx)
	see("application status", all, err)
	do("version", c.SetApplicationVersion(ctx, "-1"))
	do("state set", c.StateSet(ctx, map[string]string{"pem": odd["pem"], "-k": "v", "old": "x"}))
	do("state delete", c.StateDelete(ctx, "old", "-none"))
	state, err := c.State(ctx)
	see("state", state, err)
	for _, key := range []string{"-k", "none", "-"} {
		value, ok, err := c.StateGet(ctx, key)
		see("state "+key, []any{value, ok}, err)
	}
	do("state too large", c.StateSet(ctx, map[string]string{"big": strings.Repeat("x", 1<<16+1)}))
	address, err := c.UnitGet(ctx, "public-address")
	see("address", address, err)
	network, err := c.Network(ctx, "db")
	see("network", network, err)
	network, err = c.RelationNetwork(ctx, "db", "db:1")
	see("relation network", network, err)
	_, err = c.Network(ctx, "none")
	do("no binding", err)
	do("open", c.OpenPorts(ctx, hooktool.PortRange{From: 80, Endpoints: []string{"db"}},
		hooktool.PortRange{From: 8000, To: 8100, Protocol: "udp"}, hooktool.PortRange{Protocol: "icmp"}))
	do("close", c.ClosePorts(ctx, hooktool.PortRange{From: 8000, To: 8100, Protocol: "udp"}))
	do("conflict", c.OpenPorts(ctx, hooktool.PortRange{From: 70, To: 90}))
	ports, err := c.OpenedPorts(ctx)
	see("ports", ports, err)
	do("log", c.Log(ctx, slog.LevelWarn, "-l ERROR"))
	goal, err := c.GoalState(ctx)
	see("goal", len(goal.Relations["db"]), err)
	_, err = c.ActionParams(ctx)
	do("action", err)
	do("results", c.SetActionResults(ctx, map[string]string{"a": "b"}))
	do("fail", c.FailAction(ctx, "no"))
	do("action log", c.ActionLog(ctx, "no"))

	uri, err := c.SecretAdd(ctx, hooktool.Secret{Label: "l", Owner: hooktool.OwnerUnit, Description: "-d",
		Content: map[string]string{"key": "=", "pem": odd["pem"], "raw": "\xff\x00"}})
	do("secret add", err)
	do("grant", c.SecretGrant(ctx, uri, "db:1", ""))
	do("secret set", c.SecretSet(ctx, uri, hooktool.Secret{Description: "e"}))
	content, err := c.SecretGet(ctx, hooktool.SecretQuery{URI: uri})
	see("secret", fmt.Sprintf("%q", content), err)
	content, err = c.SecretGet(ctx, hooktool.SecretQuery{Label: "l"})
	see("secret by label", len(content), err)
	info, err := c.SecretInfo(ctx, hooktool.SecretQuery{Label: "l"})
	info.ID = strings.Replace(info.ID, uri.ID, "ID", 1)
	see("secret info", info, err)
	do("revoke", c.SecretRevoke(ctx, uri, hooktool.SecretGrantee{Relation: "db:1"}))
	do("remove", c.SecretRemove(ctx, uri, 0))
	left, err := c.SecretIDs(ctx)
	see("secrets", left, err)
	_, err = c.SecretAdd(ctx, hooktool.Secret{Content: map[string]string{"key": "v"}})
	do("secret of the application", err)
	stored, err := c.StorageList(ctx, "")
	see("storage", stored, err)
	do("reboot", c.Reboot(ctx, false))
	_, err = c.Call(ctx, hooktool.Call{Tool: "no-such-tool"})
	see("no such tool", errors.Is(err, hooktool.ErrUnknownTool), nil)
	return saw
}

// varies is what differs from run to run: times, and ids of secrets.
var varies = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"|"[0-9a-v]{20}"`)

// A unit that uses everything sees the same, and leaves the same behind, in
// process, over the socket and with executed tools.
func TestStory(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"web/0", "web/1"} {
		t.Run(unit, func(t *testing.T) {
			t.Parallel()
			var firstSaw, firstLeft string
			for _, transport := range []string{"", "socket", "exec"} {
				m := storyModel(t)
				dir := shortDir(t)
				a, err := simulated.New(m, simulated.Execution{Unit: unit, Hook: "config-changed", CharmDir: dir})
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				p := hooktool.Process{Env: a.Env(), Dir: dir, Tools: a}
				if transport != "" {
					if err := a.Serve(filepath.Join(dir, "agent.socket")); err != nil {
						t.Fatal(err)
					}
					env, _ := executables(t, "jujusim", simulated.ToolNames(model.Juju3)...)
					p.Env = append(append(a.Env(), env...), hooktool.TransportEnv+"="+transport)
					p.Tools = nil
				}
				c, err := hooktool.Dial(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				saw := story(t.Context(), c)
				// How a missing tool is told differs, and is not what this is about.
				saw = saw[:len(saw)-1]
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				result, err := a.Finish(simulated.Exit{})
				if err != nil || result.Outcome != "committed" {
					t.Fatalf("%s: %+v, %v", transport, result, err)
				}
				text, err := json.MarshalIndent(m, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				text = varies.ReplaceAll(text, []byte(`"*"`))
				if transport == "" {
					firstSaw, firstLeft = strings.Join(saw, "\n"), string(text)
					checkStory(t, unit, firstSaw)
					continue
				}
				if got := strings.Join(saw, "\n"); got != firstSaw {
					t.Errorf("%s saw\n%s\nin process it was\n%s", transport, got, firstSaw)
				}
				if string(text) != firstLeft {
					t.Errorf("%s left\n%s\nin process it was\n%s", transport, text, firstLeft)
				}
			}
		})
	}
}

// checkStory holds the main lines against what Juju would have let them see.
func checkStory(t *testing.T, unit, saw string) {
	t.Helper()
	want := []string{
		`units: ["db/0"]`, `application: "db"`, `model: "deadbeef-0bad-400d-8000-4b1d0d06f00d"`, `config: {"port":80}`,
		`"pem":"line\n` + "\u0085\ufffe😀" + `\u0000 "`, `"-k=":"\u003c\u003c"`, `state -k: ["v",true]`, `state none: ["",false]`,
		`no relation: cannot read the data of db/0 in relation "db:9": relation-get: invalid value "db:9" for option -r: relation not found`,
		`state too large: cannot store charm state: state-set: max allowed value length (65536) exceeded`,
		`no binding: cannot read the network of binding "none": network-get: no network config found for binding "none"`,
		`ports: [{"Protocol":"icmp","From":0,"To":0,"Endpoints":null},{"Protocol":"tcp","From":80,"To":80,"Endpoints":["db"]}]`,
		`action: cannot read the action's parameters: action-get: not running an action`,
		`\"key\":\"=\"`, `\"raw\":\"\\xff\\x00\"`, `"description":"e"`, `secrets: []`, `storage: []`, `reboot: null`,
	}
	if unit == "web/0" {
		want = append(want, "leader: true", "set app: null", `leader get: {"-x":"1"}`, `"web/0":{"status":"active","message":"--fine"`,
			"secret of the application: null")
	} else {
		want = append(want, "leader: false", `set app: cannot write application data in relation "db:1": relation-set: cannot write relation settings`,
			"leader set: cannot write the leader settings: leader-set: cannot write leadership settings: cannot write settings: not the leader",
			"secret of the application: cannot add a secret: secret-add: this unit is not the leader")
	}
	for _, line := range want {
		if !strings.Contains(saw, line) {
			t.Errorf("%s did not see %s; it saw\n%s", unit, line, saw)
		}
	}
}
