package model

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// Clone returns a deep copy. It locks the model while it copies.
func (m *Model) Clone() *Model {
	m.Lock()
	defer m.Unlock()
	c := &Model{Name: m.Name, UUID: m.UUID, Type: m.Type, Version: m.Version, Proxy: m.Proxy, LegacyProxy: m.LegacyProxy}
	c.Applications = cloneMap(m.Applications, (*Application).Clone)
	c.Secrets = cloneMap(m.Secrets, (*Secret).Clone)
	if m.Relations != nil {
		c.Relations = make([]*Relation, len(m.Relations))
		for i, r := range m.Relations {
			c.Relations[i] = r.Clone()
		}
	}
	if m.Cloud != nil {
		cloud := *m.Cloud
		cloud.Credential.Attributes = maps.Clone(cloud.Credential.Attributes)
		cloud.CACertificates = slices.Clone(cloud.CACertificates)
		c.Cloud = &cloud
	}
	return c
}

// Clone returns a deep copy.
func (a *Application) Clone() *Application {
	c := *a
	c.Endpoints = slices.Clone(a.Endpoints)
	c.ExtraBindings = slices.Clone(a.ExtraBindings)
	c.Config = cloneMap(a.Config, func(o *Option) *Option {
		return &Option{Type: o.Type, Default: cloneValue(o.Default), Value: cloneValue(o.Value)}
	})
	c.LeaderSettings = maps.Clone(a.LeaderSettings)
	c.Status = a.Status.Clone()
	c.Units = cloneMap(a.Units, (*Unit).Clone)
	c.Storage = cloneMap(a.Storage, func(s *StorageDeclaration) *StorageDeclaration { d := *s; return &d })
	c.Resources = cloneMap(a.Resources, func(r *Resource) *Resource { d := *r; return &d })
	return &c
}

// Clone returns a deep copy.
func (u *Unit) Clone() *Unit {
	c := *u
	c.Status = u.Status.Clone()
	c.State = maps.Clone(u.State)
	c.Ports = cloneMap(u.Ports, slices.Clone)
	c.Storage = cloneMap(u.Storage, func(s *StorageInstance) *StorageInstance { d := *s; return &d })
	return &c
}

// Clone returns a deep copy.
func (s Status) Clone() Status {
	s.Data, _ = cloneValue(s.Data).(map[string]any)
	return s
}

// Clone returns a deep copy.
func (r *Relation) Clone() *Relation {
	c := *r
	c.Endpoints = slices.Clone(r.Endpoints)
	c.Units = maps.Clone(r.Units)
	c.Joined = cloneMap(r.Joined, maps.Clone)
	c.Data = cloneMap(r.Data, maps.Clone)
	return &c
}

// Clone returns a deep copy.
func (s *Secret) Clone() *Secret {
	c := *s
	c.Revisions = cloneMap(s.Revisions, maps.Clone)
	c.Grants = slices.Clone(s.Grants)
	c.Consumers = maps.Clone(s.Consumers)
	return &c
}

func cloneMap[K comparable, V any](m map[K]V, clone func(V) V) map[K]V {
	if m == nil {
		return nil
	}
	c := make(map[K]V, len(m))
	for k, v := range m {
		c[k] = clone(v)
	}
	return c
}

// cloneValue copies what JSON and YAML decode to.
func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return cloneMap(v, cloneValue)
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = cloneValue(v[i])
		}
		return c
	}
	return v
}

// MarshalJSON writes an endpoint of which only the name is known as a string.
func (e Endpoint) MarshalJSON() ([]byte, error) {
	if e == (Endpoint{Name: e.Name}) {
		return json.Marshal(e.Name)
	}
	type plain Endpoint
	return json.Marshal(plain(e))
}

// UnmarshalJSON reads an endpoint, or just its name.
func (e *Endpoint) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		*e = Endpoint{}
		return json.Unmarshal(data, &e.Name)
	}
	type plain Endpoint
	return json.Unmarshal(data, (*plain)(e))
}
