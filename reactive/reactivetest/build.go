package reactivetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/unitdata"
)

// name is the relation's ID as the charm sees it.
func (r Relation) name() string { return r.Endpoint + ":" + strconv.Itoa(r.ID) }

// normalized returns a copy of the state in which the defaults are filled in.
func (s State) normalized(file *charmfile.Charm) State {
	s = s.Clone()
	if s.Unit == "" {
		s.Unit = file.Name + "/0"
	}
	if s.JujuVersion == "" {
		s.JujuVersion = model.Juju3
	}
	if s.Address == "" {
		s.Address = "10.0.0.1"
	}
	if s.Model.Name == "" {
		s.Model.Name = "test"
	}
	if s.Model.UUID == "" {
		s.Model.UUID = "deadbeef-0bad-400d-8000-4b1d0d06f00d"
	}
	s.nameRelations(file)
	s.nameSecrets()
	return s
}

func (s *State) nameRelations(file *charmfile.Charm) {
	used := make(map[int]bool)
	for _, r := range s.Relations {
		used[r.ID] = true
	}
	next := 1
	for i := range s.Relations {
		r := &s.Relations[i]
		if r.ID == 0 {
			for used[next] {
				next++
			}
			r.ID, used[next] = next, true
		}
		if ep, ok := file.Endpoint(r.Endpoint); ok && ep.Role == charmfile.Peer || r.RemoteApp != "" {
			continue
		}
		r.RemoteApp = "remote"
		if units := slices.Sorted(maps.Keys(r.Units)); len(units) > 0 {
			r.RemoteApp = model.ApplicationOf(units[0])
		}
	}
}

func (s *State) nameSecrets() {
	used := make(map[string]bool)
	for _, secret := range s.Secrets {
		used[secret.ID] = true
	}
	n := 1
	for i := range s.Secrets {
		if s.Secrets[i].ID != "" {
			continue
		}
		id := func() string { return fmt.Sprintf("reactivetest%08d", n) }
		for used[id()] {
			n++
		}
		s.Secrets[i].ID = id()
		used[id()] = true
	}
}

// A builder makes a model of a state.
type builder struct {
	file  *charmfile.Charm
	state State
	model *model.Model
	app   *model.Application
	unit  *model.Unit
}

// build makes the model of a normalized state that was checked.
func build(ctx context.Context, file *charmfile.Charm, s State) (*model.Model, error) {
	own := model.ApplicationOf(s.Unit)
	b := &builder{file: file, state: s}
	b.unit = &model.Unit{
		Machine: "0", Address: s.Address, PublicAddress: s.Address, Interface: "eth0", CIDR: subnet(s.Address),
		Status: status(s.Status), WorkloadVersion: s.WorkloadVersion,
		State: maps.Clone(s.CharmState), Storage: make(map[string]*model.StorageInstance),
	}
	b.app = &model.Application{
		Trust: s.Cloud != nil, Subordinate: file.Subordinate, Status: status(s.ApplicationStatus),
		LeaderSettings: maps.Clone(s.LeaderSettings), Units: map[string]*model.Unit{s.Unit: b.unit},
	}
	b.model = &model.Model{
		Name: s.Model.Name, UUID: s.Model.UUID, Type: model.Machine, Version: s.JujuVersion,
		Applications: map[string]*model.Application{own: b.app},
		Secrets:      make(map[string]*model.Secret),
		Cloud:        s.Cloud,
	}
	if s.Model.Kubernetes {
		b.model.Type = model.Kubernetes
	}
	b.declare()
	for _, r := range s.Relations {
		b.relate(r)
	}
	b.lead()
	if err := b.openPorts(); err != nil {
		return nil, err
	}
	for _, secret := range s.Secrets {
		b.addSecret(secret)
	}
	return b.model, b.storeData(ctx)
}

func subnet(address string) string {
	if strings.Contains(address, ":") {
		return address + "/64"
	}
	if i := strings.LastIndexByte(address, '.'); i >= 0 {
		return address[:i] + ".0/24"
	}
	return ""
}

func status(s reactive.Status) model.Status {
	if s.State == "" {
		s.State = "unknown"
	}
	return model.Status{Status: s.State, Message: s.Message}
}

var roles = map[charmfile.Role]string{
	charmfile.Provider: model.Provider, charmfile.Requirer: model.Requirer, charmfile.Peer: model.Peer,
}

// declare puts what the charm's files declare into the application.
func (b *builder) declare() {
	a := b.app
	for _, ep := range b.file.Endpoints {
		a.Endpoints = append(a.Endpoints, model.Endpoint{
			Name: ep.Name, Role: roles[ep.Role], Interface: ep.Interface, Scope: string(ep.Scope),
		})
	}
	a.ExtraBindings = b.file.ExtraBindings
	a.Config = make(map[string]*model.Option)
	for _, o := range b.file.Options {
		option := &model.Option{Type: string(o.Type), Default: o.Default}
		if v, ok := b.state.Config[o.Name]; ok {
			option.Value, _ = o.Check(v) // checked before
		}
		a.Config[o.Name] = option
	}
	a.Storage = make(map[string]*model.StorageDeclaration)
	for _, s := range b.file.Storage {
		a.Storage[s.Name] = &model.StorageDeclaration{Type: s.Type, CountMin: s.Min, CountMax: s.Max}
	}
	for _, s := range b.state.Storage {
		kind := a.Storage[storageName(s.ID)].Type
		b.unit.Storage[s.ID] = &model.StorageInstance{Kind: kind, Location: s.location(kind)}
	}
	a.Resources = make(map[string]*model.Resource)
	for name, path := range b.state.Resources {
		a.Resources[name] = &model.Resource{Path: path}
	}
}

func (s Storage) location(kind string) string {
	switch {
	case s.Location != "":
		return s.Location
	case kind == "block":
		return "/dev/disk/by-id/" + strings.ReplaceAll(s.ID, "/", "-")
	}
	return "/var/lib/juju/storage/" + s.ID
}

// relate adds a relation, and the application and the units on its other side.
func (b *builder) relate(r Relation) {
	own := model.ApplicationOf(b.state.Unit)
	ep, _ := b.file.Endpoint(r.Endpoint)
	rel := &model.Relation{
		ID: r.ID, Interface: ep.Interface, Scope: string(ep.Scope),
		Endpoints: []model.RelationEndpoint{{Application: own, Name: r.Endpoint, Role: roles[ep.Role]}},
	}
	remote := b.app
	if ep.Role != charmfile.Peer {
		opposite := model.Provider
		if ep.Role == charmfile.Provider {
			opposite = model.Requirer
		}
		rel.Endpoints = append(rel.Endpoints, model.RelationEndpoint{Application: r.RemoteApp, Name: r.Endpoint, Role: opposite})
		remote = b.model.Applications[r.RemoteApp]
		if remote == nil {
			remote = &model.Application{ModelUUID: r.RemoteModel, Units: make(map[string]*model.Unit)}
			b.model.Applications[r.RemoteApp] = remote
		}
		remote.Endpoints = append(remote.Endpoints, model.Endpoint{Name: r.Endpoint, Role: opposite, Interface: ep.Interface, Scope: string(ep.Scope)})
	}
	rel.Enter(b.model, b.state.Unit)
	for _, name := range slices.Sorted(maps.Keys(r.Units)) {
		if remote.Units[name] == nil {
			remote.Units[name] = &model.Unit{Machine: name, Address: r.Units[name]["ingress-address"]}
		}
		if ep.Scope == charmfile.ContainerScope && ep.Role != charmfile.Peer {
			if b.file.Subordinate {
				b.unit.Principal = name
			} else {
				remote.Units[name].Principal = b.state.Unit
			}
		}
		rel.Enter(b.model, name)
		rel.Data[name] = bag(r.Units[name])
	}
	// Without an entry a unit has joined all those in scope.
	rel.Joined = nil
	if r.LocalData != nil {
		rel.Data[b.state.Unit] = bag(r.LocalData)
	}
	rel.Data[own] = bag(r.LocalAppData)
	if ep.Role != charmfile.Peer {
		rel.Data[r.RemoteApp] = bag(r.RemoteAppData)
	}
	b.model.Relations = append(b.model.Relations, rel)
}

func bag(data map[string]string) model.Bag {
	if data == nil {
		return model.Bag{}
	}
	return maps.Clone(data)
}

// lead says who leads: the unit, or else one of its peers.
func (b *builder) lead() {
	if b.state.Leader {
		b.app.Leader = b.state.Unit
		return
	}
	for _, name := range b.app.UnitNames() {
		if name != b.state.Unit {
			b.app.Leader = name
			return
		}
	}
}

func (b *builder) openPorts() error {
	for _, text := range b.state.Ports {
		p, err := hooktool.ParsePortRange(text)
		if err != nil {
			return err
		}
		endpoints := p.Endpoints
		if len(endpoints) == 0 {
			endpoints = []string{""}
		}
		p.Endpoints = nil
		r, err := model.ParsePortRange(p.String())
		if err != nil {
			return err
		}
		if b.unit.Ports == nil {
			b.unit.Ports = make(map[string][]model.PortRange)
		}
		for _, ep := range endpoints {
			b.unit.Ports[ep] = model.SortPorts(append(b.unit.Ports[ep], r))
		}
	}
	return nil
}

func (b *builder) addSecret(s Secret) {
	own := model.ApplicationOf(b.state.Unit)
	secret := &model.Secret{
		Owner: s.Owner, Label: s.Label, Description: s.Description, Rotate: s.Rotate,
		Revisions: s.Clone().Revisions, Latest: s.Latest(),
	}
	consumer := model.SecretConsumer{Revision: s.Tracked}
	switch s.Owner {
	case hooktool.OwnerApplication:
		secret.Owner = own
	case hooktool.OwnerUnit:
		secret.Owner = b.state.Unit
	default:
		secret.Label, consumer.Label = "", s.Label
		if !s.Denied {
			secret.Grants = []model.SecretGrant{{To: own}}
		}
	}
	if !s.Expire.IsZero() {
		secret.Expire = s.Expire.UTC().Format(time.RFC3339)
	}
	for _, g := range s.Grants {
		secret.Grants = append(secret.Grants, model.SecretGrant{To: g.To, Relation: g.Relation})
	}
	if consumer != (model.SecretConsumer{}) {
		secret.Consumers = map[string]model.SecretConsumer{b.state.Unit: consumer}
	}
	b.model.Secrets[s.ID] = secret
}

// storeData stores flags and data the way a charm's own hooks do, so that their
// layout and limits are the real ones.
func (b *builder) storeData(ctx context.Context) error {
	if len(b.state.Flags)+len(b.state.Data) == 0 {
		return nil
	}
	return onUnit(b.model, b.state.Unit, func(tools *hooktool.Client) error {
		data, err := unitdata.Open(ctx, unitdata.NewJujuState(tools))
		if err != nil {
			return err
		}
		data.SetAuthor("the test's state")
		for _, f := range b.state.Flags {
			if err := data.Set(flagPrefix+f, nil); err != nil {
				return err
			}
		}
		for key, v := range b.state.Data {
			if err := data.Set(key, v); err != nil {
				return err
			}
		}
		return data.Commit(ctx)
	})
}

// onUnit calls fn with hook tools of a unit, and commits.
func onUnit(m *model.Model, unit string, fn func(tools *hooktool.Client) error) error {
	a, err := agent.New(m, agent.Execution{Unit: unit, Exec: true})
	if err != nil {
		return err
	}
	defer a.Close()
	if err := fn(hooktool.New(a)); err != nil {
		return err
	}
	result, err := a.Finish(agent.Exit{})
	if err != nil {
		return err
	}
	return result.Err
}

// readData is the opposite of storeData.
func readData(ctx context.Context, m *model.Model, unit string, s *State) error {
	s.Flags, s.Data, s.CharmState = nil, nil, nil
	for key, value := range m.Unit(unit).State {
		if key == "reactive" || strings.HasPrefix(key, "reactive.") {
			continue
		}
		if s.CharmState == nil {
			s.CharmState = make(map[string]string)
		}
		s.CharmState[key] = value
	}
	return onUnit(m, unit, func(tools *hooktool.Client) error {
		data, err := unitdata.Open(ctx, unitdata.NewJujuState(tools))
		if err != nil {
			return err
		}
		for _, key := range data.Keys("") {
			if f, ok := strings.CutPrefix(key, flagPrefix); ok {
				s.Flags = append(s.Flags, f)
				continue
			}
			text, _ := data.Raw(key)
			v, err := decode(text)
			if err != nil {
				return fmt.Errorf("cannot read the entry %q of the unit's data: %w", key, err)
			}
			if s.Data == nil {
				s.Data = make(map[string]any)
			}
			s.Data[key] = v
		}
		slices.Sort(s.Flags)
		return nil
	})
}

// decode decodes JSON into plain values, and keeps numbers exact.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return plain(v), nil
}

func plain(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err == nil && strconv.FormatFloat(f, 'f', -1, 64) == v.String() {
			return f
		}
	case map[string]any:
		for key := range v {
			v[key] = plain(v[key])
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	}
	return v
}
