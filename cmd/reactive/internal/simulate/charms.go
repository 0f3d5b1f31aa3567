// Package simulate runs the charms of a bundle in a simulated Juju, and traces
// what they do.
package simulate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
	"github.com/charmed-go/charms/cmd/reactive/internal/bundle"
	"github.com/charmed-go/charms/cmd/reactive/internal/charmgraph"
	"github.com/charmed-go/charms/cmd/reactive/internal/pack"
	"github.com/charmed-go/charms/internal/explore"
	"github.com/charmed-go/charms/internal/picture"
	"github.com/charmed-go/charms/jujusim"
)

// A Scenario is a bundle whose charms are ready to run.
type Scenario struct {
	bundle *bundle.Bundle
	dirs   map[string]string // where the charm of a path is unpacked
}

// Prepare unpacks the charms of a bundle under dir. A charm that is a source
// tree is packed for this machine first; report is told, if it is not nil.
func Prepare(ctx context.Context, b *bundle.Bundle, dir string, report func(pack.Event)) (*Scenario, error) {
	s := &Scenario{bundle: b, dirs: make(map[string]string)}
	for _, a := range b.Applications {
		if s.dirs[a.Charm] != "" {
			continue
		}
		charm, err := prepare(ctx, a.Charm, filepath.Join(dir, fmt.Sprint(len(s.dirs))), report)
		if err != nil {
			return nil, fmt.Errorf("cannot prepare application %q: %w", a.Name, err)
		}
		s.dirs[a.Charm] = charm
	}
	return s, s.check()
}

func prepare(ctx context.Context, path, dir string, report func(pack.Event)) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		if runnable(path) {
			return path, nil
		}
		if path, err = packHere(ctx, path, dir+".pack", report); err != nil {
			return "", err
		}
	}
	if err := archive.Unpack(path, dir); err != nil {
		return "", err
	}
	found := archive.Check(os.DirFS(dir))
	// Juju would take it, and here nobody else sees it.
	found = slices.DeleteFunc(found, func(v archive.Violation) bool { return v.Rule == archive.NoSecrets })
	if len(found) > 0 {
		return "", &pack.RefusedError{Charm: path, Violations: found}
	}
	return dir, checkArchitecture(path, dir)
}

// runnable says whether a directory is a charm that can run as it is.
func runnable(dir string) bool {
	for _, name := range []string{"dispatch", "hooks"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// packHere packs a source tree for the platform of this machine.
func packHere(ctx context.Context, dir, out string, report func(pack.Event)) (string, error) {
	charm, err := charmfile.Load(dir)
	if err != nil {
		return "", err
	}
	opts := pack.Options{Dir: dir, OutDir: out, Report: report}
	for _, p := range charm.Platforms {
		_, arch, _ := strings.Cut(":"+p.BuildFor[0], ":")
		if i := strings.LastIndex(arch, ":"); i >= 0 {
			arch = arch[i+1:]
		}
		if name, _ := archive.GOARCH(arch); name == runtime.GOARCH {
			opts.Platforms = []string{p.Name}
			break
		}
	}
	if len(charm.Platforms) > 0 && opts.Platforms == nil {
		return "", fmt.Errorf("%s is not built for %s, the architecture of this machine", dir, runtime.GOARCH)
	}
	results, err := pack.Pack(ctx, opts)
	if err != nil {
		return "", err
	}
	return results[0].Path, nil
}

// checkArchitecture says in words what would else be "exec format error".
func checkArchitecture(path, dir string) error {
	charm, err := charmfile.Load(dir)
	if err != nil {
		return err
	}
	var all []string
	for _, b := range charm.Bases {
		for _, arch := range b.Architectures {
			if name, _ := archive.GOARCH(arch); name == runtime.GOARCH {
				return nil
			}
			all = append(all, arch)
		}
	}
	if len(all) > 0 {
		return fmt.Errorf("%s is for %s, and this machine is %s", path, strings.Join(all, ", "), runtime.GOARCH)
	}
	return nil
}

// check finds mistakes of the bundle that would otherwise show only later.
func (s *Scenario) check() error {
	for _, a := range s.bundle.Applications {
		charm, err := charmfile.Load(s.dirs[a.Charm])
		if err != nil {
			return err
		}
		switch {
		case charm.Subordinate && a.Units > 0:
			return fmt.Errorf("application %q: num_units: its charm is a subordinate, whose units come with its relations", a.Name)
		case !charm.Subordinate && a.Units == 0 && !s.bundle.Kubernetes:
			return fmt.Errorf("application %q: num_units: is missing; without it Juju deploys no unit", a.Name)
		}
	}
	return nil
}

// Steps returns what an operator does who deploys the bundle.
func (s *Scenario) Steps() []explore.Step {
	var steps []explore.Step
	for _, a := range s.bundle.Applications {
		steps = append(steps, func(m *jujusim.Model) error {
			to, err := machines(m, a.To)
			if err != nil {
				return fmt.Errorf("application %q: %w", a.Name, err)
			}
			return m.Deploy(a.Name, jujusim.Charm{Path: s.dirs[a.Charm]}, jujusim.DeployOptions{
				Units: a.Units, Config: a.Config, To: to, Trust: a.Trust, Resources: s.resources(a),
			})
		})
	}
	for _, r := range s.bundle.Relations {
		steps = append(steps, func(m *jujusim.Model) error {
			_, err := m.Relate(r[0], r[1])
			return err
		})
	}
	return steps
}

// resources returns those resources that are files; the others are revisions
// on Charmhub or images.
func (s *Scenario) resources(a bundle.Application) map[string]string {
	paths := make(map[string]string)
	for name, path := range a.Resources {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			paths[name] = path
		}
	}
	return paths
}

// machines turns a bundle's placements into ids of machines.
func machines(m *jujusim.Model, to []string) ([]string, error) {
	var ids []string
	for _, p := range to {
		switch {
		case p == "new" || strings.Contains(p, ":"):
			// A container is a machine of its own in all that a charm sees.
			ids = append(ids, "")
		case strings.Contains(p, "/"):
			u, ok := m.Status().Unit(p)
			if !ok {
				return nil, fmt.Errorf("to: there is no unit %s; list its application before", p)
			}
			ids = append(ids, u.Machine)
		default:
			ids = append(ids, p)
		}
	}
	return ids, nil
}

// Graphs returns the handlers and flags of those charms that are made with
// package reactive: they are asked for them.
func (s *Scenario) Graphs(ctx context.Context) []picture.Graph {
	var graphs []picture.Graph
	for _, path := range slices.Sorted(maps.Keys(s.dirs)) {
		g, ok, err := charmgraph.Of(ctx, filepath.Join(s.dirs[path], "dispatch"), s.dirs[path])
		if !ok || err != nil {
			continue // the trace is as good without
		}
		g.Applications = nil
		for _, a := range s.bundle.Applications {
			if a.Charm == path {
				g.Applications = append(g.Applications, a.Name)
			}
		}
		graphs = append(graphs, g)
	}
	return graphs
}

// exists says whether a file is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
