package jujusim

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/charmed-go/charms/jujusim/model"
)

// A Status is what juju status says of a model.
type Status struct {
	Model, Version string
	Applications   []ApplicationStatus
	Units          []UnitStatus
	Relations      []RelationStatus
}

// An ApplicationStatus is one line of the table of applications.
type ApplicationStatus struct {
	Name, Charm string
	// Version is what the charm said its workload's version is.
	Version string
	// Status is the worst of its units' if the charm did not set one.
	Status, Message string
	// Units is how many units it has and Revision the number of its charm's
	// revision, from 0.
	Units, Revision int
}

// A UnitStatus is one line of the table of units.
type UnitStatus struct {
	Name   string
	Leader bool
	// Workload and Message are the workload's status, "error" while a failed
	// hook stands; Agent is allocating, executing, idle or error.
	Workload, Message, Agent string
	Machine, Address         string
	Ports                    []string
	// Principal is set for subordinate units.
	Principal string
}

// A RelationStatus is one line of the table of relations.
type RelationStatus struct {
	ID        int
	Endpoints []string // "application:endpoint", the provider first
	Interface string
	// Type is "regular", "peer" or "subordinate".
	Type string
	// Life is "alive" or "dying".
	Life string
}

// Status is what juju status would say.
func (m *Model) Status() Status {
	m.lock()
	defer m.unlock()
	s := Status{Model: m.data.Name, Version: m.data.JujuVersion()}
	for _, a := range m.order {
		line := ApplicationStatus{Name: a.name, Charm: a.charm.meta.Name, Status: a.data.Status.Status, Message: a.data.Status.Message, Units: len(a.units), Revision: a.charm.number}
		worst := -1
		for _, u := range a.units {
			us := u.status()
			s.Units = append(s.Units, us)
			if rank := slices.Index(severity, us.Workload); rank > worst && (line.Status == "unknown" || line.Status == "") {
				worst = rank
			}
			if v := u.data.WorkloadVersion; v != "" {
				line.Version = v
			}
		}
		if worst >= 0 {
			for _, u := range s.Units[len(s.Units)-len(a.units):] {
				if u.Workload == severity[worst] {
					line.Status, line.Message = u.Workload, u.Message
					break
				}
			}
		}
		s.Applications = append(s.Applications, line)
	}
	for _, id := range sortedKeys(m.relations) {
		s.Relations = append(s.Relations, m.relations[id].status())
	}
	return s
}

// severity orders workload status, the worst last.
var severity = []string{"unknown", "terminated", "active", "waiting", "maintenance", "blocked", "error"}

func (u *unit) status() UnitStatus {
	s := UnitStatus{
		Name: u.name, Leader: u.app.leader == u, Machine: u.machine.id, Address: u.data.PublicAddress,
		Workload: u.data.Status.Status, Message: u.data.Status.Message, Agent: "idle",
	}
	switch {
	case u.running != nil:
		s.Agent = "executing"
	case u.stuck != nil && u.stuck.failed:
		s.Workload, s.Message = "error", u.failure()
	case !u.installed:
		s.Agent = "allocating"
	}
	for _, p := range u.data.OpenPorts() {
		s.Ports = append(s.Ports, p.String())
	}
	if u.principal != nil {
		s.Principal = u.principal.name
	}
	return s
}

// failure is how Juju words that a hook failed.
func (u *unit) failure() string {
	h := u.stuck.hook
	text := fmt.Sprintf("hook failed: %q", h.Name)
	if ur := u.relation(h.Relation); ur != nil && h.relationKind() != "" && !ur.peer() {
		e := ur.r.remote(u.app.name)
		text += fmt.Sprintf(" for %s:%s", e.Application, e.Name)
	}
	return text
}

func (r *relation) status() RelationStatus {
	s := RelationStatus{ID: r.id, Interface: r.data.Interface, Type: "regular", Life: "alive"}
	ends := slices.Clone(r.data.Endpoints)
	slices.SortStableFunc(ends, func(a, b model.RelationEndpoint) int {
		return strings.Compare(a.Role, b.Role) // provider, requirer
	})
	for _, e := range ends {
		s.Endpoints = append(s.Endpoints, e.Application+":"+e.Name)
	}
	switch {
	case r.data.Peer():
		s.Type = "peer"
	case r.data.Scope == model.Container:
		s.Type = "subordinate"
	}
	if r.dying {
		s.Life = "dying"
	}
	return s
}

// Unit returns the line of a unit; ok is false if there is none.
func (s Status) Unit(name string) (u UnitStatus, ok bool) {
	i := slices.IndexFunc(s.Units, func(u UnitStatus) bool { return u.Name == name })
	if i < 0 {
		return UnitStatus{}, false
	}
	return s.Units[i], true
}

// String is the table that juju status prints.
func (s Status) String() string {
	var b strings.Builder
	t := table{{"Model", "Version"}, {s.Model, s.Version}}
	t.print(&b)
	if len(s.Applications) > 0 {
		t = table{{"App", "Version", "Status", ">Scale", "Charm", "Channel", ">Rev", "Exposed", "Message"}}
		for _, a := range s.Applications {
			t = append(t, []string{a.Name, a.Version, a.Status, fmt.Sprint(a.Units), a.Charm, "", fmt.Sprint(a.Revision), "no", a.Message})
		}
		b.WriteByte('\n')
		t.print(&b)
	}
	if len(s.Units) > 0 {
		t = table{{"Unit", "Workload", "Agent", "Machine", "Public address", "Ports", "Message"}}
		for _, u := range s.Units {
			if u.Principal == "" {
				t = append(t, u.row(""))
				for _, sub := range s.Units {
					if sub.Principal == u.Name {
						t = append(t, sub.row("  "))
					}
				}
			}
		}
		b.WriteByte('\n')
		t.print(&b)
	}
	if len(s.Relations) > 0 {
		t = table{{"Integration provider", "Requirer", "Interface", "Type", "Message"}}
		for _, r := range s.Relations {
			message := ""
			if r.Life != "alive" {
				message = r.Life
			}
			t = append(t, []string{r.Endpoints[0], r.Endpoints[len(r.Endpoints)-1], r.Interface, r.Type, message})
		}
		b.WriteByte('\n')
		t.print(&b)
	}
	return b.String()
}

func (u UnitStatus) row(indent string) []string {
	name := indent + u.Name
	if u.Leader {
		name += "*"
	}
	return []string{name, u.Workload, u.Agent, u.Machine, u.Address, strings.Join(u.Ports, ","), u.Message}
}

// A table is printed with two spaces between its columns. A title that starts
// with ">" is that of a column aligned to the right.
type table [][]string

func (t table) print(b *strings.Builder) {
	right := make([]bool, len(t[0]))
	for i, title := range t[0] {
		t[0][i], right[i] = strings.CutPrefix(title, ">")
	}
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			row[i] = strings.Join(strings.Fields(cell), " ")
			if strings.HasPrefix(cell, "  ") {
				row[i] = "  " + row[i]
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for _, row := range t {
		line := ""
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				line += space + cell + "  "
			} else {
				line += cell + space + "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
