package agent

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/charmed-go/charms/hooktool"
)

// errNoStdin is the answer to a tool that reads its standard input when the
// client has sent none. Juju's client looks for this text, reads its own
// standard input and calls again.
var errNoStdin = errors.New("hook tool requires stdin, none supplied")

// A call is one run of a tool.
type call struct {
	dir            string
	stdin          []byte
	stdinSet       bool
	stdout, stderr bytes.Buffer
}

// A tool is one hook tool, made anew for each call.
type tool struct {
	// usage are its arguments and purpose what it does, for the help.
	usage, purpose string
	flags          flags
	// init takes the arguments that are left after the options. Nil: there
	// must be none.
	init func(args []string) error
	run  func(c *call) error
}

// A toolEntry says how a tool is made, and on which Juju it exists.
type toolEntry struct {
	make func(a *Agent) *tool
	// until is the last major version that has the tool; 0 means all.
	until int
}

// toolTable are the hook tools.
var toolTable = map[string]toolEntry{
	"action-fail":             {make: (*Agent).actionFail},
	"action-get":              {make: (*Agent).actionGet},
	"action-log":              {make: (*Agent).actionLog},
	"action-set":              {make: (*Agent).actionSet},
	"application-version-set": {make: (*Agent).applicationVersionSet},
	"close-port":              {make: (*Agent).closePort},
	"config-get":              {make: (*Agent).configGet},
	"credential-get":          {make: (*Agent).credentialGet},
	"goal-state":              {make: (*Agent).goalState},
	"is-leader":               {make: (*Agent).isLeader},
	"juju-log":                {make: (*Agent).jujuLog},
	"juju-reboot":             {make: (*Agent).jujuReboot},
	"leader-get":              {make: (*Agent).leaderGet, until: 3},
	"leader-set":              {make: (*Agent).leaderSet, until: 3},
	"network-get":             {make: (*Agent).networkGet},
	"open-port":               {make: (*Agent).openPort},
	"opened-ports":            {make: (*Agent).openedPorts},
	"relation-get":            {make: (*Agent).relationGet},
	"relation-ids":            {make: (*Agent).relationIDs},
	"relation-list":           {make: (*Agent).relationList},
	"relation-model-get":      {make: (*Agent).relationModelGet},
	"relation-set":            {make: (*Agent).relationSet},
	"resource-get":            {make: (*Agent).resourceGet},
	"secret-add":              {make: (*Agent).secretAdd},
	"secret-get":              {make: (*Agent).secretGetTool},
	"secret-grant":            {make: (*Agent).secretGrant},
	"secret-ids":              {make: (*Agent).secretIDs},
	"secret-info-get":         {make: (*Agent).secretInfoGet},
	"secret-remove":           {make: (*Agent).secretRemove},
	"secret-revoke":           {make: (*Agent).secretRevoke},
	"secret-set":              {make: (*Agent).secretSet},
	"state-delete":            {make: (*Agent).stateDelete},
	"state-get":               {make: (*Agent).stateGet},
	"state-set":               {make: (*Agent).stateSet},
	"status-get":              {make: (*Agent).statusGet},
	"status-set":              {make: (*Agent).statusSet},
	"storage-add":             {make: (*Agent).storageAdd},
	"storage-get":             {make: (*Agent).storageGet},
	"storage-list":            {make: (*Agent).storageList},
	"unit-get":                {make: (*Agent).unitGet},
}

// ToolNames are the names of all hook tools of that version of Juju, sorted.
// An empty version means those that any version has.
func ToolNames(version string) []string {
	var names []string
	for name, entry := range toolTable {
		if version == "" || entry.in(major(version)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (e toolEntry) in(major int) bool { return e.until == 0 || major <= e.until }

func major(version string) int {
	switch {
	case strings.HasPrefix(version, "2."):
		return 2
	case strings.HasPrefix(version, "3."):
		return 3
	}
	return 4
}

// runTool runs a tool that is known to exist.
func (a *Agent) runTool(t *tool, name string, args []string, c *call) (hooktool.Result, error) {
	result := func(code int, err error) (hooktool.Result, error) {
		if errors.Is(err, errNoStdin) {
			return hooktool.Result{}, &RequestError{Text: errNoStdin.Error()}
		}
		if err != nil {
			fmt.Fprintf(&c.stderr, "ERROR %v\n", err)
		}
		return hooktool.Result{Code: code, Stdout: c.stdout.Bytes(), Stderr: c.stderr.Bytes()}, nil
	}
	rest, err := t.flags.parse(args)
	if errors.Is(err, errHelp) {
		c.stdout.WriteString(t.help(name))
		return result(0, nil)
	}
	if err == nil {
		if t.init != nil {
			err = t.init(rest)
		} else {
			err = noMore(rest)
		}
	}
	if err != nil {
		return result(2, err)
	}
	if err := t.run(c); err != nil {
		return result(1, err)
	}
	return result(0, nil)
}

// help is a short form of Juju's.
func (t *tool) help(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: %s", name)
	if len(t.flags.names) > 0 {
		b.WriteString(" [options]")
	}
	if t.usage != "" {
		b.WriteString(" " + t.usage)
	}
	fmt.Fprintf(&b, "\n\nSummary:\n%s\n", t.purpose)
	if len(t.flags.names) > 0 {
		b.WriteString("\nOptions:\n")
	}
	names := slices.Clone(t.flags.names)
	slices.Sort(names)
	for _, list := range names {
		var dashes []string
		for n := range strings.SplitSeq(list, ",") {
			dashes = append(dashes, dashed(n))
		}
		fl := t.flags.byName[strings.Split(list, ",")[0]]
		fmt.Fprintf(&b, "%s\n    %s\n", strings.Join(dashes, ", "), fl.usage)
	}
	return b.String()
}

// oneKey is the init of tools with one optional key, where "-" means all keys.
func oneKey(key *string) func(args []string) error {
	return func(args []string) error {
		if len(args) == 0 {
			return nil
		}
		if *key = args[0]; *key == "-" {
			*key = ""
		}
		return noMore(args[1:])
	}
}

// ShownArgs are the arguments of a call as a record may show them: without the
// content of secrets.
func ShownArgs(c hooktool.Call) []string {
	args := slices.Clone(c.Args)
	if c.Tool != "secret-add" && c.Tool != "secret-set" {
		return args
	}
	for i, arg := range args {
		if key, _, ok := strings.Cut(arg, "="); ok && !strings.HasPrefix(arg, "-") {
			args[i] = key + "=…"
		}
	}
	return args
}
