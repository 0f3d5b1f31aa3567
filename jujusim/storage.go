package jujusim

import (
	"fmt"
	"path/filepath"
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

// storageHookRan takes note that a storage hook counts as run.
func (u *unit) storageHookRan(h Hook) {
	if strings.HasSuffix(h.Name, "-storage-detaching") {
		delete(u.data.Storage, h.Storage)
	}
}

// DetachStorage takes a storage instance from a unit.
func (m *Model) DetachStorage(unit, id string) error {
	m.lock()
	defer m.unlock()
	u := m.units[unit]
	if u == nil || u.data.Storage[id] == nil {
		return fmt.Errorf("cannot detach storage %s: unit %s does not have it", id, unit)
	}
	name, _, _ := strings.Cut(id, "/")
	u.data.Storage[id].Life = model.Dying
	u.storage = append(u.storage, Hook{Unit: unit, Name: name + "-storage-detaching", Storage: id})
	u.update()
	return nil
}
