package hooktool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/hooktool"
)

// results makes one value of what a method returns.
func results[T any](v T, err error) (any, error) { return v, err }

func nothing(err error) (any, error) { return nil, err }

type ask = func(ctx context.Context, c *hooktool.Client) (any, error)

// Each method makes exactly this call and understands this output. The outputs
// that are not among the recorded vectors are written after Juju's source.
func TestMethods(t *testing.T) {
	t.Parallel()
	uri := hooktool.SecretURI{ID: someID, Model: "deadbeef-0bad-400d-8000-4b1d0d06f00d"}
	expire := time.Date(2035, 1, 2, 4, 4, 5, 0, time.FixedZone("", 3600))
	for _, test := range []struct {
		name   string
		ask    ask
		call   string // tool and arguments, separated by "|"
		stdin  string
		stdout string
		want   any
	}{
		{"RelationIDs", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.RelationIDs(ctx, "db")) },
			"relation-ids|--format=json|--|db", "", `["db:1","db:2"]`, []string{"db:1", "db:2"}},
		{"RelationList", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.RelationList(ctx, "db:1"))
		},
			"relation-list|--format=json|-r|db:1", "", `["db/0"]`, []string{"db/0"}},
		{"RelationApplication", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.RelationApplication(ctx, "db:1"))
		}, "relation-list|--format=json|-r|db:1|--app", "", `"db"`, "db"},
		{"RelationGet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.RelationGet(ctx, "db:1", "db/0"))
		}, "relation-get|--format=json|-r|db:1|--|-|db/0", "", `{"a":"b"}`, map[string]string{"a": "b"}},
		{"RelationGet empty", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.RelationGet(ctx, "db:1", "db/0"))
		}, "relation-get|--format=json|-r|db:1|--|-|db/0", "", `null`, map[string]string{}},
		{"RelationGetApp", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.RelationGetApp(ctx, "db:1", "db"))
		}, "relation-get|--format=json|-r|db:1|--app|--|-|db", "", `{"a":"b"}`, map[string]string{"a": "b"}},
		{"RelationSet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.RelationSet(ctx, "db:1", map[string]string{"b": " ü\n", "a": "", "c=": "\u007f\u0085\uffff😀\"\\\x00\t\r"}))
		}, "relation-set|-r|db:1|--file|-", `{"a": "","b": " ü\n","c=": "\u007f\u0085\uffff😀\"\\\u0000\t\r"}`, "", nil},
		{"RelationSetApp", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.RelationSetApp(ctx, "db:1", map[string]string{"a": "b"}))
		}, "relation-set|-r|db:1|--app|--file|-", `{"a": "b"}`, "", nil},
		{"RelationSet nothing", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.RelationSet(ctx, "db:1", nil))
		}, "", "", "", nil},
		{"RelationModelUUID", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.RelationModelUUID(ctx, "db:1"))
		}, "relation-model-get|--format=json|-r|db:1", "", `{"uuid":"dead"}`, "dead"},
		{"Config", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.Config(ctx)) },
			"config-get|--format=json", "", `{"port":80,"big":1e+21,"on":true,"t":"x"}`,
			map[string]any{"port": json.Number("80"), "big": json.Number("1e+21"), "on": true, "t": "x"}},
		{"IsLeader", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.IsLeader(ctx)) },
			"is-leader|--format=json", "", "true\n", true},
		{"LeaderGet", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.LeaderGet(ctx)) },
			"leader-get|--format=json", "", `{"a":"b"}`, map[string]string{"a": "b"}},
		{"LeaderSet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.LeaderSet(ctx, map[string]string{"b": "c=d", "-a": ""}))
		}, "leader-set|--|-a=|b=c=d", "", "", nil},
		{"Status", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.Status(ctx)) },
			"status-get|--format=json|--include-data", "", `{"message":"m","status":"active","status-data":{"hook":"x"}}`,
			hooktool.Status{Status: "active", Message: "m", Data: map[string]any{"hook": "x"}}},
		{"SetStatus", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SetStatus(ctx, hooktool.StatusBlocked, "--why"))
		}, "status-set|--|blocked|--why", "", "", nil},
		{"ApplicationStatus", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.ApplicationStatus(ctx))
		}, "status-get|--format=json|--application|--include-data", "",
			`{"application-status":{"message":"m","status":"active","status-data":{},"units":{"app/0":{"message":"n","status":"waiting","status-data":{}}}}}`,
			hooktool.ApplicationStatus{Application: hooktool.Status{Status: "active", Message: "m", Data: map[string]any{}},
				Units: map[string]hooktool.Status{"app/0": {Status: "waiting", Message: "n", Data: map[string]any{}}}}},
		{"SetApplicationStatus", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SetApplicationStatus(ctx, hooktool.StatusActive, ""))
		}, "status-set|--application|--|active|", "", "", nil},
		{"SetApplicationVersion", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SetApplicationVersion(ctx, "1.2"))
		}, "application-version-set|--|1.2", "", "", nil},
		{"State", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.State(ctx)) },
			"state-get|--format=json", "", "null\n", map[string]string{}},
		{"StateGet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			v, ok, err := c.StateGet(ctx, "--k")
			return []any{v, ok}, err
		}, "state-get|--format=json|--strict|--|--k", "", `"v"`, []any{"v", true}},
		{"StateGet -", func(ctx context.Context, c *hooktool.Client) (any, error) {
			v, ok, err := c.StateGet(ctx, "-")
			return []any{v, ok}, err
		}, "state-get|--format=json", "", `{"-":"v"}`, []any{"v", true}},
		{"StateSet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.StateSet(ctx, map[string]string{"a": "b"}))
		}, "state-set|--file|-", `{"a": "b"}`, "", nil},
		{"StateDelete", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.StateDelete(ctx, "-a"))
		}, "state-delete|--|-a", "", "", nil},
		{"UnitGet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.UnitGet(ctx, "private-address"))
		}, "unit-get|--format=json|--|private-address", "", `"10.0.0.1"`, "10.0.0.1"},
		{"Network", func(ctx context.Context, c *hooktool.Client) (any, error) {
			n, err := c.Network(ctx, "db")
			return []any{n.BindAddress(), n.IngressAddress(), n.EgressSubnets}, err
		}, "network-get|--format=json|--|db", "",
			`{"bind-addresses":[{"addresses":[{"value":""},{"value":"10.0.0.1"}]}],"egress-subnets":["10.0.0.1/32"],"ingress-addresses":["lb.example","10.0.0.1"]}`,
			[]any{"10.0.0.1", "lb.example", []string{"10.0.0.1/32"}}},
		{"Network of nothing", func(ctx context.Context, c *hooktool.Client) (any, error) {
			n, err := c.Network(ctx, "db")
			return []any{n.BindAddress(), n.IngressAddress()}, err
		}, "network-get|--format=json|--|db", "", `{"bind-addresses":null}`, []any{"", ""}},
		{"RelationNetwork", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.RelationNetwork(ctx, "db", "db:1"))
		}, "network-get|--format=json|-r|db:1|--|db", "", `{}`, hooktool.Network{}},
		{"OpenPorts", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.OpenPorts(ctx, hooktool.PortRange{From: 80, To: 90, Protocol: "UDP", Endpoints: []string{"db", "web"}}))
		}, "open-port|--endpoints|db,web|--|80-90/udp", "", "", nil},
		{"ClosePorts", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.ClosePorts(ctx, hooktool.PortRange{Protocol: "icmp"}))
		}, "close-port|--|icmp", "", "", nil},
		{"OpenedPorts", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.OpenedPorts(ctx)) },
			"opened-ports|--format=json|--endpoints", "", `["icmp (*)","80-90/udp (web, db)"]`,
			[]hooktool.PortRange{{Protocol: "icmp"}, {Protocol: "udp", From: 80, To: 90, Endpoints: []string{"db", "web"}}}},
		{"Log", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.Log(ctx, slog.LevelWarn+1, "-\x00\xff"))
		}, "juju-log|-l|WARNING|--|-\uFFFD\uFFFD", "", "", nil},
		{"ActionParams", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.ActionParams(ctx)) },
			"action-get|--format=json", "", `{"n":5}`, map[string]any{"n": json.Number("5")}},
		{"SetActionResults", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SetActionResults(ctx, map[string]string{"b.c": "x y", "a": ""}))
		}, "action-set|--|a=|b.c=x y", "", "", nil},
		{"FailAction", func(ctx context.Context, c *hooktool.Client) (any, error) { return nothing(c.FailAction(ctx, "-no")) },
			"action-fail|--|-no", "", "", nil},
		{"FailAction silently", func(ctx context.Context, c *hooktool.Client) (any, error) { return nothing(c.FailAction(ctx, "")) },
			"action-fail", "", "", nil},
		{"ActionLog", func(ctx context.Context, c *hooktool.Client) (any, error) { return nothing(c.ActionLog(ctx, "-x")) },
			"action-log|--|-x", "", "", nil},
		{"GoalState", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.GoalState(ctx)) },
			"goal-state|--format=json", "",
			`{"units":{"app/0":{"status":"active","since":"2023-11-14 22:13:20Z"}},"relations":{"db":{"db":{"status":"joined","since":"2023-11-14T22:13:20Z"},"db/0":{"status":"x"}}}}`,
			hooktool.GoalState{Units: map[string]hooktool.GoalStatus{"app/0": {Status: "active", Since: time.Unix(1700000000, 0).UTC()}},
				Relations: map[string]map[string]hooktool.GoalStatus{"db": {"db": {Status: "joined", Since: time.Unix(1700000000, 0).UTC()}, "db/0": {Status: "x"}}}}},
		{"SecretAdd", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.SecretAdd(ctx, hooktool.Secret{Content: map[string]string{"user": "=", "key": "\xff"}, Label: "l", Description: "-d",
				Owner: hooktool.OwnerUnit, Rotate: hooktool.RotateDaily, Expire: expire}))
		}, "secret-add|--label|l|--description|-d|--rotate|daily|--expire|2035-01-02T03:04:05Z|--owner|unit|--|key#base64=/w==|user#base64=PQ==",
			"", uri.String() + "\n", uri},
		{"SecretSet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SecretSet(ctx, uri, hooktool.Secret{Description: "d"}))
		}, "secret-set|--description|d|--|secret:" + someID, "", "", nil},
		{"SecretGet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.SecretGet(ctx, hooktool.SecretQuery{URI: uri, Label: "l", Refresh: true}))
		}, "secret-get|--format=json|--label|l|--refresh|--|" + uri.String(), "", `{"user":"bob"}`, map[string]string{"user": "bob"}},
		{"SecretGet by label", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.SecretGet(ctx, hooktool.SecretQuery{Label: "l", Peek: true}))
		}, "secret-get|--format=json|--label|l|--peek", "", `{"user":"bob"}`, map[string]string{"user": "bob"}},
		{"SecretInfo", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.SecretInfo(ctx, hooktool.SecretQuery{URI: uri, Label: "l"}))
		}, "secret-info-get|--format=json|--|" + uri.String(), "",
			`{"` + someID + `":{"revision":2,"label":"l","owner":"unit","description":"d","rotation":"daily","expiry":"2035-01-02T03:04:05Z","rotates":"2035-01-02T03:04:05Z","access":[{"target":"unit-db-0","scope":"relation-app.db#db.server","role":"view"}]}}`,
			hooktool.SecretInfo{ID: someID, Revision: 2, Label: "l", Owner: "unit", Description: "d", Rotate: "daily", Expire: expire.UTC(), NextRotate: expire.UTC(),
				Access: []hooktool.SecretAccess{{Target: "unit-db-0", Scope: "relation-app.db#db.server", Role: "view"}}}},
		{"SecretIDs", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.SecretIDs(ctx)) },
			"secret-ids|--format=json", "", `["` + someID + `","a` + someID[1:] + `"]`,
			[]hooktool.SecretURI{{ID: "a" + someID[1:]}, {ID: someID}}},
		{"SecretIDs none", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.SecretIDs(ctx)) },
			"secret-ids|--format=json", "", "null", []hooktool.SecretURI{}},
		{"SecretGrant", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SecretGrant(ctx, uri, "db:1", "db/0"))
		}, "secret-grant|-r|db:1|--unit|db/0|--|secret:" + someID, "", "", nil},
		{"SecretRevoke", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SecretRevoke(ctx, uri, hooktool.SecretGrantee{Application: "db"}))
		}, "secret-revoke|--app|db|--|secret:" + someID, "", "", nil},
		{"SecretRemove", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SecretRemove(ctx, uri, 0))
		},
			"secret-remove|--|secret:" + someID, "", "", nil},
		{"SecretRemove revision", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.SecretRemove(ctx, uri, 3))
		}, "secret-remove|--revision|3|--|secret:" + someID, "", "", nil},
		{"StorageAdd", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return nothing(c.StorageAdd(ctx, "data", 2))
		},
			"storage-add|--|data=2", "", "", nil},
		{"StorageList", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.StorageList(ctx, "data")) },
			"storage-list|--format=json|--|data", "", `["data/0"]`, []string{"data/0"}},
		{"StorageList all", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.StorageList(ctx, "")) },
			"storage-list|--format=json", "", `[]`, []string{}},
		{"StorageGet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.StorageGet(ctx, "data/0"))
		},
			"storage-get|--format=json|-s|data/0", "", `{"kind":"filesystem","location":"/srv/data"}`,
			hooktool.Storage{Kind: "filesystem", Location: "/srv/data"}},
		{"ResourceGet", func(ctx context.Context, c *hooktool.Client) (any, error) {
			return results(c.ResourceGet(ctx, "image"))
		},
			"resource-get|--|image", "", "/var/lib/a b\n", "/var/lib/a b"},
		{"CredentialGet", func(ctx context.Context, c *hooktool.Client) (any, error) { return results(c.CredentialGet(ctx)) },
			"credential-get|--format=json", "",
			`{"type":"lxd","name":"localhost","region":"r","endpoint":"https://10.0.0.1:8443","credential":{"auth-type":"certificate","attrs":{"client-key":"k"}}}`,
			hooktool.CloudSpec{Type: "lxd", Name: "localhost", Region: "r", Endpoint: "https://10.0.0.1:8443",
				Credential: hooktool.CloudCredential{AuthType: "certificate", Attributes: map[string]string{"client-key": "k"}}}},
		{"Reboot", func(ctx context.Context, c *hooktool.Client) (any, error) { return nothing(c.Reboot(ctx, false)) },
			"juju-reboot", "", "", nil},
		{"Reboot now", func(ctx context.Context, c *hooktool.Client) (any, error) { return nothing(c.Reboot(ctx, true)) },
			"juju-reboot|--now", "", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var calls []hooktool.Call
			c := hooktool.New(tools(func(_ context.Context, call hooktool.Call) (hooktool.Result, error) {
				calls = append(calls, call)
				return hooktool.Result{Stdout: []byte(test.stdout)}, nil
			}))
			got, err := test.ask(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, want %#v", got, test.want)
			}
			var made []string
			stdin := ""
			for _, call := range calls {
				made = append(made, strings.Join(append([]string{call.Tool}, call.Args...), "|"))
				stdin += string(call.Stdin)
			}
			if got := strings.Join(made, "\n"); got != test.call || stdin != test.stdin {
				t.Errorf("called %s with input %s\nwant   %s with input %s", got, stdin, test.call, test.stdin)
			}
		})
	}
}

// Arguments that cannot be right are refused before any tool is run.
func TestInvalid(t *testing.T) {
	t.Parallel()
	c := hooktool.New(tools(func(_ context.Context, call hooktool.Call) (hooktool.Result, error) {
		return hooktool.Result{}, fmt.Errorf("%s was called", call.Tool)
	}))
	ctx := t.Context()
	good := hooktool.SecretURI{ID: someID}
	secret := func(key, value string) error {
		_, err := c.SecretAdd(ctx, hooktool.Secret{Content: map[string]string{key: value}})
		return err
	}
	_, noEndpoint := c.RelationIDs(ctx, "")
	_, noRelation := c.RelationList(ctx, "")
	_, noUnit := c.RelationGet(ctx, "db:1", "")
	_, noApp := c.RelationGetApp(ctx, "db:1", "")
	_, noSecret := c.SecretGet(ctx, hooktool.SecretQuery{})
	_, both := c.SecretGet(ctx, hooktool.SecretQuery{Label: "l", Peek: true, Refresh: true})
	_, noContent := c.SecretAdd(ctx, hooktool.Secret{})
	_, noStorage := c.StorageGet(ctx, "")
	for text, err := range map[string]error{
		"the endpoint is empty":                              noEndpoint,
		"relation-list: the relation id is empty":            noRelation,
		"relation-get: the unit or application is empty":     noUnit,
		"the unit or application is empty":                   noApp,
		"relation-set: the relation id is empty":             c.RelationSet(ctx, "", map[string]string{"a": "b"}),
		`value of key "pem" is not valid UTF-8`:              c.RelationSet(ctx, "db:1", map[string]string{"a": "b", "pem": "hush\xff"}),
		`key "\xff" is not valid UTF-8`:                      c.StateSet(ctx, map[string]string{"\xff": "b"}),
		"a key is empty":                                     c.StateSet(ctx, map[string]string{"": "b"}),
		`protocol "sctp" is not tcp, udp or icmp`:            c.OpenPorts(ctx, hooktool.PortRange{From: 1}, hooktool.PortRange{Protocol: "sctp"}),
		"ports 90-80 are not a range":                        c.OpenPorts(ctx, hooktool.PortRange{From: 90, To: 80}),
		"ports 70000-0 are not":                              c.ClosePorts(ctx, hooktool.PortRange{From: 70000}),
		"icmp has no ports":                                  c.OpenPorts(ctx, hooktool.PortRange{From: 1, Protocol: "icmp"}),
		`endpoint "a,b" of 1/tcp`:                            c.OpenPorts(ctx, hooktool.PortRange{From: 1, Endpoints: []string{"a,b"}}),
		"count 0 of storage":                                 c.StorageAdd(ctx, "data", 0),
		"the storage id is empty":                            noStorage,
		"neither the URI nor the label":                      noSecret,
		"not both":                                           both,
		"the secret has no content":                          noContent,
		`secret key "ab" must`:                               secret("ab", "hush"),
		`secret key "Abc" must`:                              secret("Abc", "hush"),
		`secret key "abc-" must`:                             secret("abc-", "hush"),
		`secret key "a-b" must`:                              secret("a-b", "hush"),
		`secret key "ab--cd" must`:                           secret("ab--cd", "hush"),
		`secret key "abc#file" must`:                         secret("abc#file", "hush"),
		`secret key "abc" has an empty value`:                secret("abc", ""),
		"the owner of a secret cannot change":                c.SecretSet(ctx, good, hooktool.Secret{Owner: hooktool.OwnerUnit}),
		"secret-set: secret URI":                             c.SecretSet(ctx, hooktool.SecretURI{}, hooktool.Secret{Label: "x"}),
		`secret URI "secret:--zzz"`:                          c.SecretRemove(ctx, hooktool.SecretURI{ID: "--zzz"}, 0),
		"revision -1 is negative":                            c.SecretRemove(ctx, good, -1),
		"secret-grant: the relation id is empty":             c.SecretGrant(ctx, good, "", ""),
		`secret-revoke: secret URI "secret:" is not one`:     c.SecretRevoke(ctx, hooktool.SecretURI{}, hooktool.SecretGrantee{}),
		`secret URI "secret://../` + someID + `" is not one`: c.SecretRemove(ctx, hooktool.SecretURI{ID: someID, Model: ".."}, 0),
	} {
		if !errors.Is(err, hooktool.ErrInvalid) || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q, got %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%v shows a value", err)
		}
	}
}

// A value that Juju's JSON would damage is read again, encoded.
func TestSecretGetBinary(t *testing.T) {
	t.Parallel()
	c := hooktool.New(tools(func(_ context.Context, call hooktool.Call) (hooktool.Result, error) {
		switch args := strings.Join(call.Args, " "); args {
		case "--format=json --peek -- secret:" + someID:
			return hooktool.Result{Stdout: []byte(`{"raw":"a\ufffd","text":"b"}`)}, nil
		case "--format=json --peek -- secret:" + someID + " raw#base64":
			return hooktool.Result{Stdout: []byte(`"Yf8="` + "\n")}, nil
		default:
			return hooktool.Result{}, errors.New(args)
		}
	}))
	got, err := c.SecretGet(t.Context(), hooktool.SecretQuery{URI: hooktool.SecretURI{ID: someID}, Peek: true})
	if want := map[string]string{"raw": "a\xff", "text": "b"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestStateGetMissing(t *testing.T) {
	t.Parallel()
	v, ok, err := hooktool.New(failing(1, "ERROR \"k\" not found\n")).StateGet(t.Context(), "k")
	if v != "" || ok || err != nil {
		t.Errorf("got %q, %v, %v", v, ok, err)
	}
	if _, _, err := hooktool.New(failing(1, "ERROR oh\n")).StateGet(t.Context(), "k"); err == nil {
		t.Error("a failure was taken for a missing key")
	}
}

// Nothing that can be logged or printed shows a secret.
func TestPrinting(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	secret := hooktool.Secret{Label: "l", Content: map[string]string{"key": "hush"}}
	cloud := hooktool.CloudSpec{Credential: hooktool.CloudCredential{AuthType: "cert", Attributes: map[string]string{"key": "hush"}}}
	for _, v := range []any{secret, &secret, cloud, &cloud, cloud.Credential} {
		logger.Info("x", "v", v)
		fmt.Fprintf(&log, "%v %+v %#v\n", v, v, v)
	}
	if strings.Contains(log.String(), "hush") {
		t.Error(log.String())
	}
}

func TestPortRange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]hooktool.PortRange{
		"80":                {Protocol: "tcp", From: 80, To: 80},
		"0/tcp":             {Protocol: "tcp"},
		"80/tcp":            {Protocol: "tcp", From: 80, To: 80},
		"80-90/UDP":         {Protocol: "udp", From: 80, To: 90},
		"icmp":              {Protocol: "icmp"},
		"icmp (*)":          {Protocol: "icmp"},
		"80/tcp (db, web)":  {Protocol: "tcp", From: 80, To: 80, Endpoints: []string{"db", "web"}},
		"0-65535/tcp (a-b)": {Protocol: "tcp", To: 65535, Endpoints: []string{"a-b"}},
	} {
		got, err := hooktool.ParsePortRange(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		again, err := hooktool.ParsePortRange(got.String())
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s: %s reads %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "x", "80/", "80/icmp", "icmp/80", "-1", "70000", "90-80/tcp", "5-0/tcp", "80-/tcp", "+80", "80/tcp (", "80/tcp ()", "80/tcp (a,b)", "80/tcp (a) "} {
		if got, err := hooktool.ParsePortRange(text); !errors.Is(err, hooktool.ErrInvalid) {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
}

func TestSecretURI(t *testing.T) {
	t.Parallel()
	const model = "deadbeef-0bad-400d-8000-4b1d0d06f00d"
	for _, text := range []string{"secret:" + someID, "secret://" + model + "/" + someID, someID} {
		var u hooktool.SecretURI
		if err := u.UnmarshalText([]byte(text)); err != nil || u.ID != someID {
			t.Errorf("%s: got %+v, %v", text, u, err)
		}
		if got, _ := u.MarshalText(); string(got) != text && text != someID {
			t.Errorf("%s: written %s", text, got)
		}
	}
	for _, text := range []string{"", "secret:", "--help", "secret:--file=/etc/passwd-x", "secret://" + someID, "secret:///" + someID,
		"secret://..//" + someID, "secret://" + model + "/a/" + someID, someID + "x", strings.ToUpper(someID), "secret:" + someID + "\n"} {
		if u, err := hooktool.ParseSecretURI(text); !errors.Is(err, hooktool.ErrInvalid) {
			t.Errorf("%q: got %+v, %v", text, u, err)
		}
	}
}
