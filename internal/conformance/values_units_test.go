package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/reactive"
)

// orderOf returns the keys of an object of a vector in their own order, which
// no map keeps.
func orderOf(t *testing.T, line []byte, name string) []string {
	t.Helper()
	members, err := canonicaljson.Members(string(line))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(members[name]))
	if _, err := decoder.Token(); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

// A view is a databag as the vectors see it, in which a raw value can be null.
// A Go string cannot; "" stands for it, which means the same to relation-set:
// the key goes.
type view struct {
	*reactive.Databag
	null map[string]bool
}

func (v view) value(t *testing.T, key string) string {
	t.Helper()
	if v.null[key] && v.Has(key) && v.Raw(key) == "" {
		return "null"
	}
	return mustEncode(t, v.Value(key))
}

func (v view) raw(key string) any {
	if !v.Has(key) || v.null[key] && v.Raw(key) == "" {
		return nil
	}
	return v.Raw(key)
}

func runView(t *testing.T, line []byte, f fields) {
	v := view{reactive.NewDatabag(f.bag("bag"), f.flag("writeable"), orderOf(t, line, "bag")...), map[string]bool{}}
	for i, op := range f.objects("ops") {
		result, raises := v.do(t, op)
		want, _ := op["raises"].(string)
		if raises != want {
			t.Errorf("operation %d (%s) raises %q, want %q", i, op.text("op"), raises, want)
		}
		if diff := cmp.Diff(op["result"], result); want == "" && diff != "" {
			t.Errorf("operation %d (%s) (-want +got):\n%s", i, op.text("op"), diff)
		}
		if got, want := v.Modified(), op.flag("modified"); got != want {
			t.Errorf("after operation %d (%s) modified is %v, want %v", i, op.text("op"), got, want)
		}
	}
	raw := map[string]any{}
	for key := range v.Map() {
		raw[key] = v.raw(key)
	}
	if diff := cmp.Diff(map[string]any(f.object("raw_after")), raw); diff != "" {
		t.Errorf("raw data (-want +got):\n%s", diff)
	}
}

// do does one operation and returns its result in the vectors' terms, and the
// name of the exception that its error stands for.
func (v view) do(t *testing.T, op fields) (result any, raises string) {
	t.Helper()
	key, _ := op["key"].(string)
	raised := func(err error) string {
		t.Helper()
		switch {
		case err == nil:
			return ""
		case errors.Is(err, reactive.ErrReadOnly):
			return "ValueError"
		}
		t.Fatal(err)
		return ""
	}
	switch name := op.text("op"); name {
	case "get":
		return v.value(t, key), ""
	case "get_default":
		if !v.Has(key) {
			return mustEncode(t, op["default"]), ""
		}
		return v.value(t, key), ""
	case "set":
		return nil, raised(v.Set(key, op["value"]))
	case "setdefault":
		err := v.SetDefault(key, op["value"])
		return v.value(t, key), raised(err)
	case "contains":
		return v.Has(key), ""
	case "set_raw":
		raw, ok := op["value"].(string)
		v.null[key] = !ok
		return nil, raised(v.SetRaw(key, raw))
	case "get_raw":
		return v.raw(key), ""
	case "delete":
		was, err := v.Delete(key)
		if err == nil && !was {
			return nil, "KeyError"
		}
		return nil, raised(err)
	case "keys":
		list := []any{}
		for _, key := range v.Keys() {
			list = append(list, key)
		}
		return list, ""
	case "len":
		return json.Number(strconv.Itoa(v.Len())), ""
	default:
		t.Fatalf("no operation %s", name)
		return nil, ""
	}
}

func runAnyHook(t *testing.T, f fields) {
	var endpoints []charmfile.Endpoint
	for _, ep := range f.objects("endpoints") {
		endpoints = append(endpoints, charmfile.Endpoint{
			Name: ep.text("name"), Role: charmfile.Role(ep.text("role")), Interface: ep.text("interface"),
		})
	}
	expanded := []string{}
	for _, pattern := range f.texts("patterns") {
		expanded = append(expanded, reactive.ExpandHookPattern(pattern, endpoints)...)
	}
	if diff := cmp.Diff(f.texts("expanded"), expanded); diff != "" {
		t.Errorf("expanded (-want +got):\n%s", diff)
	}
	for hook, want := range f.object("matches") {
		if got := slices.Contains(expanded, hook); got != want {
			t.Errorf("hook %q matches: %v, want %v", hook, got, want)
		}
	}
}

// runUnits lets a charm see the units in a hook that is none of theirs.
func runUnits(t *testing.T, f fields) {
	relations := make(map[string]*vectorRelation)
	for id, v := range f.object("relations") {
		rel := &vectorRelation{App: "none", Data: map[string]map[string]string{}}
		units := fields(v.(map[string]any))
		for name := range units {
			rel.App = applicationOf(name)
			rel.Units = append(rel.Units, name)
			rel.Data[name] = units.bag(name)
		}
		relations[id] = rel
	}
	r := newHookRunner(t, []byte(`{"charm": {"unit": "local/0", "endpoints": [{"name": "db", "role": "requires", "interface": "db"}]}}`))
	seen := false
	r.run(t, &vectorStep{Hook: "update-status", Model: &modelChange{Relations: relations}}, func() *reactive.Charm {
		charm := reactive.New("charm")
		db := charm.Endpoint("db", charmfile.Requirer, "db")
		charm.HandleHook("look", "update-status", func(ctx context.Context, h *reactive.Hook) error {
			seen = true
			compareUnits(ctx, t, f, db)
			return nil
		})
		return charm
	})
	if r.err != nil {
		t.Fatal(r.err)
	}
	if !seen {
		t.Error("the handler did not run")
	}
}

func compareUnits(ctx context.Context, t *testing.T, f fields, db *reactive.Endpoint) {
	t.Helper()
	relations := []string{}
	for rel := range db.Relations().Values() {
		relations = append(relations, rel.ID())
	}
	if diff := cmp.Diff(f.texts("relation_order"), relations); diff != "" {
		t.Errorf("relations (-want +got):\n%s", diff)
	}
	order := []any{}
	for unit := range db.Units().Values() {
		order = append(order, []any{unit.RelationID(), unit.Name()})
	}
	if diff := cmp.Diff(f["order"], any(order)); diff != "" {
		t.Errorf("units (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(f.texts("keys"), append([]string{}, db.Units().Keys()...)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	for name, want := range f.object("first_relation_of_unit") {
		var got any
		if unit, ok := db.Units().Get(name); ok {
			got = unit.RelationID()
		}
		if got != want {
			t.Errorf("relation of the first unit %s is %v, want %v", name, got, want)
		}
	}
	received, err := db.Received(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range f.object("received") {
		if got := mustEncode(t, received.Value(key)); got != want {
			t.Errorf("received %s is %s, want %s", key, got, want)
		}
	}
	for key, want := range f.object("received_raw") {
		var got any
		if received.Has(key) {
			got = received.Raw(key)
		}
		if got != want {
			t.Errorf("raw %s is %v, want %v", key, got, want)
		}
	}
}
