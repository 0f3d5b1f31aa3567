package reactive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
)

// declarations are what a charm uses of Juju beyond relations and
// configuration. What is not declared costs no hook tool.
type declarations struct {
	secrets    bool
	storage    map[string]*Storage
	resources  map[string]*Resource
	leadership *LeadershipSettings
}

// jujuRun is what one hook knows and changes of it. Changes are written at the
// end of the hook.
type jujuRun struct {
	secrets    []*OwnSecret
	newStorage map[string]int
	ports      []hooktool.PortRange
	declared   bool // ports are
	toOpen     []hooktool.PortRange
	toClose    []hooktool.PortRange
	newSetting bool
	networks   map[string]hooktool.Network
	models     map[string]string
	goal       *hooktool.GoalState
}

// setJujuFlags sets the flags of secrets, storage, resources and leadership
// settings, once relations are known.
func (r *run) setJujuFlags(ctx context.Context) error {
	d := &r.charm.declarations
	if d.secrets {
		r.setSecretFlags()
	}
	if len(d.storage) > 0 {
		if err := r.setStorageFlags(ctx); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.resources)) {
		if err := d.resources[name].update(ctx, r); err != nil {
			return err
		}
	}
	if d.leadership != nil {
		return d.leadership.load(ctx, r)
	}
	return nil
}

// writeJuju writes what the hook changed. Leader settings of Juju 3 come last:
// Juju keeps them at once.
func (r *run) writeJuju(ctx context.Context) error {
	for _, s := range r.juju.secrets {
		if err := s.write(ctx); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.juju.newStorage)) {
		if err := r.tools.StorageAdd(ctx, name, r.juju.newStorage[name]); err != nil {
			return err
		}
	}
	if err := r.writePorts(ctx); err != nil {
		return err
	}
	if d := &r.charm.declarations; d.leadership != nil {
		return d.leadership.write(ctx, r)
	}
	return nil
}

// check returns an error for each declaration that the charm's files lack.
func (d *declarations) check(file *charmfile.Charm) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(d.storage)) {
		if _, ok := file.StorageNamed(name); !ok {
			errs = append(errs, fmt.Errorf("storage %q, used at %s, is not in the charm's metadata", name, place(d.storage[name].site)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.resources)) {
		if _, ok := file.Resource(name); !ok {
			errs = append(errs, fmt.Errorf("resource %q, used at %s, is not in the charm's metadata", name, place(d.resources[name].site)))
		}
	}
	return errors.Join(errs...)
}

// put puts a value into a map that may not be there yet.
func put[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	if m == nil {
		m = make(map[K]V)
	}
	m[k] = v
	return m
}

// eventFlag returns the flag KIND.EVENT, or with a name KIND.EVENT.NAME.
func eventFlag(event string, name []string) flags.Flag {
	if len(name) == 0 {
		return flags.New(event)
	}
	return flags.New(event + "." + name[0])
}
