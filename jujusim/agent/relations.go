package agent

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// The names that Juju accepts.
var (
	unitName        = regexp.MustCompile(`^[a-z][a-z0-9]*(?:-[a-z0-9]*[a-z][a-z0-9]*)*/(?:0|[1-9][0-9]*)$`)
	applicationName = regexp.MustCompile(`^[a-z][a-z0-9]*(?:-[a-z0-9]*[a-z][a-z0-9]*)*$`)
)

var (
	errPermission = errors.New("permission denied")
	errNotLeader  = errors.New("this unit is not the leader")
)

// relation is what an execution knows of one relation.
type relation struct {
	*model.Relation
	// members are what relation-list shows; fixed once known.
	members      []string
	membersKnown bool
	// read are the bags read so far. A nil bag does not exist.
	read map[string]model.Bag
	// unit and app are the own bags, once read or written.
	unit, app *settings
}

// settings are an own bag with changes that are not committed yet.
type settings struct {
	now     model.Bag
	changed map[string]string
}

func (s *settings) set(key, value string) {
	if s.changed == nil {
		s.changed = make(map[string]string)
	}
	s.changed[key] = value
	if value == "" {
		delete(s.now, key)
	} else {
		s.now[key] = value
	}
}

// relationFlag declares -r, whose default is the relation of the hook.
func (a *Agent) relationFlag(t *tool) func() (*relation, error) {
	chosen := a.hookRelation
	t.flags.add("r,relation", &flag{usage: "Specify a relation by id", set: func(value string) error {
		id, err := strconv.Atoi(value[strings.LastIndex(value, ":")+1:])
		if err != nil {
			return errors.New("invalid relation id")
		}
		r := a.relations[id]
		if r == nil {
			return errors.New("relation not found")
		}
		chosen = r
		return nil
	}})
	return func() (*relation, error) {
		if chosen == nil {
			return nil, errors.New("no relation id specified")
		}
		return chosen, nil
	}
}

func (a *Agent) relationIDs() *tool {
	t := &tool{usage: "<name>", purpose: "List all relation ids for the given endpoint."}
	out := t.smartOutput()
	endpoint := ""
	if a.hookRelation != nil {
		local, _ := a.hookRelation.Local(a.x.Unit)
		endpoint = local.Name
	}
	t.init = func(args []string) error {
		if len(args) > 0 {
			endpoint, args = args[0], args[1:]
		}
		if endpoint == "" {
			return errors.New("no endpoint name specified")
		}
		return noMore(args)
	}
	t.run = func(c *call) error {
		ids := []string{}
		for _, r := range a.relations {
			if local, _ := r.Local(a.x.Unit); local.Name == endpoint && !a.hidden(r) {
				ids = append(ids, r.RelationID(a.x.Unit))
			}
		}
		slices.Sort(ids)
		return out.write(c, ids)
	}
	return t
}

// hidden reports whether relation-ids leaves the relation out: one that is
// breaking, in its own relation-broken hook. Juju 4's agent does not do so.
func (a *Agent) hidden(r *relation) bool {
	return r == a.hookRelation && strings.HasSuffix(a.x.Hook, "-relation-broken") &&
		!a.m.Juju4() && r.Life != "" && r.Life != model.Alive
}

func (a *Agent) relationList() *tool {
	t := &tool{purpose: "List relation units."}
	out := t.smartOutput()
	chosen := a.relationFlag(t)
	var app bool
	t.flags.boolVar(&app, "app", "List remote application instead of participating units")
	var r *relation
	t.init = func(args []string) (err error) {
		if r, err = chosen(); err != nil {
			return err
		}
		return noMore(args)
	}
	t.run = func(c *call) error {
		if app {
			remote, _ := r.Remote(a.x.Unit)
			return out.write(c, r.Seen(a.x.Unit, remote.Application))
		}
		return out.write(c, a.members(r))
	}
	return t
}

// members are the units of relation-list, as the charm sees their names.
func (a *Agent) members(r *relation) []string {
	if r.membersKnown {
		return r.members
	}
	members := r.Members(a.m, a.x.Unit)
	if r == a.hookRelation {
		remote := a.actual(a.x.RemoteUnit)
		switch a.relationEvent() {
		case "joined":
			if !slices.Contains(members, remote) {
				members = append(members, remote)
			}
		case "departed":
			members = slices.DeleteFunc(members, func(name string) bool { return name == remote })
		}
	}
	seen := make([]string, len(members))
	for i, name := range members {
		seen[i] = r.Seen(a.x.Unit, name)
	}
	slices.Sort(seen)
	r.members, r.membersKnown = seen, true
	return seen
}

// actual is the model's own name of a unit or application that the unit sees in
// the hook's relation, or else in another.
func (a *Agent) actual(name string) string {
	if a.hookRelation != nil {
		if actual := a.hookRelation.Actual(a.x.Unit, name); actual != name {
			return actual
		}
	}
	for _, r := range a.relations {
		if actual := r.Actual(a.x.Unit, name); actual != name {
			return actual
		}
	}
	return name
}

func (a *Agent) relationModelGet() *tool {
	t := &tool{purpose: "Get details about the model hosting a related application."}
	out := t.smartOutput()
	chosen := a.relationFlag(t)
	var r *relation
	t.init = func(args []string) (err error) {
		if r, err = chosen(); err != nil {
			return err
		}
		return noMore(args)
	}
	t.run = func(c *call) error {
		remote, _ := r.Remote(a.x.Unit)
		return out.write(c, map[string]string{"uuid": a.modelUUID(a.m.Applications[remote.Application])})
	}
	return t
}

// modelUUID is the UUID of the model in which the application lives.
func (a *Agent) modelUUID(app *model.Application) string {
	if app != nil && app.ModelUUID != "" {
		return app.ModelUUID
	}
	return a.m.UUID
}

func (a *Agent) relationGet() *tool {
	t := &tool{usage: "<key> <unit id>", purpose: "Get relation settings."}
	out := t.smartOutput()
	chosen := a.relationFlag(t)
	var app bool
	t.flags.boolVar(&app, "app", "Get the relation data for the overall application, not just a unit")
	var r *relation
	var key, name string
	t.init = func(args []string) (err error) {
		if r, err = chosen(); err != nil {
			return err
		}
		if len(args) > 0 {
			if key = args[0]; key == "-" {
				key = ""
			}
			args = args[1:]
		}
		given := ""
		if len(args) > 0 {
			given, args = args[0], args[1:]
		}
		if name, err = a.relationGetTarget(given, &app); err != nil {
			return err
		}
		return noMore(args)
	}
	t.run = func(c *call) error {
		if name == "" {
			return fmt.Errorf("%q is not a valid unit or application", name)
		}
		bag, err := a.bag(r, r.Actual(a.x.Unit, name))
		if err != nil {
			return err
		}
		if key == "" {
			return out.write(c, map[string]string(bag))
		}
		if value, ok := bag[key]; ok {
			return out.write(c, value)
		}
		return out.write(c, nil)
	}
	return t
}

// relationGetTarget says whose bag relation-get reads. An empty name, which
// only --app can give, is one that the tool refuses when it runs. A name that the
// model has is taken as it is: recorded models have names that Juju would not
// let anybody deploy, such as web-1.
func (a *Agent) relationGetTarget(given string, app *bool) (string, error) {
	switch {
	case *app && a.m.Applications[given] != nil, !*app && a.m.Unit(given) != nil:
		return given, nil
	case given != "" && *app:
		if applicationName.MatchString(given) {
			return given, nil
		}
		if !unitName.MatchString(given) {
			return "", nil
		}
		return model.ApplicationOf(given), nil
	case given != "":
		if applicationName.MatchString(given) {
			return "", fmt.Errorf("expected unit name, got application name %q", given)
		}
		if !unitName.MatchString(given) {
			return "", fmt.Errorf("invalid unit name %q", given)
		}
		return given, nil
	case !*app && a.x.RemoteUnit != "":
		return a.x.RemoteUnit, nil
	case a.remoteApp != "":
		*app = true
		return a.remoteApp, nil
	}
	return "", errors.New("no unit or application specified")
}

// bag returns the bag of a unit or an application as relation-get shows it.
func (a *Agent) bag(r *relation, name string) (model.Bag, error) {
	own := model.ApplicationOf(a.x.Unit)
	switch {
	case name == a.x.Unit:
		return a.ownUnit(r).now, nil
	case name == own && a.leader():
		return a.ownApp(r).now, nil
	}
	isUnit := strings.Contains(name, "/")
	if name == own && !r.Peer() && !a.m.Juju4() {
		return nil, errPermission
	}
	if _, ok := r.Local(name); !ok {
		if a.m.Juju4() && isUnit {
			return nil, errors.New("relation unit not found")
		}
		return nil, errPermission
	}
	bag, known := r.read[name]
	if !known {
		bag = a.x.Cache.bag(a, r, name)
		if r.read == nil {
			r.read = make(map[string]model.Bag)
		}
		r.read[name] = bag
	}
	if bag == nil && isUnit {
		if a.m.Juju4() {
			return nil, errors.New("relation unit not found")
		}
		seen := r.Seen(a.x.Unit, name)
		return nil, fmt.Errorf("cannot read settings for unit %q in relation %q: unit %q: settings not found", seen, a.relationKey(r), seen)
	}
	if bag == nil {
		bag = model.Bag{}
	}
	return bag, nil
}

// relationKey is Juju's own name of a relation: its endpoints, requirer first.
func (a *Agent) relationKey(r *relation) string {
	var keys []string
	for _, e := range r.Endpoints {
		key := r.Seen(a.x.Unit, e.Application) + ":" + e.Name
		if e.Role == model.Requirer {
			keys = slices.Insert(keys, 0, key)
		} else {
			keys = append(keys, key)
		}
	}
	return strings.Join(keys, " ")
}

func (a *Agent) ownUnit(r *relation) *settings {
	if r.unit == nil {
		r.unit = newSettings(r.Data[a.x.Unit])
	}
	return r.unit
}

func (a *Agent) ownApp(r *relation) *settings {
	if r.app == nil {
		r.app = newSettings(r.Data[model.ApplicationOf(a.x.Unit)])
	}
	return r.app
}

func newSettings(bag model.Bag) *settings {
	now := maps.Clone(bag)
	if now == nil {
		now = model.Bag{}
	}
	return &settings{now: now}
}

func (a *Agent) relationSet() *tool {
	t := &tool{usage: "<key>=<value> [<key>=<value> ...]", purpose: "Set relation settings."}
	chosen := a.relationFlag(t)
	var file, format string
	var app bool
	t.flags.stringVar(&file, "file", "Specify a YAML file with the settings, or - for the standard input")
	t.flags.boolVar(&app, "app", "Set the data for the overall application, not just the unit")
	t.flags.stringVar(&format, "format", "Deprecated format flag")
	var r *relation
	var values map[string]string
	t.init = func(args []string) (err error) {
		if r, err = chosen(); err != nil {
			return err
		}
		values, err = keyValues(args)
		return err
	}
	t.run = func(c *call) error {
		warnFormat(c, "relation-set", format)
		values, err := fromFile(c, file, values)
		if err != nil {
			return err
		}
		if app && !a.leader() {
			return errors.New("cannot write relation settings")
		}
		s := a.ownUnit(r)
		if app {
			s = a.ownApp(r)
		}
		for key, value := range values {
			s.set(key, value)
		}
		return nil
	}
	return t
}

// fromFile adds the arguments to what a file holds; arguments win.
func fromFile(c *call, file string, values map[string]string) (map[string]string, error) {
	if file == "" {
		return values, nil
	}
	all, err := readSettings(c, file)
	if err != nil {
		return nil, err
	}
	maps.Copy(all, values)
	return all, nil
}

// warnFormat says that a tool without output has no use for --format.
func warnFormat(c *call, tool, format string) {
	if format != "" {
		fmt.Fprintf(&c.stderr, "--format flag deprecated for command %q", tool)
	}
}
