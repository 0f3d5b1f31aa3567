package netcheck

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Bits of the state of a port in LACP (IEEE 802.1AX, 6.4.2.3).
const (
	LACPActivity        = 0x01
	LACPTimeout         = 0x02
	LACPAggregation     = 0x04
	LACPSynchronization = 0x08
	LACPCollecting      = 0x10
	LACPDistributing    = 0x20
	LACPDefaulted       = 0x40
	LACPExpired         = 0x80
)

// A Bond is the state of a bonded interface as the kernel shows it below
// /sys/class/net/BOND/bonding (Documentation/networking/bonding.rst).
type Bond struct {
	Link
	// Mode is the mode without its number, such as "802.3ad" or "active-backup".
	Mode string `json:"mode"`
	// Aggregator is the active aggregator, with LACP.
	Aggregator int     `json:"aggregator,omitempty"`
	Slaves     []Slave `json:"slaves"`
}

// LACP is whether the bond speaks LACP.
func (b Bond) LACP() bool { return b.Mode == "802.3ad" }

// A Slave is one interface of a bond.
type Slave struct {
	Link
	// MIIStatus is "up" or "down".
	MIIStatus string `json:"mii_status"`
	// Aggregator is the aggregator the interface belongs to, with LACP.
	Aggregator int `json:"aggregator,omitempty"`
	// Actor and Partner are the states of the port and of the switch's port,
	// with LACP, as the LACP bits of this package.
	Actor   int `json:"actor_state,omitempty"`
	Partner int `json:"partner_state,omitempty"`
}

// ReadBond reads the state of one bond from the sysfs at root.
func ReadBond(root, name string) (Bond, error) {
	link, err := ReadLink(root, name)
	if err != nil {
		return Bond{}, err
	}
	dir := filepath.Join(root, "class", "net", name, "bonding")
	mode, err := readString(dir, "mode")
	if err != nil {
		return Bond{}, fmt.Errorf("cannot read bond %s: %w", name, err)
	}
	b := Bond{Link: link}
	b.Mode, _, _ = strings.Cut(mode, " ")
	b.Aggregator, _ = readInt(dir, "ad_aggregator")
	slaves, err := readString(dir, "slaves")
	if err != nil {
		return Bond{}, fmt.Errorf("cannot read the slaves of bond %s: %w", name, err)
	}
	for _, s := range strings.Fields(slaves) {
		link, err := ReadLink(root, s)
		if err != nil {
			return Bond{}, err
		}
		dir := filepath.Join(root, "class", "net", s, "bonding_slave")
		slave := Slave{Link: link}
		slave.MIIStatus, _ = readString(dir, "mii_status")
		slave.Aggregator, _ = readInt(dir, "ad_aggregator_id")
		slave.Actor, _ = readInt(dir, "ad_actor_oper_port_state")
		slave.Partner, _ = readInt(dir, "ad_partner_oper_port_state")
		b.Slaves = append(b.Slaves, slave)
	}
	return b, nil
}

// ReadBonds reads the state of all bonds, ordered by name. A machine without
// bonds has none.
func ReadBonds(root string) ([]Bond, error) {
	masters, err := readString(root, "class", "net", "bonding_masters")
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(root, "class", "net")); err != nil {
			return nil, fmt.Errorf("cannot list the bonds: %w", err)
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the bonds: %w", err)
	}
	names := strings.Fields(masters)
	slices.Sort(names)
	var bonds []Bond
	for _, name := range names {
		b, err := ReadBond(root, name)
		if err != nil {
			return nil, err
		}
		bonds = append(bonds, b)
	}
	return bonds, nil
}

// Bonds checks that bonds and all their slaves are up and, with LACP, that all
// slaves belong to the active aggregator and agree with the switch.
type Bonds struct {
	// Root is where sysfs is. "" means [Sysfs].
	Root string
	// Names are the bonds to check. None means all there are.
	Names []string
	// Passive tolerates that one side is passive, that is, waits for the other
	// to speak LACP first.
	Passive bool
	// Budget is how long the check may take. Zero means 5 s.
	Budget time.Duration
}

// A BondsResult is what [Bonds] finds.
type BondsResult struct {
	Outcome
	Bonds []Bond `json:"bonds"`
}

// Check reads the state of the bonds. It is skipped if there are none, and
// none are asked for.
func (c Bonds) Check(ctx context.Context) BondsResult {
	r := begin(ctx, KindBonds, Peer{}, c.Budget, 5*time.Second)
	bonds, wrong, err := find(c.Root, c.Names, ReadBond, ReadBonds)
	if err != nil {
		return BondsResult{Outcome: r.end(unsupported(err), "bonds: %v", err)}
	}
	result := BondsResult{Bonds: bonds}
	for _, b := range result.Bonds {
		wrong = append(wrong, b.faults(c.Passive)...)
	}
	switch {
	case len(wrong) > 0:
		result.Outcome = r.end(Failed, "bonds: %s", strings.Join(wrong, ", "))
	case len(result.Bonds) == 0:
		result.Outcome = r.end(Skipped, "no bonds")
	default:
		result.Outcome = r.end(OK, "bonds ok")
	}
	return result
}

// faults says what is wrong with a bond.
func (b Bond) faults(passive bool) []string {
	var wrong []string
	add := func(format string, args ...any) {
		wrong = append(wrong, fmt.Sprintf(format, args...))
	}
	if !b.Up() {
		add("%s down", b.Name)
	}
	if len(b.Slaves) == 0 {
		add("%s has no slaves", b.Name)
	}
	ignore := 0
	if passive {
		ignore = LACPActivity
	}
	const carrying = LACPSynchronization | LACPCollecting | LACPDistributing
	for _, s := range b.Slaves {
		name := b.Name + ":" + s.Name
		switch {
		case !s.Up() || s.MIIStatus == "down":
			add("%s down", name)
		case !b.LACP():
		case s.Aggregator != b.Aggregator:
			add("%s aggregator %d, not %d", name, s.Aggregator, b.Aggregator)
		case s.Partner&LACPDefaulted != 0 || s.Actor&LACPDefaulted != 0:
			add("%s: no LACP from the switch", name)
		case s.Partner&LACPExpired != 0 || s.Actor&LACPExpired != 0:
			add("%s: LACP expired", name)
		case s.Actor&^ignore != s.Partner&^ignore:
			add("%s LACP port state 0x%02x, 0x%02x at the switch", name, s.Actor, s.Partner)
		case s.Actor&carrying != carrying:
			add("%s LACP port state 0x%02x carries nothing", name, s.Actor)
		}
	}
	return wrong
}
