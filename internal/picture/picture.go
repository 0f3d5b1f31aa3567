package picture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed" // the page
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"strings"
	"time"
)

// A Page is what a page shows.
type Page struct {
	// Title is what the page is called.
	Title string `json:"title"`
	// Hooks are the dispatches of any number of units, in the order in which
	// they began.
	Hooks []Hook `json:"hooks"`
	// Graphs are the handlers and flags of charms. With them the page says
	// of each hook why a handler did not run.
	Graphs []Graph `json:"graphs"`
	// Open names what is shown first: "timeline", or "graph"; "" is the
	// timeline if there are hooks.
	Open string `json:"open,omitempty"`
}

// A Hook is one dispatch. Its JSON is that of the records that a charm keeps,
// with some more that only an observer of the charm knows.
type Hook struct {
	Time     time.Time     `json:"time"`
	Duration time.Duration `json:"duration"`
	Unit     string        `json:"unit"`
	// Hook is the name of the event, such as "db-relation-joined" or
	// "action backup".
	Hook       string `json:"hook"`
	Relation   string `json:"relation,omitempty"`
	RemoteUnit string `json:"remote_unit,omitempty"`
	RemoteApp  string `json:"remote_app,omitempty"`
	// Flags are those set at the beginning.
	Flags []string `json:"flags,omitempty"`
	Steps []Step   `json:"steps,omitempty"`
	// Rounds is how many rounds of flag handlers there were; 0 with steps
	// means that only hook-named handlers ran.
	Rounds int   `json:"rounds,omitempty"`
	Leader *bool `json:"leader,omitempty"`
	// Calls and Bytes count the hook tools and what went through them.
	Calls int64 `json:"calls,omitempty"`
	Bytes int64 `json:"bytes,omitempty"`
	// Tools are the calls one by one, if they are known.
	Tools []Call `json:"tools,omitempty"`
	// Error is why it failed, Status what a handler ended it with, and
	// Outcome "", "failed" or "killed".
	Error   string `json:"error,omitempty"`
	Status  string `json:"status,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	// Changed says in words what it changed in the model.
	Changed []string `json:"changed,omitempty"`
	// Charm is the name of the charm, if that is not the application's.
	Charm string `json:"charm,omitempty"`
}

// A Step is a handler that ran, or a flag that changed.
type Step struct {
	Phase    string        `json:"phase"`
	Round    int           `json:"round,omitempty"`
	Handler  string        `json:"handler,omitempty"`
	Start    time.Duration `json:"start,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
	Error    string        `json:"error,omitempty"`
	Flag     string        `json:"flag,omitempty"`
	Set      bool          `json:"set,omitempty"`
	Trigger  string        `json:"trigger,omitempty"`
}

// A Call is one call of a hook tool.
type Call struct {
	Tool string `json:"tool"`
	// Args are its arguments as [SafeArgs] returns them.
	Args     []string      `json:"args,omitempty"`
	In       int           `json:"in,omitempty"`
	Out      int           `json:"out,omitempty"`
	Code     int           `json:"code,omitempty"`
	Duration time.Duration `json:"duration,omitempty"`
}

// A Graph is what a charm consists of.
type Graph struct {
	// Charm is the charm's name; Applications are the applications that run
	// it, if they are not called as the charm.
	Charm        string    `json:"charm"`
	Applications []string  `json:"applications,omitempty"`
	Flags        []Flag    `json:"flags"`
	Handlers     []Handler `json:"handlers"`
	Triggers     []Trigger `json:"triggers,omitempty"`
	// Endpoints and Actions are those that the charm's code uses.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	Actions   []string   `json:"actions,omitempty"`
}

// An Endpoint is an endpoint as the code of a charm uses it.
type Endpoint struct {
	Name string `json:"name"`
	// Role is "provides", "requires" or "peers".
	Role      string `json:"role"`
	Interface string `json:"interface"`
	Place     string `json:"place,omitempty"`
}

// A Trigger changes flags when another flag is set (When) or cleared (WhenNot).
type Trigger struct {
	When    string   `json:"when,omitempty"`
	WhenNot string   `json:"when_not,omitempty"`
	Set     []string `json:"set,omitempty"`
	Clear   []string `json:"clear,omitempty"`
}

// A Flag is a flag of a charm. Source says who sets it if not the charm's own
// handlers, such as "endpoint db".
type Flag struct {
	Name   string `json:"name"`
	Source string `json:"source,omitempty"`
}

// A Handler is a handler of a charm.
type Handler struct {
	Name string `json:"name"`
	// When is all it waits for, in words; Place is where it is in the code.
	When  string      `json:"when"`
	Place string      `json:"place,omitempty"`
	On    []Condition `json:"on"`
	// Sets and Clears are flags that it is known to change. What it was seen
	// to change in the hooks of the page need not be here.
	Sets   []string `json:"sets,omitempty"`
	Clears []string `json:"clears,omitempty"`
}

// A Condition is one thing that a handler waits for.
type Condition struct {
	// Kind is "flags", "hook", "leader", "once", "files", "every",
	// "restricted" or "action".
	Kind string `json:"kind"`
	Text string `json:"text"`
	// Hooks are the names of the hooks, or of the action, of those kinds.
	Hooks []string `json:"hooks,omitempty"`
	// Expr is the condition of kind flags.
	Expr *Expr `json:"expr,omitempty"`
}

// Read reads hooks from a trace: JSON objects, one a line, as a charm keeps
// them and as a simulation writes them. An object that was not written to its
// end is left out; a line that is no object at all is an error.
func Read(r io.Reader) ([]Hook, error) {
	var hooks []Hook
	br := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := br.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var h Hook
			if jsonErr := json.Unmarshal(line, &h); jsonErr == nil {
				hooks = append(hooks, h)
			} else if line[0] != '{' {
				return nil, fmt.Errorf("cannot read the trace: line %d: %w", n, jsonErr)
			}
		}
		if errors.Is(err, io.EOF) {
			return hooks, nil
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the trace: %w", err)
		}
	}
}

//go:embed page.html
var page string

//go:embed page.css
var style string

// The script is in several files that share one scope.
//
//go:embed data.js
var dataScript string

//go:embed timeline.js
var timelineScript string

//go:embed detail.js
var detailScript string

//go:embed graph.js
var graphScript string

//go:embed page.js
var pageScript string

// Write writes a page.
func Write(w io.Writer, p Page) error {
	data, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	if _, err := zw.Write(data); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	if err := zw.Close(); err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	// Base64 holds nothing that could end the script element it stands in.
	_, err = strings.NewReplacer(
		"{{title}}", html.EscapeString(p.Title),
		"{{style}}", style,
		"{{script}}", strings.Join([]string{dataScript, timelineScript, detailScript, graphScript, pageScript}, "\n"),
		"{{data}}", base64.StdEncoding.EncodeToString(packed.Bytes()),
	).WriteString(w, page)
	if err != nil {
		return fmt.Errorf("cannot write the page: %w", err)
	}
	return nil
}

// SafeArgs returns the arguments of a call of a hook tool without any value
// that it writes: of key=value only the key stays, and of tools that take free
// text nothing.
func SafeArgs(tool string, args []string) []string {
	switch tool {
	case "relation-get", "relation-list", "relation-ids", "relation-model-get", "config-get", "is-leader",
		"network-get", "unit-get", "state-get", "leader-get", "status-get", "goal-state", "opened-ports",
		"open-port", "close-port", "resource-get", "storage-get", "storage-list", "action-get",
		"secret-ids", "secret-info-get", "secret-get", "juju-reboot", "credential-get":
		return args
	}
	var safe []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		key, _, pair := strings.Cut(arg, "=")
		switch {
		case pair:
			safe = append(safe, key+"=…")
		case strings.HasPrefix(arg, "-"):
			safe = append(safe, arg)
			// A relation's id tells where; what other flags take may be a text.
			if (arg == "-r" || arg == "--relation") && i+1 < len(args) {
				safe = append(safe, args[i+1])
				i++
			}
		default:
			if len(safe) == 0 || safe[len(safe)-1] != "…" {
				safe = append(safe, "…")
			}
		}
	}
	return safe
}
