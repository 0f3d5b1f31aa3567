package agent

import (
	"maps"
	"strings"
	"sync"

	"github.com/charmed-go/charms/jujusim/model"
)

// A Cache holds what one unit has read of remote bags. Juju's agent keeps what
// it has read of a member's bag until the unit's next relation-changed or
// relation-departed of that member, so that in between a hook may see an older
// value than the model holds. The zero value is ready; it is safe for
// concurrent use.
type Cache struct {
	mu   sync.Mutex
	bags map[cacheKey]model.Bag
}

type cacheKey struct {
	relation int
	name     string
}

// prepare forgets what the execution is about.
func (c *Cache) prepare(a *Agent) {
	if c == nil || a.hookRelation == nil || a.relationEvent() == "" {
		return
	}
	name := a.x.RemoteUnit
	if name == "" {
		name = a.remoteApp
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.relationEvent() == "broken" {
		maps.DeleteFunc(c.bags, func(k cacheKey, _ model.Bag) bool { return k.relation == a.hookRelation.ID })
		return
	}
	delete(c.bags, cacheKey{a.hookRelation.ID, a.actual(name)})
}

// bag returns a copy of a remote bag, from the cache if it is there. Bags of
// units that are no members, and those of applications, are read anew in each
// execution, as a real agent was seen to do.
func (c *Cache) bag(a *Agent, r *relation, name string) model.Bag {
	keep := c != nil && strings.Contains(name, "/") && r.IsMember(a.m, a.x.Unit, name)
	if !keep {
		return maps.Clone(r.Data[name])
	}
	key := cacheKey{r.ID, name}
	c.mu.Lock()
	defer c.mu.Unlock()
	bag, ok := c.bags[key]
	if !ok {
		bag = maps.Clone(r.Data[name])
		if c.bags == nil {
			c.bags = make(map[cacheKey]model.Bag)
		}
		c.bags[key] = bag
	}
	return bag
}
