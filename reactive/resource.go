package reactive

import (
	"context"
	"errors"
	"fmt"

	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
)

// A Resource is a resource of the charm's metadata: a file or an image that is
// supplied beside the charm, or not at all.
type Resource struct {
	charm *Charm
	name  string
	site  uintptr
	path  string // in a hook, once it is known
}

// Resource declares a resource of the charm's metadata. It panics, naming both
// places, if the charm declared it already.
func (c *Charm) Resource(name string) *Resource {
	site := callSite(1)
	if was := c.declarations.resources[name]; was != nil {
		panic(fmt.Sprintf("reactive: resource %q declared at %s was declared at %s", name, place(site), place(was.site)))
	}
	r := &Resource{charm: c, name: name, site: site}
	c.declarations.resources = put(c.declarations.resources, name, r)
	return r
}

// Name returns the resource's name.
func (r *Resource) Name() string { return r.name }

// Available returns the flag resource.NAME.available: the resource was supplied,
// and is on the unit. To ask Juju for it costs a download, so it is asked when
// the answer can be another one: in the hooks install and upgrade-charm (which
// juju attach-resource causes), and in start.
func (r *Resource) Available() flags.Flag { return flags.New("resource." + r.name + ".available") }

// Path returns where the resource is on the unit, "" if none was supplied. The
// first call in a hook asks Juju, which downloads what the unit does not have
// yet (resource-get).
func (r *Resource) Path(ctx context.Context) (string, error) {
	if r.path != "" {
		return r.path, nil
	}
	path, err := r.charm.run.tools.ResourceGet(ctx, r.name)
	if errors.Is(err, hooktool.ErrNotFound) {
		return "", nil
	}
	r.path = path
	return path, err
}

// update keeps the flag in step with Juju.
func (r *Resource) update(ctx context.Context, run *run) error {
	switch run.event.Hook {
	case "install", "upgrade-charm", "start":
	default:
		return nil
	}
	path, err := r.Path(ctx)
	if err != nil {
		return err
	}
	run.set.Toggle(r.Available(), path != "")
	return nil
}
