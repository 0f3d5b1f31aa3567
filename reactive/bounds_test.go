package reactive_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

// relate gives the unit of a bench the relation db:1, in which remote units have
// the given data.
func (b *bench) relate(remote map[string]map[string]string, app map[string]string) {
	r := &model.Relation{ID: 1, Interface: "kv", Units: model.NewUnits("app/0"), Data: map[string]model.Bag{"app/0": {}, "app": {}, "back": app},
		Joined: map[string]model.Units{"app/0": {}},
		Endpoints: []model.RelationEndpoint{
			{Application: "app", Name: "db", Role: model.Requirer}, {Application: "back", Name: "site", Role: model.Provider},
		}}
	b.model.Applications["app"].Endpoints = []model.Endpoint{{Name: "db", Role: model.Requirer, Interface: "kv"}}
	b.model.Applications["back"] = &model.Application{Units: map[string]*model.Unit{}}
	for name, data := range remote {
		b.model.Applications["back"].Units[name] = &model.Unit{}
		r.Units.Add(name)
		r.Joined["app/0"].Add(name)
		r.Data[name] = data
	}
	b.model.Relations = []*model.Relation{r}
}

// relationHook runs a hook of the relation db:1 about a unit, or about the
// application if that is "".
func (b *bench) relationHook(t *testing.T, kind, unit string, build func(c *reactive.Charm)) error {
	t.Helper()
	a, err := agent.New(b.model, agent.Execution{Unit: "app/0", Hook: "db-relation-" + kind, Relation: "db:1", RemoteUnit: unit, RemoteApp: "back", CharmDir: b.dir})
	if err != nil {
		t.Fatal(err)
	}
	err = reactive.Dispatch(context.Background(), func() *reactive.Charm {
		c := reactive.New("app")
		build(c)
		return c
	}, hooktool.Process{Env: a.Env(), Dir: b.dir, Tools: a})
	exit := agent.Exit{}
	if err != nil {
		exit.Code = 1
	}
	result, finishErr := a.Finish(exit)
	if finishErr != nil {
		t.Fatal(finishErr)
	}
	return errors.Join(err, result.Err)
}

func (b *bench) stateSize() int {
	size := 0
	for key, value := range b.model.Applications["app"].Units["app/0"].State {
		size += len(key) + len(value)
	}
	return size
}

func justDatabase(c *reactive.Charm) { c.Endpoint("db", charmfile.Requirer, "kv") }

// A remote unit cannot fill what a unit can keep, whatever it publishes.
func TestRemoteCannotFillTheState(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]func() map[string]string{
		"many long keys": func() map[string]string {
			m := make(map[string]string)
			for i := range 5000 {
				m[fmt.Sprintf("%s%d", strings.Repeat("k", 1000), i)] = "1"
			}
			return m
		},
		"a huge value": func() map[string]string { return map[string]string{"v": strings.Repeat("x", 3<<20)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.relate(map[string]map[string]string{"back/0": data()}, nil)
			for _, kind := range []string{"joined", "changed", "departed"} {
				must(t, b.relationHook(t, kind, "back/0", justDatabase))
				if got := b.stateSize(); got > 1<<20 {
					t.Errorf("after -%s the unit keeps %d bytes", kind, got)
				}
			}
		})
	}
}

// Units that depart leave nothing for ever, unless somebody asks for them.
func TestDepartedUnitsAreBounded(t *testing.T) {
	t.Parallel()
	type fields = map[string]any
	for name, build := range map[string]func(c *reactive.Charm){
		"plain": justDatabase,
		"responder": func(c *reactive.Charm) {
			reactive.NewResponder[fields, fields](c.Endpoint("db", charmfile.Requirer, "kv"))
		},
	} {
		b := newBench(t)
		for i := range 100 {
			unit := fmt.Sprintf("back/%d", i)
			b.relate(map[string]map[string]string{unit: {"request_x": `{"key": "` + strings.Repeat("s", 20_000) + `"}`}}, nil)
			must(t, b.relationHook(t, "joined", unit, build))
			must(t, b.relationHook(t, "departed", unit, build))
		}
		state := fmt.Sprint(b.model.Applications["app"].Units["app/0"].State)
		if b.stateSize() > 400_000 {
			t.Errorf("%s: the unit keeps %d bytes", name, b.stateSize())
		}
		if name == "responder" && strings.Contains(state, "sss") {
			t.Errorf("%s: what a departed unit had published is kept", name)
		}
	}
}

// Application data that was there before any unit joined is noticed.
func TestApplicationDataBeforeUnits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.relate(nil, map[string]string{"dsn": `"x"`})
	var saw []string
	build := func(c *reactive.Charm) {
		db := c.Endpoint("db", charmfile.Requirer, "kv")
		c.Handle("see", flags.When(db.Changed("dsn")), func(_ context.Context, h *reactive.Hook) error {
			saw = append(saw, h.Event().Hook)
			h.Clear(db.Changed("dsn"))
			return nil
		})
	}
	must(t, b.relationHook(t, "changed", "", build))
	must(t, b.relationHook(t, "changed", "", build))
	if !slices.Equal(saw, []string{"db-relation-changed"}) {
		t.Errorf("the change was seen in %q", saw)
	}
}

// An event for which a handler had no turn, because another one ended the hook,
// is told again until it had.
func TestEventsOutliveBlocked(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	app := b.model.Applications["app"]
	app.Config = map[string]*model.Option{"title": {Type: "string", Value: "a"}}
	blocked := true
	build := func(c *reactive.Charm) {
		license := c.Flag("licensed")
		c.Handle("early", flags.When(c.ConfigChanged()), nothing)
		c.Handle("wait for a licence", flags.Unless(license), func(context.Context, *reactive.Hook) error {
			if blocked {
				return reactive.Blocked("buy a licence")
			}
			return nil
		})
		c.Handle("configure", flags.When(c.ConfigChanged("title")), nothing)
		c.Handle("migrate", flags.When(c.Upgraded()), nothing)
	}
	for i, test := range []struct {
		hook    string
		blocked bool
		want    []string
	}{
		{"config-changed", true, []string{"early", "wait for a licence"}},
		{"upgrade-charm", true, []string{"wait for a licence"}},
		{"update-status", true, []string{"wait for a licence"}},
		{"update-status", false, []string{"wait for a licence", "configure", "migrate"}},
		{"update-status", false, []string{"wait for a licence"}},
	} {
		blocked = test.blocked
		record, err := b.run(t, test.hook, build)
		must(t, err)
		if got := ran(record); !slices.Equal(got, test.want) {
			t.Errorf("hook %d, %s: ran %q, want %q", i, test.hook, got, test.want)
		}
	}
}

// A panic is a hook error wherever the charm's code panics, and says where.
func TestPanicsAnywhere(t *testing.T) {
	t.Parallel()
	boom := func(context.Context, *reactive.Hook) error {
		var list []int
		_ = list[3]
		return nil
	}
	for name, build := range map[string]func(c *reactive.Charm){
		"handler":     func(c *reactive.Charm) { c.HandleEvery("boom", boom) },
		"ManageFlags": func(c *reactive.Charm) { c.Endpoint("db", charmfile.Requirer, "kv").ManageFlags(boom) },
		"OnLoad":      func(c *reactive.Charm) { c.Endpoint("db", charmfile.Requirer, "kv").OnLoad(boom) },
		"OnStart":     func(c *reactive.Charm) { c.OnStart(boom) },
		"StatusFunc": func(c *reactive.Charm) {
			c.StatusFunc(func(ctx context.Context, h *reactive.Hook) (reactive.Status, error) {
				return reactive.Status{}, boom(ctx, h)
			})
		},
		"wrong status": func(c *reactive.Charm) {
			c.HandleEvery("boom", func(_ context.Context, h *reactive.Hook) error {
				h.SetStatus(reactive.Status{State: "fine"})
				return nil
			})
		},
		"wrong status of StatusFunc": func(c *reactive.Charm) {
			c.StatusFunc(func(context.Context, *reactive.Hook) (reactive.Status, error) {
				return reactive.Status{State: "fine"}, nil
			})
		},
		"undeclared flag": func(c *reactive.Charm) {
			c.HandleEvery("boom", func(_ context.Context, h *reactive.Hook) error {
				h.Set(flags.Flag{})
				return nil
			})
		},
	} {
		_, err := newBench(t).run(t, "update-status", build)
		var panicked *reactive.PanicError
		if !errors.As(err, &panicked) {
			t.Errorf("%s: the error is %v", name, err)
		} else if name != "wrong status of StatusFunc" && !strings.Contains(err.Error(), "bounds_test.go:") {
			t.Errorf("%s: the error does not say where: %v", name, err)
		}
	}
}

// Progress of a unit that never said anything leaves it as one that is idle.
func TestProgressFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.run(t, "install", func(c *reactive.Charm) {
		c.HandleEvery("work", func(ctx context.Context, h *reactive.Hook) error { return h.Progress(ctx, "working") })
	})
	must(t, err)
	if got := b.model.Applications["app"].Units["app/0"].Status; got.Status != "maintenance" || got.Message != "" {
		t.Errorf("the status is %v", got)
	}
}

// A type that tells its input in its errors does not make it reach a log.
func TestMalformedDoesNotLeak(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.relate(map[string]map[string]string{"back/0": {"request_x": `{"at": "s3cr3t", "request_id": "x"}`}}, nil)
	var errs []error
	must(t, b.relationHook(t, "changed", "back/0", func(c *reactive.Charm) {
		r := reactive.NewResponder[struct {
			At leaky `json:"at"`
		}, struct{}](c.Endpoint("db", charmfile.Requirer, "kv"))
		c.HandleEvery("look", func(context.Context, *reactive.Hook) error { errs = r.Malformed(); return nil })
	}))
	if len(errs) != 1 {
		t.Fatalf("malformed are %v", errs)
	}
	for _, want := range []string{`"db"`, "back/0", "request_x", "db:1"} {
		if !strings.Contains(errs[0].Error(), want) {
			t.Errorf("the error does not say %s: %v", want, errs[0])
		}
	}
	if strings.Contains(errs[0].Error(), "s3cr3t") {
		t.Errorf("the error tells the value: %v", errs[0])
	}
}

// leaky is a type whose errors hold what could not be decoded.
type leaky struct{}

func (*leaky) UnmarshalJSON(data []byte) error { return fmt.Errorf("cannot decode %s", data) }
