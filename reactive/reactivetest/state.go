package reactivetest

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

// A State is all that a hook of one unit can see of Juju, and all that it can
// leave behind. It is a plain value: what is not said has the default of a unit
// that was just deployed.
type State struct {
	// Unit is the unit's name, such as "web/0". Empty: the charm's name and
	// number 0.
	Unit string
	// Leader is whether the unit leads its application.
	Leader bool
	// Config are the values of the charm's options that somebody set; the others
	// have the defaults that the charm's files give them.
	Config map[string]any
	// Relations are the relations of the unit.
	Relations []Relation

	// Flags are the names of the flags that are set. After a hook they are
	// sorted.
	Flags []string
	// Data is the rest of the unit's data (package unitdata): values that can be
	// encoded as JSON, by key. After a hook they are what [encoding/json] decodes
	// into an any, but that a number which a float64 would not hold exactly is a
	// json.Number.
	Data map[string]any
	// CharmState is what Juju's charm state holds besides the unit's data: what
	// was seen of remote databags, which a test takes from one hook to the next
	// without looking at it, and what the charm itself stored with the hook tool.
	CharmState map[string]string

	// Ports are the opened ports, such as "80/tcp", "8000-8100/udp", "icmp" or
	// "80/tcp (site)". After a hook they are sorted.
	Ports []string
	// Status and ApplicationStatus are what juju status shows; the zero value is
	// the status unknown, which a unit has before it says something.
	Status, ApplicationStatus reactive.Status
	// WorkloadVersion is the version of the workload that juju status shows.
	WorkloadVersion string

	// Secrets are the secrets that the unit or its application owns, and those of
	// others that it can name.
	Secrets []Secret
	// Storage are the attached storage instances.
	Storage []Storage
	// Resources are the paths of the charm's resources by name. One that is not
	// here was not supplied.
	Resources map[string]string
	// LeaderSettings is the bag of leader-get and leader-set (Juju 3).
	LeaderSettings map[string]string

	// Cloud is what credential-get shows; nil: the application is not trusted with
	// it (juju trust).
	Cloud *hooktool.CloudSpec

	// Address is the unit's address; empty: 10.0.0.1. Every endpoint is bound
	// to it.
	Address string
	// Model is the model in which the unit is.
	Model Model
	// JujuVersion is the version of Juju, such as "4.0.15"; empty: 3.6.28.
	JujuVersion string
}

// A Model says in which Juju model a unit is. The zero Model is a machine model.
type Model struct {
	Name, UUID string
	// Kubernetes makes it a Kubernetes model.
	Kubernetes bool
}

// A Relation is one relation of the unit.
type Relation struct {
	// Endpoint is the name of the charm's own endpoint.
	Endpoint string
	// ID is the number in "db:1". With 0 the relation gets one that no other
	// has.
	ID int
	// RemoteApp is the application on the other side. Empty: that of Units, or
	// "remote"; in a peer relation there is none.
	RemoteApp string
	// RemoteModel is the UUID of the model of the remote application, if the
	// relation crosses models.
	RemoteModel string
	// Units are the remote units that have joined, with what they publish. The
	// unit with which a -relation-joined, -changed or -departed is run is one of
	// them.
	Units map[string]map[string]string
	// RemoteAppData is what the remote application publishes. A peer relation
	// has only LocalAppData.
	RemoteAppData map[string]string
	// LocalData is what the unit itself publishes; nil is what Juju puts there.
	LocalData map[string]string
	// LocalAppData is what the unit's application publishes.
	LocalAppData map[string]string
}

// A Secret is one secret.
type Secret struct {
	// ID is the 20 letters and digits in "secret:ID". With "" the secret gets one
	// that no other has.
	ID string
	// Owner is hooktool.OwnerApplication or hooktool.OwnerUnit for the unit's
	// own, and the name of its owner for somebody else's.
	Owner string
	// Label is the owner's label of an own secret, and the unit's own label for
	// another one.
	Label       string
	Description string
	// Revisions are the contents by revision.
	Revisions map[int]map[string]string
	// Tracked is the revision that the unit has read last; 0: none.
	Tracked int
	// Denied is that somebody else's secret is not granted to the unit.
	Denied bool

	// Rotate, Expire and Grants belong to the unit's own secrets. Rotate is one
	// of hooktool's Rotate constants, Expire is zero for never.
	Rotate string
	Expire time.Time
	Grants []Grant
}

// A Grant lets somebody read a secret.
type Grant struct {
	// To is the application or the unit that may read it.
	To string
	// Relation is the ID of the relation with which the grant ends.
	Relation int
}

// A Storage is one attached storage instance.
type Storage struct {
	// ID is such as "data/0".
	ID string
	// Location is the mount point of a file system, or the path of a device.
	// Empty: a path made of the ID.
	Location string
}

// Clone returns a deep copy of the state.
func (s State) Clone() State {
	c := s
	c.Config = cloneValues(s.Config)
	c.Relations = slices.Clone(s.Relations)
	for i := range c.Relations {
		c.Relations[i] = c.Relations[i].Clone()
	}
	c.Flags = slices.Clone(s.Flags)
	c.Data = cloneValues(s.Data)
	c.CharmState = maps.Clone(s.CharmState)
	c.Ports = slices.Clone(s.Ports)
	c.Secrets = slices.Clone(s.Secrets)
	for i := range c.Secrets {
		c.Secrets[i] = c.Secrets[i].Clone()
	}
	c.Storage = slices.Clone(s.Storage)
	c.Resources = maps.Clone(s.Resources)
	c.LeaderSettings = maps.Clone(s.LeaderSettings)
	c.Cloud = (&model.Model{Cloud: s.Cloud}).Clone().Cloud
	return c
}

// Clone returns a deep copy of the relation.
func (r Relation) Clone() Relation {
	r.Units = maps.Clone(r.Units)
	for name, data := range r.Units {
		r.Units[name] = maps.Clone(data)
	}
	r.RemoteAppData = maps.Clone(r.RemoteAppData)
	r.LocalData = maps.Clone(r.LocalData)
	r.LocalAppData = maps.Clone(r.LocalAppData)
	return r
}

// Clone returns a deep copy of the secret.
func (s Secret) Clone() Secret {
	s.Revisions = maps.Clone(s.Revisions)
	for n, content := range s.Revisions {
		s.Revisions[n] = maps.Clone(content)
	}
	s.Grants = slices.Clone(s.Grants)
	return s
}

// Latest returns the newest revision; 0 if there is none.
func (s Secret) Latest() int {
	latest := 0
	for n := range s.Revisions {
		latest = max(latest, n)
	}
	return latest
}

// cloneValues copies values as deep as a hook could change them: what encoding
// them as JSON shows. A value that cannot be encoded is left to the checks.
func cloneValues(values map[string]any) map[string]any {
	if values == nil {
		return nil
	}
	c := make(map[string]any, len(values))
	for key, v := range values {
		c[key] = cloneValue(v)
	}
	return c
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneValues(v)
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = cloneValue(v[i])
		}
		return c
	case nil, bool, string, int, int64, float64, json.Number:
		return v
	}
	text, err := json.Marshal(v)
	if err != nil {
		return v
	}
	return json.RawMessage(text)
}
