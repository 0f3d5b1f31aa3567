package sqlitefile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/charmfile"
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	simagent "github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/jujuc"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
)

const refreshedFile = `
name: app
summary: An application.
description: An application that was charmed in Python before.
requires: {db: {interface: mysql}}
provides: {metrics: {interface: prometheus-manual}}
config: {options: {port: {type: int, default: 8080}, title: {type: string, default: "ü"}}}
`

// refreshed is the charm in testdata/python, written in Go. It says in the log
// what is new to it.
func refreshed(open func(*hooktool.Client, hooktool.Process) (unitdata.Store, error)) *reactive.Charm {
	c := reactive.New("app")
	c.Store(open)
	installed := c.Flag("app.installed")
	db := c.Endpoint("db", charmfile.Requirer, "mysql")
	metrics := prometheusmanual.NewProvider(c, "metrics")
	news := func(text string) func(context.Context, *reactive.Hook) error {
		return func(_ context.Context, h *reactive.Hook) error {
			h.Log().Info("news: " + text)
			return nil
		}
	}
	c.Handle("install", flags.Unless(installed), news("install"))
	c.Handle("config", flags.When(c.ConfigChanged()), news("config"))
	c.Handle("remote data", flags.When(db.Changed()), func(ctx context.Context, h *reactive.Hook) error {
		h.Clear(db.Changed())
		return news("remote data")(ctx, h)
	})
	c.HandleOnce("reactive/app.py:1:install", flags.When(installed), news("once"))
	c.Handle("register", flags.When(metrics.Joined()), func(ctx context.Context, h *reactive.Hook) error {
		return metrics.RegisterJob(ctx, prometheusmanual.Job{Name: "app", Data: map[string]any{
			"static_configs": []any{map[string]any{"targets": []string{"10.0.0.1:9100"}}}, "scrape_interval": "30s"}})
	})
	c.HandleEvery("count", func(_ context.Context, h *reactive.Hook) error {
		count, hooks := 0, 0
		if _, err := h.Data().Get("go.count", &count); err != nil {
			return err
		}
		if _, err := h.Data().Get("python.hooks", &hooks); err != nil {
			return err
		}
		h.Log().Info("python ran", "hooks", hooks, "departed", db.DepartedUnits().Len())
		odd, _ := h.Data().Raw("python.odd")
		if err := h.Data().Set("python.odd", odd); err != nil {
			return err
		}
		if err := h.Data().Set("go.text", "é \u2028 <&>"); err != nil {
			return err
		}
		return h.Data().Set("go.count", count+1)
	})
	return c
}

// A refreshStory is a unit app/0, related to db/0, db/1 and prom/0, whose charm
// is replaced while it lives.
type refreshStory struct {
	t      *testing.T
	juju   *jujusim.Model
	python jujusim.Charm
	seen   int // dispatches that were looked at
}

func newRefreshStory(t *testing.T) *refreshStory {
	t.Helper()
	if testing.Short() {
		t.Skip("starts many processes, of which the race detector sees nothing")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("needs python3")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tools := filepath.Join(t.TempDir(), "tools")
	if err := jujuc.Link(tools, self, simagent.ToolNames("")); err != nil {
		t.Fatal(err)
	}
	juju, err := jujusim.New(jujusim.Options{ToolsDir: tools})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { juju.Close() })
	dispatch, err := os.ReadFile("testdata/python/dispatch")
	if err != nil {
		t.Fatal(err)
	}
	s := &refreshStory{t: t, juju: juju, python: charmFiles(refreshedFile, string(dispatch))}
	s.do(juju.Deploy("app", s.python, jujusim.DeployOptions{}))
	s.do(juju.Deploy("db", charmFiles("{name: db, summary: s, description: d, provides: {app: {interface: mysql}}}",
		"#!/bin/sh\ncase $JUJU_HOOK_NAME in *-joined) relation-set 'conf={\"b\": 1.0, \"a\":[\"é\"]}' host=\"$JUJU_UNIT_NAME\";; esac\n"), jujusim.DeployOptions{Units: 2}))
	s.do(juju.Deploy("prom", charmFiles("{name: prom, summary: s, description: d, requires: {jobs: {interface: prometheus-manual}}}", "#!/bin/sh\n"), jujusim.DeployOptions{}))
	for _, pair := range [][2]string{{"app:db", "db:app"}, {"app:metrics", "prom:jobs"}} {
		_, err := juju.Relate(pair[0], pair[1])
		s.do(err)
	}
	s.do(juju.Settle(t.Context()))
	s.do(juju.RemoveUnit("db/1"))
	s.do(juju.Settle(t.Context()))
	s.do(juju.UpdateStatus("app/0"))
	s.do(juju.Settle(t.Context()))
	return s
}

func charmFiles(charmcraft, dispatch string) jujusim.Charm {
	return jujusim.Charm{Files: fstest.MapFS{
		"charmcraft.yaml": {Data: []byte(charmcraft), Mode: 0o644},
		"dispatch":        {Data: []byte(dispatch), Mode: 0o755 | fs.ModePerm},
	}}
}

func (s *refreshStory) do(err error) {
	s.t.Helper()
	if err != nil {
		for _, d := range s.juju.History() {
			if d.Exit != 0 {
				s.t.Logf("%s %s: %v", d.Unit, d.At, d.Log)
			}
		}
		s.t.Fatal(err)
	}
}

// refresh replaces the charm and lets two hooks of it run.
func (s *refreshStory) refresh(c jujusim.Charm) {
	s.t.Helper()
	s.hooks()
	s.do(s.juju.Upgrade("app", c))
	s.do(s.juju.Settle(s.t.Context()))
	s.do(s.juju.UpdateStatus("app/0"))
	s.do(s.juju.Settle(s.t.Context()))
}

// hooks returns the hooks of app/0 since the last call.
func (s *refreshStory) hooks() []*jujusim.Dispatch {
	var list []*jujusim.Dispatch
	history := s.juju.History()
	for _, d := range history[s.seen:] {
		if d.Unit == "app/0" {
			list = append(list, d)
		}
	}
	s.seen = len(history)
	return list
}

func (s *refreshStory) goCharm(mode string) jujusim.Charm {
	self, err := os.Executable()
	s.do(err)
	return charmFiles(refreshedFile, "#!/bin/sh\nexec '"+self+"' refreshed "+mode+"\n")
}

// quiet holds that a Go charm, in the hooks since, found nothing new and
// published nothing.
func (s *refreshStory) quiet() {
	s.t.Helper()
	for _, d := range s.hooks() {
		for _, line := range d.Log {
			if strings.Contains(line.Message, "news: ") {
				s.t.Errorf("%s: %s", d.At, line.Message)
			}
		}
		if len(d.Changes.Relations) > 0 {
			s.t.Errorf("%s: it published %+v", d.At, d.Changes.Relations)
		}
		for _, call := range d.Calls {
			if call.Tool == "relation-set" {
				s.t.Errorf("%s: relation-set", d.At)
			}
		}
	}
}

// A pythonSaw is what the Python charm prints in a hook.
type pythonSaw struct {
	News     []string
	Flags    []string
	Hooks    int
	Go       *int
	Text     *string
	Departed []json.RawMessage
}

// pythonHooks returns what the Python charm said in its hooks since.
func (s *refreshStory) pythonHooks() []pythonSaw {
	s.t.Helper()
	var list []pythonSaw
	for _, d := range s.hooks() {
		for _, line := range d.Log {
			if text, ok := strings.CutPrefix(line.Message, "{"); ok {
				var saw pythonSaw
				if err := json.Unmarshal([]byte("{"+text), &saw); err != nil {
					s.t.Fatal(err)
				}
				list = append(list, saw)
			}
		}
	}
	return list
}

func (s *refreshStory) dir() string {
	for _, d := range s.juju.History() {
		if d.Unit == "app/0" {
			return d.Getenv("CHARM_DIR")
		}
	}
	return ""
}

// TestRefreshFromPythonAndBack refreshes a unit whose charm really is a Python
// program to a Go charm, and with Keep back to the Python charm and forth again.
// Neither finds anything new, and each finds what the other stored.
func TestRefreshFromPythonAndBack(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"upgrade", "keep"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newRefreshStory(t)
			hooks := s.pythonHooks()
			last := hooks[len(hooks)-1]
			if len(last.News) > 0 || len(last.Departed) != 1 {
				t.Fatalf("the Python charm is not at rest: %+v", last)
			}
			s.refresh(s.goCharm(mode))
			s.quiet()
			if mode == "upgrade" {
				return
			}
			s.refresh(s.python)
			hooks = s.pythonHooks()
			for _, saw := range hooks {
				if len(saw.News) > 0 || saw.Go == nil || saw.Text == nil || *saw.Text != "é \u2028 <&>" {
					t.Errorf("the Python charm finds %+v", saw)
				}
			}
			if diff := cmp.Diff(slices.Insert(slices.Clone(last.Flags), 1, "app.seen-go"), hooks[len(hooks)-1].Flags); diff != "" {
				t.Errorf("flags (-before +after):\n%s", diff)
			}
			s.refresh(s.goCharm("keep"))
			s.quiet()
		})
	}
}

// TestRefreshFaults refreshes a unit whose file has a fault. Each time the hook
// fails with an error that says what it is, and leaves the file as it is; when
// the fault is mended, nothing was lost.
func TestRefreshFaults(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"upgrade", "keep"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			s := newRefreshStory(t)
			path := filepath.Join(s.dir(), ".unit-state.db")
			python := func(script string) {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), "python3", "-c", "import os, sqlite3\npath = '.unit-state.db'\n"+script)
				cmd.Dir = s.dir()
				if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(script, "os.kill") {
					t.Fatalf("%v: %s", err, out)
				}
			}
			good := readFile(t, path)
			s.do(s.juju.Upgrade("app", s.goCharm(mode)))
			for i, fault := range []struct{ script, want string }{
				{"os.truncate(path, os.path.getsize(path) - 1)", "damaged: it ends after"},
				{"os.truncate(path, 50)", "damaged: it ends after 50 bytes"},
				{"open(path, 'w').write('just text')", "not the unit state of a charm: it is no SQLite database"},
				{"os.remove(path); sqlite3.connect(path).execute('create table moz_cookies (id)')", "not the unit state of a charm: it has neither"},
				{"sqlite3.connect(path).execute('alter table kv add column expires')", "of a newer format: its table kv has 3 columns"},
				{"sqlite3.connect(path).execute('pragma user_version = 2')", "of a newer format: its version is 2"},
			} {
				python(fault.script)
				bad := readFile(t, path)
				if i > 0 {
					s.do(s.juju.Resolve("app/0", true))
				}
				err := s.juju.Settle(t.Context())
				if err == nil || !strings.Contains(err.Error(), "upgrade-charm failed") || !strings.Contains(err.Error(), path+": "+fault.want) {
					t.Fatalf("%s: error %v, want %s", fault.script, err, fault.want)
				}
				if !bytes.Equal(bad, readFile(t, path)) {
					t.Fatalf("%s: the file was changed", fault.script)
				}
				if err := os.WriteFile(path, good, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// The Python charm was killed in the middle of a large transaction.
			python("c = sqlite3.connect(path)\nc.execute('pragma cache_size=1')\nc.execute('update kv set data = 0')\n" +
				"c.executemany('insert into kv values (?, 1)', [('x' * 100 + str(i),) for i in range(5000)])\nos.kill(os.getpid(), 9)")
			if _, err := os.Stat(path + "-journal"); err != nil || bytes.Equal(good, readFile(t, path)) {
				t.Fatalf("there is no unfinished transaction: %v", err)
			}
			s.hooks()
			s.do(s.juju.Resolve("app/0", true))
			s.do(s.juju.Settle(t.Context()))
			s.quiet()
		})
	}
}
