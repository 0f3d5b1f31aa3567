package model

import (
	"slices"
	"strings"
	"time"
)

// A Secret is one secret with all its revisions, in plain text.
type Secret struct {
	// Owner is the application or unit that owns it.
	Owner string `json:"owner"`
	// Label is the owner's label; empty means none.
	Label       string `json:"label"`
	Description string `json:"description"`
	// Rotate is the rotation policy, such as "daily"; empty means "never".
	Rotate string `json:"rotate"`
	// Expire is an RFC 3339 time, or empty.
	Expire string `json:"expire"`
	// NextRotate is when it is to be rotated next; zero when never.
	NextRotate time.Time `json:"next-rotate,omitzero"`
	// Revisions are the contents by revision number.
	Revisions map[int]map[string]string `json:"revisions"`
	// Latest is the newest revision's number.
	Latest int `json:"latest"`
	// Grants say who else may read it.
	Grants []SecretGrant `json:"grants"`
	// Consumers are the units that track it.
	Consumers map[string]SecretConsumer `json:"consumers"`
}

// A SecretGrant lets an application or a unit read a secret, for as long as a
// relation lasts.
type SecretGrant struct {
	To       string `json:"to"`
	Relation int    `json:"relation"`
}

// A SecretConsumer is what is kept of a unit that reads a secret.
type SecretConsumer struct {
	// Label is the consumer's own label for the secret, or empty.
	Label string `json:"label"`
	// Revision is the revision it tracks.
	Revision int `json:"revision"`
}

// ViewableBy reports whether the unit may read the secret: it or its
// application is the owner, or one of them was granted it.
func (s *Secret) ViewableBy(unit string) bool {
	app := ApplicationOf(unit)
	if s.Owner == unit || s.Owner == app {
		return true
	}
	return slices.ContainsFunc(s.Grants, func(g SecretGrant) bool { return g.To == unit || g.To == app })
}

// ManagedBy reports whether the unit may change the secret: it is the owner, or
// it leads the application that is.
func (s *Secret) ManagedBy(m *Model, unit string) bool {
	if strings.Contains(s.Owner, "/") {
		return s.Owner == unit
	}
	return s.Owner == ApplicationOf(unit) && m.IsLeader(unit)
}

// Obsolete are the revisions, in order, that are not the latest and that no
// consumer tracks: those for which the owner gets secret-remove.
func (s *Secret) Obsolete() []int {
	tracked := make(map[int]bool, len(s.Consumers))
	for _, c := range s.Consumers {
		tracked[c.Revision] = true
	}
	var old []int
	for revision := range s.Revisions {
		if revision != s.Latest && !tracked[revision] {
			old = append(old, revision)
		}
	}
	slices.Sort(old)
	return old
}

// SecretIDs are the ids of the secrets, sorted.
func (m *Model) SecretIDs() []string {
	ids := make([]string, 0, len(m.Secrets))
	for id := range m.Secrets {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
