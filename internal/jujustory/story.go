// Package jujustory reads the stories that were recorded from a real Juju: what
// an operator did to a model, and every dispatch of every unit that followed.
package jujustory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Story is one recorded story.
type Story struct {
	Name  string           `json:"story"`
	Title string           `json:"title"`
	Notes []string         `json:"notes"`
	Ops   []Op             `json:"ops"`
	Units map[string]*Unit `json:"units"`
}

// An Op is one thing that was done to the model, or seen of it. Of Cmd, Script,
// Unscript, Reached, Go and Observe one is set.
type Op struct {
	Time     int64    `json:"t"`
	End      int64    `json:"t_end"`
	Cmd      string   `json:"cmd"`
	Code     int      `json:"rc"`
	Out      string   `json:"out"`
	Stderr   string   `json:"stderr"`
	Script   *Script  `json:"script"`
	Unscript []string `json:"unscript"`
	Reached  string   `json:"reached"`
	Go       string   `json:"go"`
	Observe  *Observe `json:"observe"`
}

// An Observe is what juju status said.
type Observe struct {
	Units map[string]struct {
		Workload string   `json:"workload"`
		Message  string   `json:"message"`
		Leader   bool     `json:"leader"`
		Ports    []string `json:"ports"`
	} `json:"units"`
	Applications map[string]string `json:"applications"`
}

// A Script makes the dispatches that match it perform steps.
type Script struct {
	ID     string  `json:"id"`
	App    string  `json:"app"`
	Unit   string  `json:"unit"`
	At     string  `json:"at"`
	Remote *string `json:"remote"`
	Leader *bool   `json:"leader"`
	Times  *int    `json:"times"`
	Skip   int     `json:"skip"`
}

// A Unit is the life of one unit.
type Unit struct {
	Env        map[string]string `json:"env"`
	Dispatches []Dispatch        `json:"dispatches"`

	reboots []int64
}

// A Dispatch is one run of the charm's process.
type Dispatch struct {
	Seq   int               `json:"seq"`
	Time  int64             `json:"t"`
	End   *int64            `json:"t_end"`
	At    string            `json:"at"`
	Path  string            `json:"dispatch"`
	Hook  string            `json:"hook"`
	Charm string            `json:"charm"`
	Env   map[string]string `json:"env"`
	View  View              `json:"v"`
	Acts  []Act             `json:"acts"`
	Exit  Exit              `json:"exit"`

	skipped bool
	silent  bool // it left no record of its own
}

// A View is what the hook tools showed; a tool that failed shows a Failure.
type View struct {
	NotRead     bool                       `json:"not-read"`
	Leader      json.RawMessage            `json:"is-leader"`
	Config      json.RawMessage            `json:"config-get"`
	State       json.RawMessage            `json:"state-get"`
	Status      json.RawMessage            `json:"status-get"`
	Ports       json.RawMessage            `json:"opened-ports"`
	Secrets     json.RawMessage            `json:"secret-ids"`
	GoalState   json.RawMessage            `json:"goal-state"`
	Action      json.RawMessage            `json:"action-get"`
	RelationIDs map[string]json.RawMessage `json:"relation-ids"`
	Relations   map[string]RelationView    `json:"relations"`
}

// A RelationView is what the hook tools showed of one relation.
type RelationView struct {
	List    json.RawMessage            `json:"list"`
	App     json.RawMessage            `json:"app"`
	Bags    map[string]json.RawMessage `json:"bags"`
	Default json.RawMessage            `json:"get-default"`
}

// An Act is one step that a dispatch did.
type Act struct {
	Time   int64    `json:"t"`
	Act    []string `json:"act"`
	Code   int      `json:"code"`
	Out    string   `json:"out"`
	Stderr string   `json:"stderr"`
	View   *View    `json:"v"`
}

// An Exit is how a dispatch ended: a code, or a signal or "lost".
type Exit struct {
	Code   int
	Signal string
}

// UnmarshalJSON reads a number or a text.
func (e *Exit) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &e.Code) == nil {
		return nil
	}
	return json.Unmarshal(data, &e.Signal)
}

// UnmarshalJSON reads an act, whose steps may hold numbers.
func (a *Act) UnmarshalJSON(data []byte) error {
	type plain Act
	raw := struct {
		*plain
		Act []any `json:"act"`
	}{plain: (*plain)(a)}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	for _, word := range raw.Act {
		a.Act = append(a.Act, fmt.Sprint(word))
	}
	return nil
}

// Parse reads one line of the vectors.
func Parse(line []byte) (*Story, error) {
	s := &Story{}
	if err := json.Unmarshal(line, s); err != nil {
		return nil, fmt.Errorf("cannot read a story: %w", err)
	}
	if s.Name == "" || len(s.Units) == 0 {
		return nil, fmt.Errorf("cannot read a story: it has no name or no units")
	}
	for name, u := range s.Units {
		if u == nil {
			return nil, fmt.Errorf("cannot read story %s: unit %s is null", s.Name, name)
		}
	}
	return s, nil
}

// UnitNames are the names of the story's units, sorted.
func (s *Story) UnitNames() []string { return slices.Sorted(maps.Keys(s.Units)) }

// FullEnv is the dispatch's whole environment as far as it was recorded.
func (u *Unit) FullEnv(d *Dispatch) map[string]string {
	env := maps.Clone(u.Env)
	maps.Copy(env, d.Env)
	return env
}

// Words splits a command line at spaces, with single quotes.
func Words(cmd string) []string {
	var words []string
	var word strings.Builder
	quoted, inWord := false, false
	for _, r := range cmd {
		switch {
		case r == '\'':
			quoted, inWord = !quoted, true
		case r == ' ' && !quoted:
			if inWord {
				words = append(words, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if inWord {
		words = append(words, word.String())
	}
	return words
}

// Dispatches is how many dispatches the story has a record of.
func (s *Story) Dispatches() int {
	n := 0
	for _, u := range s.Units {
		for i := range u.Dispatches {
			if !u.Dispatches[i].silent {
				n++
			}
		}
	}
	return n
}
