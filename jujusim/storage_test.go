package jujusim_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/google/go-cmp/cmp"
)

func TestStorage(t *testing.T) {
	t.Parallel()
	const stored = `
name: stored
summary: s
description: d
storage:
  data: {type: filesystem, location: /srv/data}
  cache:
    type: filesystem
    multiple: {range: 0-2}
`
	c := charm(stored, func(at string, tool func(...string) string) error {
		if at == "start" {
			if out := tool("storage-add", "cache=1"); out != "" {
				return errors.New(out)
			}
		}
		return nil
	})
	m := newModel(t, jujusim.Options{})
	must(t, m.Deploy("s", c, jujusim.DeployOptions{}))
	must(t, m.Settle(t.Context()))
	want := []string{"data-storage-attached", "install", "leader-elected", "config-changed", "start", "cache-storage-attached"}
	if diff := cmp.Diff(want, ran(m, "s/0")); diff != "" {
		t.Error(diff)
	}
	var ids []string
	m.View(func(data *model.Model) { ids = slices.Sorted(maps.Keys(data.Unit("s/0").Storage)) })
	if len(ids) != 2 {
		t.Fatalf("the unit has storage %v", ids)
	}
	must(t, m.DetachStorage("s/0", ids[0]))
	must(t, m.Settle(t.Context()))
	if got := ran(m, "s/0"); got[len(got)-1] != "cache-storage-detaching" {
		t.Errorf("it ran %v", got)
	}
	if got := m.Snapshot().Unit("s/0").Storage; len(got) != 1 {
		t.Errorf("the unit has storage %v", got)
	}
}

// A unit that is removed sees its storage go before it stops. What it has not
// seen attached it does not see.
func TestStorageOfARemovedUnit(t *testing.T) {
	t.Parallel()
	const stored = `
name: stored
summary: s
description: d
provides: {site: {interface: http}}
storage:
  data: {type: filesystem}
  cache: {type: filesystem, multiple: {range: 1+}}
`
	for seed := range uint64(10) {
		m := newModel(t, jujusim.Options{Seed: seed})
		must(t, m.Deploy("s", charm(stored, idle), jujusim.DeployOptions{}))
		must(t, m.Settle(t.Context()))
		must1[*jujusim.ExecResult](t)(m.Exec(t.Context(), "s/0", jujusim.ExecOptions{Run: func(ctx context.Context, p hooktool.Process) int {
			r, err := p.Tools.Call(ctx, hooktool.Call{Tool: "storage-add", Args: []string{"cache"}})
			return r.Code + len(fmt.Sprint(err)) - len("<nil>")
		}}))
		if n := len(m.Snapshot().Unit("s/0").Storage); n != 3 {
			t.Fatalf("the unit has %d instances", n)
		}
		must(t, m.RemoveUnit("s/0"))
		before := len(m.History())
		must(t, m.Settle(t.Context()))
		var got []string
		for _, d := range m.History()[before:] {
			got = append(got, d.At)
		}
		slices.Sort(got[:len(got)-2])
		if want := []string{"cache-storage-detaching", "data-storage-detaching", "stop", "remove"}; !slices.Equal(got, want) {
			t.Errorf("seed %d: the unit ran %v, want %v", seed, got, want)
		}
	}
}

// On Kubernetes storage comes only once there is a container to have it in.
func TestStorageOnKubernetes(t *testing.T) {
	t.Parallel()
	const stored = `
name: stored
summary: s
description: d
storage: {data: {type: filesystem}}
`
	m := newModel(t, jujusim.Options{Kubernetes: true})
	must(t, m.Deploy("s", charm(stored, idle), jujusim.DeployOptions{}))
	if err := m.Legal(jujusim.Hook{Unit: "s/0", Name: "data-storage-attached", Storage: "data/0"}); err == nil || err.Error() != "the unit has not started" {
		t.Errorf("before install storage can come: %v", err)
	}
	must(t, m.Settle(t.Context()))
	want := []string{"install", "leader-elected", "config-changed", "start", "data-storage-attached"}
	if diff := cmp.Diff(want, ran(m, "s/0")); diff != "" {
		t.Error(diff)
	}
}
