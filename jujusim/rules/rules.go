package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Rule is the short name of one rule, such as "R3".
type Rule string

// The rules, by what they are about: U, M and S the life of one unit; L
// leadership; D removal; R the hooks of one relation; E the environment; V what
// is visible within one hook; X data that passes between units; W what is kept
// when a hook fails; F what follows a failure.
const (
	U1 Rule = "U1"
	M1 Rule = "M1"
	S1 Rule = "S1"
	S2 Rule = "S2"
	S3 Rule = "S3"
	S4 Rule = "S4"
	S5 Rule = "S5"
	L1 Rule = "L1"
	L2 Rule = "L2"
	D1 Rule = "D1"
	D2 Rule = "D2"
	R1 Rule = "R1"
	R2 Rule = "R2"
	R3 Rule = "R3"
	R4 Rule = "R4"
	R5 Rule = "R5"
	R6 Rule = "R6"
	R7 Rule = "R7"
	R8 Rule = "R8"
	R9 Rule = "R9"
	E1 Rule = "E1"
	E2 Rule = "E2"
	E3 Rule = "E3"
	E4 Rule = "E4"
	E5 Rule = "E5"
	V1 Rule = "V1"
	V2 Rule = "V2"
	V3 Rule = "V3"
	V4 Rule = "V4"
	V5 Rule = "V5"
	V6 Rule = "V6"
	V7 Rule = "V7"
	V8 Rule = "V8"
	V9 Rule = "V9"
	X1 Rule = "X1"
	X2 Rule = "X2"
	X3 Rule = "X3"
	X4 Rule = "X4"
	W1 Rule = "W1"
	F1 Rule = "F1"
)

// entries pairs each rule with its sentence, in the order of All.
func entries() []struct {
	rule     Rule
	sentence string
} {
	return []struct {
		rule     Rule
		sentence string
	}{
		{U1, "a unit runs one hook, action or juju-exec at a time"},
		{M1, "the units of one machine never run at the same time"},
		{S1, "install is the first hook; only the attachment of storage may come before it"},
		{S2, "start comes after config-changed, which comes after install"},
		{S3, "no -joined, -changed or -departed comes before start, and -broken only of a unit that never starts"},
		{S4, "a unit that is the leader when it installs runs leader-elected before its first config-changed"},
		{S5, "install and start end well exactly once in the life of a unit, but for one more start after a reboot of its machine"},
		{L1, "leader-elected runs on a unit for which is-leader is true"},
		{L2, "the first leader of an application sees is-leader true from install on, if it was there from the first"},
		{D1, "a unit stops only after it departed from every joined unit and every relation but those with its peers is broken"},
		{D2, "after stop comes remove and nothing else; the departures from its peers come after its other relations are broken"},
		{R1, "-created is the first hook of a relation and comes once"},
		{R2, "nothing of a relation comes after its -broken"},
		{R3, "the next hook of a relation after -joined of a unit is -changed or -departed of that unit"},
		{R4, "a unit is joined once in a relation"},
		{R5, "-changed of a unit comes only while it is joined"},
		{R6, "-departed of a unit comes only while it is joined, and once"},
		{R7, "-broken comes only when every joined unit has departed"},
		{R8, "a relation between peers never gets -broken"},
		{R9, "after remove-unit the others see -departed of the unit only once its own -broken has ended"},
		{E1, "relation hooks have JUJU_RELATION, JUJU_RELATION_ID and JUJU_REMOTE_APP, which fit the name of the hook"},
		{E2, "other hooks and actions have no relation in their environment"},
		{E3, "JUJU_REMOTE_UNIT is empty in -created and -broken and set in -joined and -departed"},
		{E4, "JUJU_DEPARTING_UNIT is set in -departed alone, to the remote unit or the unit itself"},
		{E5, "between peers JUJU_REMOTE_APP is the unit's own application"},
		{V1, "relation-list shows the units that joined and did not depart, with the one that joins and without the one that departs"},
		{V2, "relation-ids lists no relation after its -broken"},
		{V3, "in -departed the data of the departing unit can be read"},
		{V4, "relation-get without arguments is the remote unit's data, or the remote application's where there is no remote unit"},
		{V5, "the data of a unit holds ingress-address and egress-subnets from the moment it is visible"},
		{V6, "a bag does not change within a hook once it was read"},
		{V7, "relation-list does not change within a hook"},
		{V8, "config-get does not change within a hook"},
		{V9, "relation-ids does not change within a hook"},
		{X1, "what is read of another's data was committed as it is"},
		{X2, "a reader never goes back to older data"},
		{X3, "in -changed the data of what changed is the latest committed"},
		{X4, "in the end every reader has seen the last committed data"},
		{W1, "charm state is what the hooks that ended well left, and nothing of others"},
		{F1, "after a hook that failed or was killed the same hook comes again, or none"},
	}
}

// All returns every rule that Check checks.
func All() []Rule {
	var all []Rule
	for _, e := range entries() {
		all = append(all, e.rule)
	}
	return all
}

// Sentence says what the rule demands.
func (r Rule) Sentence() string {
	for _, e := range entries() {
		if e.rule == r {
			return e.sentence
		}
	}
	return ""
}

// An Outcome is how a dispatch ended.
type Outcome int

const (
	// Done is an end with exit code 0 whose changes were committed.
	Done Outcome = iota
	// Failed is any other exit code, or a failed commit. Nothing was kept.
	Failed
	// Killed is an end by a signal, or with the agent. Nothing was kept.
	Killed
	// Skipped is a failure that the operator told Juju not to retry: nothing
	// was kept, but the hook counts as run.
	Skipped
)

// A Sequence is what one unit ran, in order.
type Sequence struct {
	// Unit is its name, as "web/0".
	Unit string
	// Machine is where it runs; units without one share it with nobody.
	Machine string
	// RemovedAlone says that it was removed by remove-unit, not with its
	// application or after its relations.
	RemovedAlone bool
	// Cut says that the record ends before the unit was at rest, or that the
	// unit was removed in error: what should have followed is not missed.
	Cut bool
	// Reboots are when the machine was rebooted.
	Reboots    []int64
	Dispatches []Dispatch
}

// A Dispatch is one run of a charm's process.
type Dispatch struct {
	// At is the hook, or "actions/NAME", or "exec" for juju-exec.
	At string
	// Env holds the JUJU_* variables.
	Env map[string]string
	// Start and End are when it started and ended, on any clock that all
	// sequences share. An End before Start is not known.
	Start, End int64
	// Loose says that the dispatch is known from outside only: it ran at some
	// time between Start and End, and its environment is not known.
	Loose   bool
	Outcome Outcome
	// Reads are what it saw, in order; what was read at once is one Read.
	Reads []Read
	// Writes are what it wrote to its own and its application's data, and
	// State what it wrote to its charm state, in order, kept or not.
	Writes []Write
	State  []Pair
}

// A Pair is a key and its value; an empty value deletes the key.
type Pair struct{ Key, Value string }

// A Write is a change of one key of a bag.
type Write struct {
	// Relation is the id, with or without its endpoint: "db:1" or "1".
	Relation string
	// Owner is the unit or the application whose bag it is.
	Owner string
	Pair
}

// A Read is what the hook tools showed at one time. Nil fields were not read.
type Read struct {
	Time   int64
	Leader *bool
	// RelationIDs are the ids by endpoint.
	RelationIDs map[string][]string
	// Relations is what was read of each relation, by id.
	Relations map[string]RelationRead
	// Config is config-get, in any exact text.
	Config *string
	State  map[string]string
}

// A RelationRead is what was read of one relation.
type RelationRead struct {
	// List is relation-list.
	List []string
	// Bags are the bags that could be read, by unit or application.
	Bags map[string]map[string]string
	// Default is relation-get without arguments.
	Default map[string]string
	// Refused are the units and applications whose bags could not be read.
	Refused []string
}

// A Violation is one broken rule.
type Violation struct {
	Rule Rule
	Unit string
	// Dispatch is the index in the unit's sequence, or -1 for what is missing
	// at its end.
	Dispatch int
	// At is the hook of that dispatch.
	At     string
	Detail string
}

// String says which rule was broken where, and the rule.
func (v Violation) String() string {
	where := "at the end"
	if v.Dispatch >= 0 {
		where = fmt.Sprintf("dispatch %d (%s)", v.Dispatch+1, v.At)
	}
	return fmt.Sprintf("%s: unit %s, %s: %s (%s)", v.Rule, v.Unit, where, v.Detail, v.Rule.Sentence())
}

// Check returns what the sequences of one model break, by unit and dispatch. It
// is nil for sequences that Juju could have dispatched.
func Check(sequences ...Sequence) []Violation {
	c := &checker{}
	for _, s := range sequences {
		c.unit(s)
	}
	c.overlaps(sequences)
	c.removals(sequences)
	c.leaders(sequences)
	c.data(sequences)
	order := make(map[string]int)
	for i, s := range sequences {
		order[s.Unit] = i
	}
	slices.SortStableFunc(c.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(order[a.Unit], order[b.Unit]), cmp.Compare(uint(a.Dispatch), uint(b.Dispatch)))
	})
	return c.found
}

type checker struct{ found []Violation }

func (c *checker) report(rule Rule, s *Sequence, i int, format string, args ...any) {
	v := Violation{Rule: rule, Unit: s.Unit, Dispatch: i, Detail: fmt.Sprintf(format, args...)}
	if i >= 0 {
		v.At = s.Dispatches[i].At
	}
	c.found = append(c.found, v)
}

// isHook says whether the dispatch is a hook, not an action or juju-exec.
func (d *Dispatch) isHook() bool {
	return d.At != "exec" && !strings.HasPrefix(d.At, "actions/")
}

// counts says whether Juju takes the hook as run.
func (d *Dispatch) counts() bool { return d.Outcome == Done || d.Outcome == Skipped }

// kept says whether what it wrote was committed: juju-exec keeps its changes
// whatever its exit code is.
func (d *Dispatch) kept() bool {
	return d.Outcome == Done || d.At == "exec" && d.Outcome == Failed
}

// relationHook splits "db-relation-joined" into "db" and "joined".
func (d *Dispatch) relationHook() (endpoint, kind string, ok bool) {
	i := strings.LastIndex(d.At, "-relation-")
	if i < 0 || !d.isHook() {
		return "", "", false
	}
	return d.At[:i], d.At[i+len("-relation-"):], true
}

func application(unit string) string {
	app, _, _ := strings.Cut(unit, "/")
	return app
}

// number is the part of a relation id that both sides share.
func number(id string) string { return id[strings.LastIndex(id, ":")+1:] }
