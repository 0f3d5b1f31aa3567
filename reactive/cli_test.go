package reactive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/reactive"
)

func wikiWords(charm *reactive.Charm) {
	installed, ready, served := charm.Flag("wiki.installed"), charm.Flag("wiki.ready"), charm.Flag("wiki.served")
	charm.Trigger(flags.Trigger{WhenNot: ready, Clear: []flags.Flag{served}})
	charm.Handle("install the wiki", flags.Unless(installed), func(_ context.Context, h *reactive.Hook) error {
		h.Set(installed)
		return h.Data().Set("wiki.password", "hunter2")
	})
	charm.Handle("serve the wiki", flags.When(installed, ready), set(served))
	charm.AddCommand(reactive.Command{Name: "answer", Short: "say the answer", Long: "Says the answer.", Run: func(_ context.Context, p hooktool.Process) error {
		_, err := p.Stdout.Write([]byte("42 " + strings.Join(p.Args, " ") + "\n"))
		return err
	}})
}

// words runs the charm's command line: on the unit's machine outside any hook,
// or through juju exec.
func (b *bench) words(t *testing.T, exec bool, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	p := hooktool.Process{Args: args, Dir: b.dir, Stdout: &out, Stderr: &errs}
	finish := func() {}
	if exec {
		a, err := agent.New(b.model, agent.Execution{Unit: "app/0", Exec: true, CharmDir: b.dir})
		must(t, err)
		p.Env, p.Tools = a.Env(), a
		finish = func() {
			_, err := a.Finish(agent.Exit{Code: code})
			must(t, err)
		}
	}
	code = reactive.Run(t.Context(), func() *reactive.Charm {
		c := reactive.New("wiki")
		wikiWords(c)
		return c
	}, p)
	finish()
	return out.String(), errs.String(), code
}

// A night with the charm's own command line: why does the wiki not serve, and
// what if it were ready?
func TestCommandLineStory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, hook := range []string{"install", "start"} {
		_, err := b.run(t, hook, wikiWords)
		must(t, err)
	}
	type step struct {
		args string
		exec bool
		code int
		says []string // on stdout, or on stderr if the code is not 0
		warn string
	}
	for _, s := range []step{
		{args: "", says: []string{`This is the charm "wiki"`, "explain HANDLER | --flag FLAG", "answer", `juju exec --unit wiki/0 './dispatch explain "install the wiki"'`}},
		{args: "help", says: []string{"Usage: dispatch COMMAND"}},
		{args: "help explain", says: []string{"Usage: dispatch explain HANDLER | --flag FLAG\n", "\nFlags:\n  --flag FLAG\n", "  --n N\n"}},
		{args: "explain --help", says: []string{"Usage: dispatch explain", "  --json\n"}},
		{args: "help answer", says: []string{"Usage: dispatch answer\n\nSays the answer.\n"}},
		{args: "answer me", says: []string{"42 me\n"}},
		{args: "explian", code: 2, says: []string{`there is no command "explian" (did you mean "explain"?)`}},
		{args: "help flgs", code: 2, says: []string{`did you mean "flags"?`}},
		{args: "flags --nope", code: 2, says: []string{`flag provided but not defined: -nope; "dispatch help flags" says more`}},
		{args: "flags a", code: 2, says: []string{`flags does not take "a"`}},
		{args: "set", code: 2, says: []string{"set takes FLAG..."}},
		{args: "explain", code: 2, says: []string{"explain takes a handler, or --flag FLAG"}},

		{args: "flags", says: []string{"As of the end of start, ", "wiki.installed  set by \"install the wiki\" in install, 1 hook ago ("}},
		{args: "handlers", says: []string{"install the wiki  not wiki.installed", "serve the wiki    wiki.installed and wiki.ready  -\n", ", install\n"}},
		{args: "explain serve", says: []string{`"serve the wiki" did not run in start, `, "wiki.ready is not set.", "wiki.ready  not set  no hook on record changed it"}},
		{args: "explain INSTALL -n 2", says: []string{`"install the wiki" ran in install, `, "because wiki.installed is not set"}},
		{args: "explain -n 3 serve", code: 1, says: []string{"there are 2 hooks on record, so there is no number 3 from the end"}},
		{args: "explain the wiki", code: 1, says: []string{`several handlers have "the wiki" in their names: ["install the wiki" "serve the wiki"]`}},
		{args: "explain instal the wikki", code: 1, says: []string{`there is no handler "instal the wikki" (did you mean "install the wiki"?)`}},
		{args: "explain --flag wiki.redy", code: 1, says: []string{`about a flag "wiki.redy"`, `did you mean "wiki.ready"?`}},
		{args: "explain --flag wiki.ready", says: []string{"wiki.ready is not set; no hook on record changed it.", "Handlers that wait for it or for its absence:\n  serve the wiki\n", "Triggers about it:\n"}},
		{args: "trace", says: []string{"app/0  start"}},
		{args: "trace -n 2", says: []string{"round 1\n", "install the wiki", "+ wiki.installed"}},
		{args: "set wiki.ready", code: 1, says: []string{"this needs Juju: run it in juju debug-hooks, or through juju exec"}},

		{args: "set wiki.redy", exec: true, says: []string{"set wiki.redy\n"}, warn: `about a flag "wiki.redy" (did you mean "wiki.ready"?)`},
		{args: "clear wiki.redy", exec: true, says: []string{"cleared wiki.redy\n"}, warn: "about a flag"},
		{args: "set wiki.ready", exec: true, says: []string{"set wiki.ready\n"}},
		{args: "set wiki.ready", exec: true, warn: "wiki.ready already is as you want it"},
		{args: "explain --flag wiki.ready", exec: true, says: []string{"wiki.ready is set: it was set after start, by hand ("}},
		{args: "flags", exec: true, says: []string{"wiki.ready      set after start, by hand ("}},
		{args: "data", exec: true, says: []string{"wiki.password  9 bytes\n"}},
		{args: "data --values wiki.pass", exec: true, says: []string{`wiki.password  "hunter2"`}},
		{args: "data nothing", exec: true, says: []string{"The unit remembers nothing"}},
	} {
		stdout, stderr, code := b.words(t, s.exec, strings.Fields(s.args)...)
		text := stdout
		if code != 0 {
			text = stderr
		}
		if code != s.code {
			t.Errorf("%q exits with %d, want %d: %s", s.args, code, s.code, stderr)
		}
		for _, want := range s.says {
			if !strings.Contains(text, want) {
				t.Errorf("%q does not say %q:\n%s", s.args, want, text)
			}
		}
		if code == 0 && (!strings.Contains(stderr, s.warn) || s.warn == "" && stderr != "") {
			t.Errorf("%q warns %q, want %q", s.args, stderr, s.warn)
		}
		if strings.Contains(stdout+stderr, "hunter2") && !strings.Contains(s.args, "--values") {
			t.Errorf("%q shows a secret", s.args)
		}
	}

	// The next hook serves it, and says whose doing that was.
	_, err := b.run(t, "update-status", wikiWords)
	must(t, err)
	stdout, _, _ := b.words(t, false, "explain", "serve")
	if !strings.Contains(stdout, `"serve the wiki" ran in update-status`) || !strings.Contains(stdout, "wiki.ready      set      set between start and update-status, by hand") {
		t.Errorf("explain says\n%s", stdout)
	}
	// What a trigger did is told as well.
	stdout, _, _ = b.words(t, true, "clear", "wiki.ready")
	if want := "cleared wiki.ready\ncleared wiki.served (trigger of wiki.ready)\n"; stdout != want {
		t.Errorf("clear says %q, want %q", stdout, want)
	}
}

// Of a hook that Juju did not keep, because it failed or was killed when its
// record was written, nothing is told as if it were so, nor as somebody's doing.
func TestNothingKept(t *testing.T) {
	t.Parallel()
	installed, ready := flags.New("wiki.installed"), flags.New("wiki.ready")
	says := func(b *bench, exec bool, want string, args ...string) {
		t.Helper()
		if stdout, stderr, _ := b.words(t, exec, args...); !strings.Contains(stdout, want) {
			t.Errorf("%q does not say %q:\n%s%s", args, want, stdout, stderr)
		}
	}
	after := func(end func(b *bench)) *bench {
		b := newBench(t)
		_, err := b.run(t, "install", wikiWords)
		must(t, err)
		end(b)
		return b
	}

	failed := after(func(b *bench) {
		_, err := b.run(t, "start", func(c *reactive.Charm) {
			c.HandleEvery("fail", func(_ context.Context, h *reactive.Hook) error {
				h.Set(ready)
				h.Clear(installed)
				return errors.New("told to fail")
			})
		})
		if err == nil {
			t.Fatal("the hook went well")
		}
	})
	for _, exec := range []bool{false, true} {
		says(failed, exec, `wiki.installed  set by "install the wiki" in install, 1 hook ago`, "flags")
		says(failed, exec, "wiki.ready is not set; no hook on record changed it.", "explain", "--flag", "wiki.ready")
	}

	killed := after(func(b *bench) {
		_, a, err := b.dispatch(t, "start", func(c *reactive.Charm) { c.HandleEvery("get ready", set(ready)) })
		must(t, err)
		_, err = a.Finish(agent.Exit{Code: agent.Killed})
		must(t, err)
	})
	says(killed, true, "wiki.ready is not set: it was cleared after start, by hand or because nothing of start was kept (", "explain", "--flag", "wiki.ready")
	_, err := killed.run(t, "start", wikiWords)
	must(t, err)
	says(killed, false, "cleared between start and start, by hand or because nothing of start was kept (", "explain", "serve")
}

// Every command prints JSON if that is wanted, and nothing else.
func TestCommandLineJSON(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.run(t, "install", wikiWords)
	must(t, err)
	for _, args := range []string{"flags", "handlers", "explain serve", "explain --flag wiki.ready", "trace", "graph", "set wiki.ready", "clear wiki.ready", "data"} {
		stdout, stderr, code := b.words(t, true, append(strings.Fields(args), "--json")...)
		if code != 0 || !json.Valid([]byte(stdout)) || len(stdout) < 5 {
			t.Errorf("%q exits with %d and prints %q %s", args, code, stdout, stderr)
		}
	}
}

// The framework's own changes of flags stand together; each of a handler's has
// its line.
func TestTraceText(t *testing.T) {
	t.Parallel()
	ready, told := flags.New("app.ready"), flags.New("app.told")
	record, err := newBench(t).run(t, "upgrade-charm", func(c *reactive.Charm) {
		c.IsLeader()
		c.Upgraded()
		c.Trigger(flags.Trigger{When: ready, Set: []flags.Flag{told}})
		c.HandleEvery("get ready", set(ready))
	})
	must(t, err)
	_, text, _ := strings.Cut(record.Text(), "\n")
	times := regexp.MustCompile(` +[0-9.]+(m|µ)?s\b`)
	want := `  before the handlers
    + upgrade.charm leadership.is_leader
  round 1
    get ready
      + app.ready
      + app.told  (trigger of app.ready)
  after the handlers
    - upgrade.charm
`
	if got := times.ReplaceAllString(text, ""); got != want {
		t.Errorf("the record is\n%s\nwant\n%s", got, want)
	}
}

// Whatever stands in the file of records, it is explained without a panic and in
// bounded time.
func FuzzExplain(f *testing.F) {
	const hook = `{"unit":"app/0","hook":"start","flags":["wiki.installed"],"steps":[`
	f.Add([]byte(hook + `{"phase":"start","flag":"config.changed","set":true},{"phase":"hooks","handler":"install the wiki"},` +
		`{"phase":"flags","handler":"serve the wiki"},{"phase":"flags","round":1,"flag":"wiki.ready","set":true},{"phase":"end","flag":"config.changed"}]}` + "\n" +
		hook + `{"phase":"flags","round":1,"flag":"wiki.ready","trigger":"a"}],"error":"no"}` + "\n"))
	f.Add([]byte(hook + `{"phase":"flags","round":2,"handler":"serve the wiki"},{"phase":"flags","round":-1,"handler":"serve the wiki"}]}`))
	f.Add([]byte(hook + `{"phase":"flags","round":9007199254740992,"handler":"serve the wiki","error":"no"}]}`))
	f.Fuzz(func(t *testing.T, lines []byte) {
		dir := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(dir, ".reactive"), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, ".reactive", "records.jsonl"), lines, 0o600))
		records, err := reactive.ReadRecords(dir)
		must(t, err)
		charm := reactive.New("wiki")
		wikiWords(charm)
		for i := range records {
			_ = records[i].Text()
			for _, h := range charm.Handlers() {
				e, err := reactive.Explain(charm, h.Name, records[:i+1])
				must(t, err)
				if e.Reason == "" || e.String() == "" {
					t.Errorf("%q of %s is not explained", h.Name, e.Hook)
				}
			}
		}
	})
}
