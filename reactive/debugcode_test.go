package reactive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/reactive"
)

// debug runs a hook as juju debug-code does, with somebody who types.
func (b *bench) debug(ctx context.Context, t testing.TB, hook, at string, typed io.Reader, build func(c *reactive.Charm)) (printed string, record *reactive.Record, err error) {
	t.Helper()
	a, err := agent.New(b.model, agent.Execution{Unit: "app/0", Hook: hook, CharmDir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	record, err = reactive.DispatchRecord(ctx, func() *reactive.Charm {
		c := reactive.New("app")
		build(c)
		return c
	}, hooktool.Process{Env: append(a.Env(), "JUJU_DEBUG_AT="+at), Dir: b.dir, Tools: a, Stdin: typed, Stdout: &out})
	exit := agent.Exit{}
	if err != nil {
		exit.Code = 1
	}
	if _, finishErr := a.Finish(exit); finishErr != nil {
		t.Fatal(finishErr)
	}
	return out.String(), record, err
}

// web installs, configures and serves, one after the other.
func web(c *reactive.Charm) {
	installed, configured := c.Flag("web.installed"), c.Flag("web.configured")
	c.HandleHook("greet", "start", nothing)
	c.Handle("install", flags.Unless(installed), set(installed))
	c.Handle("configure the web", flags.When(installed).Unless(configured), set(configured))
	c.HandleLeader("lead", flags.When(configured), func(context.Context, *reactive.Leader) error { return nil })
	c.Handle("serve", flags.When(configured), nothing)
	c.Trigger(flags.Trigger{WhenNot: configured, Clear: []flags.Flag{c.Flag("web.served")}})
}

// stops returns the handlers before which the hook stopped.
func stops(printed string) []string {
	var list []string
	for line := range strings.Lines(printed) {
		if _, after, ok := strings.Cut(line, `: handler "`); ok {
			name, _, _ := strings.Cut(after, `" is about to run.`)
			list = append(list, name)
		}
	}
	return list
}

func TestDebugCodeStops(t *testing.T) {
	t.Parallel()
	all := []string{"greet", "install", "configure the web", "lead", "serve"}
	for name, test := range map[string]struct {
		at, typed   string
		stops, runs []string
	}{
		"all, step by step":            {"all", "n\nnext\nn\nn\nn\n", all, all},
		"all, then no more":            {"all", "n\ncontinue\n", all[:2], all},
		"the end of the input goes on": {"all", "", all[:1], all},
		"a last line without an end":   {"all", "n\nc", all[:2], all},
		"the first of the hook":        {"hook", "n\nc\n", all[:2], all},
		"a name":                       {"serve", "c\n", all[4:], all},
		"a part of a name":             {"configure", "c\n", all[2:3], all},
		"two names":                    {"install, lead", "\nflags\nn\nc\n", []string{"install", "configure the web"}, all},
		"no such name":                 {"nothing like it", "c\n", nil, all},
		"nothing":                      {"", "c\n", nil, all},
		"a flag set by hand": {"install", "set web.installed\nc\n", all[1:2],
			[]string{"greet", "debug-code", "configure the web", "lead", "serve"}},
		"a flag cleared by hand": {"lead", "clear web.configured\nc\n", all[3:4],
			[]string{"greet", "install", "configure the web", "debug-code", "configure the web", "lead", "serve"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			printed, record, err := newBench(t).debug(t.Context(), t, "start", test.at, strings.NewReader(test.typed), web)
			must(t, err)
			if got := stops(printed); !slices.Equal(got, test.stops) {
				t.Errorf("it stopped before %q, want %q\n%s", got, test.stops, printed)
			}
			if got := ran(record); !slices.Equal(got, test.runs) {
				t.Errorf("ran %q, want %q\n%s", got, test.runs, printed)
			}
		})
	}
}

// Somebody looks around before a handler, changes a flag, and leaves.
func TestDebugCodeStory(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	printed, _, err := b.debug(t.Context(), t, "start", "configure", strings.NewReader(strings.Join([]string{
		"help", "flags", "explain", "dance", "set", "set web.served", "set web.served", "set web.configured", "explain", "clear web.configured", "quit", "",
	}, "\n")), web)
	for _, want := range []string{
		"start, round 2: handler \"configure the web\" is about to run.\nIt waits for: web.installed and not web.configured\n",
		"quit, q ",
		"(debug-code)   web.installed\n",
		"It runs, because web.installed is set and web.configured is not set.\n",
		"web.installed   set      set by \"install\" in this hook\n",
		`there is no command "dance"; try help`,
		`cannot understand "set"; try help`,
		"(debug-code) set web.served\n",
		"web.served already is as you want it\n",
		"It will not run: web.configured is set.\n",
		"set by \"debug-code\" in this hook\n",
		"cleared web.configured\n",
		"cleared web.served (trigger of web.configured)\n",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("it does not print %q:\n%s", want, printed)
		}
	}
	var failed *reactive.HandlerError
	if !errors.As(err, &failed) || failed.Handler != "configure the web" || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("quit gives %v", err)
	}
	if state := b.model.Applications["app"].Units["app/0"].State; len(state) > 0 {
		t.Errorf("quit kept %v", state)
	}
	record, err := b.run(t, "start", web)
	must(t, err)
	if want := []string{"greet", "install", "configure the web", "lead", "serve"}; !slices.Equal(ran(record), want) {
		t.Errorf("the hook then ran %q, want %q", ran(record), want)
	}
}

// A hook that nobody can talk to does not stop, whatever the environment says.
func TestDebugCodeNeedsTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	// Nobody ever writes to the pipe: reading it would block.
	reader, writer, err := os.Pipe()
	must(t, err)
	defer reader.Close()
	defer writer.Close()
	for name, stdin := range map[string]io.Reader{"nothing": nil, "the null device": null, "a pipe": reader} {
		printed, _, err := newBench(t).debug(t.Context(), t, "start", "all", stdin, web)
		must(t, err)
		if printed != "" {
			t.Errorf("with %s as its input the hook prints %q", name, printed)
		}
	}
}

// A hook that waits for somebody ends when it is told to.
func TestDebugCodeIsStopped(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	defer writer.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b := newBench(t)
	_, _, err := b.debug(ctx, t, "start", "configure", readerFunc(func(p []byte) (int, error) {
		cancel()
		return reader.Read(p)
	}), web)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), `"configure the web"`) {
		t.Errorf("the error is %v", err)
	}
	if state := b.model.Applications["app"].Units["app/0"].State; len(state) > 0 {
		t.Errorf("it kept %v", state)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
