package jujusim

import (
	"fmt"
	"slices"

	"github.com/charmed-go/charms/jujusim/model"
)

// secretLabel is the label by which a unit knows a secret.
func (u *unit) secretLabel(id string) string {
	s := u.m.data.Secrets[id]
	switch {
	case s == nil:
		return ""
	case s.Owner == u.name || s.Owner == u.app.name:
		return s.Label
	}
	return s.Consumers[u.name].Label
}

// secretEvents tells units of changed secrets. The model is locked.
func (m *Model) secretEvents(changed map[string]*model.Secret) {
	for _, id := range sortedKeys(changed) {
		s := changed[id]
		if s == nil {
			for _, u := range m.units {
				u.secrets = slices.DeleteFunc(u.secrets, func(h Hook) bool { return h.Secret == id })
				u.update()
			}
			continue
		}
		for _, name := range sortedKeys(s.Consumers) {
			u := m.units[name]
			if u == nil {
				continue
			}
			h := Hook{Unit: name, Name: "secret-changed", Secret: id}
			if s.Consumers[name].Revision < s.Latest && u.secretSeen[id] < s.Latest {
				u.secretSeen = put(u.secretSeen, id, s.Latest)
				u.news(h)
			}
		}
		owner := m.secretOwner(s)
		if owner == nil {
			continue
		}
		for _, revision := range s.Obsolete() {
			h := Hook{Unit: owner.name, Name: "secret-remove", Secret: id, Revision: revision}
			if s.Revisions[revision] != nil && !m.obsolete[h] {
				m.obsolete = put(m.obsolete, h, true)
				owner.news(h)
			}
		}
	}
}

func put[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	if m == nil {
		m = make(map[K]V)
	}
	m[k] = v
	return m
}

// news gives a unit a secret hook to run, once.
func (u *unit) news(h Hook) {
	for _, o := range u.secrets {
		if o == h {
			return
		}
	}
	u.secrets = append(u.secrets, h)
	u.update()
}

// secretOwner is the unit that is told of what befalls a secret.
func (m *Model) secretOwner(s *model.Secret) *unit {
	if a := m.applications[s.Owner]; a != nil {
		return a.leader
	}
	return m.units[s.Owner]
}

// RotateSecret tells the owner of a secret that it is time to rotate it.
func (m *Model) RotateSecret(id string) error { return m.tellOwner(id, "secret-rotate", 0) }

// ExpireSecret tells the owner of a secret that a revision of it has expired.
func (m *Model) ExpireSecret(id string, revision int) error {
	return m.tellOwner(id, "secret-expired", revision)
}

func (m *Model) tellOwner(id, hook string, revision int) error {
	m.lock()
	defer m.unlock()
	s := m.data.Secrets[id]
	if s == nil || revision != 0 && s.Revisions[revision] == nil {
		return fmt.Errorf("cannot run %s: there is no secret %q, or not its revision %d", hook, id, revision)
	}
	owner := m.secretOwner(s)
	if owner == nil {
		return fmt.Errorf("cannot run %s: nobody owns secret %s", hook, id)
	}
	owner.news(Hook{Unit: owner.name, Name: hook, Secret: id, Revision: revision})
	return nil
}
