package agent_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
)

// FuzzArguments calls any tool with any arguments and input. Wrong arguments
// are told from failures, every error is one Juju would print, and a tool that
// failed has changed nothing that a commit would write.
func FuzzArguments(f *testing.F) {
	for _, s := range []string{
		"relation-get\x00-r\x001\x00-\x00db/0", "relation-get\x00--format=json\x00--app", "relation-set\x00-r1\x00a=b\x00--\x00-c=d",
		"relation-set\x00--app=maybe", "config-get\x00-ah", "state-get\x00-format=json", "state-set\x00--file=-", "open-port\x0080-90/udp\x00--endpoints=db,,x",
		"status-set\x00active\x00--", "secret-add\x00--expire\x001h\x00abc#base64=aGk=", "secret-get\x00secret:/x", "action-set\x00a.b=c\x00a=d",
		"network-get\x00db\x00--bind-address", "storage-get\x00-s\x00a/0", "juju-log\x00-l\x00\x00x", "goal-state\x00--format", "is-leader\x00---=", "leader-get\x00--=",
		"secret-remove\x000123456789abcdefghij\x00--revision\x000x2", "opened-ports\x00--endpoints=1", "unit-get\x00\xff",
	} {
		f.Add(s, "a: b\nc: [d]\n")
	}
	tools := agent.ToolNames("")
	f.Fuzz(func(t *testing.T, line, stdin string) {
		words := strings.Split(line, "\x00")
		for _, word := range words {
			// Files are not what this is about, and must not be written.
			if strings.Contains(word, "o") && strings.HasPrefix(word, "-") && !strings.HasPrefix(word, "--format") || strings.Contains(word, "file") && word != "--file=-" {
				return
			}
		}
		if !slices.Contains(tools, words[0]) {
			return
		}
		m := testModel("")
		before := m.Clone()
		a, err := agent.New(m, agent.Execution{Unit: "web/0", Hook: "db-relation-changed", Relation: "1", RemoteUnit: "db/0", Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		result, err := a.Call(t.Context(), hooktool.Call{Tool: words[0], Args: words[1:], Stdin: []byte(stdin)})
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		switch result.Code {
		case 0:
			return
		case 1, 2:
		default:
			t.Errorf("%q: exit code %d", words, result.Code)
		}
		if !strings.Contains(string(result.Stderr), "ERROR ") || len(result.Stdout) > 0 {
			t.Errorf("%q: stdout %q, stderr %q", words, result.Stdout, result.Stderr)
		}
		// open-port and close-port go from endpoint to endpoint.
		if strings.HasSuffix(words[0], "-port") {
			return
		}
		if _, err := a.Finish(agent.Exit{}); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(m, before) {
			t.Errorf("%q failed with %q and changed the model", words, result.Stderr)
		}
	})
}

// bigModel relates web/0 to n units of db, which it has joined.
func bigModel(n int) *model.Model {
	m := testModel("")
	for i := range n {
		name := fmt.Sprintf("db/%d", i)
		m.Applications["db"].Units[name] = &model.Unit{Machine: fmt.Sprint(i + 10), Address: "10.0.0.3"}
		m.Relation(1).Enter(m, name)
		m.Relation(1).Joined["web/0"].Add(name)
		m.Relation(1).Data[name]["host"] = "h"
	}
	m.Unit("web/0").State = map[string]string{"a": "b"}
	return m
}

// BenchmarkHook is a whole relation-changed hook of one unit in process: make
// the execution, read the remote bag and the charm state, write both, commit.
// The ratio is its time at 10,000 related units to that at one.
func BenchmarkHook(b *testing.B) {
	hook := func(m *model.Model) {
		a, err := agent.New(m, agent.Execution{Unit: "web/0", Hook: "db-relation-changed", Relation: "1", RemoteUnit: "db/0", Seed: 1})
		if err != nil {
			b.Fatal(err)
		}
		for _, args := range [][]string{
			{"relation-get", "--format=json"}, {"state-get", "--format=json"}, {"relation-set", "x=y"}, {"state-set", "c=d"},
		} {
			if r, err := a.Call(b.Context(), hooktool.Call{Tool: args[0], Args: args[1:]}); err != nil || r.Code != 0 {
				b.Fatalf("%q: %v %s", args, err, r.Stderr)
			}
		}
		if r, err := a.Finish(agent.Exit{}); err != nil || r.Outcome != agent.Committed {
			b.Fatalf("%+v, %v", r, err)
		}
	}
	small, big := bigModel(1), bigModel(10_000)
	b.ReportAllocs()
	var atOne, atMany time.Duration
	for b.Loop() {
		began := time.Now()
		hook(small)
		between := time.Now()
		hook(big)
		atOne += between.Sub(began)
		atMany += time.Since(between)
	}
	b.ReportMetric(float64(atMany)/float64(atOne), "x-at-10000-units")
	b.ReportMetric(float64(atMany)/float64(b.N), "ns/hook-at-10000-units")
}
