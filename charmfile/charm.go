package charmfile

import "slices"

// A Charm is what a charm's files declare. The zero value is a charm without
// a name that declares nothing.
type Charm struct {
	// Name is the charm's name, such as "postgresql-k8s".
	Name string
	// Title is its name for people: title in charmcraft.yaml, display-name
	// in metadata.yaml.
	Title string
	// Summary is one line, Description a few paragraphs.
	Summary, Description string
	// Endpoints are the places where the charm can be related: first what it
	// provides, then what it requires, then its peers, each in the order of
	// the file.
	Endpoints []Endpoint
	// Options are the configuration options in the order of the file.
	Options Options
	// Actions are the actions in the order of the file.
	Actions []Action
	// Storage, Devices, Resources and Containers are in the order of the file.
	Storage    []Storage
	Devices    []Device
	Resources  []Resource
	Containers []Container
	// ExtraBindings are names that can be bound to a network space without
	// being endpoints.
	ExtraBindings []string
	// Subordinate says that units live beside a principal's units.
	Subordinate bool
	// Assumes are the features a Juju model must have.
	Assumes []Assumption
	// CharmUser is the user that runs the charm on Kubernetes: "root",
	// "sudoer", "non-root", or "" for Juju's default.
	CharmUser string
	// Base and BuildBase are charmcraft's single base, such as "ubuntu@24.04".
	Base, BuildBase string
	// Platforms are what charmcraft.yaml asks to build, in the order of the file.
	Platforms []Platform
	// Bases are what the charm runs on according to the manifest.yaml of a
	// packed charm, or to the older bases list of a charmcraft.yaml.
	Bases []Base
	// Files are the names of the files that were read, such as "charmcraft.yaml".
	Files []string
}

// A Role says which end of a relation an endpoint is.
type Role string

// The roles of endpoints, named as in the file.
const (
	Provider Role = "provides"
	Requirer Role = "requires"
	Peer     Role = "peers"
)

// A Scope says which units meet in a relation.
type Scope string

// The scopes of endpoints. In a container-scoped relation a unit meets only
// the units on its own machine.
const (
	GlobalScope    Scope = "global"
	ContainerScope Scope = "container"
)

// An Endpoint is a named place where a charm can be related.
type Endpoint struct {
	Name      string
	Role      Role
	Interface string
	Scope     Scope
	// Optional is for people and tools: Juju does not act on it.
	Optional bool
	// Limit is the number of relations the endpoint takes; 0 is no limit.
	Limit int
}

// A Storage is a block device or file system that the charm wants.
type Storage struct {
	Name, Description string
	// Type is "filesystem" or "block".
	Type string
	// Location is where a file system is mounted; "" leaves it to Juju.
	Location string
	// MinimumSize is as written, such as "1G".
	MinimumSize string
	// Min and Max are how many instances a unit has; Max -1 is no limit.
	// Both are 1 unless the file says otherwise.
	Min, Max         int
	Shared, ReadOnly bool
	// Properties holds "transient" or nothing.
	Properties []string
}

// A Device is a device such as a GPU that the charm wants.
type Device struct {
	Name, Type, Description string
	// Min and Max are how many; 0 means that the file does not say.
	Min, Max int
}

// A Resource is a file or container image that comes beside the charm.
type Resource struct {
	Name, Description string
	// Type is "file", the default, or "oci-image".
	Type string
	// Filename is the name a file resource gets on the unit.
	Filename string
}

// A Container is a workload container in a unit's pod on Kubernetes.
type Container struct {
	Name string
	// Resource is the name of the oci-image resource it runs; "" if it
	// has Bases instead.
	Resource string
	Bases    []Base
	Mounts   []Mount
	// UID and GID are the user and group of its workload; nil for Juju's default.
	UID, GID *int
}

// A Mount is where a container sees a storage.
type Mount struct {
	Storage, Location string
}

// An Assumption is a feature a model must have: either Feature, or a choice.
type Assumption struct {
	// Feature is as written, such as "juju >= 3.6" or "k8s-api".
	Feature string
	// AnyOf and AllOf are the alternatives of a composite assumption.
	AnyOf, AllOf []Assumption
}

// A Platform is one entry of charmcraft.yaml's platforms.
type Platform struct {
	// Name is an architecture ("amd64"), a base and an architecture
	// ("ubuntu@24.04:amd64"), or any name when BuildFor says more.
	Name string
	// BuildOn and BuildFor are where it is built and what for. Both are
	// [Name] unless the file says otherwise.
	BuildOn, BuildFor []string
}

// A Base is an operating system that a charm runs on.
type Base struct {
	// Name is "ubuntu" or "centos".
	Name string
	// Channel is the version with an optional risk, such as "24.04" or
	// "24.04/stable".
	Channel string
	// Architectures are names such as "amd64" and "arm64"; empty means any.
	Architectures []string
}

// Endpoint returns the endpoint called name.
func (c *Charm) Endpoint(name string) (Endpoint, bool) {
	return find(c.Endpoints, func(e Endpoint) bool { return e.Name == name })
}

// EndpointsOf returns the endpoints with the given role, in the order of the file.
func (c *Charm) EndpointsOf(role Role) []Endpoint {
	var eps []Endpoint
	for _, e := range c.Endpoints {
		if e.Role == role {
			eps = append(eps, e)
		}
	}
	return eps
}

// Action returns the action called name.
func (c *Charm) Action(name string) (Action, bool) {
	return find(c.Actions, func(a Action) bool { return a.Name == name })
}

// StorageNamed returns the storage called name.
func (c *Charm) StorageNamed(name string) (Storage, bool) {
	return find(c.Storage, func(s Storage) bool { return s.Name == name })
}

// Resource returns the resource called name.
func (c *Charm) Resource(name string) (Resource, bool) {
	return find(c.Resources, func(r Resource) bool { return r.Name == name })
}

// Container returns the container called name.
func (c *Charm) Container(name string) (Container, bool) {
	return find(c.Containers, func(x Container) bool { return x.Name == name })
}

func find[T any](list []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], true
	}
	var zero T
	return zero, false
}
