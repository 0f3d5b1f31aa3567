package reactive

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/charmed-go/charms/flags"
)

// A Storage is a storage of the charm's metadata. Its flags follow the
// instances that are attached to the unit (Juju documentation, "storage").
type Storage struct {
	charm *Charm
	name  string
	site  uintptr
	ids   []string // in a hook
}

// A StorageInstance is one attached instance of a storage.
type StorageInstance struct {
	// ID is such as "data/0".
	ID string
	// Kind is "filesystem" or "block", and Location the mount point, or the path
	// of the device.
	Kind, Location string
}

// Storage declares a storage of the charm's metadata. It panics, naming both
// places, if the charm declared it already.
func (c *Charm) Storage(name string) *Storage {
	site := callSite(1)
	if was := c.declarations.storage[name]; was != nil {
		panic(fmt.Sprintf("reactive: storage %q declared at %s was declared at %s", name, place(site), place(was.site)))
	}
	s := &Storage{charm: c, name: name, site: site}
	c.declarations.storage = put(c.declarations.storage, name, s)
	return s
}

// Name returns the storage's name.
func (s *Storage) Name() string { return s.name }

// Attached returns the flag storage.NAME.attached: at least one instance is
// attached, and not about to go. It is kept in step with Juju in every hook.
func (s *Storage) Attached() flags.Flag { return flags.New("storage." + s.name + ".attached") }

// Detaching returns the flag storage.NAME.detaching. It is set in the hook
// NAME-storage-detaching only, in which the instance of [Event.Storage] is still
// there to be unmounted, flushed or closed.
func (s *Storage) Detaching() flags.Flag { return flags.New("storage." + s.name + ".detaching") }

// IDs returns the IDs of the attached instances, sorted, without one that is
// about to go. It is empty outside hooks.
func (s *Storage) IDs() []string { return slices.Clone(s.ids) }

// Instances returns the attached instances, sorted by ID, without one that is
// about to go.
func (s *Storage) Instances(ctx context.Context) ([]StorageInstance, error) {
	list := make([]StorageInstance, len(s.ids))
	for i, id := range s.ids {
		got, err := s.charm.run.tools.StorageGet(ctx, id)
		if err != nil {
			return nil, err
		}
		list[i] = StorageInstance{id, got.Kind, got.Location}
	}
	return list, nil
}

// Add asks for more instances of the storage, at the end of the hook. Each comes
// with a hook of its own, NAME-storage-attached.
func (s *Storage) Add(h *Hook, count int) {
	h.run.juju.newStorage = put(h.run.juju.newStorage, s.name, h.run.juju.newStorage[s.name]+count)
}

func (r *run) setStorageFlags(ctx context.Context) error {
	ids, err := r.tools.StorageList(ctx, "")
	if err != nil {
		return err
	}
	slices.Sort(ids)
	for name, s := range r.charm.declarations.storage {
		detaching := r.event.Hook == name+"-storage-detaching"
		s.ids = nil
		for _, id := range ids {
			if owner, _, _ := strings.Cut(id, "/"); owner == name && !(detaching && id == r.event.Storage) {
				s.ids = append(s.ids, id)
			}
		}
		r.set.Toggle(s.Attached(), len(s.ids) > 0)
		r.momentary(s.Detaching(), detaching)
	}
	return nil
}
