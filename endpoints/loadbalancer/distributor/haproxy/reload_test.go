package haproxy_test

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/load"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// TestStickTableSurvivesReload: clients come back to their amphorae after the
// configuration was loaded anew, and go elsewhere when theirs is drained.
func TestStickTableSurvivesReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3)
	addVIP(t, s.d, s.id, s.web(distributor.TCP, 28080, 29090), distributor.RoundRobin, distributor.SourceIPPersistence)
	var clients []*http.Client
	for _, source := range s.addrs[:3] {
		dialer := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))}
		clients = append(clients, &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}})
	}
	ask := func(i int) string {
		t.Helper()
		body, _, err := s.get(clients[i], s.url("http", 28080))
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	home := []string{ask(0), ask(1), ask(2)}
	if home[0] == home[1] || home[1] == home[2] || home[2] == home[0] {
		t.Fatalf("the clients are sent to %v", home)
	}
	// What hangs on this is the table being handed over, so give every reload
	// a chance to lose it. An empty table would send who comes first to where
	// the first was sent, so they come the other way round.
	for reload := range uint16(4) {
		addVIP(t, s.d, s.id, s.web(distributor.TCP, 28200+reload, 29090), distributor.RoundRobin, distributor.NoPersistence)
		for i := 2; i >= 0; i-- {
			if got := ask(i); got != home[i] {
				t.Errorf("after reload %d client %d is sent to %s, want %s", reload, i, got, home[i])
			}
		}
	}
	i := int(home[1][1] - '0')
	trial.Run(t, s.d.DrainAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: home[1], Address: s.addrs[i]})...)
	next := ask(1)
	for range 5 {
		if got := ask(1); got != next || got == home[1] {
			t.Errorf("after the drain of %s: %s, then %s", home[1], next, got)
		}
	}
}

// TestUnregisterDoesNotWait: a reload may wait for the table of clients, but who is
// unregistered gets nothing meanwhile.
func TestUnregisterDoesNotWait(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	addVIP(t, s.d, s.id, s.web(distributor.TCP, 28080, 29090), distributor.RoundRobin, distributor.SourceIPPersistence)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func() (string, error) {
		body, _, err := s.get(client, s.url("http", 28080))
		return body, err
	}
	home, err := ask()
	if err != nil {
		t.Fatal(err)
	}
	began, done := time.Now(), make(chan error, 1)
	go func() {
		_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", s.d.UnregisterAmphorae("")), trial.Amphorae(s.id, distributor.Amphora{ID: home})...)
		done <- err
	}()
	// A request that it is just answering may be cut short.
	for who := home; who == home || err != nil; who, err = ask() {
		if time.Since(began) > time.Minute {
			t.Fatalf("%s gets requests for a minute: %v", home, err)
		}
	}
	stopped := time.Since(began)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("no requests after %v of %v", stopped, took)
	if took > 4*time.Second && stopped > took/2 {
		t.Errorf("%s gets requests for %v of the %v that it takes to unregister it", home, stopped, took)
	}
}

// TestFailedReload: an address that cannot be bound, and a configuration that
// passes the check but does not load, fail the flow; what was served is served
// on, and the configuration on the disk is the one that works.
func TestFailedReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	addVIP(t, s.d, s.id, s.web(distributor.HTTP, 28080, 29090), "", "")
	config := filepath.Join(s.o.Dir, "haproxy.cfg")
	good, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	occupied, err := net.Listen("tcp", netip.AddrPortFrom(s.vip, 28081).String())
	if err != nil {
		t.Fatal(err)
	}
	defer occupied.Close()
	l := load.Start(load.Options{Address: netip.AddrPortFrom(s.vip, 28080).String(), Fresh: 2, Kept: 2, Think: time.Millisecond})
	_, err = new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", s.d.AddVIP("")), trial.VIP(s.id, s.web(distributor.HTTP, 28081, 29090), "", "")...)
	if err == nil || !strings.Contains(err.Error(), "cannot be bound") {
		t.Errorf("AddVIP = %v", err)
	}
	now, err := os.ReadFile(config)
	if err != nil || string(now) != string(good) {
		t.Errorf("the configuration was not put back (%v)", err)
	}
	l.Await(t, 50)

	// A program that finds everything in order.
	blind := filepath.Join(t.TempDir(), "blind")
	if err := os.WriteFile(blind, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	o := s.o
	o.Binary, o.User = blind, "no-such-user-anywhere"
	before := reloads(t, s.o)
	_, err = new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", haproxy.New(o).AddVIP("")), trial.VIP(s.id, s.web(distributor.HTTP, 28082, 29090), "", "")...)
	if err == nil || !strings.Contains(err.Error(), "cannot reload HAProxy") {
		t.Errorf("AddVIP = %v", err)
	}
	if now := reloads(t, s.o); now == before {
		t.Error("HAProxy was not even asked to reload")
	}
	// Its flow could not put things in order with the same bad option, but the
	// driver itself had put the good configuration back.
	if now, err := os.ReadFile(config); err != nil || string(now) != string(good) {
		t.Errorf("the configuration was not put back (%v)", err)
	}
	l.Await(t, 50)
	trial.Run(t, s.d.RemoveVIP(""), trial.VIP(s.id, s.web(distributor.HTTP, 28082, 29090), "", "")[:2]...)

	if procs := ask(t, s.o.MasterSocket, "show proc"); strings.Contains(strings.ReplaceAll(procs, "[failed: 0]", ""), "failed") {
		t.Errorf("HAProxy is left with a failed reload:\n%s", procs)
	}

	// And the next change works.
	occupied.Close()
	addVIP(t, s.d, s.id, s.web(distributor.HTTP, 28081, 29090), "", "")
	if got := s.seen(8, s.url("http", 28081)); got["a0"] == 0 || got["a1"] == 0 {
		t.Errorf("the next VIP: %v", got)
	}
	r := l.Stop()
	t.Logf("over a failed reload and its undoing: %v", r)
	if r.Failed() > 0 {
		t.Error("requests were dropped")
	}
}

// TestRefusedConfiguration: a configuration that HAProxy does not take never
// reaches the running one.
func TestRefusedConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	count := reloads(t, s.o)
	o := s.o
	o.User = "no-such-user-anywhere"
	_, err := new(flow.Runner).Run(t.Context(), "run", flow.Linear("f", haproxy.New(o).AddVIP("")), trial.VIP(s.id, s.web(distributor.HTTP, 28081, 29090), "", "")...)
	if err == nil || !strings.Contains(err.Error(), "no-such-user-anywhere") {
		t.Errorf("AddVIP = %v", err)
	}
	if now := reloads(t, s.o); now != count {
		t.Errorf("%s reloads, want %s", now, count)
	}
}

// TestNothingToDo: finding everything in order, the driver reloads nothing.
func TestNothingToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	web := s.web(distributor.HTTP, 28080, 29090)
	addVIP(t, s.d, s.id, web, "", "")
	count := reloads(t, s.o)
	addVIP(t, s.d, s.id, web, "", "")
	for range 2 {
		trial.Run(t, s.d.DrainAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: "a0", Address: s.addrs[0]})...)
		trial.Run(t, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, distributor.Amphora{ID: "a0", Address: s.addrs[0]})...)
	}
	if now := reloads(t, s.o); now != count {
		t.Errorf("%s reloads, want %s", now, count)
	}
}
