package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// runStore runs operations on unit data over each store that there is: in
// memory, in Juju's charm state, and in the file of Python charms.
func runStore(t *testing.T, f fields) {
	memory := &unitdata.Memory{}
	// Each store has a charm state of its own, for the file takes over what was
	// kept there before it.
	tools, fileTools := hooktool.New(stateTools{}), hooktool.New(stateTools{})
	path := filepath.Join(t.TempDir(), sqlitefile.FileName)
	for name, open := range map[string]func() unitdata.Store{
		"memory": func() unitdata.Store { return memory },
		"juju":   func() unitdata.Store { return unitdata.NewJujuState(tools) },
		"file":   func() unitdata.Store { return sqlitefile.NewStore(fileTools, sqlitefile.Options{Path: path}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := &pythonStore{t: t, newStore: open}
			s.reopen()
			for i, op := range f.objects("ops") {
				result := s.do(op)
				if diff := cmp.Diff(op["result"], result); diff != "" {
					t.Errorf("operation %d (%s) (-want +got):\n%s", i, op.text("op"), diff)
				}
				if diff := cmp.Diff(canonical(op.bag("rows")), s.rows()); diff != "" {
					t.Errorf("rows after operation %d (%s) (-want +got):\n%s", i, op.text("op"), diff)
				}
			}
			s.reopen()
			if diff := cmp.Diff(canonical(f.bag("persisted")), s.rows()); diff != "" {
				t.Errorf("persisted (-want +got):\n%s", diff)
			}
			s.close()
		})
	}
}

// canonical spells values alike: stored values are compared as JSON values
// (FORMAT.md, section 2.5).
func canonical(rows map[string]string) map[string]string {
	for key, text := range rows {
		rows[key] = canonicaljson.Canonical(text)
	}
	return rows
}

// stateTools is a unit agent that knows charm state only, and commits at once.
type stateTools map[string]string

func (s stateTools) Close() error { return nil }

func (s stateTools) Call(_ context.Context, call hooktool.Call) (hooktool.Result, error) {
	key := call.Args[len(call.Args)-1]
	switch call.Tool {
	case "state-get":
		if strings.HasPrefix(key, "--") { // all of it
			out, err := json.Marshal(s)
			return hooktool.Result{Stdout: out}, err
		}
		value, ok := s[key]
		if !ok {
			return hooktool.Result{Code: 1, Stderr: fmt.Appendf(nil, "ERROR %q not found\n", key)}, nil
		}
		out, err := json.Marshal(value)
		return hooktool.Result{Stdout: out}, err
	case "state-set":
		return hooktool.Result{}, json.Unmarshal(call.Stdin, (*map[string]string)(&s))
	case "state-delete":
		delete(s, key)
		return hooktool.Result{}, nil
	}
	return hooktool.Result{}, fmt.Errorf("no tool %s", call.Tool)
}

// pythonStore is what charmhelpers' unitdata offers, made of unitdata.Data.
type pythonStore struct {
	t        *testing.T
	newStore func() unitdata.Store
	store    unitdata.Store
	data     *unitdata.Data
}

func (s *pythonStore) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *pythonStore) close() {
	s.t.Helper()
	if c, ok := s.store.(interface{ Close() error }); ok {
		s.check(c.Close())
	}
}

func (s *pythonStore) reopen() {
	s.t.Helper()
	s.close()
	s.store = s.newStore()
	data, err := unitdata.Open(s.t.Context(), s.store)
	s.check(err)
	s.data = data
}

func (s *pythonStore) rows() map[string]string {
	rows := map[string]string{}
	for _, key := range s.data.Keys("") {
		text, _ := s.data.Raw(key)
		rows[key] = canonicaljson.Canonical(string(text))
	}
	return rows
}

func (s *pythonStore) get(key string) (any, bool) {
	s.t.Helper()
	text, ok := s.data.Raw(key)
	if !ok {
		return nil, false
	}
	v, err := canonicaljson.Decode(string(text))
	s.check(err)
	return v, true
}

func (s *pythonStore) do(op fields) any {
	s.t.Helper()
	key, _ := op["key"].(string)
	prefix, _ := op["prefix"].(string)
	switch name := op.text("op"); name {
	case "set":
		s.check(s.data.Set(key, op["value"]))
		return op["value"]
	case "get":
		if v, ok := s.get(key); ok {
			return v
		}
		return op["default"]
	case "getrange":
		values := map[string]any{}
		for _, key := range s.data.Keys(prefix) {
			v, _ := s.get(key)
			if op.flag("strip") {
				key = strings.TrimPrefix(key, prefix)
			}
			values[key] = v
		}
		return values
	case "update":
		for key, v := range op.object("mapping") {
			s.check(s.data.Set(prefix+key, v))
		}
	case "unset":
		s.data.Unset(key)
	case "unsetrange":
		s.data.UnsetRange(prefix)
	case "unsetkeys":
		for _, key := range op.texts("keys") {
			s.data.Unset(prefix + key)
		}
	case "delta":
		return s.delta(prefix, op.object("mapping"))
	case "flush":
		s.check(s.data.Commit(s.t.Context()))
	case "rollback":
		s.data.Rollback()
	case "reopen":
		s.reopen()
	default:
		s.t.Fatalf("no operation %s", name)
	}
	return nil
}

func (s *pythonStore) delta(prefix string, mapping map[string]any) any {
	s.t.Helper()
	delta := map[string]any{}
	for _, key := range s.data.Keys(prefix) {
		old, _ := s.get(key)
		key = strings.TrimPrefix(key, prefix)
		if v, ok := mapping[key]; !ok || !cmp.Equal(old, v) {
			delta[key] = []any{old, v}
		}
	}
	for key, v := range mapping {
		if !s.data.Has(prefix + key) {
			delta[key] = []any{nil, v}
		}
	}
	return delta
}
