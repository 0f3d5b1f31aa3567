package distributortest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/scratch"
)

// envOrder tells the test binary that it is the process to be killed.
const envOrder = "DISTRIBUTORTEST_ORDER"

// order is what a process to be killed does.
type order struct {
	Test string
	Dir  string
	// Op is the operation's number, Back whether it is to be reverted, and At
	// the point to be killed at.
	Op, At int
	Back   bool
	// Go on with what another process has begun.
	Resume bool
}

// child carries out an order, if this process has one for the test.
func child(t *testing.T, newDriver func(*testing.T, string) Setup) bool {
	text := os.Getenv(envOrder)
	if text == "" {
		return false
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	if o.Test != t.Name() {
		t.Skip("the order is for another test")
	}
	w := newWorld(t, newDriver(t, filepath.Join(o.Dir, "driver")))
	if !o.Resume {
		id := w.create("lb")
		w.addVIP(id, w.vip())
		w.register(id, 0, 1)
		if err := os.WriteFile(filepath.Join(o.Dir, "id"), []byte(id), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	points := 0
	w.ctx = probe.With(w.ctx, func(string) {
		if points++; points == o.At {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	_, _ = w.killable(o)
	if err := os.WriteFile(filepath.Join(o.Dir, "points"), []byte(strconv.Itoa(points)), 0o600); err != nil {
		t.Fatal(err)
	}
	if o.At > 0 {
		// It was done before it got there. Its cleanup would take away what
		// the driver has put into force, as no hook's end does.
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return true
}

// killable runs the operation of an order, or goes on with it.
func (w *world) killable(o order) (*flow.Result, error) {
	id, err := os.ReadFile(filepath.Join(o.Dir, "id"))
	if err != nil {
		return nil, err
	}
	op := w.operations(string(id))[o.Op]
	nodes := []flow.Node{op.node}
	if o.Back {
		nodes = append(nodes, failing())
	}
	r := &flow.Runner{Dir: filepath.Join(o.Dir, "flows")}
	return r.Run(w.ctx, "run", flow.Linear("killed", nodes...), op.inputs...)
}

// start runs the process of an order. Dead says that it was killed; otherwise
// points is how many it passed.
func start(t *testing.T, o order) (dead bool, points int) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var pattern []string
	for _, part := range strings.Split(o.Test, "/") {
		pattern = append(pattern, "^"+part+"$")
	}
	cmd := exec.Command(os.Args[0], "-test.run="+strings.Join(pattern, "/"), "-test.count=1", "-test.v=false")
	cmd.Env = append(os.Environ(), envOrder+"="+string(text))
	// What the process leaves running must not hold a pipe open, so its
	// output goes to a file.
	log, err := os.Create(filepath.Join(o.Dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := os.RemoveAll(filepath.Join(o.Dir, "points")); err != nil {
		t.Fatal(err)
	}
	err = cmd.Run()
	var exit *exec.ExitError
	killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	out, _ := os.ReadFile(log.Name())
	if err != nil && !killed {
		t.Fatalf("the process to be killed: %v\n%s", err, out)
	}
	count, err := os.ReadFile(filepath.Join(o.Dir, "points"))
	if killed && errors.Is(err, fs.ErrNotExist) {
		return true, 0
	}
	if err != nil {
		t.Fatalf("the process to be killed: %v\n%s", err, out)
	}
	points, err = strconv.Atoi(string(count))
	if err != nil {
		t.Fatal(err)
	}
	return false, points
}

// tear leaves part of a record at the end of the journal, as a kill in the
// middle of writing does.
func tear(t *testing.T, dir string, how int) {
	t.Helper()
	path := filepath.Join(dir, "flows", "run.jsonl")
	data, err := os.ReadFile(path)
	if err != nil {
		return // killed before there was one
	}
	switch how {
	case 1:
		data = append(data, `{"task":"add-vip","sta`...)
	case 2:
		data = append(data, append(bytes.Repeat([]byte{0}, 20), '\n')...)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// tally counts how killed runs have ended.
type tally struct{ points, kills, done, reverted int }

func testKill(t *testing.T, newDriver func(*testing.T, string) Setup) {
	parent, _, _ := strings.Cut(t.Name(), "/kill_and_resume")
	var all tally
	for n, name := range operationNames {
		for _, back := range []bool{false, true} {
			name := name
			if back {
				name += " reverted"
			}
			t.Run(name, func(t *testing.T) {
				killOperation(t, newDriver, order{Test: parent, Op: n, Back: back}, &all)
			})
		}
	}
	t.Logf("%d points to be killed at, %d kills: %d runs ended done, %d reverted with nothing left over", all.points, all.kills, all.done, all.reverted)
}

// killOperation kills processes that do one operation, at its points.
func killOperation(t *testing.T, newDriver func(*testing.T, string) Setup, o order, all *tally) {
	// Not killed, the run tells how many points there are.
	step, points := 1, 0
	t.Run("whole", func(t *testing.T) {
		o := o
		o.Dir = scratch.Dir(t)
		var dead bool
		if dead, points = start(t, o); dead || points < 10 {
			t.Fatalf("%d points, dead: %v", points, dead)
		}
		w := newWorld(t, newDriver(t, filepath.Join(o.Dir, "driver")))
		if !w.EveryKill {
			step = 8
		}
	})
	if testing.Short() {
		step = 16
	}
	all.points += points
	for at := 1 + (o.Op % step); at <= points; at += step {
		t.Run(strconv.Itoa(at), func(t *testing.T) {
			o := o
			o.At, o.Dir = at, scratch.Dir(t)
			if dead, _ := start(t, o); !dead {
				t.Fatalf("not killed at point %d of %d", at, points)
			}
			all.kills++
			tear(t, o.Dir, at%3)
			if at/step%2 == 1 || step > 1 {
				// And the one that goes on with it.
				again := o
				again.Resume, again.At = true, 1+at%7
				if dead, _ := start(t, again); dead {
					all.kills++
					tear(t, o.Dir, (at+1)%3)
				}
			}
			w := newWorld(t, newDriver(t, filepath.Join(o.Dir, "driver")))
			w.serve()
			w.endKilled(o, all)
		})
	}
}

// endKilled goes on with a killed operation and checks what comes of it.
func (w *world) endKilled(o order, all *tally) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(o.Dir, "id"))
	if err != nil {
		w.t.Fatal(err)
	}
	id := string(text)
	op := w.operations(id)[o.Op]
	_, err = w.killable(o)
	if !o.Back {
		if err != nil {
			w.t.Fatalf("resumed: %v", err)
		}
		w.wantInventory(id, op.after)
		if op.reached == nil {
			w.wantRefused(frontPort)
		} else {
			w.wantReached(frontPort, op.reached...)
		}
		if op.name == "add-vip" {
			w.wantReached(otherFrontPort, 0, 1)
		}
	} else {
		var reverted *flow.RevertedError
		if !errors.As(err, &reverted) {
			w.t.Fatalf("resumed: %v", err)
		}
		w.wantInventory(id, w.items(0, 1))
		w.wantReached(frontPort, 0, 1)
		w.wantRefused(otherFrontPort)
	}
	if err := (&flow.Runner{Dir: filepath.Join(o.Dir, "flows")}).Forget("run"); err != nil {
		w.t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Join(o.Dir, "flows")); len(left) > 0 {
		w.t.Errorf("left of the journal: %v", left)
	}
	// The same operation again finds a driver in order.
	if err := w.again(op); err != nil {
		w.t.Errorf("the operation after it: %v", err)
	}
	if w.t.Failed() {
		return
	}
	if o.Back {
		all.reverted++
	} else {
		all.done++
	}
}

func (w *world) again(op operation) error {
	_, err := new(flow.Runner).Run(w.ctx, "run", w.flow(op.node), op.inputs...)
	return err
}
