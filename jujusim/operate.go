package jujusim

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/charmed-go/charms/jujusim/model"
)

// operated reports what the operator did; the model must not be locked.
func (m *Model) operated(format string, args ...any) {
	m.emit(Event{Kind: Operated, Text: fmt.Sprintf(format, args...)})
}

// RemoveUnit begins the removal of a unit.
func (m *Model) RemoveUnit(name string) error {
	m.lock()
	u := m.units[name]
	if u == nil {
		m.unlock()
		return fmt.Errorf("cannot remove unit %s: there is no such unit", name)
	}
	events := u.die()
	m.unlock()
	m.operated("remove-unit %s", name)
	m.emit(events...)
	return nil
}

// die begins the end of a unit.
func (u *unit) die() []Event {
	if u.dying {
		return nil
	}
	u.dying = true
	u.data.Life = model.Dying
	if !u.installed && u.running == nil || u.m.data.Juju4() && u.stuck != nil && u.stuck.failed {
		return u.vanish()
	}
	var events []Event
	for _, s := range slices.Clone(u.attached) {
		events = append(events, s.die()...)
	}
	for _, ur := range slices.Clone(u.relations) {
		ur.end()
	}
	for _, id := range sortedKeys(u.data.Storage) {
		u.detach(id)
	}
	u.update()
	return events
}

// RemoveApplication begins the removal of an application with its units and
// relations.
func (m *Model) RemoveApplication(name string) error {
	m.lock()
	a := m.applications[name]
	if a == nil {
		m.unlock()
		return fmt.Errorf("cannot remove application %s: there is no such application", name)
	}
	a.dying = true
	a.data.Life = model.Dying
	var events []Event
	for _, r := range slices.Clone(a.relations) {
		if !r.data.Peer() {
			r.die()
		}
	}
	for _, u := range slices.Clone(a.units) {
		events = append(events, u.die()...)
	}
	a.settle()
	m.unlock()
	m.operated("remove-application %s", name)
	m.emit(events...)
	return nil
}

// Configure sets options of an application; a nil value resets one. Values are
// of the option's type, or text as the command line has it.
func (m *Model) Configure(app string, values map[string]any) error {
	m.lock()
	a := m.applications[app]
	err := errors.New("there is no such application")
	if a != nil {
		err = a.configure(values)
	}
	m.unlock()
	if err != nil {
		return fmt.Errorf("cannot configure %s: %w", app, err)
	}
	m.operated("config %s %v", app, sortedKeys(maps.Clone(values)))
	return nil
}

// Upgrade lets an application run another revision of its charm, as juju
// refresh does.
func (m *Model) Upgrade(app string, c Charm) error {
	if err := m.upgrade(app, c); err != nil {
		return fmt.Errorf("cannot upgrade %s: %w", app, err)
	}
	m.operated("refresh %s", app)
	return nil
}

func (m *Model) upgrade(app string, c Charm) error {
	charm, err := loadCharm(c, m.dir)
	if err != nil {
		return err
	}
	m.lock()
	defer m.unlock()
	m.closers = append(m.closers, charm.close)
	a := m.applications[app]
	if a == nil {
		return errors.New("there is no such application")
	}
	for _, r := range a.relations {
		if _, ok := charm.meta.Endpoint(r.local(app).Name); !ok && r.local(app).Name != model.JujuInfo {
			return fmt.Errorf("the new charm would break relation %q", r.key())
		}
	}
	charm.number = a.charm.number + 1
	a.setCharm(charm)
	for _, e := range a.data.Endpoints {
		if e.Role == model.Peer && !a.hasPeer(e.Name) {
			m.relate(&model.Relation{Interface: e.Interface, Endpoints: []model.RelationEndpoint{{Application: app, Name: e.Name, Role: model.Peer}}})
		}
	}
	for _, u := range a.units {
		if !u.installed && u.running == nil && u.dir == "" {
			u.charm = charm
		}
		u.update()
	}
	return nil
}

func (a *application) hasPeer(endpoint string) bool {
	for _, r := range a.relations {
		if r.data.Peer() && r.local(a.name).Name == endpoint {
			return true
		}
	}
	return false
}

// SetLeader makes a unit the leader of its application.
func (m *Model) SetLeader(unit string) error {
	m.lock()
	u := m.units[unit]
	if u == nil {
		m.unlock()
		return fmt.Errorf("cannot make %s the leader: there is no such unit", unit)
	}
	var events []Event
	if u.app.leader != u {
		events = u.app.elect(u)
	}
	m.unlock()
	m.operated("leadership passes to %s", unit)
	m.emit(events...)
	return nil
}

// UpdateStatus lets units run update-status when they have nothing else to do;
// without names all units do.
func (m *Model) UpdateStatus(units ...string) error {
	m.lock()
	defer m.unlock()
	if len(units) == 0 {
		for _, a := range m.order {
			for _, u := range a.units {
				u.updateStatus = !u.dying
				u.update()
			}
		}
	}
	for _, name := range units {
		u := m.units[name]
		if u == nil {
			return fmt.Errorf("cannot run update-status on %s: there is no such unit", name)
		}
		u.updateStatus = true
		u.update()
	}
	return nil
}

// Reboot reboots a machine: what runs on it is killed together with its agent, see
// [Running.KillAgent], and each of its units that has started once runs its hook
// start again, as soon as no other hook waits to be run again. The charm's own
// juju-reboot does the same at the end of its hook.
func (m *Model) Reboot(machine string) error {
	m.lock()
	mc := m.machines[machine]
	if mc == nil {
		m.unlock()
		return fmt.Errorf("cannot reboot machine %s: there is no such machine", machine)
	}
	mc.reboot()
	running := mc.running
	m.unlock()
	if running != nil {
		running.KillAgent()
	}
	m.operated("machine %s reboots", machine)
	return nil
}

func (mc *machine) reboot() {
	for _, u := range mc.units {
		u.rebooted = u.started && !u.stopped
		u.update()
	}
}

// Resolve lets a unit that is in error go on: with retry it runs the failed
// hook again, without the hook counts as run.
func (m *Model) Resolve(unit string, retry bool) error {
	m.lock()
	u := m.units[unit]
	if u == nil || u.stuck == nil || !u.stuck.failed {
		m.unlock()
		return fmt.Errorf("cannot resolve %s: unit is not in error state", unit)
	}
	h := u.stuck.hook
	var events []Event
	if retry {
		u.stuck.failed = false
		u.update()
	} else {
		u.stuck = nil
		events = u.skip(h)
	}
	m.unlock()
	m.operated("resolve %s", unit)
	m.emit(events...)
	return nil
}

// SetRetries changes how often in a row a failed hook is run again by itself, as
// the model option automatically-retry-hooks does.
func (m *Model) SetRetries(n int) {
	m.lock()
	defer m.unlock()
	m.opts.Retries = n
	for _, u := range m.units {
		u.update()
	}
}

// skip takes a failed hook as run.
func (u *unit) skip(h Hook) []Event {
	m := u.m
	for i := len(m.history) - 1; i >= 0; i-- {
		if d := m.history[i]; d.Unit == u.name && d.Hook.Name != "" {
			d.Skipped = true
			break
		}
	}
	var bag seen
	if ur := u.relation(h.Relation); ur != nil {
		owner := h.Remote
		if owner == "" {
			owner = ur.remoteApp()
		}
		if b := ur.r.bags[owner]; b != nil {
			bag = b.seen
		}
		if kind := h.relationKind(); kind == "joined" || kind == "departed" {
			ur.r.data.SetJoined(m.data, u.name, h.Remote, kind == "joined")
		}
	}
	return u.ran(h, u.app.configStamp, bag)
}
