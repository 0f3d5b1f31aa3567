package agent

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

func (a *Agent) configGet() *tool {
	t := &tool{usage: "[<key>]", purpose: "Print application configuration."}
	out := t.smartOutput()
	var all bool
	t.flags.boolVar(&all, "a,all", "Print all keys")
	var key string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return nil
		}
		if key = args[0]; key != "" && all {
			return fmt.Errorf("cannot use argument --all together with key %q", key)
		}
		return noMore(args[1:])
	}
	t.run = func(c *call) error {
		if a.config == nil {
			a.config = make(map[string]any)
			for name, option := range a.application().Config {
				a.config[name] = plain(option.Effective())
			}
		}
		switch {
		case key != "":
			return out.write(c, a.config[key])
		case all:
			return out.write(c, a.config)
		}
		set := maps.Clone(a.config)
		maps.DeleteFunc(set, func(_ string, value any) bool { return value == nil })
		return out.write(c, set)
	}
	return t
}

func (a *Agent) isLeader() *tool {
	t := &tool{purpose: "Print application leadership status."}
	out := t.smartOutput()
	t.run = func(c *call) error { return out.write(c, a.leader()) }
	return t
}

func (a *Agent) leaderGet() *tool {
	t := &tool{usage: "[<key>]", purpose: "Print application leadership settings."}
	out := t.smartOutput()
	var key string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return nil
		}
		if key = args[0]; key == "-" {
			key = ""
		} else if strings.Contains(key, "=") {
			return fmt.Errorf("invalid key %q", key)
		}
		return noMore(args[1:])
	}
	t.run = func(c *call) error {
		if a.leaderSettings == nil {
			a.leaderSettings = map[string]string{}
			maps.Copy(a.leaderSettings, a.application().LeaderSettings)
		}
		if key == "" {
			return out.write(c, a.leaderSettings)
		}
		if value, ok := a.leaderSettings[key]; ok {
			return out.write(c, value)
		}
		return out.write(c, nil)
	}
	return t
}

func (a *Agent) leaderSet() *tool {
	t := &tool{usage: "<key>=<value> [...]", purpose: "Write application leadership settings."}
	var values map[string]string
	t.init = func(args []string) (err error) {
		values, err = keyValues(args)
		return err
	}
	t.run = func(*call) error {
		if !a.leader() {
			return errors.New("cannot write leadership settings: cannot write settings: not the leader")
		}
		a.leaderSettings = nil
		app := a.application()
		if a.before.leaderSettings == nil {
			a.before.leaderSettings = maps.Clone(app.LeaderSettings)
			if a.before.leaderSettings == nil {
				a.before.leaderSettings = map[string]string{}
			}
		}
		if app.LeaderSettings == nil {
			app.LeaderSettings = make(map[string]string)
		}
		for key, value := range values {
			if value == "" {
				delete(app.LeaderSettings, key)
			} else {
				app.LeaderSettings[key] = value
			}
		}
		return nil
	}
	return t
}

// settable are the statuses a charm may set.
var settable = []string{"maintenance", "blocked", "waiting", "active"}

func (a *Agent) statusSet() *tool {
	t := &tool{usage: "<maintenance | blocked | waiting | active> [message]", purpose: "Set status information."}
	var application bool
	t.flags.boolVar(&application, "application", "Set this status for the application to which the unit belongs if the unit is the leader")
	var status model.Status
	t.init = func(args []string) error {
		if len(args) == 0 {
			return errors.New("invalid args, require <status> [message]")
		}
		status.Status = args[0]
		valid := false
		for _, s := range settable {
			valid = valid || s == status.Status
		}
		if !valid {
			return fmt.Errorf("invalid status %q, expected one of %v", status.Status, settable)
		}
		args = args[1:]
		if len(args) > 0 {
			status.Message, args = args[0], args[1:]
		}
		return noMore(args)
	}
	t.run = func(*call) error {
		status.Data = map[string]any{}
		status.Since = a.x.Now().UTC()
		if !application {
			u := a.unit()
			if a.before.unitStatus == nil {
				a.before.unitStatus = new(u.Status)
			}
			u.Status = status
			return nil
		}
		if !a.leader() {
			return errNotLeader
		}
		app := a.application()
		if a.before.appStatus == nil {
			a.before.appStatus = new(app.Status)
		}
		app.Status = status
		return nil
	}
	return t
}

func (a *Agent) statusGet() *tool {
	t := &tool{purpose: "Print status information."}
	out := t.smartOutput()
	var application, data bool
	t.flags.boolVar(&data, "include-data", "Print all status data")
	t.flags.boolVar(&application, "application", "Print status for all units of this application if this unit is the leader")
	t.run = func(c *call) error {
		if application {
			return a.applicationStatus(c, out, data)
		}
		if a.status == nil {
			a.status = new(a.unit().Status.Clone())
		}
		if !data && out.format == "smart" {
			return out.write(c, a.status.Status)
		}
		return out.write(c, statusDetails(*a.status, data))
	}
	return t
}

func (a *Agent) applicationStatus(c *call, out *output, data bool) error {
	if !a.leader() {
		return fmt.Errorf("finding application status: %w", errNotLeader)
	}
	app := a.application()
	if !data && out.format == "smart" {
		return out.write(c, app.Status.Status)
	}
	units := make(map[string]any, len(app.Units))
	for name, u := range app.Units {
		units[name] = statusDetails(u.Status, data)
	}
	details := statusDetails(app.Status, data)
	details["units"] = units
	return out.write(c, map[string]any{"application-status": details})
}

func statusDetails(s model.Status, data bool) map[string]any {
	details := map[string]any{"status": s.Status}
	if data {
		details["message"] = s.Message
		details["status-data"] = plain(s.Data)
		if s.Data == nil {
			details["status-data"] = map[string]any{}
		}
	}
	return details
}
