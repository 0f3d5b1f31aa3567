package sqlitefile_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// configured is an agent whose configuration has options.
type configured struct {
	*logged
	options string
}

func (c *configured) Call(ctx context.Context, call hooktool.Call) (hooktool.Result, error) {
	if call.Tool == "config-get" {
		return hooktool.Result{Stdout: []byte(c.options)}, nil
	}
	return c.logged.Call(ctx, call)
}

// TestOptionsSeen refreshes a unit to a Go charm: options that the Python charm
// saw with the value that they have do not count as changed.
func TestOptionsSeen(t *testing.T) {
	t.Parallel()
	// Values as Juju and charmhelpers write them.
	const now = `{"port":8080,"title":"ü","debug":false,"ratio":0.5}`
	for _, test := range []struct{ name, file, want string }{
		{"as they were", `{"port": 8080, "title": "\u00fc", "debug": false, "ratio": 0.5, "unset": null}`, ""},
		{"with data of the charm's own", `{"port": 8080, "title": "\u00fc", "debug": false, "ratio": 0.5, "mine": {"a": 1}}`, ""},
		{"one is new", `{"port": 8080, "title": "\u00fc", "debug": false}`, "config.changed config.changed.ratio"},
		{"one changed", `{"port": 80, "title": "\u00fc", "debug": false, "ratio": 0.5}`, "config.changed config.changed.port"},
		{"nothing noted", ``, "config.changed config.changed.debug config.changed.port config.changed.ratio config.changed.title"},
		{"no JSON", `{"port": `, "config.changed config.changed.debug config.changed.port config.changed.ratio config.changed.title"},
	} {
		for name, open := range map[string]func(*hooktool.Client, hooktool.Process) (unitdata.Store, error){
			"upgrade": sqlitefile.Upgrade, "keep": sqlitefile.Keep,
		} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				o, _ := sample(t, "unit-state-sample.db")
				dir := filepath.Dir(o.Path)
				files := map[string]string{
					"metadata.yaml": "name: app\nsummary: s\ndescription: d\n",
					"config.yaml": "options: {port: {type: int}, title: {type: string}, debug: {type: boolean}, " +
						"ratio: {type: float}, unset: {type: string}}\n",
				}
				if test.file != "" {
					files[".juju-persistent-config"] = test.file
				}
				for name, text := range files {
					if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				a := newAgent()
				tools := &configured{&logged{agent: a}, now}
				var changed []string
				charm := func() *reactive.Charm {
					c := reactive.New("app")
					c.Store(open)
					installed := c.Flag("app.installed")
					c.ConfigChanged()
					c.Handle("look", flags.When(installed), func(_ context.Context, h *reactive.Hook) error {
						for _, f := range h.Flags().List() {
							if strings.HasPrefix(f.String(), "config.changed") {
								changed = append(changed, f.String())
							}
						}
						return nil
					})
					return c
				}
				hook := func(name string) string {
					changed = nil
					err := reactive.Dispatch(t.Context(), charm, hooktool.Process{
						Dir:   dir,
						Tools: tools,
						Env: []string{"JUJU_UNIT_NAME=app/0", "JUJU_CONTEXT_ID=app/0-" + name, "JUJU_HOOK_NAME=" + name,
							"JUJU_DISPATCH_PATH=hooks/" + name, "JUJU_VERSION=3.6.28"},
					})
					if err != nil {
						t.Fatal(err)
					}
					a.commit()
					slices.Sort(changed)
					return strings.Join(slices.Compact(changed), " ")
				}
				if got := hook("upgrade-charm"); got != test.want {
					t.Errorf("in the first hook %q are set, want %q", got, test.want)
				}
				if got := hook("update-status"); got != "" {
					t.Errorf("in the second hook %q are set", got)
				}
				tools.options = strings.Replace(now, "8080", "8081", 1)
				if got := hook("config-changed"); got != "config.changed config.changed.port" {
					t.Errorf("after a change %q are set", got)
				}
				if logs := tools.log.String(); strings.Contains(logs, "cannot read the options") != (test.name == "no JSON") {
					t.Errorf("log: %s", logs)
				}
			})
		}
	}
}
