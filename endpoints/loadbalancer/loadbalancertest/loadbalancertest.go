// Package loadbalancertest has the counterparts for tests of charms that speak
// the interface loadbalancer: a provider for those that ask for load balancers,
// and a consumer for those that make them (the fixture lb_charms of the Python
// library).
//
// In the simulated Juju each is there in one line:
//
//	func TestAsksForALoadBalancer(t *testing.T) {
//		m, err := jujusim.New(jujusim.Options{})
//		if err != nil {
//			t.Fatal(err)
//		}
//		defer m.Close()
//		if err := m.Deploy("lb", loadbalancertest.Provider(), jujusim.DeployOptions{}); err != nil {
//			t.Fatal(err)
//		}
//		if err := m.Deploy("my-charm", myCharm, jujusim.DeployOptions{}); err != nil {
//			t.Fatal(err)
//		}
//		if _, err := m.Relate("my-charm:lb-provider", "lb:lb-consumers"); err != nil {
//			t.Fatal(err)
//		}
//		if err := m.Settle(t.Context()); err != nil {
//			t.Fatal(err)
//		}
//		if unit, _ := m.Status().Unit("my-charm/0"); unit.Message != "at 192.0.2.1" {
//			t.Errorf("the charm says %q", unit.Message)
//		}
//	}
//
// The provider has the endpoint lb-consumers and the options address, reject
// (fields that it does not support) and fail (why it fails). The consumer has
// the endpoint lb-provider and options for what it asks for; what it got is its
// status, such as "active: at 192.0.2.1".
//
// For tests on a real Juju, [Pack] makes the charms lb-provider and lb-consumer;
// "reactive pack" does so too, in the directories of these names.
package loadbalancertest

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer/loadbalancertest/internal/basic"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

//go:embed lb-provider/charmcraft.yaml lb-consumer/charmcraft.yaml
var charms embed.FS

// Provider returns the basic provider, to be deployed into a simulated model.
func Provider() jujusim.Charm {
	return jujusim.Charm{Files: files("lb-provider"), Run: reactive.Program(basic.NewProvider)}
}

// Consumer returns the basic consumer, to be deployed into a simulated model.
func Consumer() jujusim.Charm {
	return jujusim.Charm{Files: files("lb-consumer"), Run: reactive.Program(basic.NewConsumer)}
}

func files(dir string) fs.FS {
	sub, err := fs.Sub(charms, dir)
	if err != nil {
		panic("loadbalancertest: " + err.Error()) // the name is a constant
	}
	return sub
}

// Packed has the paths of packed charms, in the directory that they were packed
// into.
type Packed struct{ Provider, Consumer string }

// Pack packs both charms for this machine into a directory and returns their
// files, for "juju deploy". It runs the Go tool in a module that requires this
// one.
func Pack(ctx context.Context, dir string) (Packed, error) {
	const pkg = "github.com/charmed-go/charms"
	var made [2]string
	for i, name := range []string{"lb-provider", "lb-consumer"} {
		source, err := run(ctx, "go", "list", "-f", "{{.Dir}}", pkg+"/endpoints/loadbalancer/loadbalancertest/"+name)
		if err != nil {
			return Packed{}, fmt.Errorf("cannot pack %s: %w", name, err)
		}
		if _, err := run(ctx, "go", "run", pkg+"/cmd/reactive", "pack", "--platform", runtime.GOARCH, "--output", dir, source); err != nil {
			return Packed{}, fmt.Errorf("cannot pack %s: %w", name, err)
		}
		made[i] = filepath.Join(dir, name+"_"+runtime.GOARCH+".charm")
		if _, err := os.Stat(made[i]); err != nil {
			return Packed{}, fmt.Errorf("cannot pack %s: %w", name, err)
		}
	}
	return Packed{Provider: made[0], Consumer: made[1]}, nil
}

func run(ctx context.Context, name string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, args[0], err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
