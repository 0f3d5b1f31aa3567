package jujusim

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// addStorage attaches one more instance of a storage to a unit. The model is
// locked.
func (m *Model) addStorage(u *unit, name string) {
	declared := u.app.data.Storage[name]
	if declared == nil {
		return
	}
	id := fmt.Sprintf("%s/%d", name, m.nextStorage)
	m.nextStorage++
	location := ""
	if s, ok := u.charm.meta.StorageNamed(name); ok {
		location = s.Location
	}
	if location == "" || declared.CountMax != 1 {
		base := location
		if base == "" {
			base = "/var/lib/juju/storage/" + name
		}
		location = filepath.Join(base, strings.TrimPrefix(id, name+"/"))
	}
	if declared.Type == "block" {
		location = "/dev/sd" + string(rune('b'+m.nextStorage%24))
	}
	u.data.Storage[id] = &model.StorageInstance{Kind: declared.Type, Location: location}
	u.storage = append(u.storage, Hook{Unit: u.name, Name: name + "-storage-attached", Storage: id})
	u.update()
}

// legalStorage says why the unit may not run a storage hook that is due. On a
// machine storage comes before install, and else before news but not before a
// hook that is queued; on Kubernetes it comes once the unit has started.
func (u *unit) legalStorage() error {
	kubernetes := u.m.data.Kubernetes()
	switch {
	case kubernetes && !u.started:
		return errors.New("the unit has not started")
	case !kubernetes && u.queued != "":
		return fmt.Errorf("%s comes first", u.queued)
	}
	return nil
}

// storageHookRan takes note that a storage hook counts as run.
func (u *unit) storageHookRan(h Hook) {
	switch {
	case strings.HasSuffix(h.Name, "-storage-detaching"):
		delete(u.data.Storage, h.Storage)
	case u.dying:
		u.detach(h.Storage)
	}
}

// detach begins the detachment of a storage instance. One that the unit has not
// seen attached just goes.
func (u *unit) detach(id string) {
	name := id[:strings.LastIndex(id, "/")]
	attached := Hook{Unit: u.name, Name: name + "-storage-attached", Storage: id}
	detaching := Hook{Unit: u.name, Name: name + "-storage-detaching", Storage: id}
	i := slices.Index(u.storage, attached)
	switch {
	case slices.Contains(u.storage, detaching):
	case i < 0:
		u.data.Storage[id].Life = model.Dying
		u.storage = append(u.storage, detaching)
	case u.running != nil && u.running.hook == attached, u.stuck != nil && u.stuck.hook == attached:
		// It is seen attached; the rest follows when that has ended.
	default:
		u.storage = slices.Delete(u.storage, i, i+1)
		delete(u.data.Storage, id)
	}
	u.update()
}

// DetachStorage takes a storage instance from a unit.
func (m *Model) DetachStorage(unit, id string) error {
	m.lock()
	defer m.unlock()
	u := m.units[unit]
	if u == nil || u.data.Storage[id] == nil {
		return fmt.Errorf("cannot detach storage %s: unit %s does not have it", id, unit)
	}
	u.detach(id)
	return nil
}
