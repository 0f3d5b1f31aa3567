package jujusim_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
)

// A Model's methods may be called at the same time; the race detector watches.
// What must hold afterwards holds whatever came first: no upgrade, unit or
// application got lost.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	charm := jujusim.Charm{
		Files: files("name: a\nsummary: s\ndescription: d\npeers: {p: {interface: i}}\nconfig: {options: {o: {type: string}}}\n"),
		Run:   func(context.Context, hooktool.Process) int { return 0 },
	}
	if err := m.Deploy("a", charm, jujusim.DeployOptions{Units: 2}); err != nil {
		t.Fatal(err)
	}
	const rounds = 20
	var wg sync.WaitGroup
	for _, do := range []func(i int) error{
		func(int) error { return m.Upgrade("a", charm) },
		func(int) error { return m.Upgrade("a", charm) },
		func(i int) error { return m.Deploy(fmt.Sprintf("b%d", i), charm, jujusim.DeployOptions{}) },
		func(int) error { _, err := m.AddUnit("a", 1); return err },
		func(i int) error { return m.Configure("a", map[string]any{"o": fmt.Sprint(i)}) },
		func(int) error { return m.SetLeader("a/1") },
		func(int) error { return m.UpdateStatus() },
		func(int) error { return m.Reboot("0") },
		func(int) error { _, err := m.Step(t.Context()); return err },
		func(int) error { m.View(func(*model.Model) {}); m.Snapshot(); return nil },
		func(int) error { _, _, _, _ = m.Status(), m.History(), m.Units("a"), m.Failed(); return nil },
	} {
		wg.Go(func() {
			for i := range rounds {
				if err := do(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	applications := m.Status().Applications
	if len(applications) != 1+rounds || applications[0].Revision != 2*rounds || len(m.Units("a")) != 2+rounds {
		t.Errorf("there are %d applications, and the first is %+v", len(applications), applications[0])
	}
	if err := m.Settle(t.Context()); err != nil {
		t.Error(err)
	}
}

// Units may begin their hooks at the same time: the charm's files are kept once
// for all of them.
func TestConcurrentStart(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{})
	charm := files("name: a\nsummary: s\ndescription: d\n")
	charm["hooks/install"] = &fstest.MapFile{Data: []byte("#!/bin/sh\n"), Mode: 0o755}
	if err := m.Deploy("a", jujusim.Charm{Files: charm}, jujusim.DeployOptions{Units: 4}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, unit := range m.Units("a") {
		wg.Go(func() {
			if _, err := m.Do(t.Context(), jujusim.Hook{Unit: unit, Name: "install"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, d := range m.History() {
		if d.Outcome != jujusim.Done {
			t.Errorf("%s of %s ended %s: %s", d.Hook, d.Unit, d.Outcome, d.Err)
		}
	}
}
