package reactivetest_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
	rt "github.com/charmed-go/charms/reactive/reactivetest"
)

type bags = map[string]map[string]string

func related(r rt.Relation) rt.State { return rt.State{Relations: []rt.Relation{r}} }

func secret(s rt.Secret) rt.State {
	return rt.State{Leader: true, Relations: []rt.Relation{{Endpoint: "db", ID: 1, RemoteApp: "pg"}}, Secrets: []rt.Secret{s}}
}

// one is the content of a secret, in revision 1.
var one = map[int]map[string]string{1: {"key": "v"}}

func TestChecks(t *testing.T) {
	t.Parallel()
	db := rt.Relation{Endpoint: "db"}
	own := rt.Secret{Owner: hooktool.OwnerApplication, Label: "s", Revisions: one}
	theirs := rt.Secret{Owner: "pg", Label: "s", Revisions: one, Tracked: 1}
	two := map[int]map[string]string{1: {"key": "v"}, 2: {"key": "w"}}
	with := func(s rt.Secret, change func(*rt.Secret)) rt.Secret {
		change(&s)
		return s
	}
	quiet := rt.UpdateStatus()
	for _, test := range []struct {
		name  string
		state rt.State
		event rt.Event
		says  string // the whole problem, or its beginning before "…"
	}{
		{"unit", rt.State{Unit: "web"}, quiet, `State.Unit is "web", which is no unit name: write it like "web/0".`},
		{"unit number", rt.State{Unit: "web/x"}, quiet, `State.Unit is "web/x", which is no unit name: write it like "web/0".`},
		{"version", rt.State{JujuVersion: "2.9"}, quiet, `State.JujuVersion is "2.9": only Juju 3 and 4 are played, so write it like "3.6.28" or "4.0.15".`},
		{"leader settings of Juju 4", rt.State{JujuVersion: "4", LeaderSettings: map[string]string{"a": "b"}}, quiet, `State.LeaderSettings are given, but Juju 4 has no …`},
		{"leader settings", rt.State{JujuVersion: "4.0.1", LeaderSettings: map[string]string{"a": "b"}}, quiet,
			`State.LeaderSettings are given, but Juju 4.0.1 has no leader-get and leader-set: leave them empty, or use the application data of a peer relation.`},
		{"port", rt.State{Ports: []string{"80/xyz"}}, quiet, `State.Ports has "80/xyz", which is no port range (…`},
		{"port range", rt.State{Ports: []string{"80-90/tcp"}, Model: rt.Model{Kubernetes: true}}, quiet,
			`State.Ports has "80-90/tcp", but Juju opens no ranges on Kubernetes: list the ports one by one.`},
		{"cloud", rt.State{Cloud: &hooktool.CloudSpec{}, Model: rt.Model{Kubernetes: true}}, quiet,
			`State.Cloud is given, but on Kubernetes Juju shows it to nobody: leave it out.`},
		{"port overlap", rt.State{Ports: []string{"80/tcp", "85/udp", "80-90/tcp"}}, quiet,
			`State.Ports has "80/tcp" and "80-90/tcp", which overlap: Juju opens no range that has a port of another one, so leave one out.`},
		{"port endpoint", rt.State{Ports: []string{"80/tcp (nope)"}}, quiet, `State.Ports has "80/tcp (nope)", but the charm has no endpoint "nope": it has site, beside, …`},
		{"resource", rt.State{Resources: map[string]string{"nope": "/"}}, quiet,
			`State.Resources has "nope", which is no resource in the charm's files: declare it there, or leave it out.`},
		{"option", rt.State{Config: map[string]any{"prt": 1}}, quiet,
			`State.Config has "prt", which is no option in the charm's files: correct the name, or declare the option there.`},
		{"option type", rt.State{Config: map[string]any{"port": "x"}}, quiet, `State.Config has a value for "port" that is no int: …`},

		{"endpoint", related(rt.Relation{Endpoint: "nope"}), quiet, `The relation nope:1 is of the endpoint "nope", which the charm does not have: it has site, beside, db, one, cluster; correct the name, or declare the endpoint in the charm's files.`},
		{"relation IDs", rt.State{Relations: []rt.Relation{{Endpoint: "db", ID: 3}, {Endpoint: "site", ID: 3}}}, quiet,
			`State.Relations has two relations with the ID 3, of "db" and "site": every relation in a model has its own; correct one, or leave both out.`},
		{"negative ID", related(rt.Relation{Endpoint: "db", ID: -1}), quiet, `The relation db:-1 has a negative ID: use a positive one, or leave it out.`},
		{"limit", rt.State{Relations: []rt.Relation{{Endpoint: "one"}, {Endpoint: "one"}}}, quiet,
			`State.Relations has more relations of the endpoint "one" than its limit in the charm's files, which is 1: leave some out.`},
		{"two models", rt.State{Relations: []rt.Relation{{Endpoint: "db", RemoteApp: "pg"}, {Endpoint: "db", RemoteApp: "pg", RemoteModel: "x"}}}, quiet,
			`The application "pg" is in two models, "" and "x": Juju gives each its own name, so give one of them another.`},
		{"own model", related(rt.Relation{Endpoint: "db", RemoteModel: "deadbeef-0bad-400d-8000-4b1d0d06f00d"}), quiet,
			`The relation db:1 has the unit's own model as RemoteModel: leave it empty.`},
		{"peers", rt.State{Relations: []rt.Relation{{Endpoint: "cluster"}, {Endpoint: "cluster"}}}, quiet,
			`State.Relations has 2 relations of the peer endpoint "cluster", but an application has only one: put all peers into Units of one.`},
		{"peer app", related(rt.Relation{Endpoint: "cluster", RemoteApp: "pg"}), quiet,
			`The peer relation cluster:1 has the RemoteApp "pg", but its units are those of "web" itself: leave RemoteApp empty.`},
		{"peer app data", related(rt.Relation{Endpoint: "cluster", RemoteAppData: map[string]string{"a": "b"}}), quiet,
			`The peer relation cluster:1 has RemoteAppData, but its only application is the unit's own: use LocalAppData.`},
		{"peer model", related(rt.Relation{Endpoint: "cluster", RemoteModel: "x"}), quiet,
			`The peer relation cluster:1 has a RemoteModel, but peers are in one model: leave it empty.`},
		{"own app", related(rt.Relation{Endpoint: "db", RemoteApp: "web"}), quiet,
			`The relation db:1 has the unit's own application "web" as RemoteApp: only peer endpoints relate an application with itself.`},
		{"remote unit", related(rt.Relation{Endpoint: "db", RemoteApp: "pg", Units: bags{"pg": nil}}), quiet,
			`The relation db:1 has "pg" in Units, which is no unit name: write it like "pg/0".`},
		{"own unit", related(rt.Relation{Endpoint: "cluster", Units: bags{"web/0": nil}}), quiet,
			`The relation cluster:1 has the unit "web/0" itself in Units: what it publishes is LocalData.`},
		{"foreign unit", related(rt.Relation{Endpoint: "db", Units: bags{"my/0": nil, "pg/0": nil}}), quiet,
			`The relation db:1 has "pg/0" in Units, but it is with "my": give that unit a relation of its own, or correct the name or the RemoteApp.`},
		{"container", related(rt.Relation{Endpoint: "beside", Units: bags{"s/0": nil, "s/1": nil}}), quiet,
			`The relation beside:1 is container-scoped and has 2 units: a unit meets only the one beside it, so leave the others out.`},
		{"empty key", related(rt.Relation{Endpoint: "db", LocalData: map[string]string{"": "x"}}), quiet,
			`The relation db:1 has a key in LocalData that is empty: Juju keeps none, so leave it out.`},
		{"empty value", related(rt.Relation{Endpoint: "db", RemoteAppData: map[string]string{"k": ""}}), quiet,
			`The relation db:1 has "k" in RemoteAppData with an empty value: Juju removes such a key, so leave it out.`},
		{"empty unit value", related(rt.Relation{Endpoint: "db", Units: bags{"pg/0": {"k": ""}}}), quiet,
			`The relation db:1 has "k" in Units["pg/0"] with an empty value: Juju removes such a key, so leave it out.`},
		{"empty app value", related(rt.Relation{Endpoint: "db", LocalAppData: map[string]string{"k": ""}}), quiet,
			`The relation db:1 has "k" in LocalAppData with an empty value: Juju removes such a key, so leave it out.`},

		{"empty flag", rt.State{Flags: []string{""}}, quiet, `State.Flags has an empty name: leave it out.`},
		{"flag twice", rt.State{Flags: []string{"a", "a"}}, quiet, `State.Flags has "a" twice: a flag is set or it is not, so leave one out.`},
		{"flag as data", rt.State{Data: map[string]any{"reactive.states.a": nil}}, quiet,
			`State.Data has "reactive.states.a", which is how a flag is kept: put "a" into State.Flags instead.`},
		{"no JSON", rt.State{Data: map[string]any{"a": math.Inf(1)}}, quiet, `State.Data has a value for "a" that is no JSON (…`},
		{"charm state", rt.State{CharmState: map[string]string{"reactive": "{}"}}, quiet,
			`State.CharmState has "reactive", which is how unit data is kept: use State.Flags and State.Data instead.`},
		{"charm state key", rt.State{CharmState: map[string]string{strings.Repeat("k", 257): "v"}}, quiet,
			`State.CharmState has a key of 257 bytes with a value of 1: Juju takes keys of 1 to 256 bytes and values of up to 65536.`},
		{"status", rt.State{Status: reactive.Status{State: "error"}}, quiet, `State.Status is "error", which no charm can set: use active, blocked, maintenance or waiting.`},
		{"application status", rt.State{ApplicationStatus: reactive.Status{State: "fine"}}, quiet,
			`State.ApplicationStatus is "fine", which no charm can set: use active, blocked, maintenance or waiting.`},
		{"storage ID", rt.State{Storage: []rt.Storage{{ID: "data"}}}, quiet, `State.Storage has the ID "data", which is none: write it like "data/0".`},
		{"storage twice", rt.State{Storage: []rt.Storage{{ID: "data/0"}, {ID: "data/0"}}}, quiet, `State.Storage has "data/0" twice: give each instance its own number.`},
		{"storage", rt.State{Storage: []rt.Storage{{ID: "nope/0"}}}, quiet,
			`State.Storage has "nope/0", but the charm's files have no storage "nope": correct the name, or declare it there.`},
		{"storage count", rt.State{Storage: []rt.Storage{{ID: "disk/0"}, {ID: "disk/1"}}}, quiet,
			`State.Storage has more instances of "disk" than the charm's files allow, which is 1: leave some out.`},

		{"secret ID", secret(with(own, func(s *rt.Secret) { s.ID = "secret:x" })), quiet,
			`State.Secrets has the ID "secret:x", which is none: use 20 lower case letters and digits, or leave it out.`},
		{"secret IDs", rt.State{Secrets: []rt.Secret{{ID: "abcdefghij0123456789", Owner: hooktool.OwnerUnit, Revisions: one}, {ID: "abcdefghij0123456789", Owner: hooktool.OwnerUnit, Revisions: one}}}, quiet,
			`State.Secrets has two secrets with the ID "abcdefghij0123456789": give each its own, or leave it out.`},
		{"secret labels", rt.State{Secrets: []rt.Secret{own, theirs}}, quiet, `State.Secrets has two secrets with the label "s": a unit can use a label once, so change one.`},
		{"secret owner", secret(with(own, func(s *rt.Secret) { s.Owner = "" })), quiet,
			`The secret with label "s" has no Owner: use hooktool.OwnerApplication or hooktool.OwnerUnit for an own one, the owner's name for another.`},
		{"secret own app", secret(with(own, func(s *rt.Secret) { s.Owner = "web" })), quiet, `The secret with label "s" has the Owner "web": use hooktool.OwnerApplication.`},
		{"secret own unit", secret(with(own, func(s *rt.Secret) { s.Owner = "web/0" })), quiet, `The secret with label "s" has the Owner "web/0": use hooktool.OwnerUnit.`},
		{"secret revisions", secret(with(own, func(s *rt.Secret) { s.Revisions = nil })), quiet,
			`The secret with label "s" has no Revisions: give it at least revision 1 with some content.`},
		{"secret revision", secret(with(own, func(s *rt.Secret) { s.Revisions = map[int]map[string]string{0: {"key": "v"}} })), quiet,
			`The secret with label "s" has the revision 0: Juju counts them from 1.`},
		{"secret content", secret(with(own, func(s *rt.Secret) { s.Revisions = map[int]map[string]string{1: {}} })), quiet,
			`The secret with label "s" has no content in revision 1: Juju keeps no empty secret.`},
		{"secret key", secret(with(own, func(s *rt.Secret) { s.Revisions = map[int]map[string]string{1: {"pw": "hush"}} })), quiet,
			`The secret with label "s" has the key "pw" in revision 1: Juju wants three or more lower case letters and digits, a letter first, with single hyphens between them.`},
		{"secret tracked", secret(with(theirs, func(s *rt.Secret) { s.Tracked = 2 })), quiet,
			`The secret with label "s" is Tracked at revision 2, which is not in Revisions: add it there, or track another.`},
		{"secret rotation", secret(with(own, func(s *rt.Secret) { s.Rotate = "often" })), quiet,
			`The secret with label "s" has the rotation "often": use one of hooktool's Rotate constants.`},
		{"secret denied", secret(with(own, func(s *rt.Secret) { s.Denied = true })), quiet,
			`The secret with label "s" is the unit's own and Denied: its owner can always read it, so name another Owner.`},
		{"secret of others", secret(with(theirs, func(s *rt.Secret) { s.Expire = time.Now() })), quiet,
			`The secret with label "s" is somebody else's: only its owner sees Grants, Rotate and Expire, so leave them out.`},
		{"grant", secret(with(own, func(s *rt.Secret) { s.Grants = []rt.Grant{{To: "pg", Relation: 9}} })), quiet,
			`The secret with label "s" is granted to "pg" in relation 9, which is not in State.Relations: add it there, with its ID.`},
		{"grant to others", secret(with(own, func(s *rt.Secret) { s.Grants = []rt.Grant{{To: "my/0", Relation: 1}} })), quiet,
			`The secret with label "s" is granted to "my/0" in the relation db:1, which is with "pg": correct one of them.`},

		{"no event", rt.State{}, rt.Event{}, `The event is the zero Event, which never happens: make one with a function such as ConfigChanged.`},
		{"leader-elected", rt.State{}, rt.LeaderElected(), `leader-elected runs on the unit that has become the leader, but State.Leader is false: set it.`},
		{"leader-settings-changed", rt.State{Leader: true}, rt.LeaderSettingsChanged(),
			`leader-settings-changed runs on the other units than the leader, but State.Leader is true: clear it.`},
		{"hook of Juju 3", rt.State{JujuVersion: "4.0.15"}, rt.PreSeriesUpgrade(),
			`pre-series-upgrade is a hook of Juju 3, but State.JujuVersion is "4.0.15": leave it out, or test with Juju 3.`},
		{"event of no endpoint", rt.State{}, rt.RelationBroken(rt.Relation{Endpoint: "nope"}), `nope-relation-broken is about the endpoint "nope", which the charm does not have: it has site, …`},
		{"event of no relation", rt.State{}, rt.RelationChanged(db, "pg/0"),
			`db-relation-changed is about a relation of the endpoint "db", but State.Relations has none: add it there.`},
		{"event of another relation", related(db), rt.RelationChanged(rt.Relation{Endpoint: "db", ID: 5}, "pg/0"),
			`db-relation-changed is about the relation db:5, which is not in State.Relations: add it there.`},
		{"event of which relation", rt.State{Relations: []rt.Relation{db, db}}, rt.RelationAppChanged(db),
			`db-relation-changed could be about 2 relations of the endpoint "db": give each of them an ID, in the state and in the event.`},
		{"event of no unit", related(db), rt.RelationJoined(db, "pg/1"),
			`db-relation-joined is about the unit "pg/1", which is not in Units of the relation db:1: add it there, with what it publishes.`},
		{"created", related(rt.Relation{Endpoint: "db", Units: bags{"pg/0": nil}}), rt.RelationCreated(db),
			`db-relation-created runs before any unit has joined, but the relation db:1 has Units: leave them empty.`},
		{"broken", related(rt.Relation{Endpoint: "db", Units: bags{"pg/0": nil}}), rt.RelationBroken(db),
			`db-relation-broken runs after all units have departed, but the relation db:1 has Units: leave them empty, or run RelationDeparted first.`},
		{"broken peers", related(rt.Relation{Endpoint: "cluster"}), rt.RelationBroken(rt.Relation{Endpoint: "cluster"}),
			`cluster-relation-broken never runs: Juju does not break peer relations.`},
		{"event of no secret", rt.State{}, rt.SecretRotate(own), `secret-rotate is about a secret with ID "" and label "s", which is not in State.Secrets: add it there.`},
		{"event of which secret", secret(own), rt.SecretRotate(rt.Secret{}), `secret-rotate does not say which secret it is about: give the secret an ID or a label.`},
		{"changed denied", secret(with(theirs, func(s *rt.Secret) { s.Revisions, s.Denied = two, true })), rt.SecretChanged(theirs),
			`secret-changed runs on those who may read a secret, but the secret with label "s" is Denied: clear that.`},
		{"changed nothing", secret(theirs), rt.SecretChanged(theirs),
			`secret-changed runs when there is a newer revision than the unit tracks, but of the secret with label "s" it tracks 1 and the latest is 1: set Tracked, and add a newer revision.`},
		{"rotate others", secret(theirs), rt.SecretRotate(theirs),
			`secret-rotate runs on the owner of a secret, but the secret with label "s" is owned by "pg": use SecretChanged, or make it an own one.`},
		{"rotate as follower", rt.State{Secrets: []rt.Secret{with(own, func(s *rt.Secret) { s.Rotate = "daily" })}}, rt.SecretRotate(own),
			`secret-rotate of an application's secret runs on the leader, but State.Leader is false: set it, or let the unit own the secret with label "s".`},
		{"rotate never", secret(own), rt.SecretRotate(own), `secret-rotate runs for secrets that are rotated, but the secret with label "s" has no Rotate: set it.`},
		{"expire never", secret(own), rt.SecretExpired(own, 1), `secret-expired runs for secrets that expire, but the secret with label "s" has no Expire: set it.`},
		{"remove what", secret(own), rt.SecretRemove(own, 2), `secret-remove is about the revision 2, which the secret with label "s" does not have: add it to Revisions.`},
		{"remove the latest", secret(with(own, func(s *rt.Secret) { s.Revisions = two })), rt.SecretRemove(own, 2),
			`secret-remove is about revisions that nobody tracks any more, but 2 is the latest of the secret with label "s": add a newer one.`},
		{"remove the tracked", secret(with(own, func(s *rt.Secret) { s.Revisions, s.Tracked = two, 1 })), rt.SecretRemove(own, 1),
			`secret-remove is about revisions that nobody tracks any more, but the secret with label "s" is Tracked at revision 1: track another.`},
		{"event of no storage", rt.State{}, rt.StorageAttached("data/0"), `data-storage-attached is about the storage "data/0", which is not in State.Storage: add it there.`},
		{"pebble on a machine", rt.State{}, rt.PebbleReady("app"), `app-pebble-ready happens on Kubernetes only: set State.Model.Kubernetes.`},
		{"container", rt.State{Model: rt.Model{Kubernetes: true}}, rt.PebbleReady("nope"),
			`nope-pebble-ready is about the container "nope", which the charm's files do not have: correct the name, or declare it there.`},
		{"notice", rt.State{Model: rt.Model{Kubernetes: true}}, rt.PebbleCustomNotice("app", "1", ""),
			`app-pebble-custom-notice has no key of a notice and no name of a check, but Juju gives one: say which.`},
		{"action", rt.State{}, rt.Action("nope", nil), `The action "nope" is not in the charm's files: it has add, break; correct the name, or declare it there.`},
		{"action parameters", rt.State{}, rt.Action("add", map[string]any{"a": "x"}), `Juju would not run the action "add" with these parameters: …`},
		{"action parameter missing", rt.State{}, rt.Action("add", nil), `Juju would not run the action "add" with these parameters: …`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := web.Run(t.Context(), test.state, test.event)
			var e *rt.InconsistentError
			if !errors.As(err, &e) {
				t.Fatalf("it gives %v, want: %s", err, test.says)
			}
			start, prefix := strings.CutSuffix(test.says, "…")
			if !slices.ContainsFunc(e.Problems, func(p string) bool { return p == test.says || prefix && strings.HasPrefix(p, start) }) {
				t.Errorf("the problems are\n%s\nwant\n%s", strings.Join(e.Problems, "\n"), test.says)
			}
			for _, p := range e.Problems {
				if strings.Contains(p, "hush") {
					t.Errorf("a problem shows the content of a secret: %s", p)
				}
			}
		})
	}
}

// Each good event passes, so that the checks above do not refuse everything.
func TestGoodEvents(t *testing.T) {
	t.Parallel()
	own := rt.Secret{
		Owner: hooktool.OwnerUnit, Label: "own", Rotate: hooktool.RotateDaily, Expire: time.Now().Add(time.Hour),
		Revisions: map[int]map[string]string{1: {"key": "v"}, 2: {"key": "w"}},
	}
	theirs := rt.Secret{Owner: "pg", Label: "theirs", Revisions: own.Revisions, Tracked: 1}
	tracked := own
	tracked.Tracked = 1
	storage := []rt.Storage{{ID: "data/0"}}
	for _, version := range versions {
		for _, test := range []struct {
			state rt.State
			event rt.Event
		}{
			{rt.State{}, rt.Install()}, {rt.State{}, rt.Start()}, {rt.State{}, rt.UpgradeCharm()}, {rt.State{}, rt.Stop()}, {rt.State{}, rt.Remove()},
			{rt.State{Leader: true}, rt.LeaderElected()},
			{rt.State{Secrets: []rt.Secret{own}}, rt.SecretRotate(own)},
			{rt.State{Secrets: []rt.Secret{own}}, rt.SecretExpired(own, 2)},
			{rt.State{Secrets: []rt.Secret{own}}, rt.SecretRemove(own, 1)},
			{rt.State{Secrets: []rt.Secret{theirs}}, rt.SecretChanged(theirs)},
			{rt.State{Secrets: []rt.Secret{tracked}}, rt.SecretChanged(own)},
			{rt.State{Ports: []string{"80/tcp", "80/udp", "81-90/tcp", "icmp", "80/tcp (site)"}}, rt.UpdateStatus()},
			{rt.State{Storage: storage}, rt.StorageAttached("data/0")}, {rt.State{Storage: storage}, rt.StorageDetaching("data/0")},
			{rt.State{Model: rt.Model{Kubernetes: true}}, rt.PebbleReady("app")},
			{rt.State{Model: rt.Model{Kubernetes: true}}, rt.PebbleCustomNotice("app", "7", "example.com/done")},
			{rt.State{Model: rt.Model{Kubernetes: true}}, rt.PebbleCheckFailed("app", "up")},
			{rt.State{Model: rt.Model{Kubernetes: true}}, rt.PebbleCheckRecovered("app", "up")},
			{rt.State{}, rt.Action("add", map[string]any{"a": 1})}, {rt.State{}, rt.Exec()},
		} {
			test.state.JujuVersion = version
			r := rt.Run(t, web, test.state, test.event)
			if want := test.event.String(); r.Record.Hook != want {
				t.Errorf("%s: the hook was %s, want %s", version, r.Record.Hook, want)
			}
			if left := len(r.State.Storage); test.event.String() == "data-storage-detaching" && left != 0 {
				t.Errorf("%s: after %s there are %d storages", version, test.event, left)
			}
		}
	}
	for _, e := range []rt.Event{rt.LeaderSettingsChanged(), rt.PreSeriesUpgrade(), rt.PostSeriesUpgrade()} {
		rt.Run(t, web, rt.State{}, e)
	}
	if got := (rt.Event{}).String(); got != "no event" {
		t.Errorf("the zero event is %q", got)
	}
}

// A charm whose code says something else than its files.
func TestCodeAndFilesDisagree(t *testing.T) {
	t.Parallel()
	charm := rt.Charm{
		New: func() *reactive.Charm {
			c := reactive.New("x")
			c.Endpoint("nope", charmfile.Requirer, "x")
			return c
		},
		Files: fstest.MapFS{"metadata.yaml": {Data: []byte("name: x\nsummary: x\ndescription: x\n")}},
	}
	_, err := charm.Run(t.Context(), rt.State{}, rt.Start())
	if err == nil || !strings.Contains(err.Error(), `The charm's code and its files disagree: endpoint "nope", used at `) {
		t.Errorf("the error is %v", err)
	}
	_, err = charm.Run(t.Context(), related(rt.Relation{Endpoint: "a"}), rt.Action("b", nil))
	if err == nil || !strings.Contains(err.Error(), "it has none; declare it in the charm's files") || !strings.Contains(err.Error(), "files: it has none; correct") {
		t.Errorf("the error is %v", err)
	}
}
