package reactivetest

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/model"
)

var rotations = []string{
	"", hooktool.RotateNever, hooktool.RotateHourly, hooktool.RotateDaily, hooktool.RotateWeekly,
	hooktool.RotateMonthly, hooktool.RotateQuarterly, hooktool.RotateYearly,
}

var secretKey = regexp.MustCompile(`^[a-z](?:-?[a-z0-9]){2,}$`)

func (s Secret) own() bool {
	return s.Owner == hooktool.OwnerApplication || s.Owner == hooktool.OwnerUnit
}

// title names a secret without its content.
func (s Secret) title() string {
	if s.Label != "" {
		return "with label \"" + s.Label + "\""
	}
	return "with ID \"" + s.ID + "\""
}

func (c *checker) secrets() {
	ids := make(map[string]bool)
	labels := make(map[string]bool)
	for _, s := range c.state.Secrets {
		if _, err := hooktool.ParseSecretURI(s.ID); err != nil || strings.Contains(s.ID, ":") {
			c.say("State.Secrets has the ID %q, which is none: use 20 lower case letters and digits, or leave it out.", s.ID)
		}
		if ids[s.ID] {
			c.say("State.Secrets has two secrets with the ID %q: give each its own, or leave it out.", s.ID)
		}
		ids[s.ID] = true
		if s.Label != "" && labels[s.Label] {
			c.say("State.Secrets has two secrets with the label %q: a unit can use a label once, so change one.", s.Label)
		}
		labels[s.Label] = true
		c.secret(s)
	}
}

func (c *checker) secret(s Secret) {
	app := model.ApplicationOf(c.state.Unit)
	switch {
	case s.Owner == "":
		c.say("The secret %s has no Owner: use hooktool.OwnerApplication or hooktool.OwnerUnit for an own one, the owner's name for another.", s.title())
	case s.Owner == app:
		c.say("The secret %s has the Owner %q: use hooktool.OwnerApplication.", s.title(), app)
	case s.Owner == c.state.Unit:
		c.say("The secret %s has the Owner %q: use hooktool.OwnerUnit.", s.title(), c.state.Unit)
	}
	if len(s.Revisions) == 0 {
		c.say("The secret %s has no Revisions: give it at least revision 1 with some content.", s.title())
	}
	for _, n := range slices.Sorted(maps.Keys(s.Revisions)) {
		if n < 1 {
			c.say("The secret %s has the revision %d: Juju counts them from 1.", s.title(), n)
		}
		if len(s.Revisions[n]) == 0 {
			c.say("The secret %s has no content in revision %d: Juju keeps no empty secret.", s.title(), n)
		}
		for _, key := range slices.Sorted(maps.Keys(s.Revisions[n])) {
			if !secretKey.MatchString(key) {
				c.say("The secret %s has the key %q in revision %d: Juju wants three or more lower case letters and digits, a letter first, with single hyphens between them.", s.title(), key, n)
			}
		}
	}
	if _, ok := s.Revisions[s.Tracked]; s.Tracked != 0 && !ok && len(s.Revisions) > 0 {
		c.say("The secret %s is Tracked at revision %d, which is not in Revisions: add it there, or track another.", s.title(), s.Tracked)
	}
	if !slices.Contains(rotations, s.Rotate) {
		c.say("The secret %s has the rotation %q: use one of hooktool's Rotate constants.", s.title(), s.Rotate)
	}
	if s.own() {
		if s.Denied {
			c.say("The secret %s is the unit's own and Denied: its owner can always read it, so name another Owner.", s.title())
		}
		c.grants(s)
		return
	}
	if len(s.Grants) > 0 || s.Rotate != "" && s.Rotate != hooktool.RotateNever || !s.Expire.IsZero() {
		c.say("The secret %s is somebody else's: only its owner sees Grants, Rotate and Expire, so leave them out.", s.title())
	}
}

func (c *checker) grants(s Secret) {
	for _, g := range s.Grants {
		i := slices.IndexFunc(c.state.Relations, func(r Relation) bool { return r.ID == g.Relation })
		if i < 0 {
			c.say("The secret %s is granted to %q in relation %d, which is not in State.Relations: add it there, with its ID.", s.title(), g.To, g.Relation)
			continue
		}
		if r := c.state.Relations[i]; model.ApplicationOf(g.To) != r.RemoteApp {
			c.say("The secret %s is granted to %q in the relation %s, which is with %q: correct one of them.", s.title(), g.To, r.name(), r.RemoteApp)
		}
	}
}

// happening checks the event.
func (c *checker) happening() {
	e := c.event
	switch e.kind {
	case noEvent:
		c.say("The event is the zero Event, which never happens: make one with a function such as ConfigChanged.")
	case hookEvent:
		c.plainHook()
	case relationEvent:
		c.relationHook()
	case secretEvent:
		c.secretHook()
	case storageEvent:
		if !slices.ContainsFunc(c.state.Storage, func(s Storage) bool { return s.ID == e.subject }) {
			c.say("%s is about the storage %q, which is not in State.Storage: add it there.", e, e.subject)
		}
	case pebbleEvent:
		if !c.state.Model.Kubernetes {
			c.say("%s happens on Kubernetes only: set State.Model.Kubernetes.", e)
		}
		if _, ok := c.file.Container(e.subject); !ok {
			c.say("%s is about the container %q, which the charm's files do not have: correct the name, or declare it there.", e, e.subject)
		}
		if e.name != "ready" && e.key == "" {
			c.say("%s has no key of a notice and no name of a check, but Juju gives one: say which.", e)
		}
	case actionEvent:
		c.action()
	}
}

func (c *checker) plainHook() {
	e := c.event
	switch e.name {
	case "leader-elected":
		if !c.state.Leader {
			c.say("leader-elected runs on the unit that has become the leader, but State.Leader is false: set it.")
		}
	case "leader-settings-changed", "pre-series-upgrade", "post-series-upgrade":
		if c.juju4() {
			c.say("%s is a hook of Juju 3, but State.JujuVersion is %q: leave it out, or test with Juju 3.", e, c.state.JujuVersion)
		}
		if e.name == "leader-settings-changed" && c.state.Leader {
			c.say("leader-settings-changed runs on the other units than the leader, but State.Leader is true: clear it.")
		}
	}
}

func (c *checker) relationHook() {
	e := c.event
	if _, ok := c.file.Endpoint(e.relation.Endpoint); !ok {
		c.say("%s is about the endpoint %q, which the charm does not have: %s.", e, e.relation.Endpoint, c.endpoints())
		return
	}
	i, err := e.findRelation(c.state)
	if err != nil {
		c.say("%v.", err)
		return
	}
	r := c.state.Relations[i]
	_, joined := r.Units[e.unit]
	if e.unit != "" && !joined {
		c.say("%s is about the unit %q, which is not in Units of the relation %s: add it there, with what it publishes.", e, e.unit, r.name())
	}
	ep, _ := c.file.Endpoint(r.Endpoint)
	switch {
	case e.name == "created" && len(r.Units) > 0:
		c.say("%s runs before any unit has joined, but the relation %s has Units: leave them empty.", e, r.name())
	case e.name == "broken" && len(r.Units) > 0:
		c.say("%s runs after all units have departed, but the relation %s has Units: leave them empty, or run RelationDeparted first.", e, r.name())
	case e.name == "broken" && ep.Role == charmfile.Peer:
		c.say("%s never runs: Juju does not break peer relations.", e)
	}
}

func (c *checker) secretHook() {
	e := c.event
	i, err := e.findSecret(c.state)
	if err != nil {
		c.say("%v.", err)
		return
	}
	s := c.state.Secrets[i]
	if e.name == "secret-changed" {
		switch {
		case s.Denied:
			c.say("secret-changed runs on those who may read a secret, but the secret %s is Denied: clear that.", s.title())
		case s.Tracked == 0 || s.Tracked == s.Latest():
			c.say("secret-changed runs when there is a newer revision than the unit tracks, but of the secret %s it tracks %d and the latest is %d: set Tracked, and add a newer revision.", s.title(), s.Tracked, s.Latest())
		}
		return
	}
	switch {
	case !s.own():
		c.say("%s runs on the owner of a secret, but the secret %s is owned by %q: use SecretChanged, or make it an own one.", e, s.title(), s.Owner)
	case s.Owner == hooktool.OwnerApplication && !c.state.Leader:
		c.say("%s of an application's secret runs on the leader, but State.Leader is false: set it, or let the unit own the secret %s.", e, s.title())
	}
	_, known := s.Revisions[e.revision]
	switch {
	case e.name == "secret-rotate" && (s.Rotate == "" || s.Rotate == hooktool.RotateNever):
		c.say("secret-rotate runs for secrets that are rotated, but the secret %s has no Rotate: set it.", s.title())
	case e.name == "secret-expired" && s.Expire.IsZero():
		c.say("secret-expired runs for secrets that expire, but the secret %s has no Expire: set it.", s.title())
	case e.name != "secret-rotate" && !known:
		c.say("%s is about the revision %d, which the secret %s does not have: add it to Revisions.", e, e.revision, s.title())
	case e.name == "secret-remove" && e.revision == s.Tracked:
		c.say("secret-remove is about revisions that nobody tracks any more, but the secret %s is Tracked at revision %d: track another.", s.title(), e.revision)
	case e.name == "secret-remove" && e.revision == s.Latest():
		c.say("secret-remove is about revisions that nobody tracks any more, but %d is the latest of the secret %s: add a newer one.", e.revision, s.title())
	}
}

func (c *checker) action() {
	e := c.event
	declared, ok := c.file.Action(e.name)
	if !ok {
		var names []string
		for _, a := range c.file.Actions {
			names = append(names, a.Name)
		}
		has := "it has none"
		if names != nil {
			has = "it has " + strings.Join(names, ", ")
		}
		c.say("The action %q is not in the charm's files: %s; correct the name, or declare it there.", e.name, has)
		return
	}
	if _, err := declared.Validate(e.params); err != nil {
		c.say("Juju would not run the action %q with these parameters: %v.", e.name, err)
	}
}
