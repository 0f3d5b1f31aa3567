package reactive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
)

// SecretChanged returns the flag secret.changed, or with a label
// secret.changed.LABEL. It is set in the hook secret-changed, which tells those
// who track a secret that it has a newer revision (Juju documentation,
// "secret-changed"); the units of the application that owns it are among them
// once they have read it. The new content is seen with a query that refreshes,
// see [Hook.ReadSecret].
//
// Like the other flags of secrets it is cleared at the end of the hook, and each
// of them has a form with the label under which the unit knows the secret. They
// are asked for where the charm is put together, see [Charm.ConfigChanged].
func (c *Charm) SecretChanged(label ...string) flags.Flag { return c.secretFlag("changed", label) }

// SecretRotate returns the flag secret.rotate, or secret.rotate.LABEL. It is set
// in the hook secret-rotate, when an own secret is to get a new content.
func (c *Charm) SecretRotate(label ...string) flags.Flag { return c.secretFlag("rotate", label) }

// SecretExpired returns the flag secret.expired, or secret.expired.LABEL. It is
// set in the hook secret-expired, when a revision of an own secret has expired;
// the hook runs again until that revision is removed, see
// [OwnSecret.RemoveRevision].
func (c *Charm) SecretExpired(label ...string) flags.Flag { return c.secretFlag("expired", label) }

// SecretRemovable returns the flag secret.remove, or secret.remove.LABEL. It is
// set in the hook secret-remove, when nobody reads a revision of an own secret
// any more; see [Event.SecretRevision].
func (c *Charm) SecretRemovable(label ...string) flags.Flag { return c.secretFlag("remove", label) }

func (c *Charm) secretFlag(event string, label []string) flags.Flag {
	c.keep(&c.declarations.secrets, "secret."+event)
	return eventFlag("secret."+event, label)
}

func (r *run) setSecretFlags() {
	event, ok := strings.CutPrefix(r.event.Hook, "secret-")
	if !ok {
		return
	}
	set := r.transient
	if event == "expired" || event == "remove" {
		// Only this hook says which revision it is about.
		set = r.momentary
	}
	set(flags.New("secret."+event), true)
	if r.event.SecretLabel != "" {
		set(flags.New("secret."+event+"."+r.event.SecretLabel), true)
	}
}

// ReadSecret returns the content of a secret that somebody else owns and has
// granted to this unit, or that this unit's application owns, which all its units
// may read, also by the owner's label: of the revision that the unit tracks, which
// the first read makes the newest one. The first read with both URI and label
// gives the secret that label; from then on the label is enough. With Refresh the
// newest revision is read and tracked; Juju does so at once, whether or not the
// hook goes well.
//
// No secret, or none of that label, is hooktool.ErrNotFound; one that is not
// granted is hooktool.ErrPermission.
func (h *Hook) ReadSecret(ctx context.Context, q hooktool.SecretQuery) (map[string]string, error) {
	return h.run.tools.SecretGet(ctx, q)
}

// An OwnSecret is a secret of the unit or of its application, as a hook sees it.
// What the hook changes in it is written at the end of the hook, and Juju drops
// it with everything else if the hook fails (buffered, "secret-set").
type OwnSecret struct {
	run   *run
	info  hooktool.SecretInfo
	uri   hooktool.SecretURI
	isNew bool // made in this hook

	content  map[string]string // what it was, once it is known, and is to be
	set      *hooktool.Secret  // what is to be written
	grants   []hooktool.SecretGrantee
	revokes  []hooktool.SecretGrantee
	removals []int // revisions, 0 is all of them
	gone     bool
}

// SetSecret makes the application's secret with the label of s if there is none,
// and otherwise changes it to what s says: another content is a new revision,
// the same one is none. Of an existing secret an empty Description or Rotate
// leaves what there is, and Expire counts for a new revision only. The Owner of
// s is left out.
//
// The URI of a new secret is good at once, to be published in a databag. Only
// owners see labels; the content never reaches a log.
func (l *Leader) SetSecret(ctx context.Context, s hooktool.Secret) (*OwnSecret, error) {
	return l.run.setSecret(ctx, hooktool.OwnerApplication, s)
}

// SetUnitSecret is [Leader.SetSecret] for a secret of the unit's own.
func (h *Hook) SetUnitSecret(ctx context.Context, s hooktool.Secret) (*OwnSecret, error) {
	return h.run.setSecret(ctx, hooktool.OwnerUnit, s)
}

// Secret returns the application's secret with a label, or nil if there is none.
func (l *Leader) Secret(ctx context.Context, label string) (*OwnSecret, error) {
	return l.run.ownSecret(ctx, hooktool.OwnerApplication, label)
}

// UnitSecret returns the unit's own secret with a label, or nil if there is none.
func (h *Hook) UnitSecret(ctx context.Context, label string) (*OwnSecret, error) {
	return h.run.ownSecret(ctx, hooktool.OwnerUnit, label)
}

func (r *run) ownSecret(ctx context.Context, owner, label string) (*OwnSecret, error) {
	if label == "" {
		return nil, errors.New("a secret without a label cannot be told from others")
	}
	for _, s := range r.juju.secrets {
		if s.info.Label == label {
			if s.gone {
				return nil, nil
			}
			return s, s.ownedBy(owner)
		}
	}
	info, err := r.tools.SecretInfo(ctx, hooktool.SecretQuery{Label: label})
	if errors.Is(err, hooktool.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	uri, err := hooktool.ParseSecretURI(info.ID)
	if err != nil {
		return nil, fmt.Errorf("cannot look the secret %q up: %w", label, err)
	}
	s := &OwnSecret{run: r, info: info, uri: uri}
	r.juju.secrets = append(r.juju.secrets, s)
	return s, s.ownedBy(owner)
}

func (s *OwnSecret) ownedBy(owner string) error {
	if s.info.Owner != owner {
		return fmt.Errorf("the secret with label %q is owned by the %s, not the %s", s.info.Label, s.info.Owner, owner)
	}
	return nil
}

func (r *run) setSecret(ctx context.Context, owner string, want hooktool.Secret) (*OwnSecret, error) {
	s, err := r.ownSecret(ctx, owner, want.Label)
	if err != nil {
		return nil, err
	}
	want.Owner, want.Content = "", maps.Clone(want.Content)
	if s == nil && slices.ContainsFunc(r.juju.secrets, func(s *OwnSecret) bool { return s.info.Label == want.Label }) {
		return nil, fmt.Errorf("cannot make a secret with label %q in the hook that removes the one that has it", want.Label)
	}
	if s == nil {
		return r.addSecret(ctx, owner, want)
	}
	if want.Content != nil {
		was, err := s.Content(ctx)
		if err != nil {
			return nil, err
		}
		if !maps.Equal(was, want.Content) {
			s.change().Content, s.content = want.Content, want.Content
			s.set.Expire = want.Expire
		}
	}
	if want.Description != "" && want.Description != s.info.Description {
		s.change().Description, s.info.Description = want.Description, want.Description
	}
	if want.Rotate != "" && want.Rotate != s.info.Rotate {
		s.change().Rotate, s.info.Rotate = want.Rotate, want.Rotate
	}
	return s, nil
}

// addSecret makes a secret. This cannot wait for the end of the hook, because
// the URI is wanted; Juju holds the secret itself back until then.
func (r *run) addSecret(ctx context.Context, owner string, want hooktool.Secret) (*OwnSecret, error) {
	want.Owner = owner
	uri, err := r.tools.SecretAdd(ctx, want)
	if err != nil {
		return nil, err
	}
	if want.Rotate == "" {
		want.Rotate = hooktool.RotateNever
	}
	s := &OwnSecret{run: r, uri: uri, isNew: true, content: want.Content, info: hooktool.SecretInfo{
		ID: uri.ID, Revision: 1, Label: want.Label, Owner: owner, Description: want.Description, Rotate: want.Rotate, Expire: want.Expire,
	}}
	r.juju.secrets = append(r.juju.secrets, s)
	return s, nil
}

func (s *OwnSecret) change() *hooktool.Secret {
	if s.set == nil {
		s.set = &hooktool.Secret{}
	}
	return s.set
}

// URI returns the secret's URI, which others need to read it.
func (s *OwnSecret) URI() hooktool.SecretURI { return s.uri }

// Label returns the owner's label of the secret.
func (s *OwnSecret) Label() string { return s.info.Label }

// Info returns what there is to know of the secret besides its content. Grants
// are those from before this hook.
func (s *OwnSecret) Info() hooktool.SecretInfo { return s.info }

// Content returns the newest content, also if it was set in this hook. It must
// not be changed.
func (s *OwnSecret) Content(ctx context.Context) (map[string]string, error) {
	if s.content == nil {
		// The owner follows its own newest revision, so that Juju can tell when
		// nobody needs an older one.
		content, err := s.run.tools.SecretGet(ctx, hooktool.SecretQuery{URI: s.uri, Refresh: true})
		if err != nil {
			return nil, err
		}
		s.content = content
	}
	return s.content, nil
}

// Grant lets the remote application of a relation read the secret, for as long
// as the relation lasts.
func (s *OwnSecret) Grant(ctx context.Context, rel *Relation) error {
	app, err := rel.Application(ctx)
	if err != nil {
		return err
	}
	s.grant(rel, "application-"+app, "")
	return nil
}

// GrantUnit lets one remote unit read the secret, for as long as the relation
// lasts.
func (s *OwnSecret) GrantUnit(rel *Relation, unit *Unit) {
	s.grant(rel, unitTag(unit), unit.name)
}

func (s *OwnSecret) grant(rel *Relation, tag, unit string) {
	grantee := hooktool.SecretGrantee{Relation: rel.id, Unit: unit}
	s.revokes = slices.DeleteFunc(s.revokes, func(g hooktool.SecretGrantee) bool { return g == grantee })
	if !s.granted(rel, tag) && !slices.Contains(s.grants, grantee) {
		s.grants = append(s.grants, grantee)
	}
}

// granted reports whether Juju has such a grant. A grant's scope names the two
// sides of the relation (secret-info-get).
func (s *OwnSecret) granted(rel *Relation, tag string) bool {
	local := applicationOf(rel.run.unit) + "." + rel.endpoint.name
	for _, a := range s.info.Access {
		sides := strings.Split(strings.TrimPrefix(a.Scope, "relation-"), "#")
		if a.Target == tag && slices.Contains(sides, local) {
			return true
		}
	}
	return false
}

// Revoke takes the secret back from the remote application of a relation, if it
// was granted to it.
func (s *OwnSecret) Revoke(ctx context.Context, rel *Relation) error {
	app, err := rel.Application(ctx)
	if err != nil {
		return err
	}
	s.revoke(rel, "application-"+app, "")
	return nil
}

// RevokeUnit takes the secret back from one remote unit, if it was granted to it.
func (s *OwnSecret) RevokeUnit(rel *Relation, unit *Unit) { s.revoke(rel, unitTag(unit), unit.name) }

func (s *OwnSecret) revoke(rel *Relation, tag, unit string) {
	grantee := hooktool.SecretGrantee{Relation: rel.id, Unit: unit}
	s.grants = slices.DeleteFunc(s.grants, func(g hooktool.SecretGrantee) bool { return g == grantee })
	if s.granted(rel, tag) && !slices.Contains(s.revokes, grantee) {
		s.revokes = append(s.revokes, grantee)
	}
}

// unitTag is Juju's tag of a unit.
func unitTag(u *Unit) string { return "unit-" + strings.ReplaceAll(u.name, "/", "-") }

// RemoveRevision removes one revision; in the hooks secret-remove and
// secret-expired it is the one of [Event.SecretRevision].
func (s *OwnSecret) RemoveRevision(revision int) error {
	if revision < 1 {
		return fmt.Errorf("the secret with label %q has no revision %d", s.info.Label, revision)
	}
	if !slices.Contains(s.removals, revision) {
		s.removals = append(s.removals, revision)
	}
	return nil
}

// Remove removes the secret with all its revisions. Another one of the same label
// can be made from the next hook on.
func (s *OwnSecret) Remove() { s.gone = true }

// write writes what the hook changed.
func (s *OwnSecret) write(ctx context.Context) error {
	tools := s.run.tools
	if s.gone {
		return tools.SecretRemove(ctx, s.uri, 0)
	}
	if s.set != nil {
		if err := tools.SecretSet(ctx, s.uri, *s.set); err != nil {
			return err
		}
		if s.set.Content != nil && !s.isNew {
			// Follow the new revision; see Content.
			if _, err := tools.SecretGet(ctx, hooktool.SecretQuery{URI: s.uri, Refresh: true}); err != nil {
				return err
			}
		}
	}
	for _, g := range s.grants {
		if err := tools.SecretGrant(ctx, s.uri, g.Relation, g.Unit); err != nil {
			return err
		}
	}
	for _, g := range s.revokes {
		if err := tools.SecretRevoke(ctx, s.uri, g); err != nil {
			return err
		}
	}
	for _, revision := range s.removals {
		if err := tools.SecretRemove(ctx, s.uri, revision); err != nil {
			return err
		}
	}
	return nil
}
