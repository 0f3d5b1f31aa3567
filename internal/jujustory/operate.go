package jujustory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
)

// operate takes up what the operator did. Most of it takes effect only when it
// must have: the recorder knows no more than when a command began and ended.
func (r *Replay) operate(op Op) error {
	if op.Observe != nil {
		return r.observe(op)
	}
	if op.Cmd == "" || op.Code != 0 && !strings.Contains(op.Cmd, "exit ") {
		return nil
	}
	if strings.HasPrefix(op.Cmd, "kill -9") {
		return r.killAgents()
	}
	for _, cmd := range strings.Split(op.Cmd, "; juju ") {
		words := Words(strings.TrimSpace(strings.TrimPrefix(cmd, "juju ")))
		o, err := r.operation(op, words)
		if err != nil {
			return fmt.Errorf("cannot play %q: %w", op.Cmd, err)
		}
		if o != nil {
			o.op = op
			r.waiting = append(r.waiting, o)
		}
	}
	return nil
}

// settle applies the operations up to the last one that is due.
func (r *Replay) settle(due func(o *operation) bool) error {
	last := 0
	for i, o := range r.waiting {
		if due(o) {
			last = i + 1
		}
	}
	for range last {
		if err := r.apply(); err != nil {
			return err
		}
	}
	return nil
}

// apply lets the first operation that waits take effect.
func (r *Replay) apply() error {
	o := r.waiting[0]
	r.waiting = r.waiting[1:]
	if err := o.apply(); err != nil {
		return fmt.Errorf("%q, at %d ms: %w", o.op.Cmd, o.op.Time, err)
	}
	return nil
}

// options splits the words of a command into arguments and options with a value.
func options(words []string, valued ...string) (args []string, values map[string]string) {
	values = make(map[string]string)
	for i := 0; i < len(words); i++ {
		switch word := words[i]; {
		case slices.Contains(valued, word) && i+1 < len(words):
			values[word] = words[i+1]
			i++
		case strings.HasPrefix(word, "-"):
			values[word] = "true"
		default:
			args = append(args, word)
		}
	}
	return args, values
}

func (r *Replay) operation(op Op, words []string) (*operation, error) {
	m := r.Model
	args, values := options(words[1:], "--to", "-n", "--reset", "--path", "--unit", "-r", "--remote-unit", "--wait")
	simple := func(apply func() error) (*operation, error) { return &operation{apply: apply}, nil }
	switch words[0] {
	case "deploy":
		return nil, r.deploy(args, values)
	case "integrate":
		return simple(func() error { _, err := m.Relate(args[0], args[1]); return err })
	case "add-unit":
		return simple(func() error { _, err := m.AddUnit(args[0], 1, values["--to"]); return err })
	case "remove-unit":
		return simple(func() error { return m.RemoveUnit(args[0]) })
	case "remove-relation":
		return simple(func() error { return m.RemoveRelation(args[0], args[1]) })
	case "remove-application":
		return simple(func() error { return m.RemoveApplication(args[0]) })
	case "resolve":
		return simple(func() error {
			// An agent that was killed may have died later than was asked for.
			if p := r.running[args[0]]; p != nil {
				if err := r.finish(p); err != nil {
					return err
				}
			}
			return m.Resolve(args[0], values["--no-retry"] == "")
		})
	case "model-config":
		if value, ok := strings.CutPrefix(args[0], "automatically-retry-hooks="); ok {
			retries := map[string]int{"true": 1000, "false": 0}[value]
			return simple(func() error { m.SetRetries(retries); return nil })
		}
	case "refresh":
		name, revision := charmName(values["--path"])
		return simple(func() error {
			return m.Upgrade(args[0], r.Charm(args[0], jujusim.Charm{Files: charmFiles(name, revision)}, charms[name].endpoints...))
		})
	case "config":
		return r.configure(args, values)
	case "exec", "sudo":
		return r.exec(op, words)
	}
	return nil, nil
}

// charmName splits "./prov-1.charm" into "prov" and "1".
func charmName(file string) (name, revision string) {
	name, revision, _ = strings.Cut(strings.TrimSuffix(strings.TrimPrefix(file, "./"), ".charm"), "-")
	return name, revision
}

func (r *Replay) deploy(args []string, values map[string]string) error {
	name, revision := charmName(args[0])
	app := args[1]
	units, _ := strconv.Atoi(values["-n"])
	err := r.Model.Deploy(app, r.Charm(app, jujusim.Charm{Files: charmFiles(name, revision)}, charms[name].endpoints...), jujusim.DeployOptions{
		Units: units, To: strings.Split(values["--to"], ","),
	})
	if err != nil || len(r.Model.Units(app)) == 0 {
		return err
	}
	if leader := r.successor(app, 0); leader != "" {
		return r.Model.SetLeader(leader)
	}
	return nil
}

func (r *Replay) configure(args []string, values map[string]string) (*operation, error) {
	settings := make(map[string]any)
	for _, word := range args[1:] {
		key, value, _ := strings.Cut(word, "=")
		settings[key] = value
	}
	if key := values["--reset"]; key != "" {
		settings[key] = nil
	}
	app := args[0]
	return &operation{
		apply: func() error { return r.Model.Configure(app, settings) },
		seen: func(d *Dispatch) bool {
			var config map[string]any
			if !strings.HasPrefix(r.unitOf(d), app+"/") || !decode(d.View.Config, &config) {
				return false
			}
			for key, value := range settings {
				if value != nil && fmt.Sprint(config[key]) != value {
					return false
				}
			}
			return true
		},
	}, nil
}

// unitOf is the unit that a recorded dispatch is of.
func (r *Replay) unitOf(d *Dispatch) string {
	for name, u := range r.Story.Units {
		for i := range u.Dispatches {
			if &u.Dispatches[i] == d {
				return name
			}
		}
	}
	return ""
}

// exec runs commands that are not the charm's dispatch, which has a record of
// its own.
func (r *Replay) exec(op Op, words []string) (*operation, error) {
	script := words[len(words)-1]
	if strings.Contains(script, "dispatch") {
		return nil, nil
	}
	_, values := options(words[1:], "--unit", "-r", "--remote-unit")
	unit := values["--unit"]
	if words[0] == "sudo" {
		unit = words[len(words)-2]
	}
	var commands [][]string
	writes := map[string]string{}
	for _, command := range strings.FieldsFunc(script, func(c rune) bool { return c == ';' || c == '&' }) {
		if words := strings.Fields(command); strings.Contains(words[0], "-") {
			commands = append(commands, words)
			if words[0] == "relation-set" {
				for _, word := range words[1:] {
					if key, value, ok := strings.Cut(word, "="); ok {
						writes[key] = value
					}
				}
			}
		}
	}
	return &operation{
		apply: func() error {
			_, err := r.Model.Exec(r.ctx, unit, jujusim.ExecOptions{
				Relation: r.simulated(values["-r"]), RemoteUnit: values["--remote-unit"],
				Run: func(ctx context.Context, p hooktool.Process) int {
					for _, words := range commands {
						call := hooktool.Call{Tool: words[0]}
						for _, arg := range words[1:] {
							call.Args = append(call.Args, r.simulated(arg))
						}
						if _, err := p.Tools.Call(ctx, call); err != nil {
							return 1
						}
					}
					return 0
				},
			})
			return err
		},
		seen: func(d *Dispatch) bool { return len(writes) > 0 && r.shows(d, unit, writes) },
	}, nil
}

// shows says whether a dispatch saw the writes in the data of the unit or of its
// application.
func (r *Replay) shows(d *Dispatch, unit string, writes map[string]string) bool {
	app, _, _ := strings.Cut(unit, "/")
	for _, seen := range d.View.Relations {
		for _, owner := range []string{unit, app} {
			var bag map[string]string
			if decode(seen.Bags[owner], &bag) && len(bag) > 0 && contains(bag, writes) {
				return true
			}
		}
	}
	return false
}

func contains(bag, writes map[string]string) bool {
	for key, value := range writes {
		if bag[key] != value {
			return false
		}
	}
	return true
}

// killAgents kills the agents whose dispatches were lost.
func (r *Replay) killAgents() error {
	for _, unit := range slices.Sorted(maps.Keys(r.running)) {
		p := r.running[unit]
		if p.recorded.Exit.Signal != "lost" {
			continue
		}
		if err := r.finish(p); err != nil {
			return err
		}
	}
	return nil
}
