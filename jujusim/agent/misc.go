package agent

import (
	"errors"
	"fmt"
	"strings"
)

// A LogLine is one message of juju-log.
type LogLine struct {
	// Level is TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL.
	Level   string `json:"level"`
	Message string `json:"message"`
}

// actionLevel marks messages of action-log.
const actionLevel = "ACTION"

// logLevel is the level that a name means, as Juju reads it.
func logLevel(name string) (string, bool) {
	switch level := strings.ToUpper(name); level {
	case "TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL":
		return level, true
	case "WARN":
		return "WARNING", true
	}
	return "INFO", false
}

func (a *Agent) jujuLog() *tool {
	t := &tool{usage: "<message>", purpose: "Write a message to the Juju log."}
	var debug bool
	var format string
	name := "INFO"
	t.flags.boolVar(&debug, "debug", "Log at debug level")
	t.flags.stringVar(&name, "l,log-level", "Send log message at the given level")
	t.flags.stringVar(&format, "format", "Deprecated format flag")
	var message string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return errors.New("no message specified")
		}
		message = strings.Join(args, " ")
		return nil
	}
	t.run = func(c *call) error {
		warnFormat(c, "juju-log", format)
		prefix := ""
		if a.hookRelation != nil {
			prefix = a.hookRelation.RelationID(a.x.Unit) + ": "
		}
		level, ok := logLevel(name)
		switch {
		case debug:
			level = "DEBUG"
		case !ok:
			a.logs = append(a.logs, LogLine{"WARNING", fmt.Sprintf("Specified log level of %q is not valid", name)})
		}
		a.logs = append(a.logs, LogLine{level, prefix + message})
		return nil
	}
	return t
}

func (a *Agent) applicationVersionSet() *tool {
	t := &tool{usage: "<new-version>", purpose: "Specify which version of the application is deployed."}
	var version string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return errors.New("no version specified")
		}
		version = args[0]
		return noMore(args[1:])
	}
	t.run = func(*call) error {
		u := a.unit()
		if a.before.version == nil {
			a.before.version = new(u.WorkloadVersion)
		}
		u.WorkloadVersion = version
		return nil
	}
	return t
}

func (a *Agent) unitGet() *tool {
	t := &tool{usage: "<setting>", purpose: "Print public-address or private-address."}
	out := t.smartOutput()
	var setting string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return errors.New("no setting specified")
		}
		if setting = args[0]; setting != "private-address" && setting != "public-address" {
			return fmt.Errorf("unknown setting %q", setting)
		}
		return noMore(args[1:])
	}
	t.run = func(c *call) error {
		u := a.unit()
		if setting == "public-address" {
			return out.write(c, u.PublicAddress)
		}
		return out.write(c, u.Address)
	}
	return t
}

// rebootPriority is what juju-reboot asked for.
type rebootPriority int

const (
	rebootSkip rebootPriority = iota
	rebootAfterHook
	rebootNow
)

func (a *Agent) jujuReboot() *tool {
	t := &tool{purpose: "Reboot the host machine."}
	var now bool
	t.flags.boolVar(&now, "now", "Reboot immediately, killing the invoking process")
	t.run = func(*call) error {
		if a.action != nil {
			//lint:ignore ST1005 Juju's own text
			return errors.New("juju-reboot is not supported when running an action.")
		}
		a.reboot = max(a.reboot, rebootAfterHook)
		if now {
			a.reboot = rebootNow
		}
		return nil
	}
	return t
}
