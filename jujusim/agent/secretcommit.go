package agent

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/jujusim/model"
)

// errSecretNotFound is what a commit says of a secret that is not there.
type errSecretNotFound string

func (e errSecretNotFound) Error() string {
	return fmt.Sprintf("secret %q not found", "secret:"+string(e))
}

// manageable returns a secret that the unit may change.
func (a *Agent) manageable(id string) (*model.Secret, error) {
	s := a.m.Secrets[id]
	switch {
	case s == nil:
		return nil, errSecretNotFound(id)
	case s.ManagedBy(a.m, a.x.Unit):
		return s, nil
	case s.Owner == model.ApplicationOf(a.x.Unit):
		return nil, a.notLeaderOf()
	}
	return nil, errPermission
}

// commitSecrets writes what the secret tools asked for: each kind of change
// after the other, each secret on its own. The first kind with an error ends
// it.
func (a *Agent) commitSecrets() error {
	s := &a.secrets
	if s.known == nil {
		return nil
	}
	kinds := []struct {
		what   string
		ids    []string
		commit func(id string) error
	}{
		{"creating secrets", s.order, a.commitCreate},
		{"updating secrets", slices.Sorted(maps.Keys(s.updates)), a.commitUpdate},
		{"tracking latest secret revisions", slices.Sorted(maps.Keys(s.track)), a.commitTrack},
		{"granting secrets access", slices.Sorted(maps.Keys(s.grants)), a.commitGrants},
		{"revoking secrets access", slices.Sorted(maps.Keys(s.revokes)), a.commitRevokes},
		{"removing secrets", slices.Sorted(maps.Keys(s.deletes)), a.commitRemove},
	}
	for _, kind := range kinds {
		var errs []error
		missing := 0
		for _, id := range kind.ids {
			if err := kind.commit(id); err != nil {
				if errors.As(err, new(errSecretNotFound)) {
					missing++
				}
				errs = append(errs, err)
			}
		}
		// A secret that is gone already is well removed.
		if kind.what == "removing secrets" && missing == len(errs) {
			continue
		}
		if len(errs) > 0 {
			return fmt.Errorf("%s: %w", kind.what, errors.Join(errs...))
		}
	}
	return nil
}

func (a *Agent) commitCreate(id string) error {
	c := a.secrets.creates[id]
	if !strings.Contains(c.owner, "/") && !a.m.IsLeader(a.x.Unit) {
		return a.notLeaderOf()
	}
	secret := &model.Secret{
		Owner:     c.owner,
		Rotate:    "never",
		Latest:    1,
		Revisions: map[int]map[string]string{1: c.content},
		Grants:    []model.SecretGrant{},
		Consumers: map[string]model.SecretConsumer{},
	}
	c.describe(secret)
	if err := a.labelTaken(id, c.owner, secret.Label); err != nil {
		return err
	}
	secret.NextRotate = a.nextRotate(secret)
	a.touchSecret(id)
	if a.m.Secrets == nil {
		a.m.Secrets = make(map[string]*model.Secret)
	}
	a.m.Secrets[id] = secret
	return nil
}

func (a *Agent) nextRotate(s *model.Secret) time.Time {
	if next := rotatePolicies[s.Rotate]; next != nil {
		if at := next(a.x.Now()); !at.IsZero() {
			return at.UTC().Truncate(time.Second)
		}
	}
	return time.Time{}
}

func (a *Agent) commitUpdate(id string) error {
	u := a.secrets.updates[id]
	secret, err := a.manageable(id)
	if err != nil {
		return err
	}
	if u.label != nil && *u.label != secret.Label {
		if err := a.labelTaken(id, secret.Owner, *u.label); err != nil {
			return err
		}
	}
	a.touchSecret(id)
	if len(u.content) > 0 && !maps.Equal(u.content, secret.Revisions[secret.Latest]) {
		secret.Latest++
		if secret.Revisions == nil {
			secret.Revisions = make(map[int]map[string]string)
		}
		secret.Revisions[secret.Latest] = maps.Clone(u.content)
		// The time belongs to the revision.
		secret.Expire = ""
	}
	u.describe(secret)
	if u.rotate != nil {
		secret.NextRotate = a.nextRotate(secret)
	}
	return nil
}

func (a *Agent) commitTrack(id string) error {
	secret := a.m.Secrets[id]
	if secret == nil {
		return errSecretNotFound(id)
	}
	a.touchSecret(id)
	consumer := secret.Consumers[a.x.Unit]
	consumer.Revision = secret.Latest
	if secret.Consumers == nil {
		secret.Consumers = make(map[string]model.SecretConsumer)
	}
	secret.Consumers[a.x.Unit] = consumer
	return nil
}

func (a *Agent) commitGrants(id string) error {
	secret, err := a.manageable(id)
	if err != nil {
		return err
	}
	a.touchSecret(id)
	for relation, subject := range a.secrets.grants[id] {
		grant := model.SecretGrant{To: subject, Relation: relation}
		secret.Grants = slices.DeleteFunc(secret.Grants, func(g model.SecretGrant) bool { return g.To == subject })
		secret.Grants = append(secret.Grants, grant)
	}
	sortGrants(secret.Grants)
	return nil
}

func sortGrants(grants []model.SecretGrant) {
	slices.SortFunc(grants, func(g, h model.SecretGrant) int {
		if c := strings.Compare(g.To, h.To); c != 0 {
			return c
		}
		return g.Relation - h.Relation
	})
}

func (a *Agent) commitRevokes(id string) error {
	secret, err := a.manageable(id)
	if err != nil {
		return err
	}
	a.touchSecret(id)
	for _, subject := range a.secrets.revokes[id] {
		secret.Grants = slices.DeleteFunc(secret.Grants, func(g model.SecretGrant) bool { return g.To == subject })
	}
	return nil
}

func (a *Agent) commitRemove(id string) error {
	secret, err := a.manageable(id)
	if err != nil {
		return err
	}
	a.touchSecret(id)
	revisions := a.secrets.deletes[id]
	for _, revision := range revisions {
		delete(secret.Revisions, revision)
	}
	if revisions == nil || len(secret.Revisions) == 0 {
		delete(a.m.Secrets, id)
	}
	return nil
}

// touched are the ids of all secrets that the commit may change.
func (s *secretChanges) touched() []string {
	ids := slices.Clone(s.order)
	ids = slices.AppendSeq(ids, maps.Keys(s.updates))
	ids = slices.AppendSeq(ids, maps.Keys(s.deletes))
	ids = slices.AppendSeq(ids, maps.Keys(s.grants))
	ids = slices.AppendSeq(ids, maps.Keys(s.revokes))
	return slices.AppendSeq(ids, maps.Keys(s.track))
}

// restoreSecrets takes back a commit of Juju 4, where it is one transaction
// with all the rest.
func (a *Agent) restoreSecrets(before map[string]*model.Secret) {
	for id, old := range before {
		if old == nil {
			delete(a.m.Secrets, id)
		} else {
			a.m.Secrets[id] = old
		}
	}
}

// secretDifferences lists the secrets that are not as they were.
func (a *Agent) secretDifferences(c *Changes) {
	for id, old := range a.before.secrets {
		now := a.m.Secrets[id]
		if now == nil && old == nil || now != nil && old != nil && equalSecret(now, old) {
			continue
		}
		if c.Secrets == nil {
			c.Secrets = make(map[string]*model.Secret)
		}
		if now != nil {
			now = now.Clone()
		}
		c.Secrets[id] = now
	}
}

func equalSecret(a, b *model.Secret) bool {
	rotate := func(s *model.Secret) string { return strings.TrimPrefix(s.Rotate, "never") }
	return a.Owner == b.Owner && a.Label == b.Label && a.Description == b.Description &&
		rotate(a) == rotate(b) && a.Expire == b.Expire && a.Latest == b.Latest &&
		a.NextRotate.Equal(b.NextRotate) && slices.Equal(a.Grants, b.Grants) &&
		maps.EqualFunc(a.Revisions, b.Revisions, maps.Equal) && maps.Equal(a.Consumers, b.Consumers)
}
