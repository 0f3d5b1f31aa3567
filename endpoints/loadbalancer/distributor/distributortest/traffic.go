package distributortest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

func (w *world) testServes() {
	w.serve()
	id := w.create("lb")
	w.addVIP(id, w.vip())
	w.wantRefused(frontPort)
	w.register(id, 0)
	w.wantReached(frontPort, 0)
	w.register(id, 1, 2)
	w.wantReached(frontPort, 0, 1, 2)
	other := w.vip()
	other.ID, other.Ports = "other", []distributor.PortMapping{{Front: otherFrontPort, Back: backPort}}
	id2 := w.create("lb2")
	w.addVIP(id2, other)
	w.register(id2, 2)
	w.wantReached(otherFrontPort, 2)
	w.wantReached(frontPort, 0, 1, 2)
	w.do(w.Driver.DeleteDistributor(""), distributor.DistributorID.Value(id))
	w.wantRefused(frontPort)
	w.wantReached(otherFrontPort, 2)
}

func (w *world) testDrain() {
	w.serve()
	id := w.create("lb")
	w.addVIP(id, w.vip())
	w.register(id, 0, 1)
	old := w.mustConnect(frontPort, "a0")
	w.wantOpen(id, "a0", 1)
	w.drain(id, 0)
	for range 3 {
		if err := old.echo(); err != nil {
			w.t.Fatalf("the established connection: %v", err)
		}
	}
	w.wantReached(frontPort, 1)
	w.wantOpen(id, "a0", 1)
	if err := old.echo(); err != nil {
		w.t.Errorf("the established connection: %v", err)
	}
	old.Close()
	w.wantOpen(id, "a0", 0)
	w.register(id, 0)
	w.wantReached(frontPort, 0, 1)
}

// wantOpen waits until the driver counts n connections to the amphora.
func (w *world) wantOpen(id, amphora string, n int) {
	w.t.Helper()
	got := -1
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		status, err := distributor.DrainStatus(w.ctx, w.Driver, id)
		if errors.Is(err, distributor.ErrNoDrainStatus) {
			return
		}
		if err != nil {
			w.t.Fatal(err)
		}
		for _, s := range status {
			if s.ID == amphora {
				got = s.Connections
			}
		}
		if got == n {
			return
		}
	}
	w.t.Errorf("the driver counts %d connections to %s, want %d", got, amphora, n)
}

func (w *world) testBounded() {
	w.serve()
	id := w.create("lb")
	w.addVIP(id, w.vip())
	w.register(id, 0, 1)

	stays := w.mustConnect(frontPort, "a0")
	began := time.Now()
	res := w.do(distributor.DrainThenUnregister("", w.Driver, distributor.DrainOptions{Timeout: 300 * time.Millisecond, Poll: 10 * time.Millisecond}),
		trial.Amphorae(id, w.amphorae(0)...)...)
	if took := time.Since(began); took < 300*time.Millisecond {
		w.t.Errorf("an open connection was waited for %v of 300ms", took)
	}
	if got, _ := distributor.DrainResultKey.From(res); got.Open["a0"] != 1 && !got.Unknown {
		w.t.Errorf("waiting ended with %+v, want one connection to a0 still open", got)
	}
	w.wantCut(stays)
	w.wantInventory(id, w.items(1))

	if _, ok := w.Driver.(distributor.DrainReporter); !ok {
		return
	}
	w.register(id, 0)
	goes := w.mustConnect(frontPort, "a0")
	var once sync.Once
	began = time.Now()
	res = w.do(distributor.DrainThenUnregister("", w.Driver, distributor.DrainOptions{Timeout: time.Hour, Poll: 10 * time.Millisecond,
		Progress: func([]distributor.AmphoraStatus) { once.Do(func() { goes.Close() }) }}), trial.Amphorae(id, w.amphorae(0)...)...)
	if got, ok := distributor.DrainResultKey.From(res); !ok || len(got.Open) > 0 || got.Unknown {
		w.t.Errorf("waiting ended with %+v after %v", got, time.Since(began))
	}
	w.wantInventory(id, w.items(1))
}

// wantCut waits for the connection to end.
func (w *world) wantCut(c *client) {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
		_, err := fmt.Fprintln(c, "are you there")
		if err == nil {
			_, err = c.r.ReadString('\n')
		}
		if err == nil {
			w.t.Error("the established connection still gets answers")
			return
		}
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			return
		}
	}
	w.t.Error("the established connection was not ended")
}

func (w *world) testUnregister() {
	w.serve()
	id := w.create("lb")
	w.addVIP(id, w.vip())
	w.register(id, 0, 1)
	old := w.mustConnect(frontPort, "a0")
	keep := w.mustConnect(frontPort, "a1")
	w.register(id, 2) // a change between
	recent := w.mustConnect(frontPort, "a0")
	w.unregister(id, 0)
	w.wantCut(old)
	w.wantCut(recent)
	w.wantReached(frontPort, 1, 2)
	if err := keep.echo(); err != nil {
		w.t.Errorf("a connection to another amphora: %v", err)
	}
	// Drained first, it is no different.
	w.drain(id, 1)
	if err := keep.echo(); err != nil {
		w.t.Errorf("a connection to a drained amphora: %v", err)
	}
	w.unregister(id, 1)
	w.wantCut(keep)
	w.wantReached(frontPort, 2)
	w.unregister(id, 2)
	w.wantRefused(frontPort)
	w.register(id, 0)
	w.wantReached(frontPort, 0)
}

func (w *world) testRemoveVIP() {
	w.serve()
	id := w.create("lb")
	other := w.vip()
	other.ID, other.Ports = "other", []distributor.PortMapping{{Front: otherFrontPort, Back: backPort}}
	w.addVIP(id, w.vip())
	w.addVIP(id, other)
	w.register(id, 0, 1)
	keep := w.mustConnect(otherFrontPort)
	w.do(w.Driver.RemoveVIP(""), vipInputs(id, w.vip())[:2]...)
	w.wantRefused(frontPort)
	w.wantReached(otherFrontPort, 0, 1)
	if err := keep.echo(); err != nil {
		w.t.Errorf("a connection to another VIP: %v", err)
	}
	w.addVIP(id, w.vip())
	w.wantReached(frontPort, 0, 1)
}

func (w *world) testChange() {
	w.serve()
	id := w.create("lb")
	w.addVIP(id, w.vip())
	w.register(id, 0)
	keep := w.mustConnect(frontPort, "a0")
	w.register(id, 1)
	v := w.vip()
	v.Ports = append(v.Ports, distributor.PortMapping{Front: otherFrontPort, Back: backPort})
	w.addVIP(id, v)
	w.wantReached(frontPort, 0, 1)
	w.wantReached(otherFrontPort, 0, 1)
	w.addVIP(id, w.vip())
	w.wantRefused(otherFrontPort)
	w.unregister(id, 1)
	w.wantReached(frontPort, 0)
	if err := keep.echo(); err != nil {
		w.t.Errorf("the connection to the amphora that stayed: %v", err)
	}
}
