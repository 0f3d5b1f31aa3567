package reactivetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	rt "github.com/charmed-go/charms/reactive/reactivetest"
)

var versions = []string{"3.6.28", "4.0.15"}

// full is a state with something of everything.
func full(version string) rt.State {
	s := rt.State{
		Leader: true,
		Config: map[string]any{"port": 8080, "title": "x"},
		Relations: []rt.Relation{
			{Endpoint: "db", ID: 7, Units: map[string]map[string]string{"pg/0": {"host": "a"}, "pg/1": {"host": "b"}}, RemoteAppData: map[string]string{"version": "16"}},
			{Endpoint: "cluster", Units: map[string]map[string]string{"web/1": nil}, LocalAppData: map[string]string{"k": "v"}},
			{Endpoint: "site", RemoteApp: "proxy", RemoteModel: "e1e10000-0bad-400d-8000-4b1d0d06f00d", LocalData: map[string]string{"old": "1"}},
		},
		Flags: []string{"b.flag", "a.flag"},
		Data: map[string]any{
			"web.map": map[string]any{"n": 1.5, "list": []any{true, nil, "x"}}, "web.n": 3,
		},
		CharmState:        map[string]string{"mine": "1"},
		Ports:             []string{"80/tcp", "9000-9100/udp (db, site)", "icmp"},
		Status:            reactive.Active("fine"),
		ApplicationStatus: reactive.Maintenance("busy"),
		WorkloadVersion:   "1.2",
		Secrets: []rt.Secret{
			{Owner: hooktool.OwnerApplication, Label: "own", Rotate: hooktool.RotateDaily, Expire: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),
				Revisions: map[int]map[string]string{1: {"key": "one"}, 2: {"key": "two"}}, Grants: []rt.Grant{{To: "pg", Relation: 7}}},
			{Owner: "pg", Label: "theirs", Revisions: map[int]map[string]string{3: {"key": "three"}}, Tracked: 3},
		},
		Storage:     []rt.Storage{{ID: "data/0"}, {ID: "disk/1", Location: "/dev/sdb"}},
		Resources:   map[string]string{"binary": "/tmp/binary"},
		JujuVersion: version,
		Cloud: &hooktool.CloudSpec{Type: "lxd", Name: "localhost", CACertificates: []string{"ca"},
			Credential: hooktool.CloudCredential{AuthType: "certificate", Attributes: map[string]string{"client-cert": "c"}}},
		Unit:    "web/0",
		Address: "10.1.1.1",
		Model:   rt.Model{Name: "m", UUID: "00000000-0bad-400d-8000-4b1d0d06f00d"},
	}
	if version[0] == '3' {
		s.LeaderSettings = map[string]string{"s": "t"}
	}
	return s
}

// A hook in which the charm does nothing leaves the state as it was, and never
// changes the one that came in.
func TestStateComesBack(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		in := full(version)
		out := rt.Run(t, web, in, rt.Exec()).State
		if !reflect.DeepEqual(in, full(version)) {
			t.Errorf("%s: the state that went in is now %+v", version, in)
		}
		if again := rt.Run(t, web, out, rt.Exec()).State; !reflect.DeepEqual(again, out) {
			t.Errorf("%s: the state changes from hook to hook:\n%+v\n%+v", version, out, again)
		}
		// What comes back is what went in, with the defaults filled in and what
		// the handlers did that see the configuration for the first time.
		want := full(version)
		want.Status = reactive.Active("port 8080")
		slices.Sort(want.Flags)
		slices.Sort(want.Ports)
		want.Flags = slices.Insert(want.Flags, 2, "endpoint.cluster.joined", "endpoint.db.changed", "endpoint.db.changed.host", "endpoint.db.joined")
		for i := range out.Relations {
			want.Relations[i].ID = out.Relations[i].ID
		}
		for i := range out.Secrets {
			want.Secrets[i].ID = out.Secrets[i].ID
		}
		if !reflect.DeepEqual(out.Secrets, want.Secrets) {
			t.Errorf("%s: secrets are %+v, want %+v", version, out.Secrets, want.Secrets)
		}
		if !reflect.DeepEqual(out.Storage, want.Storage) || !reflect.DeepEqual(out.Ports, want.Ports) || !reflect.DeepEqual(out.Config, want.Config) {
			t.Errorf("%s: storage %v, ports %v, config %v", version, out.Storage, out.Ports, out.Config)
		}
		if out.Status != want.Status || out.ApplicationStatus != want.ApplicationStatus || out.WorkloadVersion != "1.2" {
			t.Errorf("%s: status %v, %v, version %q", version, out.Status, out.ApplicationStatus, out.WorkloadVersion)
		}
		if !reflect.DeepEqual(out.LeaderSettings, want.LeaderSettings) || out.CharmState["mine"] != "1" {
			t.Errorf("%s: leader settings %v, charm state %v", version, out.LeaderSettings, out.CharmState)
		}
		if got := fmt.Sprint(out.Data["web.map"], out.Data["web.n"]); got != "map[list:[true <nil> x] n:1.5] 3" {
			t.Errorf("%s: data is %s", version, got)
		}
		if got := out.Relations[0].Units; !reflect.DeepEqual(got, want.Relations[0].Units) {
			t.Errorf("%s: units are %v", version, got)
		}
	}
}

// Many tests may use one state at the same time: the race detector watches.
func TestParallel(t *testing.T) {
	t.Parallel()
	s := full("4.0.15")
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			rt.Run(t, web, s, rt.ConfigChanged())
		})
	}
}

func TestHookChangesTheState(t *testing.T) {
	t.Parallel()
	r := rt.Run(t, web, rt.State{Config: map[string]any{"port": 8080}}, rt.ConfigChanged())
	if !slices.Equal(r.Handlers(), []string{"follow configuration"}) || !r.Ran("follow configuration") || r.Ran("publish") {
		t.Errorf("handlers are %q", r.Handlers())
	}
	if got := fmt.Sprint(r.State.Status, r.State.Ports); got != "{active port 8080} [80/tcp]" {
		t.Errorf("status and ports are %s", got)
	}
	if !r.Logged("the port is set") || r.Logged("nothing of the kind") {
		t.Errorf("the log is %v", r.Log)
	}
	changed := flags.New("config.changed.port")
	if !r.WasSet(changed) || r.IsSet(changed) {
		t.Errorf("config.changed.port: set in the hook %v, set after it %v", r.WasSet(changed), r.IsSet(changed))
	}
	if r = rt.Run(t, web, r.State, rt.ConfigChanged()); r.Ran("follow configuration") || r.WasSet(changed) {
		t.Errorf("the second config-changed ran %q", r.Handlers())
	}
}

func TestFailedHookKeepsNothing(t *testing.T) {
	t.Parallel()
	r := rt.RunFailing(t, web, rt.State{Config: map[string]any{"port": 13}, Flags: []string{"x"}}, rt.ConfigChanged())
	var failed *reactive.HandlerError
	if !errors.As(r.Err, &failed) || failed.Handler != "follow configuration" {
		t.Errorf("the error is %v", r.Err)
	}
	if !slices.Equal(r.State.Flags, []string{"x"}) || r.State.Data != nil || r.State.Ports != nil {
		t.Errorf("the state is %+v", r.State)
	}
}

func TestRelationLife(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		db := rt.Relation{Endpoint: "db"}
		s := rt.State{JujuVersion: version, Relations: []rt.Relation{db}}
		s = rt.Run(t, web, s, rt.RelationCreated(db)).State
		s.Relations[0].Units = map[string]map[string]string{"remote/0": {"host": "a"}}
		r := rt.Run(t, web, s, rt.RelationJoined(db, "remote/0"))
		if got := r.State.Data["web.databases"]; got != 1.0 {
			t.Errorf("%s: after -joined there are %v databases", version, got)
		}
		r = rt.Run(t, web, r.State, rt.RelationChanged(db, "remote/0"))
		if r.Ran("use the database") {
			t.Errorf("%s: -changed without a change ran %q", version, r.Handlers())
		}
		r.State.Relations[0].Units["remote/0"]["host"] = "b"
		r = rt.Run(t, web, r.State, rt.RelationChanged(db, "remote/0"))
		if !r.Ran("use the database") {
			t.Errorf("%s: -changed with a change ran %q", version, r.Handlers())
		}
		r = rt.Run(t, web, r.State, rt.RelationAppChanged(db))
		for _, departed := range []rt.Event{rt.RelationDeparted(db, "remote/0"), rt.RelationDepartedSelf(db, "remote/0")} {
			after := rt.Run(t, web, r.State, departed).State
			if got := after.Data["web.databases"]; got != 0.0 || len(after.Relation(db).Units) != 0 {
				t.Errorf("%s: after -departed there are %v databases, and %v", version, got, after.Relation(db))
			}
			after = rt.Run(t, web, after, rt.RelationBroken(db)).State
			if len(after.Relations) != 0 {
				t.Errorf("%s: after -broken there is %v", version, after.Relations)
			}
		}
	}
}

func TestOnlyTheLeaderWritesForTheApplication(t *testing.T) {
	t.Parallel()
	cluster := rt.Relation{Endpoint: "cluster", Units: map[string]map[string]string{"web/1": nil}}
	for _, leader := range []bool{true, false} {
		s := rt.State{Unit: "web/0", Leader: leader, Relations: []rt.Relation{cluster}}
		r := rt.Run(t, web, s, rt.RelationChanged(cluster, "web/1"))
		got := r.State.Relation(cluster).LocalAppData["leader"]
		if want := map[bool]string{true: "web/0"}[leader]; got != want {
			t.Errorf("leader %v: the application says %q, want %q", leader, got, want)
		}
	}
}

// Beside a subordinate, and beside its principal.
func TestContainerScope(t *testing.T) {
	t.Parallel()
	beside := rt.Relation{Endpoint: "beside", Units: map[string]map[string]string{"sub/0": {"k": "v"}}}
	r := rt.Run(t, web, rt.State{Relations: []rt.Relation{beside}}, rt.RelationJoined(beside, "sub/0"))
	if got := r.State.Relation(beside).Units["sub/0"]["k"]; got != "v" {
		t.Errorf("the relation is %v", r.State.Relation(beside))
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	for _, version := range versions {
		s := rt.State{JujuVersion: version}
		a := rt.Run(t, web, s, rt.Action("add", map[string]any{"a": 3})).Action
		if a.Failed || fmt.Sprint(a.Results) != "map[sum:5]" {
			t.Errorf("%s: add answers %+v", version, a)
		}
		a = rt.Run(t, web, s, rt.Action("break", nil)).Action
		if !a.Failed || a.Message != "out of paper" || !slices.Equal(a.Log, []string{"about to break"}) {
			t.Errorf("%s: break answers %+v", version, a)
		}
	}
}

func TestSecretContentIsNotShown(t *testing.T) {
	t.Parallel()
	r := rt.Run(t, web, rt.State{Leader: true}, rt.LeaderElected())
	secret, ok := r.State.Secret("admin")
	if !ok || secret.Revisions[1]["password"] != "hush-hush" || secret.Owner != hooktool.OwnerApplication {
		t.Errorf("the secret is %+v", secret)
	}
	i := slices.IndexFunc(r.Calls, func(c rt.Call) bool { return c.Tool == "secret-add" })
	if i < 0 || strings.Contains(r.Calls[i].String(), "hush") || strings.Contains(r.Calls[i].String(), "aHVzaC1odXNo") {
		t.Errorf("the calls are %v", r.Calls)
	}
}

func TestTwice(t *testing.T) {
	t.Parallel()
	charm := web
	charm.Twice = true
	for _, e := range []rt.Event{rt.Start(), rt.ConfigChanged(), rt.Action("add", map[string]any{"a": 1})} {
		if _, err := charm.Run(t.Context(), rt.State{}, e); err != nil {
			t.Errorf("%s: %v", e, err)
		}
	}
	_, err := charm.Run(t.Context(), rt.State{}, rt.UpdateStatus())
	var repeat *rt.RepeatError
	if !errors.As(err, &repeat) || len(repeat.Calls) != 1 || repeat.Calls[0].Tool != "state-set" {
		t.Fatalf("a hook that counts its runs gives %v", err)
	}
	if !strings.HasPrefix(err.Error(), "update-status ran a second time, with nothing new, and wrote: state-set") {
		t.Errorf("the error reads %v", err)
	}
	// The first run's writes are none of the second's.
	site := rt.Relation{Endpoint: "site", Units: map[string]map[string]string{"proxy/0": nil}}
	if _, err := charm.Run(t.Context(), rt.State{Relations: []rt.Relation{site}}, rt.RelationJoined(site, "proxy/0")); err != nil {
		t.Error(err)
	}
}

// A request that the first run answers is not new any more in the second: that
// the framework clears the flag is no mistake of the charm's, and the result is
// that of the first run. A flag that never comes to rest is one.
func TestTwiceBringsFlagsUpToDate(t *testing.T) {
	t.Parallel()
	type volume struct {
		Name string `json:"name"`
	}
	db := rt.Relation{Endpoint: "site", Units: map[string]map[string]string{"proxy/0": {"request_a": `{"name": "x", "request_id": "a"}`}}}
	state := rt.State{Relations: []rt.Relation{db}}
	charm := func(restless bool) rt.Charm {
		return rt.Charm{Twice: true, Files: web.Files, New: func() *reactive.Charm {
			c := reactive.New("web")
			site := reactive.NewResponder[volume, volume](c.Endpoint("site", charmfile.Provider, "http"))
			c.Handle("answer", flags.When(site.NewRequests()), func(ctx context.Context, h *reactive.Hook) error {
				for _, request := range site.Unanswered() {
					if err := site.Respond(ctx, request, request.Fields()); err != nil {
						return err
					}
				}
				return nil
			})
			if restless {
				site.ManageFlags(func(_ context.Context, h *reactive.Hook) error {
					h.Toggle(site.Flag("odd"), !h.IsSet(site.Flag("odd")))
					return nil
				})
			}
			return c
		}}
	}
	result := rt.Run(t, charm(false), state, rt.RelationChanged(db, "proxy/0"))
	if result.State.Relation(db).LocalData["response_a"] == "" || !slices.Contains(result.State.Flags, "endpoint.site.new_requests") {
		t.Errorf("the answer is in %v, the flags are %q", result.State.Relation(db).LocalData, result.State.Flags)
	}
	_, err := charm(true).Run(t.Context(), state, rt.RelationChanged(db, "proxy/0"))
	const want = "site-relation-changed ran a third time, with nothing new, and wrote: state-set --file - (flag endpoint.site.odd set)"
	var repeat *rt.RepeatError
	if !errors.As(err, &repeat) || err.Error() != want {
		t.Errorf("a flag that never comes to rest gives %v", err)
	}
}

// What the framework itself keeps is written once, in every hook.
func TestTwiceInEveryHook(t *testing.T) {
	t.Parallel()
	quiet := rt.Charm{Twice: true, Files: web.Files, New: func() *reactive.Charm {
		c := reactive.New("web")
		db := c.Endpoint("db", charmfile.Requirer, "pgsql")
		cluster := c.Endpoint("cluster", charmfile.Peer, "cluster")
		data := c.Storage("data")
		binary := c.Resource("binary")
		settings := c.LeadershipSettings(cluster)
		watched := flags.WhenAny(db.Joined(), db.Changed("host"), db.Departed(), cluster.Joined(), data.Attached(), data.Detaching(),
			binary.Available(), settings.Changed("mode"), c.SecretChanged(), c.SecretRotate(), c.SecretExpired(), c.SecretRemovable(), c.ConfigChanged("port"))
		c.HandleLeader("declare", flags.Unless(c.Flag("web.stopped")), func(ctx context.Context, l *reactive.Leader) error {
			l.SetPorts(hooktool.PortRange{From: 80}, hooktool.PortRange{From: 8000, To: 8010, Protocol: "udp"})
			l.SetStatus(reactive.Active("fine"))
			settings.Set(l, map[string]string{"mode": "fast"})
			secret, err := l.SetSecret(ctx, hooktool.Secret{Label: "admin", Content: map[string]string{"password": "hush-hush"}})
			if err != nil {
				return err
			}
			for rel := range db.Relations().Values() {
				if err := secret.Grant(ctx, rel); err != nil {
					return err
				}
			}
			return nil
		})
		c.Handle("watch", watched, func(context.Context, *reactive.Hook) error { return nil })
		return c
	}}
	for _, version := range versions {
		db := rt.Relation{Endpoint: "db", ID: 7, RemoteApp: "pg"}
		pg, web1 := map[string]map[string]string{"pg/0": {"host": "a"}}, map[string]map[string]string{"web/1": {"a": "b"}}
		cluster := rt.Relation{Endpoint: "cluster", ID: 8}
		own := rt.Secret{Owner: hooktool.OwnerUnit, Label: "own", Rotate: hooktool.RotateDaily, Expire: time.Now().Add(time.Hour), Tracked: 2,
			Revisions: map[int]map[string]string{1: {"key": "v"}, 2: {"key": "w"}}}
		theirs := rt.Secret{Owner: "pg", Label: "theirs", Revisions: own.Revisions, Tracked: 1}
		s := rt.State{Leader: true, JujuVersion: version, Relations: []rt.Relation{db, cluster}, Secrets: []rt.Secret{own, theirs},
			Storage: []rt.Storage{{ID: "data/0"}}, Resources: map[string]string{"binary": "/tmp/binary"}}
		step := func(e rt.Event) {
			t.Helper()
			s = rt.Run(t, quiet, s, e).State
		}
		step(rt.StorageAttached("data/0"))
		step(rt.Install())
		step(rt.RelationCreated(db))
		step(rt.RelationCreated(cluster))
		step(rt.LeaderElected())
		step(rt.ConfigChanged())
		step(rt.Start())
		s.Relations[0].Units, s.Relations[1].Units = pg, web1
		step(rt.RelationJoined(db, "pg/0"))
		step(rt.RelationChanged(db, "pg/0"))
		step(rt.RelationAppChanged(db))
		step(rt.RelationJoined(cluster, "web/1"))
		step(rt.RelationChanged(cluster, "web/1"))
		step(rt.SecretChanged(theirs))
		step(rt.SecretRotate(own))
		step(rt.SecretExpired(own, 2))
		step(rt.SecretRemove(own, 1))
		step(rt.UpdateStatus())
		step(rt.UpgradeCharm())
		step(rt.Exec())
		step(rt.RelationDeparted(cluster, "web/1"))
		step(rt.RelationDepartedSelf(db, "pg/0"))
		step(rt.RelationBroken(db))
		step(rt.StorageDetaching("data/0"))
		step(rt.Stop())
		step(rt.Remove())
	}
}

// The cloud's credential is for applications that are trusted with it.
func TestCloud(t *testing.T) {
	t.Parallel()
	asking := rt.Charm{Files: web.Files, New: func() *reactive.Charm {
		c := reactive.New("web")
		c.HandleEvery("ask", func(ctx context.Context, h *reactive.Hook) error {
			cloud, err := h.Tools().CredentialGet(ctx)
			if err != nil {
				return err
			}
			h.SetStatus(reactive.Active(cloud.Name + " " + cloud.CACertificates[0] + " " + cloud.Credential.Attributes["client-cert"]))
			return nil
		})
		return c
	}}
	for _, version := range versions {
		s := rt.State{JujuVersion: version, Cloud: full(version).Cloud}
		if got := rt.Run(t, asking, s, rt.Start()).State.Status.Message; got != "localhost ca c" {
			t.Errorf("%s: the cloud is %q", version, got)
		}
		r := rt.RunFailing(t, asking, rt.State{JujuVersion: version}, rt.Start())
		if !errors.Is(r.Err, hooktool.ErrPermission) {
			t.Errorf("%s: the error is %v", version, r.Err)
		}
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	charm := web
	charm.Dir = t.TempDir()
	rt.Run(t, charm, rt.State{}, rt.UpdateStatus())
	if _, err := os.Stat(filepath.Join(charm.Dir, "charmcraft.yaml")); err != nil {
		t.Error(err)
	}
	charm.Files = nil
	rt.Run(t, charm, rt.State{}, rt.UpdateStatus())
	for _, broken := range []rt.Charm{{}, {New: newWeb}, {New: newWeb, Dir: t.TempDir()}} {
		if _, err := broken.Run(t.Context(), rt.State{}, rt.UpdateStatus()); err == nil {
			t.Errorf("%+v ran", broken)
		}
	}
}

// A double stands for a test that is meant to fail.
type double struct {
	testing.TB
	failed string
}

func (d *double) Fatalf(format string, args ...any) {
	d.failed = fmt.Sprintf(format, args...)
	panic(d)
}

func fails(t *testing.T, fn func(t testing.TB)) (message string) {
	d := &double{TB: t}
	defer func() {
		if v := recover(); v != nil && v != any(d) {
			panic(v)
		}
		message = d.failed
	}()
	fn(d)
	return ""
}

func TestRunFailsTheTest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		says string
		run  func(t testing.TB)
	}{
		{"config-changed failed: hook config-changed: handler", func(t testing.TB) {
			rt.Run(t, web, rt.State{Config: map[string]any{"port": 13}}, rt.ConfigChanged())
		}},
		{"config-changed went well, but was meant to fail", func(t testing.TB) { rt.RunFailing(t, web, rt.State{}, rt.ConfigChanged()) }},
		{"cannot run start: the state and the event do not fit:\n- State.Config has \"prt\"", func(t testing.TB) {
			rt.Run(t, web, rt.State{Config: map[string]any{"prt": 1}}, rt.Start())
		}},
		{"", func(t testing.TB) { rt.Run(t, web, rt.State{}, rt.ConfigChanged()) }},
	} {
		if got := fails(t, test.run); !strings.HasPrefix(got, test.says) || (got == "") != (test.says == "") {
			t.Errorf("the test fails with %q, want %q", got, test.says)
		}
	}
}
