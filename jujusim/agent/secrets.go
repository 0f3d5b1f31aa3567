package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// secretChanges are what the secret tools want done at the commit, and what the
// unit knew of its secrets when the first of them ran.
type secretChanges struct {
	known   map[string]*model.Secret
	creates map[string]*secretCreate
	// order are the ids of creates as they came.
	order   []string
	updates map[string]*upsert
	// deletes are revisions; nil means all.
	deletes map[string][]int
	// grants are subjects by relation, and revokes subjects.
	grants  map[string]map[int]string
	revokes map[string][]string
	// track are the secrets whose newest revision is to be tracked.
	track map[string]bool
}

type secretCreate struct {
	upsert
	owner string
}

// loadSecrets remembers the secrets the unit manages: its own and, if it leads,
// its application's.
func (a *Agent) loadSecrets() *secretChanges {
	s := &a.secrets
	if s.known != nil {
		return s
	}
	*s = secretChanges{
		known:   make(map[string]*model.Secret),
		creates: make(map[string]*secretCreate),
		updates: make(map[string]*upsert),
		deletes: make(map[string][]int),
		grants:  make(map[string]map[int]string),
		revokes: make(map[string][]string),
		track:   make(map[string]bool),
	}
	for id, secret := range a.m.Secrets {
		if secret.ManagedBy(a.m, a.x.Unit) {
			s.known[id] = secret.Clone()
		}
	}
	return s
}

// managed are the secrets of secret-ids and secret-info-get: those the unit
// knew it manages and those it has made, with pending changes of their
// metadata. New ones have no revisions here.
func (a *Agent) managed() map[string]*model.Secret {
	s := a.loadSecrets()
	all := make(map[string]*model.Secret, len(s.known)+len(s.creates))
	for id, known := range s.known {
		if _, ok := s.deletes[id]; ok {
			continue
		}
		secret := *known
		if secret.Rotate == "" {
			secret.Rotate = "never"
		}
		if u := s.updates[id]; u != nil {
			u.describe(&secret)
		}
		all[id] = &secret
	}
	for id, c := range s.creates {
		secret := &model.Secret{Owner: c.owner, Latest: 1}
		c.describe(secret)
		all[id] = secret
	}
	return all
}

// describe changes the metadata of a secret.
func (u *upsert) describe(secret *model.Secret) {
	for _, text := range []struct {
		value *string
		to    *string
	}{{u.label, &secret.Label}, {u.description, &secret.Description}, {u.rotate, &secret.Rotate}, {u.expire, &secret.Expire}} {
		if text.value != nil {
			*text.to = *text.value
		}
	}
}

// mayManage refuses to change a secret that the unit knew as its application's
// once it has lost the leadership. Of other secrets the controller decides.
func (a *Agent) mayManage(id string) error {
	known := a.loadSecrets().known[id]
	if known != nil && known.Owner != a.x.Unit && !a.leader() {
		return errNotLeader
	}
	return nil
}

func (s *secretChanges) create(id string, c *secretCreate) error {
	for _, other := range s.creates {
		if c.label != nil && other.label != nil && *c.label == *other.label {
			return fmt.Errorf("secret with label %q already exists", *c.label)
		}
	}
	s.creates[id] = c
	s.order = append(s.order, id)
	return nil
}

func (s *secretChanges) update(id string, u upsert) {
	delete(s.deletes, id)
	switch {
	case s.creates[id] != nil:
		s.creates[id].merge(u)
	case s.updates[id] != nil:
		s.updates[id].merge(u)
	default:
		s.updates[id] = &u
	}
}

// remove asks for a revision, or with 0 the whole secret, to be removed. All
// other changes of it are forgotten.
func (s *secretChanges) remove(id string, revision int) {
	delete(s.creates, id)
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == id })
	delete(s.updates, id)
	delete(s.grants, id)
	delete(s.revokes, id)
	delete(s.track, id)
	revisions, ok := s.deletes[id]
	switch {
	case revision == 0 || ok && revisions == nil:
		s.deletes[id] = nil
	default:
		s.deletes[id] = append(revisions, revision)
	}
}

// grant lets a subject read a secret. A second grant by the same relation takes
// the place of the first.
func (s *secretChanges) grant(id string, relation int, subject string) {
	if s.grants[id] == nil {
		s.grants[id] = make(map[int]string)
	}
	s.grants[id][relation] = subject
}

func (s *secretChanges) revoke(id, subject string) {
	for _, other := range s.revokes[id] {
		if other == subject || other == model.ApplicationOf(subject) {
			return
		}
	}
	s.revokes[id] = append(s.revokes[id], subject)
}

// pendingContent is what secret-get shows of changes that are not committed: a
// new secret's content and, to --refresh and --peek, new content of an old one.
func (s *secretChanges) pendingContent(id, label string, refresh, peek bool) map[string]string {
	labelled := func(u *upsert) bool { return label != "" && u.label != nil && *u.label == label }
	for other, c := range s.creates {
		if other == id {
			if label != "" {
				c.label = &label
			}
			return c.content
		}
		if labelled(&c.upsert) {
			return c.content
		}
	}
	if !refresh && !peek {
		return nil
	}
	for other, u := range s.updates {
		if other != id && !labelled(u) {
			continue
		}
		if other == id && label != "" {
			u.label = &label
		}
		if refresh {
			s.track[other] = true
		}
		if len(u.content) > 0 {
			return u.content
		}
		return nil
	}
	return nil
}

// secretGet is what secret-get gives. An empty id means that there is only a
// label. The revision it tracks, and the label it gives, are written at once.
func (a *Agent) secretGet(id, label string, refresh, peek bool) (map[string]string, error) {
	if id == "" {
		if own := a.ownLabel(label); own != "" {
			id, label = own, ""
		}
	}
	if content := a.loadSecrets().pendingContent(id, label, refresh, peek); content != nil {
		return content, nil
	}
	return a.readSecret(id, label, refresh, peek)
}

// ownLabel finds a secret that the unit manages by the label it has or is to
// have.
func (a *Agent) ownLabel(label string) string {
	all := a.managed()
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if all[id].Label == label {
			return id
		}
	}
	return ""
}

// readSecret is the controller's part of secret-get.
func (a *Agent) readSecret(id, label string, refresh, peek bool) (map[string]string, error) {
	app := model.ApplicationOf(a.x.Unit)
	own := func(s *model.Secret) bool { return s.Owner == a.x.Unit || s.Owner == app }
	if id == "" {
		for _, other := range a.m.SecretIDs() {
			if s := a.m.Secrets[other]; own(s) && s.Label == label {
				id = other
				break
			}
		}
	}
	if id == "" {
		for _, other := range a.m.SecretIDs() {
			if c, ok := a.m.Secrets[other].Consumers[a.x.Unit]; ok && c.Label == label {
				id = other
				break
			}
		}
		if id == "" {
			return nil, fmt.Errorf("consumer label %q not found", label)
		}
	}
	secret := a.m.Secrets[id]
	if secret == nil {
		return nil, fmt.Errorf("secret %q not found", "secret:"+id)
	}
	if !secret.ViewableBy(a.x.Unit) {
		if a.m.Juju4() {
			return nil, fmt.Errorf("%q is not allowed to read this secret", a.x.Unit)
		}
		return nil, errPermission
	}
	if own(secret) {
		if label != "" && label != secret.Label && secret.ManagedBy(a.m, a.x.Unit) {
			if err := a.labelTaken(id, secret.Owner, label); err != nil {
				return nil, err
			}
			a.touchSecret(id)
			secret.Label = label
		}
		label = ""
	}
	consumer, tracked := secret.Consumers[a.x.Unit]
	if label != "" && label != consumer.Label {
		if err := a.consumerLabelTaken(id, label); err != nil {
			return nil, fmt.Errorf("getting latest secret revision: %w", err)
		}
	}
	if refresh || !tracked {
		consumer.Revision = secret.Latest
	}
	revision := consumer.Revision
	if peek {
		revision = secret.Latest
	}
	if label != "" {
		consumer.Label = label
	}
	if consumer != secret.Consumers[a.x.Unit] {
		a.touchSecret(id)
		if secret.Consumers == nil {
			secret.Consumers = make(map[string]model.SecretConsumer)
		}
		secret.Consumers[a.x.Unit] = consumer
	}
	content, ok := secret.Revisions[revision]
	if !ok {
		return nil, fmt.Errorf("secret revision %q not found", fmt.Sprintf("%s/%d", id, revision))
	}
	return content, nil
}

// labelTaken reports whether the owner, or one that shares its labels, has
// another secret with that label.
func (a *Agent) labelTaken(id, owner, label string) error {
	if label == "" {
		return nil
	}
	for other, s := range a.m.Secrets {
		if other == id || s.Label != label {
			continue
		}
		if s.Owner == owner || s.Owner == model.ApplicationOf(owner) || model.ApplicationOf(s.Owner) == owner {
			return fmt.Errorf("secret with label %q already exists", label)
		}
	}
	return nil
}

// consumerLabelTaken reports whether the unit has a secret of its own, or
// tracks another one, with that label.
func (a *Agent) consumerLabelTaken(id, label string) error {
	app := model.ApplicationOf(a.x.Unit)
	for other, s := range a.m.Secrets {
		switch {
		case s.Label == label && s.Owner == a.x.Unit:
			return fmt.Errorf("secret label %q for owner %q already exists", label, tag(a.x.Unit))
		case s.Label == label && s.Owner == app:
			return fmt.Errorf("secret label %q for owner %q already exists", label, tag(app))
		case other != id && s.Consumers[a.x.Unit].Label == label:
			return fmt.Errorf("secret label %q for consumer %q already exists", label, tag(a.x.Unit))
		}
	}
	return nil
}

// tag is Juju's tag of a unit or an application.
func tag(name string) string {
	if app, number, ok := strings.Cut(name, "/"); ok {
		return "unit-" + app + "-" + number
	}
	return "application-" + name
}

// touchSecret remembers a secret as it was before the execution.
func (a *Agent) touchSecret(id string) {
	if _, ok := a.before.secrets[id]; ok {
		return
	}
	if a.before.secrets == nil {
		a.before.secrets = make(map[string]*model.Secret)
	}
	var old *model.Secret
	if s := a.m.Secrets[id]; s != nil {
		old = s.Clone()
	}
	a.before.secrets[id] = old
}
