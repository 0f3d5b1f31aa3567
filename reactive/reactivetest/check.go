package reactivetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
)

// An InconsistentError says why a state and an event cannot be: the charm would
// see something in the test that it never sees in Juju.
type InconsistentError struct {
	// Problems are sentences, each of which says what is wrong and how to mend
	// it.
	Problems []string
}

func (e *InconsistentError) Error() string {
	return "the state and the event do not fit:\n- " + strings.Join(e.Problems, "\n- ")
}

// A checker collects what is wrong with a state and an event.
type checker struct {
	file     *charmfile.Charm
	state    State
	event    Event
	problems []string
}

func (c *checker) say(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// check returns an *InconsistentError if the state, which is normalized, and the
// event cannot be.
func check(file *charmfile.Charm, charm *reactive.Charm, s State, e Event) error {
	c := &checker{file: file, state: s, event: e}
	if err := charm.CheckFile(file); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			c.say("The charm's code and its files disagree: %s.", line)
		}
	}
	c.unit()
	c.config()
	c.relations()
	c.data()
	c.status()
	c.secrets()
	c.storage()
	c.happening()
	if c.problems == nil {
		return nil
	}
	return &InconsistentError{c.problems}
}

func (c *checker) unit() {
	app, number, ok := strings.Cut(c.state.Unit, "/")
	if _, err := strconv.ParseUint(number, 10, 32); !ok || app == "" || err != nil {
		c.say("State.Unit is %q, which is no unit name: write it like \"web/0\".", c.state.Unit)
	}
	major, _, _ := strings.Cut(c.state.JujuVersion, ".")
	if major != "3" && major != "4" {
		c.say("State.JujuVersion is %q: only Juju 3 and 4 are played, so write it like %q or %q.", c.state.JujuVersion, model.Juju3, model.Juju4)
	}
	if c.juju4() && len(c.state.LeaderSettings) > 0 {
		c.say("State.LeaderSettings are given, but Juju %s has no leader-get and leader-set: leave them empty, or use the application data of a peer relation.", c.state.JujuVersion)
	}
	if c.state.Cloud != nil && c.state.Model.Kubernetes {
		c.say("State.Cloud is given, but on Kubernetes Juju shows it to nobody: leave it out.")
	}
	for i, p := range c.state.Ports {
		for _, other := range c.state.Ports[:i] {
			if overlap(p, other) {
				c.say("State.Ports has %q and %q, which overlap: Juju opens no range that has a port of another one, so leave one out.", other, p)
			}
		}
		switch r, err := hooktool.ParsePortRange(p); {
		case err != nil:
			c.say("State.Ports has %q, which is no port range (%v): write it like \"80/tcp\", \"8000-8100/udp\" or \"icmp\".", p, err)
		case c.state.Model.Kubernetes && r.To > r.From:
			c.say("State.Ports has %q, but Juju opens no ranges on Kubernetes: list the ports one by one.", p)
		default:
			for _, name := range r.Endpoints {
				if _, ok := c.file.Endpoint(name); !ok {
					c.say("State.Ports has %q, but the charm has no endpoint %q: %s.", p, name, c.endpoints())
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.state.Resources)) {
		if _, ok := c.file.Resource(name); !ok {
			c.say("State.Resources has %q, which is no resource in the charm's files: declare it there, or leave it out.", name)
		}
	}
}

func (c *checker) juju4() bool {
	major, _, _ := strings.Cut(c.state.JujuVersion, ".")
	return major == "4"
}

// overlap reports whether two ranges have ports in common and differ. What is no
// range overlaps nothing.
func overlap(a, b string) bool {
	p, errP := hooktool.ParsePortRange(a)
	q, errQ := hooktool.ParsePortRange(b)
	same := p.From == q.From && p.To == q.To
	return errP == nil && errQ == nil && p.Protocol == q.Protocol && !same && p.From <= q.To && q.From <= p.To
}

// endpoints says which endpoints there are.
func (c *checker) endpoints() string {
	var names []string
	for _, ep := range c.file.Endpoints {
		names = append(names, ep.Name)
	}
	if names == nil {
		return "it has none; declare it in the charm's files"
	}
	return "it has " + strings.Join(names, ", ") + "; correct the name, or declare the endpoint in the charm's files"
}

func (c *checker) config() {
	for _, name := range slices.Sorted(maps.Keys(c.state.Config)) {
		option, ok := c.file.Options.Get(name)
		if !ok {
			c.say("State.Config has %q, which is no option in the charm's files: correct the name, or declare the option there.", name)
			continue
		}
		if _, err := option.Check(c.state.Config[name]); err != nil {
			c.say("State.Config has a value for %q that is no %s: %v.", name, option.Type, err)
		}
	}
}

func (c *checker) relations() {
	ids := make(map[int]string)
	count := make(map[string]int)
	models := make(map[string]string)
	for _, r := range c.state.Relations {
		name := r.name()
		if other, ok := ids[r.ID]; ok {
			c.say("State.Relations has two relations with the ID %d, of %q and %q: every relation in a model has its own; correct one, or leave both out.", r.ID, other, r.Endpoint)
		}
		ids[r.ID] = r.Endpoint
		count[r.Endpoint]++
		if r.ID < 0 {
			c.say("The relation %s has a negative ID: use a positive one, or leave it out.", name)
		}
		ep, ok := c.file.Endpoint(r.Endpoint)
		if !ok {
			c.say("The relation %s is of the endpoint %q, which the charm does not have: %s.", name, r.Endpoint, c.endpoints())
			continue
		}
		if ep.Limit > 0 && count[r.Endpoint] == ep.Limit+1 {
			c.say("State.Relations has more relations of the endpoint %q than its limit in the charm's files, which is %d: leave some out.", r.Endpoint, ep.Limit)
		}
		c.sides(r, ep)
		if r.RemoteApp != "" {
			if other, ok := models[r.RemoteApp]; ok && other != r.RemoteModel {
				c.say("The application %q is in two models, %q and %q: Juju gives each its own name, so give one of them another.", r.RemoteApp, other, r.RemoteModel)
			}
			models[r.RemoteApp] = r.RemoteModel
		}
		c.bag(name, "LocalData", r.LocalData)
		c.bag(name, "LocalAppData", r.LocalAppData)
		c.bag(name, "RemoteAppData", r.RemoteAppData)
		for _, unit := range slices.Sorted(maps.Keys(r.Units)) {
			c.bag(name, fmt.Sprintf("Units[%q]", unit), r.Units[unit])
		}
	}
	for _, ep := range c.file.Endpoints {
		if ep.Role == charmfile.Peer && count[ep.Name] > 1 {
			c.say("State.Relations has %d relations of the peer endpoint %q, but an application has only one: put all peers into Units of one.", count[ep.Name], ep.Name)
		}
	}
}

// sides checks who is on the two sides of a relation.
func (c *checker) sides(r Relation, ep charmfile.Endpoint) {
	name, own := r.name(), model.ApplicationOf(c.state.Unit)
	app := r.RemoteApp
	if ep.Role == charmfile.Peer {
		app = own
		if r.RemoteApp != "" {
			c.say("The peer relation %s has the RemoteApp %q, but its units are those of %q itself: leave RemoteApp empty.", name, r.RemoteApp, own)
		}
		if r.RemoteAppData != nil {
			c.say("The peer relation %s has RemoteAppData, but its only application is the unit's own: use LocalAppData.", name)
		}
		if r.RemoteModel != "" {
			c.say("The peer relation %s has a RemoteModel, but peers are in one model: leave it empty.", name)
		}
	} else if app == own {
		c.say("The relation %s has the unit's own application %q as RemoteApp: only peer endpoints relate an application with itself.", name, own)
	}
	for _, unit := range slices.Sorted(maps.Keys(r.Units)) {
		_, number, ok := strings.Cut(unit, "/")
		_, err := strconv.ParseUint(number, 10, 32)
		switch {
		case !ok || err != nil:
			c.say("The relation %s has %q in Units, which is no unit name: write it like %q.", name, unit, app+"/0")
		case unit == c.state.Unit:
			c.say("The relation %s has the unit %q itself in Units: what it publishes is LocalData.", name, unit)
		case model.ApplicationOf(unit) != app:
			c.say("The relation %s has %q in Units, but it is with %q: give that unit a relation of its own, or correct the name or the RemoteApp.", name, unit, app)
		}
	}
	if ep.Scope == charmfile.ContainerScope && len(r.Units) > 1 {
		c.say("The relation %s is container-scoped and has %d units: a unit meets only the one beside it, so leave the others out.", name, len(r.Units))
	}
	if r.RemoteModel != "" && r.RemoteModel == c.state.Model.UUID {
		c.say("The relation %s has the unit's own model as RemoteModel: leave it empty.", name)
	}
}

func (c *checker) bag(relation, which string, bag map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(bag)) {
		switch {
		case key == "":
			c.say("The relation %s has a key in %s that is empty: Juju keeps none, so leave it out.", relation, which)
		case bag[key] == "":
			c.say("The relation %s has %q in %s with an empty value: Juju removes such a key, so leave it out.", relation, key, which)
		}
	}
}

const flagPrefix = "reactive.states."

// Juju's limits of charm state, in bytes.
const (
	maxStateKey   = 256
	maxStateValue = 64 << 10
)

func (c *checker) data() {
	for i, f := range c.state.Flags {
		if f == "" {
			c.say("State.Flags has an empty name: leave it out.")
		}
		if slices.Contains(c.state.Flags[:i], f) {
			c.say("State.Flags has %q twice: a flag is set or it is not, so leave one out.", f)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.state.Data)) {
		if f, ok := strings.CutPrefix(key, flagPrefix); ok {
			c.say("State.Data has %q, which is how a flag is kept: put %q into State.Flags instead.", key, f)
		}
		if _, err := json.Marshal(c.state.Data[key]); err != nil {
			c.say("State.Data has a value for %q that is no JSON (%v): unit data is kept as JSON.", key, err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.state.CharmState)) {
		if key == "reactive" || strings.HasPrefix(key, "reactive.") {
			c.say("State.CharmState has %q, which is how unit data is kept: use State.Flags and State.Data instead.", key)
		}
		if value := c.state.CharmState[key]; key == "" || len(key) > maxStateKey || len(value) > maxStateValue {
			c.say("State.CharmState has a key of %d bytes with a value of %d: Juju takes keys of 1 to %d bytes and values of up to %d.", len(key), len(value), maxStateKey, maxStateValue)
		}
	}
}

func (c *checker) status() {
	states := []string{"", "unknown", hooktool.StatusActive, hooktool.StatusBlocked, hooktool.StatusMaintenance, hooktool.StatusWaiting}
	for name, s := range map[string]reactive.Status{"State.Status": c.state.Status, "State.ApplicationStatus": c.state.ApplicationStatus} {
		if !slices.Contains(states, s.State) {
			c.say("%s is %q, which no charm can set: use active, blocked, maintenance or waiting.", name, s.State)
		}
	}
}

func (c *checker) storage() {
	count := make(map[string]int)
	seen := make(map[string]bool)
	for _, s := range c.state.Storage {
		name := storageName(s.ID)
		_, number, _ := strings.Cut(s.ID, "/")
		if _, err := strconv.ParseUint(number, 10, 32); err != nil {
			c.say("State.Storage has the ID %q, which is none: write it like \"data/0\".", s.ID)
			continue
		}
		if seen[s.ID] {
			c.say("State.Storage has %q twice: give each instance its own number.", s.ID)
		}
		seen[s.ID] = true
		declared, ok := c.file.StorageNamed(name)
		if !ok {
			c.say("State.Storage has %q, but the charm's files have no storage %q: correct the name, or declare it there.", s.ID, name)
			continue
		}
		if count[name]++; declared.Max >= 0 && count[name] == declared.Max+1 {
			c.say("State.Storage has more instances of %q than the charm's files allow, which is %d: leave some out.", name, declared.Max)
		}
	}
}

func storageName(id string) string {
	name, _, _ := strings.Cut(id, "/")
	return name
}
