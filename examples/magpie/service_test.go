package main

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
)

// TestSystemd looks at what systemd is told, through a systemctl that only
// notes it.
func TestSystemd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	journal := filepath.Join(dir, "journal")
	systemctl := filepath.Join(dir, "systemctl")
	if err := os.WriteFile(systemctl, []byte("#!/bin/sh\necho \"$@\" >> '"+journal+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := systemd{name: "magpie-responder-magpie-0", config: filepath.Join(dir, "50% \"charm\"", "responder.json"), units: dir, systemctl: systemctl}
	if err := os.Mkdir(filepath.Dir(s.config), 0o755); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		t.Helper()
		text, err := os.ReadFile(journal)
		if err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(journal)
		return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", "; ")
	}
	steps := []struct {
		name string
		do   func() error
		want string
	}{
		{"first", func() error { return s.ensure(t.Context(), responderConfig{Port: 1}) }, "daemon-reload; enable magpie-responder-magpie-0; restart magpie-responder-magpie-0"},
		{"again", func() error { return s.ensure(t.Context(), responderConfig{Port: 1}) }, "start magpie-responder-magpie-0"},
		{"other port", func() error { return s.ensure(t.Context(), responderConfig{Port: 2}) }, "restart magpie-responder-magpie-0"},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := said(); got != step.want {
			t.Errorf("%s: systemctl %s, want %s", step.name, got, step.want)
		}
	}
	text, err := os.ReadFile(s.unitFile())
	if err != nil {
		t.Fatal(err)
	}
	if want := `responder "` + dir + `/50%% \"charm\"/responder.json"` + "\n"; !strings.Contains(string(text), want) {
		t.Errorf("the unit file does not say %s:\n%s", want, text)
	}
	for range 2 { // the second time there is nothing to remove
		if err := s.remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := said(), "disable --now magpie-responder-magpie-0; daemon-reload"; got != want {
		t.Errorf("remove: systemctl %s, want %s", got, want)
	}
	if _, err := os.Stat(s.unitFile()); err == nil {
		t.Error("the unit file is still there")
	}
	if err := os.WriteFile(systemctl, []byte("#!/bin/sh\necho no bus >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.ensure(t.Context(), responderConfig{Port: 3}); err == nil || !strings.Contains(err.Error(), "no bus") {
		t.Errorf("systemctl failed, ensure says %v", err)
	}
}

// TestProcess starts the responder as a plain process, which this test's binary
// then is, and ends it.
func TestProcess(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	dir := t.TempDir()
	p := process{dir: dir, config: filepath.Join(dir, "responder.json")}
	t.Cleanup(func() { _ = p.remove(context.Background()) })
	config := responderConfig{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: port}
	if err := p.ensure(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	first := p.running()
	peer := netcheck.Peer{Name: "magpie/1", Addr: config.Addresses[0], Port: uint16(port)}
	if r := (netcheck.TCP{}).Check(t.Context(), peer); first == 0 || r.State != netcheck.OK {
		t.Errorf("process %d does not answer: %s", first, r.Sentence)
	}
	if err := p.ensure(t.Context(), config); err != nil || p.running() != first {
		t.Errorf("ensured again: process %d, then %d, %v", first, p.running(), err)
	}
	config.Report = filepath.Join(dir, "report.json")
	if err := p.ensure(t.Context(), config); err != nil || p.running() == first || p.running() == 0 {
		t.Errorf("with another configuration: process %d, then %d, %v", first, p.running(), err)
	}
	for range 2 { // the second time there is nothing to remove
		if err := p.remove(t.Context()); err != nil || p.running() != 0 {
			t.Errorf("removed, but process %d runs, %v", p.running(), err)
		}
	}
	if r := (netcheck.TCP{}).Check(t.Context(), peer); r.State != netcheck.Failed {
		t.Errorf("removed, but somebody answers: %s", r.Sentence)
	}
}

// TestManagers changes what runs the responder: the former no longer does.
func TestManagers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	journal := filepath.Join(dir, "journal")
	systemctl := filepath.Join(dir, "systemctl")
	if err := os.WriteFile(systemctl, []byte("#!/bin/sh\necho \"$@\" >> '"+journal+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	m := managers{
		systemd{name: "magpie-responder", config: filepath.Join(dir, "responder.json"), units: dir, systemctl: systemctl},
		process{dir: dir, config: filepath.Join(dir, "responder.json")},
	}
	t.Cleanup(func() { _ = m.remove(context.Background()) })
	config := responderConfig{Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, Port: port}
	enabled := func() bool {
		_, err := os.Stat(m.systemd.unitFile())
		return err == nil
	}
	for _, step := range []struct {
		manager            string
		enabled, isProcess bool
	}{{"process", false, true}, {"systemd", true, false}, {"process", false, true}} {
		if err := m.ensure(t.Context(), step.manager, config); err != nil {
			t.Fatalf("%s: %v", step.manager, err)
		}
		if enabled() != step.enabled || (m.process.running() != 0) != step.isProcess {
			t.Errorf("%s: systemd %t, process %d", step.manager, enabled(), m.process.running())
		}
	}
	if err := m.remove(t.Context()); err != nil || enabled() || m.process.running() != 0 {
		t.Errorf("removed, but systemd %t, process %d, %v", enabled(), m.process.running(), err)
	}
}

// TestProcessCannotStart sees that what keeps the responder from serving is
// said.
func TestProcessCannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := process{dir: dir, config: filepath.Join(dir, "responder.json")}
	// An address that no machine has (RFC 5737).
	err := p.ensure(t.Context(), responderConfig{Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Port: 7117})
	if err == nil || !strings.Contains(err.Error(), "cannot start the responder: cannot serve network checks on 192.0.2.1:7117") {
		t.Errorf("error %v", err)
	}
	if p.running() != 0 {
		t.Error("a process is said to run")
	}
	if err := p.remove(t.Context()); err != nil {
		t.Error(err)
	}
}
