package agent

import (
	"errors"
	"fmt"
	"maps"

	"github.com/charmed-go/charms/jujusim/model"
)

// Juju's limits of charm state, in bytes. The size of the whole is that of the
// BSON document in which Juju 3 keeps it.
const (
	maxStateKey   = 256
	maxStateValue = 64 << 10
	maxStateSize  = 2 << 20
)

// charmState is the unit's state with changes that are not committed yet.
type charmState struct {
	now   map[string]string
	dirty bool
}

func (a *Agent) loadState() *charmState {
	if a.state == nil {
		now := maps.Clone(a.unit().State)
		if now == nil {
			now = make(map[string]string)
		}
		a.state = &charmState{now: now}
	}
	return a.state
}

func (a *Agent) stateGet() *tool {
	t := &tool{usage: "[<key>]", purpose: "Print server-side-state value."}
	out := t.smartOutput()
	var key string
	var strict bool
	t.flags.boolVar(&strict, "strict", "Return an error if the requested key does not exist")
	t.init = oneKey(&key)
	t.run = func(c *call) error {
		state := a.loadState().now
		if key == "" {
			if len(state) == 0 {
				state = nil
			}
			return out.write(c, state)
		}
		value, ok := state[key]
		if !ok && strict {
			return fmt.Errorf("%q not found", key)
		}
		return out.write(c, value)
	}
	return t
}

func (a *Agent) stateSet() *tool {
	t := &tool{usage: "<key>=<value> [<key>=<value> ...]", purpose: "Set server-side-state values."}
	var file string
	t.flags.stringVar(&file, "file", "Specify a YAML file with the values, or - for the standard input")
	var values map[string]string
	t.init = func(args []string) (err error) {
		values, err = keyValues(args)
		return err
	}
	t.run = func(c *call) error {
		values, err := fromFile(c, file, values)
		if err != nil {
			return err
		}
		for key, value := range values {
			if len(key) > maxStateKey {
				return a.quota("max allowed key length (%d)", maxStateKey)
			}
			if len(value) > maxStateValue {
				return a.quota("max allowed value length (%d)", maxStateValue)
			}
		}
		state := a.loadState()
		for key, value := range values {
			if old, ok := state.now[key]; !ok || old != value {
				state.now[key] = value
				state.dirty = true
			}
		}
		return nil
	}
	return t
}

// quota is the error of a limit that was exceeded.
func (a *Agent) quota(format string, limit int) error {
	text := fmt.Sprintf(format, limit)
	if a.m.Juju4() {
		return errors.New(text + ": quota limit exceeded")
	}
	return errors.New(text + " exceeded")
}

func (a *Agent) stateDelete() *tool {
	t := &tool{usage: "<key>", purpose: "Delete server-side-state key value pairs."}
	var key string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return nil
		}
		key = args[0]
		return noMore(args[1:])
	}
	t.run = func(*call) error {
		state := a.loadState()
		if _, ok := state.now[key]; ok {
			delete(state.now, key)
			state.dirty = true
		}
		return nil
	}
	return t
}

// maxBagSize is Juju 4's limit of the data of one unit or application in a
// relation, in bytes.
const maxBagSize = 16 << 20

func bagSize(bag model.Bag) int {
	size := 0
	for key, value := range bag {
		size += len(key) + len(value)
	}
	return size
}

// bsonSize is the size of a BSON document of strings.
func bsonSize(values map[string]string) int {
	size := 4 + 1
	for key, value := range values {
		size += 1 + len(key) + 1 + 4 + len(value) + 1
	}
	return size
}
