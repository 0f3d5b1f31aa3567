package picture_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/internal/picture"
)

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := picture.Read(strings.NewReader(`{"unit":"web/0","hook":"install","duration":5,"steps":[{"phase":"hooks","handler":"a"}],"calls":2}

{"unit":"web/0","hook":"st`))
	want := []picture.Hook{{Unit: "web/0", Hook: "install", Duration: 5, Calls: 2, Steps: []picture.Step{{Phase: "hooks", Handler: "a"}}}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := picture.Read(strings.NewReader("{}\nnonsense\n{}\n")); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a broken line gives %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"unit":"web/0","steps":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if hooks, err := picture.Read(bytes.NewReader(data)); err == nil {
			if err := picture.Write(new(bytes.Buffer), picture.Page{Hooks: hooks}); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestPageIsSelfContained(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	evil := "</script><script>alert(1)</script>"
	err := picture.Write(&buf, picture.Page{Title: "<b>" + evil, Hooks: []picture.Hook{{Unit: "web/0", Hook: evil}}})
	if err != nil {
		t.Fatal(err)
	}
	page := buf.String()
	for _, bad := range []string{"src=", "@import", "alert(1)</script>", "<b>", "{{"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	// The one address in it is a name: that of SVG.
	if rest := strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""); strings.Contains(rest, "http://") || strings.Contains(rest, "https://") {
		t.Error("the page holds an address")
	}
	if strings.Contains(page, base64.StdEncoding.EncodeToString([]byte(evil))) {
		t.Error("data is not packed")
	}
}

func TestSafeArgs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		tool string
		args string
		want string
	}{
		{"relation-get", "-r db:1 - pg/0", "-r db:1 - pg/0"},
		{"relation-set", "-r db:1 password=hunter2 user=bob", "-r db:1 password=… user=…"},
		{"relation-set", "--app -r db:1 --file -", "--app -r db:1 --file -"},
		{"secret-add", "--label hunter2 token=hunter2", "--label token=…"},
		{"state-set", "key=hunter2", "key=…"},
		{"juju-log", "-l INFO the password is hunter2", "-l …"},
		{"status-set", "active hunter2", "…"},
		{"action-set", "a.b=hunter2", "a.b=…"},
		{"action-fail", "hunter2", "…"},
		{"some-new-tool", "hunter2 --password=hunter2", "… --password=…"},
	}
	for _, tt := range tests {
		got := strings.Join(picture.SafeArgs(tt.tool, strings.Fields(tt.args)), " ")
		if strings.Contains(got, "hunter2") {
			t.Errorf("%s shows a secret: %s", tt.tool, got)
		}
		// What --label takes may be a text, so it is left out.
		if want := strings.ReplaceAll(tt.want, "--label token", "--label … token"); got != tt.want && got != want {
			t.Errorf("%s %s: got %q, want %q", tt.tool, tt.args, got, tt.want)
		}
	}
}

// holds evaluates an expression as the page does.
func holds(e *picture.Expr, set map[string]bool) bool {
	switch e.Op {
	case "flag":
		return set[e.Flag]
	case "not":
		return !holds(e.Parts[0], set)
	case "and":
		for _, p := range e.Parts {
			if !holds(p, set) {
				return false
			}
		}
		return true
	default:
		for _, p := range e.Parts {
			if holds(p, set) {
				return true
			}
		}
		return false
	}
}

// randomCondition makes any condition over names that are hard to tell apart.
func randomCondition(rng *rand.Rand, pool []flags.Flag, depth int) flags.Condition {
	pick := func() []flags.Flag {
		var list []flags.Flag
		for range rng.IntN(4) {
			list = append(list, pool[rng.IntN(len(pool))])
		}
		return list
	}
	parts := func() []flags.Condition {
		var list []flags.Condition
		for range rng.IntN(4) {
			list = append(list, randomCondition(rng, pool, depth-1))
		}
		return list
	}
	kinds := 4
	if depth > 0 {
		kinds = 7
	}
	switch rng.IntN(kinds) {
	case 0:
		return flags.When(pick()...)
	case 1:
		return flags.WhenAny(pick()...)
	case 2:
		return flags.Unless(pick()...)
	case 3:
		return flags.UnlessAll(pick()...)
	case 4:
		return flags.And(parts()...)
	case 5:
		return flags.Or(parts()...)
	default:
		return flags.Not(randomCondition(rng, pool, depth-1))
	}
}

func TestParseExprMeansTheSame(t *testing.T) {
	t.Parallel()
	var pool []flags.Flag
	for _, name := range []string{"a", "a.b", "notable", "always.on", "never.x", "web.installed", "order", "endpoint.db.changed.and"} {
		pool = append(pool, flags.New(name))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		c := randomCondition(rng, pool, 3)
		names := []string{}
		for _, f := range c.Flags() {
			names = append(names, f.String())
		}
		e, err := picture.ParseExpr(c.String(), names)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			set, m := flags.NewSet(), make(map[string]bool)
			for _, f := range pool {
				if rng.IntN(2) == 0 {
					set.Set(f)
					m[f.String()] = true
				}
			}
			if got, want := holds(e, m), c.Holds(set); got != want {
				t.Fatalf("%s with %v: %v, want %v", c, m, got, want)
			}
		}
	}
	for _, bad := range []string{"", "a and", "(a", "b", "a b", strings.Repeat("(", 5000)} {
		if _, err := picture.ParseExpr(bad, []string{"a"}); err == nil {
			t.Errorf("ParseExpr takes %.20q", bad)
		}
	}
}

// model makes a trace of n hooks of a simulated model, and the graph of its charm.
func model(n int) picture.Page {
	rng := rand.New(rand.NewPCG(3, 4))
	p := picture.Page{Title: fmt.Sprintf("web in front of pg, %d hooks", n)}
	g := picture.Graph{Charm: "web", Flags: []picture.Flag{{Name: "endpoint.db.joined", Source: "endpoint db"}, {Name: "config.changed", Source: "Juju"}}}
	for i := range 50 {
		name, flag := fmt.Sprintf("handler %d", i), fmt.Sprintf("web.step-%d", i)
		h := picture.Handler{Name: name, Place: fmt.Sprintf("charm/web.go:%d", 20+7*i)}
		if i > 0 {
			before := fmt.Sprintf("web.step-%d", i-1)
			h.When = before + " and not " + flag
			expr, err := picture.ParseExpr(h.When, []string{before, flag})
			if err != nil {
				panic(err)
			}
			h.On = []picture.Condition{{Kind: "flags", Text: h.When, Expr: expr}}
		} else {
			h.When = "hook install"
			h.On = []picture.Condition{{Kind: "hook", Text: h.When, Hooks: []string{"install"}}}
		}
		g.Flags = append(g.Flags, picture.Flag{Name: flag})
		g.Handlers = append(g.Handlers, h)
	}
	p.Graphs = []picture.Graph{g}
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	names := []string{"config-changed", "update-status", "db-relation-changed", "db-relation-joined"}
	for i := range n {
		unit := fmt.Sprintf("web/%d", i%40)
		h := picture.Hook{
			Time: start, Unit: unit, Hook: names[rng.IntN(4)], Duration: time.Duration(2+rng.IntN(40)) * time.Millisecond,
			Flags: []string{"web.step-0"}, Calls: 12, Bytes: 3000,
		}
		if i < 40 {
			h.Hook, h.Flags = "install", nil
		}
		if strings.HasPrefix(h.Hook, "db") {
			h.Relation, h.RemoteUnit = "db:1", fmt.Sprintf("pg/%d", rng.IntN(3))
		}
		at := time.Millisecond / 2
		for k := range 1 + rng.IntN(4) {
			phase := "flags"
			if i < 40 && k == 0 {
				phase = "hooks"
			}
			h.Steps = append(h.Steps,
				picture.Step{Phase: phase, Round: max(k-1, 0), Handler: fmt.Sprintf("handler %d", k), Start: at, Duration: h.Duration / 6},
				picture.Step{Phase: phase, Round: max(k-1, 0), Handler: fmt.Sprintf("handler %d", k), Flag: fmt.Sprintf("web.step-%d", k), Set: rng.IntN(3) > 0})
			at += h.Duration / 5
		}
		for k := range 12 {
			h.Tools = append(h.Tools, picture.Call{Tool: []string{"relation-get", "state-get", "config-get"}[k%3], Args: []string{"-r", "db:1"}, Out: 250, Duration: 100 * time.Microsecond})
		}
		switch {
		case i%997 == 500:
			h.Outcome, h.Error = "failed", `handler "handler 1": cannot reach the database: connection refused`
		case i%499 == 100:
			h.Outcome = "killed"
		}
		start = start.Add(h.Duration + time.Duration(rng.IntN(2000))*time.Millisecond)
		p.Hooks = append(p.Hooks, h)
	}
	return p
}
