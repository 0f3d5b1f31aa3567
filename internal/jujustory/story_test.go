package jujustory_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/internal/jujustory"
)

func lines(t testing.TB) [][]byte {
	t.Helper()
	f, err := os.Open("../conformance/testdata/juju_stories.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	scanner := bufio.NewScanner(z)
	scanner.Buffer(nil, 1<<24)
	for scanner.Scan() {
		all = append(all, bytes.Clone(scanner.Bytes()))
	}
	if err := scanner.Err(); err != nil || len(all) == 0 {
		t.Fatalf("read %d stories: %v", len(all), err)
	}
	return all
}

func story(t *testing.T, name string) *jujustory.Story {
	t.Helper()
	for _, line := range lines(t) {
		s, err := jujustory.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no story %s", name)
	return nil
}

// A replay has to notice what Juju would not have done or shown.
func TestReplayRefusesWhatDidNotHappen(t *testing.T) {
	t.Parallel()
	find := func(s *jujustory.Story, unit, at string) *jujustory.Dispatch {
		u := s.Units[unit]
		return &u.Dispatches[slices.IndexFunc(u.Dispatches, func(d jujustory.Dispatch) bool { return d.At == at })]
	}
	for name, c := range map[string]struct {
		spoil func(s *jujustory.Story)
		want  string // in the error or a difference
	}{
		"nothing": {func(*jujustory.Story) {}, ""},
		"start before config-changed": {func(s *jujustory.Story) {
			a, b := find(s, "cb1/0", "config-changed"), find(s, "cb1/0", "start")
			a.At, a.Hook, b.At, b.Hook = b.At, b.Hook, a.At, a.Hook
		}, "cannot run cb1/0 start: there is no reason for it"},
		"joined by nobody": {func(s *jujustory.Story) {
			find(s, "cb1/0", "src-relation-joined").Env["JUJU_REMOTE_UNIT"] = "pb1/7"
		}, "pb1/7 is not in the relation"},
		"another leader": {func(s *jujustory.Story) {
			find(s, "cb1/0", "start").View.Leader = []byte("false")
		}, "is-leader: recorded false, simulated true"},
		"other data": {func(s *jujustory.Story) {
			find(s, "cb1/0", "src-relation-joined").View.Relations["src:6"].Bags["pb1/0"] = []byte(`{"x":"y"}`)
		}, `recorded {"x":"y"}`},
		"a variable less": {func(s *jujustory.Story) {
			delete(find(s, "cb1/0", "src-relation-joined").Env, "JUJU_REMOTE_APP")
		}, "JUJU_REMOTE_APP: recorded unset, simulated pb1"},
		"other neighbours": {func(s *jujustory.Story) {
			find(s, "cb1/0", "start").View.GoalState = []byte(`{"units":{"cb1/0":{"status":"maintenance","since":"T"}},"relations":{}}`)
		}, `goal-state: recorded {"relations":{},`},
		"another leader in the end": {func(s *jujustory.Story) {
			o := s.Ops[slices.IndexFunc(s.Ops, func(o jujustory.Op) bool { return o.Observe != nil })].Observe
			u := o.Units["cb1/0"]
			u.Leader = false
			o.Units["cb1/0"] = u
		}, "leader flag of cb1/0"},
		"a unit more": {func(s *jujustory.Story) {
			o := s.Ops[slices.IndexFunc(s.Ops, func(o jujustory.Op) bool { return o.Observe != nil })].Observe
			o.Units["cb1/1"] = o.Units["cb1/0"]
		}, "recorded [cb1/0 cb1/1 pb1/0], simulated [cb1/0 pb1/0]"},
		"an end too early": {func(s *jujustory.Story) {
			u := s.Units["cb1/0"]
			u.Dispatches = u.Dispatches[:len(u.Dispatches)-2]
		}, "left to do in the end: recorded nothing, simulated cb1/0 src-relation-joined"},
		"a failure": {func(s *jujustory.Story) { find(s, "cb1/0", "start").Exit.Code = 1 }, "outcome: recorded failed, simulated done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := story(t, "b1-relate-at-once")
			c.spoil(s)
			r, err := jujustory.NewReplay(s)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			found := r.Differences
			if err := r.Run(t.Context()); err != nil {
				found = append(found, err.Error())
			}
			found = append(found, r.Differences...)
			switch {
			case c.want == "" && len(found) > 0:
				t.Errorf("it found %v", found)
			case !strings.Contains(strings.Join(found, "\n"), c.want):
				t.Errorf("it found %v, not %q", found, c.want)
			}
			if r.Compared == 0 {
				t.Error("it compared nothing")
			}
		})
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	got := jujustory.Words(`juju exec --unit a/0  'relation-set v=1 && state-set x=' `)
	want := []string{"juju", "exec", "--unit", "a/0", "relation-set v=1 && state-set x="}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"story":"x","ops":[{"t":1,"t_end":2,"cmd":"juju exec --unit a/0 -r db:1 'relation-set v=1; state-set x='"}],"units":{"a/0":{"env":{}}}}`))
	f.Add([]byte(`{"story":"x","ops":[{"cmd":"juju resolve --no-retry a/0"}],"units":{"a/0":{"dispatches":[{"at":"install","acts":[{"act":["tool","relation-set","-r","db:1","--app","a=b"]}],"v":{"state-get":{"a":"b"},"relations":{"db:1":{"list":["b/0"],"bags":{"b/0":{"!code":1}}}}},"exit":1}]}}}`))
	f.Add([]byte(`{"story":"x","units":{"a/0":{"dispatches":[{"acts":[{"act":[1,"x"]}],"exit":"SIGKILL"}]}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := jujustory.Parse(line)
		if err == nil {
			s.Sequences()
		}
	})
}
