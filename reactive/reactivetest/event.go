package reactivetest

import (
	"fmt"
	"maps"
)

// An Event is what Juju runs a charm for. Make one with the functions of this
// package; it is a value that can be used any number of times.
type Event struct {
	kind eventKind
	// name is the hook's whole name, the part of it behind the relation, storage
	// or container, or the action's name.
	name      string
	relation  Relation
	unit      string
	departing string
	secret    Secret
	revision  int
	subject   string // storage or container
	id, key   string // of a notice; key is also the name of a check
	params    map[string]any
}

type eventKind int

const (
	noEvent eventKind = iota
	hookEvent
	relationEvent
	secretEvent
	storageEvent
	pebbleEvent
	actionEvent
	execEvent
)

// String names the event as Juju does: "config-changed",
// "db-relation-changed", "action backup" or "juju-exec".
func (e Event) String() string {
	switch e.kind {
	case hookEvent, secretEvent:
		return e.name
	case relationEvent:
		return e.relation.Endpoint + "-relation-" + e.name
	case storageEvent:
		return storageName(e.subject) + "-storage-" + e.name
	case pebbleEvent:
		return e.subject + "-pebble-" + e.name
	case actionEvent:
		return "action " + e.name
	case execEvent:
		return "juju-exec"
	}
	return "no event"
}

func hook(name string) Event { return Event{kind: hookEvent, name: name} }

// Install is the first hook of a unit.
func Install() Event { return hook("install") }

// Start comes after the first config-changed, and when the machine has started
// again.
func Start() Event { return hook("start") }

// ConfigChanged comes when an option, trust or an address has changed, after
// install and after upgrade-charm.
func ConfigChanged() Event { return hook("config-changed") }

// UpdateStatus comes every now and then.
func UpdateStatus() Event { return hook("update-status") }

// UpgradeCharm comes when the charm's files are those of another revision.
func UpgradeCharm() Event { return hook("upgrade-charm") }

// Stop comes when the unit is removed, before Remove.
func Stop() Event { return hook("stop") }

// Remove is the last hook of a unit.
func Remove() Event { return hook("remove") }

// LeaderElected comes when the unit has become the leader.
func LeaderElected() Event { return hook("leader-elected") }

// LeaderSettingsChanged comes when the leader has set something with leader-set
// (Juju 3).
func LeaderSettingsChanged() Event { return hook("leader-settings-changed") }

// PreSeriesUpgrade and PostSeriesUpgrade come before and after the machine gets
// another base (Juju 3).
func PreSeriesUpgrade() Event { return hook("pre-series-upgrade") }

// PostSeriesUpgrade: see [PreSeriesUpgrade].
func PostSeriesUpgrade() Event { return hook("post-series-upgrade") }

func relationHook(kind string, r Relation, unit string) Event {
	return Event{kind: relationEvent, name: kind, relation: r, unit: unit}
}

// RelationCreated comes when a relation was made, before any unit joins. The
// state's relation with the same endpoint, and the same ID if there are several,
// is the one; the rest of r does not matter.
func RelationCreated(r Relation) Event { return relationHook("created", r, "") }

// RelationJoined comes when a remote unit has joined the relation.
func RelationJoined(r Relation, unit string) Event { return relationHook("joined", r, unit) }

// RelationChanged comes after RelationJoined, and when a remote unit has
// published something else.
func RelationChanged(r Relation, unit string) Event { return relationHook("changed", r, unit) }

// RelationAppChanged is the -relation-changed for what the remote application
// has published, in which Juju names no unit.
func RelationAppChanged(r Relation) Event { return relationHook("changed", r, "") }

// RelationDeparted comes when a remote unit has left the relation. In the state
// after it the unit is no longer in the relation.
func RelationDeparted(r Relation, unit string) Event {
	e := relationHook("departed", r, unit)
	e.departing = unit
	return e
}

// RelationDepartedSelf is RelationDeparted for each remote unit that the local
// unit sees when it is removed itself: JUJU_DEPARTING_UNIT is the local unit.
func RelationDepartedSelf(r Relation, unit string) Event { return relationHook("departed", r, unit) }

// RelationBroken comes when the relation ends, after all units have departed.
// In the state after it there is no such relation.
func RelationBroken(r Relation) Event { return relationHook("broken", r, "") }

func secretHook(name string, s Secret, revision int) Event {
	return Event{kind: secretEvent, name: name, secret: s, revision: revision}
}

// SecretChanged comes when a secret which the unit tracks, somebody else's or its
// own, has a newer revision. The state's secret with the same ID, or else the same
// label, is the one.
func SecretChanged(s Secret) Event { return secretHook("secret-changed", s, 0) }

// SecretRotate comes when an own secret is to get a new content.
func SecretRotate(s Secret) Event { return secretHook("secret-rotate", s, 0) }

// SecretExpired comes when a revision of an own secret has expired.
func SecretExpired(s Secret, revision int) Event { return secretHook("secret-expired", s, revision) }

// SecretRemove comes when nobody tracks a revision of an own secret any more.
func SecretRemove(s Secret, revision int) Event { return secretHook("secret-remove", s, revision) }

// StorageAttached comes when the storage instance with the ID, such as "data/0",
// can be used.
func StorageAttached(id string) Event {
	return Event{kind: storageEvent, name: "attached", subject: id}
}

// StorageDetaching comes before the storage instance goes. In the state after it
// there is no such instance.
func StorageDetaching(id string) Event {
	return Event{kind: storageEvent, name: "detaching", subject: id}
}

// PebbleReady comes when a container can be used (Kubernetes).
func PebbleReady(container string) Event {
	return Event{kind: pebbleEvent, name: "ready", subject: container}
}

// PebbleCustomNotice comes when something in a container has left a notice
// (Kubernetes). Juju gives the charm its ID, the type custom and the key.
func PebbleCustomNotice(container, id, key string) Event {
	return Event{kind: pebbleEvent, name: "custom-notice", subject: container, id: id, key: key}
}

// PebbleCheckFailed comes when a check in a container has failed as often as its
// threshold says (Kubernetes).
func PebbleCheckFailed(container, check string) Event {
	return Event{kind: pebbleEvent, name: "check-failed", subject: container, key: check}
}

// PebbleCheckRecovered comes when a check that had failed passes again.
func PebbleCheckRecovered(container, check string) Event {
	return Event{kind: pebbleEvent, name: "check-recovered", subject: container, key: check}
}

// Action is an operator's call of an action of the charm.
func Action(name string, params map[string]any) Event {
	return Event{kind: actionEvent, name: name, params: maps.Clone(params)}
}

// Exec is a dispatch that somebody runs with juju-exec.
func Exec() Event { return Event{kind: execEvent} }

// find returns the place of the event's relation in the state.
func (e Event) findRelation(s State) (int, error) {
	var found []int
	for i, r := range s.Relations {
		if r.Endpoint == e.relation.Endpoint && (e.relation.ID == 0 || r.ID == e.relation.ID) {
			found = append(found, i)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return -1, fmt.Errorf("%s could be about %d relations of the endpoint %q: give each of them an ID, in the state and in the event", e, len(found), e.relation.Endpoint)
	case e.relation.ID != 0:
		return -1, fmt.Errorf("%s is about the relation %s:%d, which is not in State.Relations: add it there", e, e.relation.Endpoint, e.relation.ID)
	}
	return -1, fmt.Errorf("%s is about a relation of the endpoint %q, but State.Relations has none: add it there", e, e.relation.Endpoint)
}

// findSecret returns the place of the event's secret in the state.
func (e Event) findSecret(s State) (int, error) {
	if e.secret.ID == "" && e.secret.Label == "" {
		return -1, fmt.Errorf("%s does not say which secret it is about: give the secret an ID or a label", e)
	}
	for i, secret := range s.Secrets {
		if e.secret.ID != "" && secret.ID == e.secret.ID || e.secret.ID == "" && secret.Label == e.secret.Label {
			return i, nil
		}
	}
	return -1, fmt.Errorf("%s is about a secret with ID %q and label %q, which is not in State.Secrets: add it there", e, e.secret.ID, e.secret.Label)
}
