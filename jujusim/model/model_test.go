package model_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/model"
)

func Example() {
	m := &model.Model{
		Name: "test", UUID: "deadbeef-0bad-400d-8000-4b1d0d06f00d",
		Applications: map[string]*model.Application{
			"web": {
				Leader:    "web/0",
				Endpoints: []model.Endpoint{{Name: "db", Role: model.Requirer, Interface: "pgsql"}},
				Units:     map[string]*model.Unit{"web/0": {Machine: "0", Address: "10.0.0.1"}},
			},
			"db": {
				Leader:    "db/0",
				Endpoints: []model.Endpoint{{Name: "server", Role: model.Provider, Interface: "pgsql"}},
				Units:     map[string]*model.Unit{"db/0": {Machine: "1", Address: "10.0.0.2"}},
			},
		},
		Relations: []*model.Relation{{
			ID: 1, Interface: "pgsql",
			Endpoints: []model.RelationEndpoint{
				{Application: "web", Name: "db", Role: model.Requirer},
				{Application: "db", Name: "server", Role: model.Provider},
			},
			Units: model.NewUnits("web/0", "db/0"),
			Data:  map[string]model.Bag{"db/0": {"host": "10.0.0.2"}, "web/0": {}},
		}},
	}
	fmt.Println(m.Relation(1).Members(m, "web/0"), m.Relation(1).Data["db/0"]["host"])
	// Output: [db/0] 10.0.0.2
}

const full = `{
"name":"m","uuid":"u","type":"machine","version":"4.0.15",
"applications":{"app":{"leader":"app/0","endpoints":["web",{"name":"db","role":"requirer","interface":"pgsql","scope":"container"}],
 "config":{"port":{"type":"int","default":80,"value":81}},"leader-settings":{"a":"b"},"status":{"status":"active","message":"","data":{"x":[1,{"y":"z"}]}},
 "storage":{"data":{"type":"block","count-min":0,"count-max":-1}},"resources":{"r":{"path":"/r"}},
 "units":{"app/0":{"life":"alive","machine":"0","address":"10.0.0.1","public-address":"","interface":"eth0","mac":"","cidr":"","status":{"status":"active","message":"","data":null},
  "state":{"k":"v"},"ports":{"":["80/tcp","8000-8100/udp","icmp"]},"workload-version":"1","storage":{"data/0":{"kind":"block","location":"/dev/b"}}}}}},
"relations":[{"id":1,"interface":"pgsql","life":"alive","endpoints":[{"application":"app","name":"db","role":"requirer"},{"application":"pg","name":"s","role":"provider","alias":"remote-1"}],
 "units":["app/0","pg/0","pg/10","pg/2"],"joined":{"app/0":["pg/0"]},"data":{"app":{"a":"b"}}}],
"secrets":{"9m4e2mr0ui3e8a215n40":{"owner":"app","label":"l","description":"","rotate":"","expire":"","revisions":{"1":{"abc":"d"},"2":{"abc":"e"},"3":{"abc":"f"}},"latest":3,
 "grants":[{"to":"pg","relation":1}],"consumers":{"pg/0":{"label":"","revision":2}}}}
}`

func read(t *testing.T) *model.Model {
	t.Helper()
	m := new(model.Model)
	if err := json.Unmarshal([]byte(full), m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	m := read(t)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(full), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestCloneSharesNothing(t *testing.T) {
	t.Parallel()
	m, untouched := read(t), read(t)
	for _, model := range []*model.Model{m, untouched} {
		model.Cloud = &hooktool.CloudSpec{CACertificates: []string{"ca"}, Credential: hooktool.CloudCredential{Attributes: map[string]string{"key": "k"}}}
	}
	c := m.Clone()
	if !reflect.DeepEqual(c, untouched) {
		t.Fatalf("the clone differs: %+v", c)
	}
	c.Unit("app/0").State["k"] = "changed"
	c.Cloud.CACertificates[0], c.Cloud.Credential.Attributes["key"] = "changed", "changed"
	c.Unit("app/0").Ports[""][0].From = 1
	c.Application("app").Status.Data["x"].([]any)[1].(map[string]any)["y"] = "changed"
	c.Application("app").Config["port"].Value = 1
	c.Application("app").Resources["r"].Path = "changed"
	c.Relations[0].Joined["app/0"].Add("pg/2")
	c.Relations[0].Units.Remove("pg/2")
	c.Relations[0].Data["app"]["a"] = "changed"
	c.Secrets["9m4e2mr0ui3e8a215n40"].Revisions[1]["abc"] = "changed"
	if !reflect.DeepEqual(m, untouched) {
		t.Errorf("changing the clone changed the model: %+v", m)
	}
}

func TestRelation(t *testing.T) {
	t.Parallel()
	m := read(t)
	r := m.Relation(1)
	if got := fmt.Sprint(r.Members(m, "app/0"), r.Members(m, "pg/0"), r.RemoteUnits(m, "app/0")); got != "[pg/0] [app/0] [pg/0 pg/10 pg/2]" {
		t.Errorf("members: %s", got)
	}
	if got := fmt.Sprintf("%v %v %v", r.RelationID("app/0"), r.RelationID("pg/0"), r.Peer()); got != "db:1 s:1 false" {
		t.Errorf("ids: %s", got)
	}
	if got := fmt.Sprintf("%v %v %v %v", r.Seen("app/0", "pg/2"), r.Seen("app/0", "pg"), r.Actual("app/0", "remote-1/2"), r.Seen("pg/0", "app/0")); got != "remote-1/2 remote-1 pg/2 app/0" {
		t.Errorf("names: %s", got)
	}
	r.SetJoined(m, "pg/0", "app/0", false)
	r.SetJoined(m, "app/0", "pg/2", true)
	if got := fmt.Sprint(r.Members(m, "app/0"), r.Members(m, "pg/0"), r.IsMember(m, "pg/2", "app/0")); got != "[pg/0 pg/2] [] true" {
		t.Errorf("members after joining: %s", got)
	}
}

func TestContainerScope(t *testing.T) {
	t.Parallel()
	m := &model.Model{
		Applications: map[string]*model.Application{
			"app": {Units: map[string]*model.Unit{"app/0": {}, "app/1": {}}},
			"sub": {Units: map[string]*model.Unit{"sub/0": {Principal: "app/0"}, "sub/1": {Principal: "app/1"}}},
		},
		Relations: []*model.Relation{{
			ID: 7, Scope: model.Container,
			Endpoints: []model.RelationEndpoint{{Application: "app", Name: "info"}, {Application: "sub", Name: "host"}},
			Units:     model.NewUnits("app/0", "app/1", "sub/0", "sub/1"),
		}},
	}
	r := m.Relation(7)
	if got := fmt.Sprint(r.Members(m, "app/0"), r.Members(m, "sub/1"), r.InScope(m, "app/0", "sub/1")); got != "[sub/0] [app/1] false" {
		t.Errorf("got %s", got)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	m := read(t)
	s := m.Secrets["9m4e2mr0ui3e8a215n40"]
	got := fmt.Sprint(s.ViewableBy("pg/3"), s.ViewableBy("app/1"), s.ViewableBy("x/0"), s.ManagedBy(m, "app/0"), s.ManagedBy(m, "app/1"), s.Obsolete())
	if got != "true true false true false [1]" {
		t.Errorf("got %s", got)
	}
}

func TestSortUnits(t *testing.T) {
	t.Parallel()
	if got := fmt.Sprint(model.SortUnits([]string{"b/1", "a/10", "a/2"})); got != "[a/2 a/10 b/1]" {
		t.Errorf("got %s", got)
	}
}

func FuzzParsePortRange(f *testing.F) {
	for _, s := range []string{"80/tcp", "80", "1-2/udp", "icmp", "-1/tcp", "2-1/tcp", "1-70000/tcp", "80/icmp"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := model.ParsePortRange(s)
		if err != nil {
			return
		}
		if q, err := model.ParsePortRange(p.String()); err != nil || q != p {
			t.Errorf("%q reads as %v, and that as %v, %v", s, p, q, err)
		}
	})
}
