package agent

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var errNoAction = errors.New("not running an action")

// actionKey is what each part of a key of action-set looks like, and
// reservedKeys are those that Juju writes.
var (
	actionKey    = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$`)
	reservedKeys = []string{"stdout", "stdout-encoding", "stderr", "stderr-encoding", "return-code"}
)

// An ActionResult is how an action ended.
type ActionResult struct {
	// Status is completed or failed.
	Status  string `json:"status"`
	Message string `json:"message"`
	// Results are what action-set said, and stdout, stderr and return-code.
	Results map[string]any `json:"results"`
}

func (a *Agent) actionGet() *tool {
	t := &tool{usage: "[<key>[.<key>.<key>...]]", purpose: "Get action parameters."}
	out := t.smartOutput()
	var keys []string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return nil
		}
		keys = strings.Split(args[0], ".")
		return noMore(args[1:])
	}
	t.run = func(c *call) error {
		if a.action == nil {
			return errNoAction
		}
		params := a.x.Params
		if params == nil {
			params = map[string]any{}
		}
		value := plain(params)
		for _, key := range keys {
			m, ok := value.(map[string]any)
			if !ok {
				return out.write(c, nil)
			}
			value = m[key]
		}
		return out.write(c, value)
	}
	return t
}

func (a *Agent) actionSet() *tool {
	t := &tool{usage: "<key>=<value> [<key>=<value> ...]", purpose: "Set action results."}
	type result struct {
		keys  []string
		value string
	}
	var results []result
	t.init = func(args []string) error {
		for _, arg := range args {
			key, value, ok := strings.Cut(arg, "=")
			if !ok {
				return fmt.Errorf("argument %q must be of the form key...=value", arg)
			}
			keys := strings.Split(key, ".")
			for _, k := range keys {
				if slices.Contains(reservedKeys, k) {
					return fmt.Errorf("cannot set reserved action key %q", k)
				}
				if !actionKey.MatchString(k) {
					return fmt.Errorf("key %q must start and end with lowercase alphanumeric, and contain only lowercase alphanumeric and hyphens", k)
				}
			}
			results = append(results, result{keys, value})
		}
		return nil
	}
	t.run = func(*call) error {
		if a.action == nil {
			return errNoAction
		}
		for _, r := range results {
			m := a.action.Results
			last := len(r.keys) - 1
			for _, key := range r.keys[:last] {
				inner, ok := m[key].(map[string]any)
				if !ok {
					inner = make(map[string]any)
					m[key] = inner
				}
				m = inner
			}
			m[r.keys[last]] = r.value
		}
		return nil
	}
	return t
}

func (a *Agent) actionFail() *tool {
	t := &tool{usage: `["<failure message>"]`, purpose: "Set action fail status with message."}
	message := "action failed without reason given, check action for errors"
	t.init = func(args []string) error {
		if len(args) == 0 {
			return nil
		}
		message = args[0]
		return noMore(args[1:])
	}
	t.run = func(*call) error {
		if a.action == nil {
			return errNoAction
		}
		a.action.Status, a.action.Message = "failed", message
		return nil
	}
	return t
}

func (a *Agent) actionLog() *tool {
	t := &tool{usage: "<message>", purpose: "Record a progress message for the current action."}
	var message string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return errors.New("no message specified")
		}
		message = strings.Join(args, " ")
		return nil
	}
	t.run = func(*call) error {
		if a.action == nil {
			return errNoAction
		}
		a.actionLogs = append(a.actionLogs, message)
		a.logs = append(a.logs, LogLine{Level: actionLevel, Message: message})
		return nil
	}
	return t
}

// cloneResults copies what action-set has built.
func cloneResults(m map[string]any) map[string]any {
	c := maps.Clone(m)
	for key, value := range c {
		if inner, ok := value.(map[string]any); ok {
			c[key] = cloneResults(inner)
		}
	}
	return c
}
