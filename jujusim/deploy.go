package jujusim

import (
	"errors"
	"fmt"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/jujusim/model"
)

// DeployOptions say how an application is deployed.
type DeployOptions struct {
	// Units is how many units it gets; 0 means one, and none for a subordinate
	// charm, whose units come with its relations.
	Units int
	// Config are values of the charm's options.
	Config map[string]any
	// To are the machines of the first units, by id, which need not exist;
	// other units get a machine of their own.
	To []string
	// Trust is --trust: credential-get shows the application Options.Cloud.
	Trust bool
	// Model is the name of another model in which the application lives. Its
	// relations with applications here cross models: it is offered, and sees
	// them under names of the form remote-….
	Model string
	// Resources are the paths of the charm's resources by name.
	Resources map[string]string
}

// Deploy deploys a charm as an application.
func (m *Model) Deploy(name string, c Charm, opts DeployOptions) error {
	err := m.deploy(name, c, opts)
	if err != nil {
		return fmt.Errorf("cannot deploy %s: %w", name, err)
	}
	m.operated("deploy %s", name)
	return nil
}

func (m *Model) deploy(name string, c Charm, opts DeployOptions) error {
	charm, err := loadCharm(c, m.dir)
	if err != nil {
		return err
	}
	m.lock()
	defer m.unlock()
	m.closers = append(m.closers, charm.close)
	if name == "" || strings.ContainsAny(name, "/: ") {
		return fmt.Errorf("%q is no name for an application", name)
	}
	if m.applications[name] != nil {
		return errors.New("the application already exists")
	}
	a := &application{m: m, name: name, data: &model.Application{
		Units: make(map[string]*model.Unit), Config: make(map[string]*model.Option),
		Storage: make(map[string]*model.StorageDeclaration), Resources: make(map[string]*model.Resource),
		LeaderSettings: make(map[string]string), Trust: opts.Trust,
		Status: model.Status{Status: "unknown", Since: m.clock},
	}}
	if opts.Model != "" && opts.Model != m.data.Name {
		a.data.ModelName, a.data.ModelUUID = opts.Model, m.modelUUID(opts.Model)
	}
	a.setCharm(charm)
	for resource, path := range opts.Resources {
		r := a.data.Resources[resource]
		if r == nil {
			return fmt.Errorf("the charm has no resource %q", resource)
		}
		r.Path = path
	}
	if err := a.configure(opts.Config); err != nil {
		return err
	}
	m.applications[name] = a
	m.order = append(m.order, a)
	m.data.Applications[name] = a.data
	for _, e := range a.data.Endpoints {
		if e.Role == model.Peer {
			m.relate(&model.Relation{Interface: e.Interface, Endpoints: []model.RelationEndpoint{{Application: name, Name: e.Name, Role: model.Peer}}})
		}
	}
	if charm.meta.Subordinate {
		return nil
	}
	for i := range max(opts.Units, 1) {
		to := ""
		if i < len(opts.To) {
			to = opts.To[i]
		}
		a.addUnit(m.machine(to))
	}
	a.elect(nil)
	return nil
}

// modelUUID is the UUID of another model.
func (m *Model) modelUUID(name string) string {
	for _, a := range m.data.Applications {
		if a.ModelName == name {
			return a.ModelUUID
		}
	}
	return fmt.Sprintf("%08x-0bad-400d-8000-%012x", m.rng.Uint32(), m.rng.Uint64N(1<<48))
}

// machine returns a machine by id, or a new one.
func (m *Model) machine(id string) *machine {
	if id == "" {
		for id = fmt.Sprint(len(m.machines)); m.machines[id] != nil; {
			id += "0"
		}
	}
	if m.machines[id] == nil {
		m.machines[id] = &machine{id: id, number: len(m.machines)}
	}
	return m.machines[id]
}

// setCharm makes the application run a revision of its charm.
func (a *application) setCharm(charm *revision) {
	meta := charm.meta
	a.charm = charm
	a.data.Subordinate = meta.Subordinate
	a.data.Endpoints, a.data.ExtraBindings = nil, meta.ExtraBindings
	roles := map[charmfile.Role]string{charmfile.Provider: model.Provider, charmfile.Requirer: model.Requirer, charmfile.Peer: model.Peer}
	for _, e := range meta.Endpoints {
		a.data.Endpoints = append(a.data.Endpoints, model.Endpoint{Name: e.Name, Role: roles[e.Role], Interface: e.Interface, Scope: string(e.Scope)})
	}
	options := make(map[string]*model.Option)
	for _, o := range meta.Options {
		options[o.Name] = &model.Option{Type: string(o.Type), Default: o.Default}
		if old := a.data.Config[o.Name]; old != nil && old.Type == string(o.Type) {
			options[o.Name].Value = old.Value
		}
	}
	a.data.Config = options
	for _, s := range meta.Storage {
		a.data.Storage[s.Name] = &model.StorageDeclaration{Type: s.Type, CountMin: s.Min, CountMax: s.Max}
	}
	for _, r := range meta.Resources {
		if a.data.Resources[r.Name] == nil {
			a.data.Resources[r.Name] = &model.Resource{}
		}
	}
	a.stampConfig()
}

func (a *application) stampConfig() {
	values := make(map[string]string)
	for name, o := range a.data.Config {
		if v := o.Effective(); v != nil {
			values[name] = fmt.Sprint(v)
		}
	}
	a.configStamp = stampOf(values)
	for _, u := range a.units {
		u.update()
	}
}

// configure sets options; a nil value resets one.
func (a *application) configure(values map[string]any) error {
	checked := make(map[string]any)
	for name, value := range values {
		option, ok := a.charm.meta.Options.Get(name)
		if !ok {
			return fmt.Errorf("the charm has no option %q", name)
		}
		v, err := option.Check(value)
		if text, isText := value.(string); isText {
			v, err = option.Parse(text)
		}
		if err != nil {
			return err
		}
		checked[name] = v
	}
	for name, v := range checked {
		a.data.Config[name].Value = v
	}
	a.stampConfig()
	return nil
}

// addUnit gives the application one more unit.
func (a *application) addUnit(mc *machine) *unit {
	m := a.m
	u := &unit{m: m, app: a, number: a.nextUnit, name: fmt.Sprintf("%s/%d", a.name, a.nextUnit), machine: mc, charm: a.charm}
	a.nextUnit++
	u.data = &model.Unit{
		Machine: mc.id, Address: address(mc.number + 10), PublicAddress: address(mc.number + 10),
		Interface: "eth0", MAC: fmt.Sprintf("00:16:3e:%02x:%02x:%02x", mc.number>>16&0xff, mc.number>>8&0xff, mc.number&0xff),
		CIDR: "10.0.0.0/8", Status: model.Status{Status: "waiting", Message: "waiting for machine", Since: m.clock},
		State: make(map[string]string), Ports: make(map[string][]model.PortRange),
		Storage: make(map[string]*model.StorageInstance),
	}
	a.units = append(a.units, u)
	a.data.Units[u.name] = u.data
	mc.units = append(mc.units, u)
	m.units[u.name] = u
	for _, name := range sortedKeys(a.data.Storage) {
		for range a.data.Storage[name].CountMin {
			m.addStorage(u, name)
		}
	}
	for _, r := range a.relations {
		if !r.dying {
			r.add(u, true)
		}
	}
	u.settings = !m.data.Juju4()
	u.update()
	return u
}

// AddUnit adds units to an application, on the machines to, as far as they are
// given, or on machines of their own. It returns their names.
func (m *Model) AddUnit(app string, n int, to ...string) ([]string, error) {
	m.lock()
	a := m.applications[app]
	if a == nil || a.dying || a.data.Subordinate {
		m.unlock()
		return nil, fmt.Errorf("cannot add units to %s: it is no application that takes units", app)
	}
	var names []string
	for i := range n {
		id := ""
		if i < len(to) {
			id = to[i]
		}
		u := a.addUnit(m.machine(id))
		names = append(names, u.name)
		for _, r := range a.relations {
			m.subordinates(r, u)
		}
	}
	if a.leader == nil {
		a.elect(nil)
	}
	m.unlock()
	m.operated("add-unit %s", strings.Join(names, " "))
	return names, nil
}

// Scale gives an application that number of units: it adds new ones, or removes
// those with the highest numbers.
func (m *Model) Scale(app string, units int) error {
	names := m.Units(app)
	if len(names) == 0 && m.lookup(app) == nil {
		return fmt.Errorf("cannot scale %s: there is no such application", app)
	}
	if units > len(names) {
		_, err := m.AddUnit(app, units-len(names))
		return err
	}
	for _, name := range names[units:] {
		if err := m.RemoveUnit(name); err != nil {
			return err
		}
	}
	return nil
}

func (m *Model) lookup(app string) *application {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.applications[app]
}

// Units are the names of an application's units that are not being removed.
func (m *Model) Units(app string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	if a := m.applications[app]; a != nil {
		for _, u := range a.units {
			if !u.dying {
				names = append(names, u.name)
			}
		}
	}
	return names
}
