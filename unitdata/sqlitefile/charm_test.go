package sqlitefile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// TestUpgradeStory refreshes a unit from a Python charm to a Go charm, whose
// handlers run on the flags that the Python charm left.
func TestUpgradeStory(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		open func(*hooktool.Client, hooktool.Process) (unitdata.Store, error)
		left string // where the file is after two hooks
	}{
		{"upgrade", sqlitefile.Upgrade, ".unit-state.db.imported"},
		{"keep", sqlitefile.Keep, ".unit-state.db"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o, _ := sample(t, "unit-state-sample.db")
			dir := filepath.Dir(o.Path)
			if err := os.WriteFile(filepath.Join(dir, "metadata.yaml"), []byte("name: app\nsummary: s\ndescription: d\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			a := newAgent()
			tools := &logged{agent: a}
			var ran []string
			charm := func() *reactive.Charm {
				c := reactive.New("app")
				c.Store(test.open)
				installed, started := c.Flag("app.installed"), c.Flag("app.started")
				c.Handle("install", flags.Unless(installed), func(context.Context, *reactive.Hook) error {
					ran = append(ran, "install")
					return nil
				})
				c.Handle("stop", flags.When(started), func(_ context.Context, h *reactive.Hook) error {
					ran = append(ran, "stop")
					h.Clear(started)
					return nil
				})
				return c
			}
			for _, hook := range []string{"upgrade-charm", "config-changed"} {
				err := reactive.Dispatch(t.Context(), charm, hooktool.Process{
					Dir:   dir,
					Tools: tools,
					Env: []string{"JUJU_UNIT_NAME=app/0", "JUJU_CONTEXT_ID=app/0-" + hook, "JUJU_HOOK_NAME=" + hook,
						"JUJU_DISPATCH_PATH=hooks/" + hook, "JUJU_VERSION=3.6.28"},
				})
				if err != nil {
					t.Fatal(err)
				}
				a.commit()
			}
			if got := strings.Join(ran, " "); got != "stop" {
				t.Errorf("ran %s, want stop once", got)
			}
			names, err := filepath.Glob(o.Path + "*")
			if err != nil || len(names) != 1 || filepath.Base(names[0]) != test.left {
				t.Errorf("left %v, %v, want %s", names, err, test.left)
			}
			if took := bytes.Contains(tools.log.Bytes(), []byte("took over from "+o.Path+": 13 flags")); took != (test.name == "upgrade") {
				t.Errorf("log: %s", tools.log.String())
			}
		})
	}
}

// logged is an agent that also takes log messages and has no relations.
type logged struct {
	*agent
	log bytes.Buffer
}

func (l *logged) Call(ctx context.Context, call hooktool.Call) (hooktool.Result, error) {
	switch call.Tool {
	case "juju-log":
		_, err := io.WriteString(&l.log, strings.Join(call.Args, " ")+"\n")
		return hooktool.Result{}, err
	case "relation-ids":
		return hooktool.Result{Stdout: []byte("[]")}, nil
	case "config-get", "state-get", "state-set", "state-delete":
		if call.Tool == "config-get" {
			return hooktool.Result{Stdout: []byte("{}")}, nil
		}
		return l.agent.Call(ctx, call)
	}
	return hooktool.Result{}, errors.New("no tool " + call.Tool)
}
