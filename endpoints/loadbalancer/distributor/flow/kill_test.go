package flow_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/scratch"
)

// The process under the kill test is this test binary, told what to do by
// these.
const (
	envKillDir = "FLOW_TEST_KILL_DIR"
	envKillAt  = "FLOW_TEST_KILL_AT"
	envKillHow = "FLOW_TEST_KILL_HOW"
	envKillCut = "FLOW_TEST_KILL_CUT"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(envKillDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	at, _ := strconv.Atoi(os.Getenv(envKillAt))
	journal := filepath.Join(dir, "journals", "run.jsonl")
	n, synced := 0, size(journal)
	ctx := probe.With(context.Background(), func(point string) {
		if point == "journal: synced" {
			synced = size(journal)
		}
		if n++; n == at {
			if os.Getenv(envKillCut) == "true" {
				cutPower(journal, synced, at)
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	_, _ = runEffects(ctx, dir, os.Getenv(envKillHow))
	// Not killed: the run has fewer points than at.
	fmt.Print(n)
	os.Exit(0)
}

// size returns how long a file is, 0 if it is not there.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// cutPower takes away what was written to the journal and not synced: all of it,
// its end, or its content. What was synced it leaves.
func cutPower(path string, synced int64, how int) {
	data, err := os.ReadFile(path)
	if err != nil {
		return
	}
	// What a kill before left torn was cut off, so there may be less than that.
	synced = min(synced, int64(len(data)))
	switch lost := data[synced:]; how % 3 {
	case 0:
		data = data[:synced]
	case 1:
		data = data[:len(data)-len(lost)/2]
	case 2:
		clear(lost)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		panic(err)
	}
}

var (
	keyName = flow.NewKey[string]("name")
	keyMade = flow.NewKey[string]("made")
)

// What a process does with the run.
const (
	run  = "run"
	fail = "fail" // run it, and fail at the end
	undo = "undo" // take it back, wherever it is
)

// runEffects runs a flow of five tasks, each of which leaves two files that its
// Revert takes away.
func runEffects(ctx context.Context, dir, how string) (*flow.Result, error) {
	path := func(name string) string { return filepath.Join(dir, "effects", name) }
	effect := func(name string, requires, provides []flow.AnyKey) *flow.Task {
		return &flow.Task{Name: name, Requires: requires, Provides: provides,
			Execute: func(ctx context.Context, d *flow.Data) error {
				if err := os.WriteFile(path(name+".1"), nil, 0o600); err != nil {
					return err
				}
				probe.Hit(ctx, "between the halves of "+name)
				if how == fail && name == "last" {
					return errBoom
				}
				if err := os.WriteFile(path(name+".2"), nil, 0o600); err != nil {
					return err
				}
				if len(provides) > 0 {
					keyMade.Set(d, keyName.Get(d)+" made")
				}
				return nil
			},
			Revert: func(ctx context.Context, d *flow.Data) error {
				for _, half := range []string{".2", ".1"} {
					if err := os.Remove(path(name + half)); err != nil && !os.IsNotExist(err) {
						return err
					}
					probe.Hit(ctx, "between the halves of reverting "+name)
				}
				return nil
			}}
	}
	f := flow.Linear("effects",
		flow.Graph("graph",
			effect("second", flow.Keys(keyMade), nil),
			effect("first", flow.Keys(keyName), flow.Keys(keyMade))),
		flow.Unordered("siblings", effect("third", nil, nil), effect("fourth", nil, nil)),
		effect("last", flow.Keys(keyMade), nil))
	r := &flow.Runner{Dir: filepath.Join(dir, "journals")}
	if how == undo {
		return r.Revert(ctx, "run", f, nil)
	}
	return r.Run(ctx, "run", f, keyName.Value("x"))
}

// A harm is what happens to the journal when a process is killed.
type harm int

const (
	none     harm = iota
	half          // part of a record was about to be written
	hollow        // a record is there in length, but not in content
	powerCut      // what was not synced is lost, see cutPower
	harms
)

// killed runs the flow in a process that kills itself at point at, and reports
// whether it got that far; if not, points is how many there were.
func killed(t *testing.T, dir, how string, at int, h harm) (dead bool, points int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envKillDir+"="+dir, envKillAt+"="+strconv.Itoa(at),
		envKillHow+"="+how, envKillCut+"="+strconv.FormatBool(h == powerCut))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		switch h {
		case half:
			tear(t, dir, []byte(`{"task":"third","sta`))
		case hollow:
			tear(t, dir, append(make([]byte, 30), '\n'))
		}
		return true, 0
	}
	if err != nil {
		t.Errorf("the process under test: %v", err)
		return false, 0
	}
	points, err = strconv.Atoi(string(out))
	if err != nil {
		t.Error(err)
	}
	return false, points
}

// tear leaves what it is given at the end of the journal.
func tear(t *testing.T, dir string, end []byte) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "journals", "run.jsonl"), os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return // killed before there was one
	}
	if err == nil {
		_, err = f.Write(end)
		f.Close()
	}
	if err != nil {
		t.Error(err)
	}
}

// TestKilledAnywhere kills a process at every point that it passes while it
// runs a flow: before, between and after writing and syncing each record, and
// around and within each task's work and its undoing. The journal is torn, or
// loses what was not synced, and the run is resumed; and resumed by a process that
// is killed as well, at every point of its own, and resumed again. It must end with
// everything done or, if it fails or is taken back, with nothing left.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	step := 1 // of the points of a second kill
	if testing.Short() {
		step = 16
	}
	for _, story := range []struct{ first, then string }{{run, run}, {fail, fail}, {run, undo}} {
		t.Run(story.first+" then "+story.then, func(t *testing.T) {
			t.Parallel()
			_, points := killed(t, effectsDir(t), story.first, 0, none)
			if points < 50 {
				t.Fatalf("only %d points to be killed at", points)
			}
			var kills, done, reverted atomic.Int64
			end := func(dir string, at, again int) {
				res, err := runEffects(context.Background(), dir, story.then)
				left, e := os.ReadDir(filepath.Join(dir, "effects"))
				if e != nil {
					t.Error(e)
				}
				switch {
				case story.then == run && err == nil && res.State == flow.StateSuccess && len(left) == 10:
					done.Add(1)
				case story.then == fail && res != nil && res.State == flow.StateReverted && strings.Contains(err.Error(), "boom") && len(left) == 0,
					story.then == undo && err == nil && res.State == flow.StateReverted && len(left) == 0,
					story.then == undo && errors.Is(err, flow.ErrNoRun) && len(left) == 0:
					reverted.Add(1)
				default:
					t.Errorf("killed at %d, then at %d: %v with %d effects left", at, again, err, len(left))
				}
			}
			work := make(chan int)
			var workers sync.WaitGroup
			for range 2 {
				workers.Go(func() {
					for at := range work {
						dir := effectsDir(t)
						if dead, _ := killed(t, dir, story.first, at, harm(at)%harms); !dead {
							t.Errorf("not killed at %d of %d", at, points)
						}
						kills.Add(1)
						for again := 1 + at%step; ; again += step {
							// What the first kill left, to be killed anew.
							left := scratch.Dir(t)
							if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
								t.Error(err)
							}
							if dead, _ := killed(t, left, story.then, again, harm(at+again)%harms); !dead {
								break
							}
							kills.Add(1)
							end(left, at, again)
						}
						end(dir, at, 0)
					}
				})
			}
			for at := 1; at <= points; at++ {
				work <- at
			}
			close(work)
			workers.Wait()
			t.Logf("%d points, %d kills: %d runs ended done with all 10 effects, %d reverted with none left",
				points, kills.Load(), done.Load(), reverted.Load())
		})
	}
}

func effectsDir(t *testing.T) string {
	t.Helper()
	dir := scratch.Dir(t)
	if err := os.Mkdir(filepath.Join(dir, "effects"), 0o700); err != nil {
		t.Error(err)
	}
	return dir
}
