package charmfile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/charmfile"
)

const webCharm = `
type: charm
name: web
title: Web server
summary: A web server
description: |
  A web server behind a load balancer.
base: ubuntu@24.04
platforms:
  amd64:
  arm64:
  big:
    build-on: [amd64]
    build-for: [s390x]
parts: {charm: {plugin: go, source: .}}
peers:
  cluster: {interface: web-cluster}
requires:
  lb-provider:
    interface: loadbalancer
    limit: 1
    optional: true
  host: {interface: juju-info, scope: container}
provides:
  website: http
  metrics: {interface: prometheus-manual}
config:
  options:
    port: {type: int, default: 8080, description: Port to listen on.}
    motd: {default: "yes"}
    debug: {type: boolean, default: off}
    ratio: {type: float, default: 1}
    token: {type: secret}
actions:
  backup:
    description: Write a backup.
    parallel: true
    execution-group: slow
    required: [target]
    params:
      target: {type: string, enum: [s3, local]}
      keep: {type: integer, default: 3, minimum: 1, maximum: 10}
      retry:
        type: object
        properties:
          times: {type: integer, default: 2}
      hosts: {type: array, items: {type: string, pattern: "^[a-z]+$"}, maxItems: 2}
    additionalProperties: false
storage:
  data: {type: filesystem, location: /srv, minimum-size: 1G, multiple: {range: 0-}}
  disk: {type: block}
resources:
  image: {type: oci-image, description: The server.}
  site: {type: file, filename: site.tgz}
containers:
  web:
    resource: image
    mounts: [{storage: data, location: /srv}]
    uid: 584792
devices: {gpu: {type: nvidia.com/gpu, countmin: 1}}
extra-bindings: {admin: , backup: null}
subordinate: false
assumes:
  - juju >= 3.6
  - any-of: [k8s-api, {all-of: [a, b]}]
charm-user: non-root
`

func ExampleParse() {
	charm, err := charmfile.Parse("charmcraft.yaml", []byte(`
name: web
summary: A web server
description: A web server behind a load balancer.
provides:
  metrics:
    interface: prometheus-manual
config:
  options:
    port: {type: int, default: 8080}
actions:
  backup:
    params:
      keep: {type: integer, default: 3, minimum: 1}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ep := range charm.Endpoints {
		fmt.Println(ep.Role, ep.Name, ep.Interface)
	}
	fmt.Println(charm.Options.Defaults())
	backup, _ := charm.Action("backup")
	fmt.Println(backup.Validate(nil))
	_, err = backup.Validate(map[string]any{"keep": 0})
	fmt.Println(err)
	// Output:
	// provides metrics prometheus-manual
	// map[port:8080]
	// map[keep:3] <nil>
	// action "backup": parameter "keep" must be at least 1, not 0
}

func mustParse(t *testing.T, text string) *charmfile.Charm {
	t.Helper()
	c, err := charmfile.Parse("charmcraft.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseEverything(t *testing.T) {
	t.Parallel()
	got := mustParse(t, webCharm)
	uid := 584792
	want := &charmfile.Charm{
		Name: "web", Title: "Web server", Summary: "A web server",
		Description: "A web server behind a load balancer.\n",
		Endpoints: []charmfile.Endpoint{
			{Name: "website", Role: charmfile.Provider, Interface: "http", Scope: charmfile.GlobalScope},
			{Name: "metrics", Role: charmfile.Provider, Interface: "prometheus-manual", Scope: charmfile.GlobalScope},
			{Name: "lb-provider", Role: charmfile.Requirer, Interface: "loadbalancer", Scope: charmfile.GlobalScope, Limit: 1, Optional: true},
			{Name: "host", Role: charmfile.Requirer, Interface: "juju-info", Scope: charmfile.ContainerScope},
			{Name: "cluster", Role: charmfile.Peer, Interface: "web-cluster", Scope: charmfile.GlobalScope},
		},
		Options: charmfile.Options{
			{Name: "port", Type: charmfile.Int, Default: int64(8080), Description: "Port to listen on."},
			{Name: "motd", Type: charmfile.String, Default: "yes"},
			{Name: "debug", Type: charmfile.Boolean, Default: false},
			{Name: "ratio", Type: charmfile.Float, Default: 1.0},
			{Name: "token", Type: charmfile.Secret},
		},
		Storage: []charmfile.Storage{
			{Name: "data", Type: "filesystem", Location: "/srv", MinimumSize: "1G", Min: 0, Max: -1},
			{Name: "disk", Type: "block", Min: 1, Max: 1},
		},
		Devices: []charmfile.Device{{Name: "gpu", Type: "nvidia.com/gpu", Min: 1}},
		Resources: []charmfile.Resource{
			{Name: "image", Type: "oci-image", Description: "The server."},
			{Name: "site", Type: "file", Filename: "site.tgz"},
		},
		Containers: []charmfile.Container{{
			Name: "web", Resource: "image", UID: &uid,
			Mounts: []charmfile.Mount{{Storage: "data", Location: "/srv"}},
		}},
		ExtraBindings: []string{"admin", "backup"},
		Assumes: []charmfile.Assumption{
			{Feature: "juju >= 3.6"},
			{AnyOf: []charmfile.Assumption{{Feature: "k8s-api"}, {AllOf: []charmfile.Assumption{{Feature: "a"}, {Feature: "b"}}}}},
		},
		CharmUser: "non-root",
		Base:      "ubuntu@24.04",
		Platforms: []charmfile.Platform{
			{Name: "amd64", BuildOn: []string{"amd64"}, BuildFor: []string{"amd64"}},
			{Name: "arm64", BuildOn: []string{"arm64"}, BuildFor: []string{"arm64"}},
			{Name: "big", BuildOn: []string{"amd64"}, BuildFor: []string{"s390x"}},
		},
		Files: []string{"charmcraft.yaml"},
	}
	actions := got.Actions
	got.Actions = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("charm (-want +got):\n%s", diff)
	}
	if len(actions) != 1 {
		t.Fatalf("got %d actions, want 1", len(actions))
	}
	a := actions[0]
	if !a.Parallel || a.ExecutionGroup != "slow" || a.AdditionalProperties == nil || *a.AdditionalProperties ||
		!cmp.Equal(a.Required, []string{"target"}) || !cmp.Equal(a.ParamOrder, []string{"target", "keep", "retry", "hosts"}) {
		t.Errorf("action is %+v", a)
	}
}

func TestLookups(t *testing.T) {
	t.Parallel()
	c := mustParse(t, webCharm)
	if e, ok := c.Endpoint("host"); !ok || e.Interface != "juju-info" {
		t.Errorf("Endpoint(host) = %+v, %v", e, ok)
	}
	if _, ok := c.Endpoint("nope"); ok {
		t.Error("Endpoint(nope) exists")
	}
	if n := len(c.EndpointsOf(charmfile.Requirer)); n != 2 {
		t.Errorf("requires has %d endpoints, want 2", n)
	}
	_, s := c.StorageNamed("disk")
	_, r := c.Resource("site")
	_, x := c.Container("web")
	_, a := c.Action("backup")
	if !s || !r || !x || !a {
		t.Error("a lookup does not find what is declared:", s, r, x, a)
	}
}

func TestLoadLayouts(t *testing.T) {
	t.Parallel()
	const head = "name: web\nsummary: s\ndescription: d\n"
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	packed := fstest.MapFS{
		"metadata.yaml": file(head + "display-name: Web\nrequires: {db: {interface: pgsql}}\n"),
		"config.yaml":   file("options: {port: {type: int, default: 80}}\n"),
		"actions.yaml":  file("backup: {description: b}\n"),
		"manifest.yaml": file("bases: [{name: ubuntu, channel: 24.04/stable, architectures: [arm64]}]\n"),
	}
	c, err := charmfile.LoadFS(packed)
	if err != nil {
		t.Fatal(err)
	}
	if c.Title != "Web" || len(c.Endpoints) != 1 || len(c.Options) != 1 || len(c.Actions) != 1 ||
		!cmp.Equal(c.Bases, []charmfile.Base{{Name: "ubuntu", Channel: "24.04/stable", Architectures: []string{"arm64"}}}) {
		t.Errorf("packed charm is %+v", c)
	}

	old := fstest.MapFS{
		"charmcraft.yaml": file("type: charm\nbases: [{build-on: [{name: ubuntu, channel: '22.04'}], run-on: [{name: ubuntu, channel: '24.04'}]}]\n"),
		"metadata.yaml":   file(head),
	}
	c, err = charmfile.LoadFS(old)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "web" || !cmp.Equal(c.Bases, []charmfile.Base{{Name: "ubuntu", Channel: "24.04"}}) {
		t.Errorf("older layout is %+v", c)
	}

	_, err = charmfile.LoadFS(fstest.MapFS{
		"charmcraft.yaml": file(head + "config: {options: {}}\n"),
		"config.yaml":     file("options: {}\n"),
	})
	if err == nil || !strings.Contains(err.Error(), "config.yaml:1: is already in charmcraft.yaml") {
		t.Errorf("config in two files: %v", err)
	}
	if _, err := charmfile.LoadFS(fstest.MapFS{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty directory: %v", err)
	}
	if _, err := charmfile.Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("empty directory on disk: %v", err)
	}
}

func TestErrorsSayWhere(t *testing.T) {
	t.Parallel()
	const head = "name: web\nsummary: s\ndescription: d\n"
	tests := []struct{ name, text, want string }{
		{"no name", "summary: s\ndescription: d\n", "charmcraft.yaml: name: is missing"},
		{"empty name", "name: ''\nsummary: s\ndescription: d\n", "charmcraft.yaml:1: name: is empty"},
		{"number as string", "name: web\nsummary: s\ndescription: 24.04\n", "charmcraft.yaml:3: description: must be a string, not 24.04; put it in quotes"},
		{"not yaml", "name: [\n", "is not YAML"},
		{"list", "- a\n", "charmcraft.yaml:1: must be a map, not a list"},
		{"scope", head + "requires:\n  db:\n    interface: x\n    scope: unit\n", `charmcraft.yaml:7: requires.db.scope: must be "global" or "container", not "unit"`},
		{"no interface", head + "provides: {db: {limit: 1}}\n", "provides.db.interface: is missing"},
		{"limit", head + "provides: {db: {interface: x, limit: many}}\n", `provides.db.limit: must be an integer, not "many"`},
		{"duplicate", head + "provides: {db: x, db: y}\n", "provides.db: appears twice"},
		{"option type", head + "config: {options: {p: {type: number}}}\n", `config.options.p.type: must be "string", "int", "float", "boolean" or "secret", not "number"`},
		{"option default", head + "config: {options: {p: {type: int, default: many}}}\n", `config.options.p.default: option "p" is of type int and cannot be "many"`},
		{"bare yes", head + "config: {options: {p: {type: string, default: yes}}}\n", `option "p" is of type string and cannot be true`},
		{"no options", head + "config: {}\n", "config.options: is missing"},
		{"empty config", head + "config:\n", "config: has no options"},
		{"storage", head + "storage: {d: {type: tape}}\n", `storage.d.type: must be "filesystem" or "block", not "tape"`},
		{"range", head + "storage: {d: {type: block, multiple: {range: lots}}}\n", `storage.d.multiple.range: must be a count such as 2, 0-1 or 1+, not "lots"`},
		{"resource", head + "resources: {d: {type: image}}\n", `resources.d.type: must be "file" or "oci-image", not "image"`},
		{"schema type", head + "actions: {a: {params: {p: {type: int}}}}\n", "actions.a.params.p.type: must be a type of JSON Schema"},
		{"schema default", head + "actions: {a: {params: {p: {type: integer, default: x}}}}\n", `must be of type integer, not "x"`},
		{"reference", head + "actions: {a: {params: {p: {$ref: x}}}}\n", "actions.a.params.p.$ref: is not allowed"},
		{"assumes", head + "assumes: [{none-of: [a]}]\n", `assumes[0].none-of: must be a feature, "any-of" or "all-of"`},
		{"cycle", head + "assumes: &a [{any-of: *a}]\n", "nested too deeply"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := charmfile.Parse("charmcraft.yaml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got  %v\nwant %s", err, tt.want)
			}
			var e *charmfile.Error
			if !errors.As(err, &e) || e.File != "charmcraft.yaml" {
				t.Errorf("error is no *Error: %#v", err)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	_, err := charmfile.Parse("charmcraft.yaml", []byte("name: 1\nsummary: 2\ndescription: 3\n"))
	if n := strings.Count(err.Error(), "must be a string"); n != 3 {
		t.Errorf("%d mistakes are reported, want 3: %v", n, err)
	}
}

func TestMergeKeysAndAliases(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
name: web
summary: s
description: d
x-common: &common {type: int, default: 1}
config:
  options:
    a: {<<: *common, default: 2}
    b: *common
`)
	want := map[string]any{"a": int64(2), "b": int64(1)}
	if diff := cmp.Diff(want, c.Options.Defaults()); diff != "" {
		t.Error(diff)
	}
}

func TestOptionValues(t *testing.T) {
	t.Parallel()
	const bad = "error"
	tests := []struct {
		typ  charmfile.OptionType
		in   any
		want any
	}{
		{charmfile.Int, 3, int64(3)},
		{charmfile.Int, 3.0, int64(3)},
		{charmfile.Int, json.Number("3"), int64(3)},
		{charmfile.Int, json.Number("3e2"), int64(300)},
		{charmfile.Int, "0x10", int64(16)},
		{charmfile.Int, 3.5, bad},
		{charmfile.Int, math.Inf(1), bad},
		{charmfile.Int, 1e19, bad},
		{charmfile.Int, true, bad},
		{charmfile.Float, 3, 3.0},
		{charmfile.Float, "3", bad},
		{charmfile.Boolean, "true", true},
		{charmfile.Boolean, 1, bad},
		{charmfile.String, "x", "x"},
		{charmfile.String, 1, bad},
		{charmfile.Secret, "secret:abc", "secret:abc"},
		{charmfile.Secret, "", ""},
		{charmfile.Secret, "hunter2", bad},
		{charmfile.Int, nil, nil},
	}
	for _, tt := range tests {
		o := charmfile.Option{Name: "o", Type: tt.typ}
		got, err := o.Check(tt.in)
		if tt.want == bad {
			if err == nil {
				t.Errorf("%s takes %#v as %#v", tt.typ, tt.in, got)
			} else if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error shows a secret: %v", err)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("%s: Check(%#v) = %#v, %v; want %#v", tt.typ, tt.in, got, err, tt.want)
		}
	}
	if v, err := (charmfile.Option{Name: "o", Type: charmfile.Int}).Parse("8080"); err != nil || v != int64(8080) {
		t.Errorf("Parse(8080) = %v, %v", v, err)
	}
	if _, err := (charmfile.Option{Name: "o", Type: charmfile.Boolean}).Parse("maybe"); err == nil {
		t.Error("Parse takes maybe as a boolean")
	}
}

func TestActionValidate(t *testing.T) {
	t.Parallel()
	backup, _ := mustParse(t, webCharm).Action("backup")
	params := map[string]any{"target": "s3", "keep": 5.0, "hosts": []any{"a"}}
	got, err := backup.Validate(params)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"target": "s3", "keep": 5.0, "hosts": []any{"a"}, "retry": map[string]any{"times": int64(2)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(params) != 3 {
		t.Errorf("Validate changed its argument: %v", params)
	}
	bad := []struct {
		params map[string]any
		want   string
	}{
		{nil, `action "backup": it needs "target"`},
		{map[string]any{"target": "tape"}, `parameter "target" must be one of ["s3" "local"], not "tape"`},
		{map[string]any{"target": 1}, `parameter "target" must be of type string, not 1`},
		{map[string]any{"target": "s3", "keep": 11}, `parameter "keep" must be at most 10, not 11`},
		{map[string]any{"target": "s3", "keep": 1.5}, `parameter "keep" must be of type integer, not 1.5`},
		{map[string]any{"target": "s3", "kepe": 1}, `it has no "kepe"; it has [hosts keep retry target]`},
		{map[string]any{"target": "s3", "hosts": []any{"A"}}, `parameter "hosts[0]" must match ^[a-z]+$`},
		{map[string]any{"target": "s3", "hosts": []any{"a", "b", "c"}}, `parameter "hosts" must have at most 2 items, not 3`},
		{map[string]any{"target": "s3", "retry": map[string]any{"times": "x"}}, `parameter "retry.times" must be of type integer, not "x"`},
	}
	for _, tt := range bad {
		if _, err := backup.Validate(tt.params); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Validate(%v): got %v, want %s", tt.params, err, tt.want)
		}
	}
}

func TestDefaultsAreNotShared(t *testing.T) {
	t.Parallel()
	a, _ := mustParse(t, "name: a\nsummary: s\ndescription: d\nactions: {a: {params: {l: {type: array, default: [x]}}}}\n").Action("a")
	first, err := a.Validate(nil)
	if err != nil {
		t.Fatal(err)
	}
	first["l"].([]any)[0] = "changed"
	second, err := a.Validate(nil)
	if err != nil || second["l"].([]any)[0] != "x" {
		t.Errorf("the default is now %v (%v)", second["l"], err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(webCharm))
	f.Add([]byte("a: &a [*a]\nassumes: *a\n"))
	f.Add([]byte("actions: {a: {params: {p: &p {properties: {x: *p, y: *p, z: *p}}}}}"))
	f.Add([]byte("x: &x {<<: *x}\nprovides: *x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := charmfile.Parse("f.yaml", data)
		if err == nil && c.Name == "" {
			t.Error("a charm without a name and without an error")
		}
	})
}

// A running charm reads its files in every hook.
func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := charmfile.Parse("charmcraft.yaml", []byte(webCharm)); err != nil {
			b.Fatal(err)
		}
	}
}
