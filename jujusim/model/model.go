package model

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/charmed-go/charms/hooktool"
)

// The kinds of model.
const (
	Machine    = "machine"
	Kubernetes = "kubernetes"
)

// The Juju versions that are played; any other version of the same major
// number behaves the same.
const (
	Juju3 = "3.6.28"
	Juju4 = "4.0.15"
)

// The life of a unit, a relation or an application. Empty means alive.
const (
	Alive = "alive"
	Dying = "dying"
	Dead  = "dead"
)

// The roles and scopes of an endpoint. An empty scope is global.
const (
	Provider = "provider"
	Requirer = "requirer"
	Peer     = "peer"

	// JujuInfo is the endpoint, and its interface, that every application
	// provides without declaring it.
	JujuInfo = "juju-info"

	Global    = "global"
	Container = "container"
)

// A Model is a whole Juju model.
type Model struct {
	mu sync.Mutex

	Name string `json:"name"`
	UUID string `json:"uuid"`
	// Type is Machine or Kubernetes; empty means Machine.
	Type string `json:"type"`
	// Version is the version of Juju that the agents play; empty means Juju3.
	Version string `json:"version,omitempty"`
	// Applications by name.
	Applications map[string]*Application `json:"applications"`
	Relations    []*Relation             `json:"relations"`
	// Secrets by id, which is 20 characters without "secret:".
	Secrets map[string]*Secret `json:"secrets"`
	// Proxy are the model's proxy settings for charms.
	Proxy Proxy `json:"proxy,omitzero"`
	// LegacyProxy are the http-proxy settings and their like, which hooks see as
	// http_proxy, HTTP_PROXY and so on, where they are set.
	LegacyProxy Proxy `json:"legacy-proxy,omitzero"`
	// Cloud is what credential-get shows to trusted applications; nil means that
	// it shows nothing.
	Cloud *hooktool.CloudSpec `json:"cloud,omitempty"`
}

// A Proxy holds the juju-http-proxy settings and their like, which hooks see
// as JUJU_CHARM_HTTP_PROXY and so on.
type Proxy struct {
	HTTP  string `json:"http,omitempty"`
	HTTPS string `json:"https,omitempty"`
	FTP   string `json:"ftp,omitempty"`
	// No is the juju-no-proxy setting; empty means Juju's default,
	// "127.0.0.1,localhost,::1".
	No string `json:"no,omitempty"`
}

// An Application is one application and what its charm declares.
type Application struct {
	// Life is Alive, Dying or Dead; empty means alive.
	Life string `json:"life,omitempty"`
	// Leader is the name of the leading unit; empty: there is none.
	Leader string `json:"leader"`
	// Endpoints are the charm's endpoints, related or not.
	Endpoints []Endpoint `json:"endpoints"`
	// ExtraBindings are names that network-get knows besides the endpoints.
	ExtraBindings []string `json:"extra-bindings,omitempty"`
	// Config are the charm's options by name.
	Config map[string]*Option `json:"config"`
	// LeaderSettings is the bag of leader-get and leader-set (Juju 3).
	LeaderSettings map[string]string `json:"leader-settings"`
	// Status is the application's own status.
	Status Status `json:"status"`
	// Units by name, such as "web/0".
	Units map[string]*Unit `json:"units"`
	// Subordinate says that the charm is a subordinate one.
	Subordinate bool `json:"subordinate,omitempty"`
	// Trust says that the application was deployed with --trust.
	Trust bool `json:"trust,omitempty"`
	// Storage are the charm's storages by name.
	Storage map[string]*StorageDeclaration `json:"storage,omitempty"`
	// Resources are the charm's resources by name.
	Resources map[string]*Resource `json:"resources,omitempty"`
	// ModelName and ModelUUID are those of another model, when the application
	// lives there and its relations cross models. Empty means this model.
	ModelName string `json:"model-name,omitempty"`
	ModelUUID string `json:"model-uuid,omitempty"`
}

// An Endpoint is one endpoint that a charm declares. In JSON an endpoint of
// which only the name is known is just a string.
type Endpoint struct {
	Name string `json:"name"`
	// Role is Provider, Requirer or Peer; Scope is Global or Container.
	Role      string `json:"role,omitempty"`
	Interface string `json:"interface,omitempty"`
	Scope     string `json:"scope,omitempty"`
}

// An Option is one configuration option.
type Option struct {
	// Type is string, int, float, boolean or secret.
	Type string `json:"type"`
	// Default and Value are nil when there is none. Numbers are any Go number.
	Default any `json:"default,omitempty"`
	Value   any `json:"value,omitempty"`
}

// Effective is the option's value, else its default, else nil.
func (o *Option) Effective() any {
	if o == nil {
		return nil
	}
	if o.Value != nil {
		return o.Value
	}
	return o.Default
}

// A Status is the status of a unit's workload or of an application.
type Status struct {
	// Status is active, blocked, waiting, maintenance, unknown or error.
	Status  string         `json:"status"`
	Message string         `json:"message"`
	Data    map[string]any `json:"data"`
	// Since is when it was set; goal-state shows it.
	Since time.Time `json:"since,omitzero"`
}

// A Unit is one unit of an application.
type Unit struct {
	// Life is Alive, Dying or Dead; empty means alive.
	Life string `json:"life"`
	// Machine is the machine's id. Units of one machine share its ports.
	Machine string `json:"machine"`
	// Address and PublicAddress are what unit-get returns. With Interface, MAC
	// and CIDR, Address is the unit's one network interface; every endpoint is
	// bound to it.
	Address       string `json:"address"`
	PublicAddress string `json:"public-address"`
	Interface     string `json:"interface"`
	MAC           string `json:"mac"`
	CIDR          string `json:"cidr"`
	// Status is the workload's status.
	Status Status `json:"status"`
	// State is the charm state of state-get and state-set.
	State map[string]string `json:"state"`
	// Ports are the open ports by endpoint; endpoint "" means all endpoints.
	Ports map[string][]PortRange `json:"ports"`
	// WorkloadVersion is what application-version-set last said.
	WorkloadVersion string `json:"workload-version"`
	// Principal is the principal unit of a subordinate one.
	Principal string `json:"principal,omitempty"`
	// AvailabilityZone is the zone of its machine.
	AvailabilityZone string `json:"availability-zone,omitempty"`
	// Storage are the attached storage instances by id, such as "data/0".
	Storage map[string]*StorageInstance `json:"storage,omitempty"`
}

// A StorageDeclaration is one storage that a charm declares.
type StorageDeclaration struct {
	// Type is "filesystem" or "block".
	Type string `json:"type"`
	// CountMin and CountMax bound the instances; CountMax -1 is no bound.
	CountMin int `json:"count-min"`
	CountMax int `json:"count-max"`
}

// A StorageInstance is a storage attached to a unit.
type StorageInstance struct {
	// Kind is "filesystem" or "block"; Location is its mount point or device.
	Kind     string `json:"kind"`
	Location string `json:"location"`
	// Life is Alive or Dying; empty means alive.
	Life string `json:"life,omitempty"`
}

// A Resource is a charm resource that has been supplied.
type Resource struct {
	// Path is the path of the resource's file, as resource-get prints it.
	// Empty means that nothing was supplied.
	Path string `json:"path"`
}

// Lock locks the model against the agents that run on it. It is not reentrant,
// and no method of this package but Clone takes it.
func (m *Model) Lock() { m.mu.Lock() }

// Unlock undoes Lock.
func (m *Model) Unlock() { m.mu.Unlock() }

// JujuVersion is the version the model plays.
func (m *Model) JujuVersion() string {
	if m.Version == "" {
		return Juju3
	}
	return m.Version
}

// Juju4 reports whether the model plays Juju 4 or later.
func (m *Model) Juju4() bool {
	v := m.JujuVersion()
	return !strings.HasPrefix(v, "3.") && !strings.HasPrefix(v, "2.")
}

// Kubernetes reports whether it is a Kubernetes model.
func (m *Model) Kubernetes() bool { return m.Type == Kubernetes }

// ApplicationOf is the name of the application of a unit, or of an application
// itself: the part before the slash.
func ApplicationOf(name string) string {
	app, _, _ := strings.Cut(name, "/")
	return app
}

// Application returns the application called name, or that of the unit called
// name; nil if there is none.
func (m *Model) Application(name string) *Application {
	return m.Applications[ApplicationOf(name)]
}

// Unit returns the unit called name, or nil.
func (m *Model) Unit(name string) *Unit {
	if a := m.Applications[ApplicationOf(name)]; a != nil {
		return a.Units[name]
	}
	return nil
}

// IsLeader reports whether the unit called name leads its application.
func (m *Model) IsLeader(name string) bool {
	a := m.Application(name)
	return a != nil && a.Leader == name
}

// Relation returns the relation with that id, or nil.
func (m *Model) Relation(id int) *Relation {
	for _, r := range m.Relations {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// RelationsOf returns the relations whose scope the unit has entered, in the
// order of their ids.
func (m *Model) RelationsOf(unit string) []*Relation {
	var rs []*Relation
	for _, r := range m.Relations {
		if r.Units.Has(unit) {
			rs = append(rs, r)
		}
	}
	slices.SortFunc(rs, func(a, b *Relation) int { return a.ID - b.ID })
	return rs
}

// Endpoint returns the endpoint that the application's charm declares under
// that name.
func (a *Application) Endpoint(name string) (Endpoint, bool) {
	for _, e := range a.Endpoints {
		if e.Name == name {
			return e, true
		}
	}
	return Endpoint{}, false
}

// UnitNames are the names of the application's units, sorted by their number.
func (a *Application) UnitNames() []string {
	return SortUnits(slices.Collect(maps.Keys(a.Units)))
}

// MachineUnits are the names of the units on that machine, sorted.
func (m *Model) MachineUnits(machine string) []string {
	var names []string
	for _, a := range m.Applications {
		for name, u := range a.Units {
			if u.Machine == machine {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}
