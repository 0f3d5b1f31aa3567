package reactive

import (
	"strings"

	"github.com/charmed-go/charms/hooktool"
)

// An Event is what Juju started the charm for: a hook, an action or commands of
// juju-exec. It is read from the environment alone (Juju documentation, "hook").
type Event struct {
	// Hook is the hook's name, such as "config-changed" or
	// "db-relation-changed". It is empty in actions and juju-exec.
	Hook string
	// Action is the action's name. It is empty in hooks and juju-exec.
	Action string

	// Endpoint and Relation name the endpoint and the relation's ID ("db",
	// "db:1") of a relation hook. Juju-exec may have them too.
	Endpoint, Relation string
	// RemoteUnit is the remote unit of a relation hook. It is empty in -created
	// and -broken, and in a -changed of the remote application's data.
	RemoteUnit string
	// RemoteApp is the remote application of a relation hook. In a peer relation
	// it is the unit's own application.
	RemoteApp string
	// DepartingUnit is the unit that leaves the relation in -departed: the
	// remote unit, or the local one if it is the one being removed.
	DepartingUnit string

	// Workload is the container of a pebble hook.
	Workload string
	// Storage is the storage instance of a storage hook, such as "data/0".
	Storage string
	// Secret and SecretLabel are the secret of a secret hook and its label;
	// SecretRevision is set in secret-expired and secret-remove.
	Secret, SecretLabel, SecretRevision string
}

// eventOf reads the event from the environment of a process.
func eventOf(p hooktool.Process) Event {
	e := Event{
		Hook:           p.Getenv("JUJU_HOOK_NAME"),
		Action:         p.Getenv("JUJU_ACTION_NAME"),
		Endpoint:       p.Getenv("JUJU_RELATION"),
		Relation:       p.Getenv("JUJU_RELATION_ID"),
		RemoteUnit:     p.Getenv("JUJU_REMOTE_UNIT"),
		RemoteApp:      p.Getenv("JUJU_REMOTE_APP"),
		DepartingUnit:  p.Getenv("JUJU_DEPARTING_UNIT"),
		Workload:       p.Getenv("JUJU_WORKLOAD_NAME"),
		Storage:        p.Getenv("JUJU_STORAGE_ID"),
		Secret:         p.Getenv("JUJU_SECRET_ID"),
		SecretLabel:    p.Getenv("JUJU_SECRET_LABEL"),
		SecretRevision: p.Getenv("JUJU_SECRET_REVISION"),
	}
	// A charm without a dispatch file is started by its hook's own name; an
	// agent that sets no hook name still says which file it dispatches.
	kind, name, _ := strings.Cut(p.Getenv("JUJU_DISPATCH_PATH"), "/")
	if e.Hook == "" && kind == "hooks" {
		e.Hook = name
	}
	if e.Action == "" && kind == "actions" {
		e.Action = name
	}
	return e
}

// String returns how the event is named in messages: the hook's name, "action
// NAME" or "juju-exec".
func (e Event) String() string {
	switch {
	case e.Hook != "":
		return e.Hook
	case e.Action != "":
		return "action " + e.Action
	}
	return "juju-exec"
}

// RelationHook returns the part of a relation hook's name after "-relation-":
// created, joined, changed, departed or broken; "" for anything else.
func (e Event) RelationHook() string {
	if e.Endpoint == "" {
		return ""
	}
	kind, ok := strings.CutPrefix(e.Hook, e.Endpoint+"-relation-")
	if !ok {
		return ""
	}
	return kind
}

// restricted reports whether the hook runs with few hook tools: those of the
// metrics that Juju 2.9 collects (restricted context).
func (e Event) restricted() bool {
	return e.Hook == "collect-metrics" || e.Hook == "meter-status-changed"
}
