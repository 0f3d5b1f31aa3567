package netcheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sysfs is where the kernel shows its network interfaces.
const Sysfs = "/sys"

// A Link is the state of a network interface as the kernel shows it below
// /sys/class/net (Documentation/ABI/testing/sysfs-class-net).
type Link struct {
	Name string `json:"name"`
	// MTU is in bytes.
	MTU int `json:"mtu"`
	// State is "up", "down", "unknown" and so on.
	State string `json:"state"`
	// Carrier is whether there is a signal.
	Carrier bool `json:"carrier"`
	// SpeedMbit is the speed in Mbit/s; 0 if the kernel does not know it.
	SpeedMbit int `json:"speed_mbit,omitempty"`
	// Duplex is "full" or "half"; "" if the kernel does not know it.
	Duplex string `json:"duplex,omitempty"`
}

// Up is whether the link can carry traffic. Interfaces without a notion of
// state, such as loopback, are "unknown" and count as up with a carrier.
func (l Link) Up() bool { return l.Carrier && (l.State == "up" || l.State == "unknown") }

// ReadLink reads the state of one interface from the sysfs at root, usually
// [Sysfs]. It fails if there is no such interface.
func ReadLink(root, name string) (Link, error) {
	dir, err := interfaceDir(root, name)
	if err != nil {
		return Link{}, err
	}
	if _, err := os.Stat(dir); err != nil {
		return Link{}, fmt.Errorf("cannot read network interface %s: %w", name, err)
	}
	l := Link{Name: name}
	l.MTU, _ = readInt(dir, "mtu")
	l.State, _ = readString(dir, "operstate")
	// Reading the carrier of an interface that is down is an error.
	carrier, _ := readInt(dir, "carrier")
	l.Carrier = carrier == 1
	if speed, err := readInt(dir, "speed"); err == nil && speed > 0 {
		l.SpeedMbit = speed
	}
	if duplex, _ := readString(dir, "duplex"); duplex != "unknown" {
		l.Duplex = duplex
	}
	return l, nil
}

// ReadLinks reads the state of all interfaces, ordered by name.
func ReadLinks(root string) ([]Link, error) {
	dir := filepath.Join(root, "class", "net")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the network interfaces: %w", err)
	}
	var links []Link
	for _, e := range entries {
		// Beside interfaces there may be files such as bonding_masters.
		if _, err := os.Stat(filepath.Join(dir, e.Name(), "mtu")); err != nil {
			continue
		}
		l, err := ReadLink(root, e.Name())
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	return links, nil
}

// interfaceDir returns the directory of an interface. Names may come from a
// charm's configuration, and must not lead elsewhere.
func interfaceDir(root, name string) (string, error) {
	if name == "" || name == "." || name == ".." || len(name) > 15 || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("cannot use %q as the name of a network interface", name)
	}
	return filepath.Join(root, "class", "net", name), nil
}

func readString(elem ...string) (string, error) {
	data, err := os.ReadFile(filepath.Join(elem...))
	return strings.TrimSpace(string(data)), err
}

func readInt(elem ...string) (int, error) {
	s, err := readString(elem...)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(s)
}

// Links checks that network interfaces are up and fast enough.
type Links struct {
	// Root is where sysfs is. "" means [Sysfs].
	Root string
	// Names are the interfaces to check. None means all that are, or could be,
	// connected to something: all but loopback.
	Names []string
	// MinimumMbit is the speed that each has to have at least, in Mbit/s. Zero
	// means any.
	MinimumMbit int
	// Budget is how long the check may take. Zero means 5 s.
	Budget time.Duration
}

// A LinksResult is what [Links] finds.
type LinksResult struct {
	Outcome
	Links []Link `json:"links"`
}

// Check reads the state of the interfaces.
func (c Links) Check(ctx context.Context) LinksResult {
	r := begin(ctx, KindLinks, Peer{}, c.Budget, 5*time.Second)
	links, wrong, err := find(c.Root, c.Names, ReadLink, ReadLinks)
	if err != nil {
		return LinksResult{Outcome: r.end(unsupported(err), "links: %v", err)}
	}
	if len(c.Names) == 0 {
		links = slices.DeleteFunc(links, func(l Link) bool { return l.Name == "lo" })
	}
	result := LinksResult{Links: links}
	for _, l := range result.Links {
		switch {
		case !l.Up():
			wrong = append(wrong, l.Name+" down")
		case c.MinimumMbit > 0 && l.SpeedMbit == 0:
			wrong = append(wrong, l.Name+" has no known speed")
		case l.SpeedMbit < c.MinimumMbit:
			wrong = append(wrong, fmt.Sprintf("%s has %d < %d Mbit/s", l.Name, l.SpeedMbit, c.MinimumMbit))
		}
	}
	if len(wrong) > 0 {
		result.Outcome = r.end(Failed, "links: %s", strings.Join(wrong, ", "))
	} else {
		result.Outcome = r.end(OK, "links ok")
	}
	return result
}

// find reads the interfaces called names, or all if there are no names, and
// lists those that are missing.
func find[T any](root string, names []string, read func(root, name string) (T, error), readAll func(root string) ([]T, error)) (found []T, missing []string, err error) {
	root = cmp.Or(root, Sysfs)
	if len(names) == 0 {
		found, err = readAll(root)
		return found, nil, err
	}
	for _, name := range names {
		one, err := read(root, name)
		if err != nil {
			missing = append(missing, name+" missing")
			continue
		}
		found = append(found, one)
	}
	return found, missing, nil
}

// unsupported tells a machine without sysfs from one with something wrong.
func unsupported(err error) State {
	if errors.Is(err, fs.ErrNotExist) {
		return Skipped
	}
	return Failed
}
