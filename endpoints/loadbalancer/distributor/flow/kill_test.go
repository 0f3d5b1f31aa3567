package flow_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
)

// The process under the kill test is this test binary, told what to do by
// these.
const (
	envKillDir  = "FLOW_TEST_KILL_DIR"
	envKillAt   = "FLOW_TEST_KILL_AT"
	envKillFail = "FLOW_TEST_KILL_FAIL"
)

func TestMain(m *testing.M) {
	dir := os.Getenv(envKillDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	at, _ := strconv.Atoi(os.Getenv(envKillAt))
	n := 0
	ctx := probe.With(context.Background(), func(string) {
		if n++; n == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	_, _ = runEffects(ctx, dir, os.Getenv(envKillFail) == "true")
	// Not killed: the run has fewer points than at.
	fmt.Print(n)
	os.Exit(0)
}

var (
	keyName = flow.NewKey[string]("name")
	keyMade = flow.NewKey[string]("made")
)

// runEffects runs a flow of five tasks, each of which leaves two files that its
// Revert takes away, and of which the last one fails if told to.
func runEffects(ctx context.Context, dir string, fail bool) (*flow.Result, error) {
	path := func(name string) string { return filepath.Join(dir, "effects", name) }
	effect := func(name string, requires, provides []flow.AnyKey) *flow.Task {
		return &flow.Task{Name: name, Requires: requires, Provides: provides,
			Execute: func(ctx context.Context, d *flow.Data) error {
				if err := os.WriteFile(path(name+".1"), nil, 0o600); err != nil {
					return err
				}
				probe.Hit(ctx, "between the halves of "+name)
				if fail && name == "last" {
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
	return (&flow.Runner{Dir: filepath.Join(dir, "journals")}).Run(ctx, "run", f, keyName.Value("x"))
}

// killed runs the flow in a process that kills itself at point at, and reports
// whether it got that far; if not, points is how many there were.
func killed(t *testing.T, dir string, fail bool, at int) (dead bool, points int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envKillDir+"="+dir, envKillAt+"="+strconv.Itoa(at), envKillFail+"="+strconv.FormatBool(fail))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
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

// tear does to the journal what a kill can do beyond stopping it: leave part of
// a record that was about to be written, or take away the end of one that was
// not yet synced.
func tear(t *testing.T, dir string, how int) {
	t.Helper()
	path := filepath.Join(dir, "journals", "run.jsonl")
	data, err := os.ReadFile(path)
	if err != nil {
		return // killed before there was one
	}
	switch how {
	case 1:
		data = append(data, `{"task":"third","sta`...)
	case 2:
		// The last record is there in length, but not in content.
		data = append(data, append(bytes.Repeat([]byte{0}, 30), '\n')...)
	default:
		return
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Error(err)
	}
}

// TestKilledAnywhere kills a process at every point that it passes while it
// runs a flow: before, between and after writing and syncing each record, and
// around and within each task's work and its undoing. The journal is torn, the
// run resumed by a process that is killed as well, and resumed again. It must
// end with everything done or with nothing left.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	step := 8
	if testing.Short() {
		step = 32
	}
	for _, fail := range []bool{false, true} {
		t.Run(fmt.Sprintf("fail=%v", fail), func(t *testing.T) {
			t.Parallel()
			_, points := killed(t, effectsDir(t), fail, 0)
			if points < 50 {
				t.Fatalf("only %d points to be killed at", points)
			}
			var kills, done, reverted atomic.Int64
			finish := func(dir string, at, again int) {
				res, err := runEffects(context.Background(), dir, fail)
				left, e := os.ReadDir(filepath.Join(dir, "effects"))
				if e != nil {
					t.Error(e)
				}
				switch {
				case !fail && err == nil && res.State == flow.StateSuccess && len(left) == 10:
					done.Add(1)
				case fail && res != nil && res.State == flow.StateReverted && strings.Contains(err.Error(), "boom") && len(left) == 0:
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
						if dead, _ := killed(t, dir, fail, at); !dead {
							t.Errorf("not killed at %d of %d", at, points)
						}
						kills.Add(1)
						tear(t, dir, at%3)
						finish(dir, at, 0)
						for again := 1 + at%step; ; again += step {
							dir := effectsDir(t)
							killed(t, dir, fail, at)
							tear(t, dir, (at+again)%3)
							dead, _ := killed(t, dir, fail, again)
							if !dead {
								break
							}
							kills.Add(2)
							tear(t, dir, (at+again+1)%3)
							finish(dir, at, again)
						}
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
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "effects"), 0o700); err != nil {
		t.Error(err)
	}
	return dir
}
