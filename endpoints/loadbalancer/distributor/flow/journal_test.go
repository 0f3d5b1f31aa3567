package flow_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// TestUnreadableJournal: a run whose journal is damaged is told of and can be
// forgotten; it holds up no other.
func TestUnreadableJournal(t *testing.T) {
	t.Parallel()
	runner := &flow.Runner{Dir: t.TempDir()}
	f := flow.Linear("f", task("1", nil, nil), task("2", nil, nil))
	for _, run := range []string{"bad", "good"} {
		ctx, cancel := context.WithCancel(t.Context())
		stop := &flow.Task{Name: "1", Execute: func(context.Context, *flow.Data) error { cancel(); return nil }}
		var suspended *flow.SuspendedError
		if _, err := runner.Run(ctx, run, flow.Linear("f", stop, task("2", nil, nil))); !errors.As(err, &suspended) {
			t.Fatalf("Run = %v, want it suspended", err)
		}
	}
	path := filepath.Join(runner.Dir, "bad.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, slices.Concat([]byte("{\n"), text), 0o600); err != nil {
		t.Fatal(err)
	}
	var corrupt *flow.CorruptError
	if _, err := runner.Run(t.Context(), "bad", f); !errors.As(err, &corrupt) || corrupt.Line != 1 || corrupt.Path != path {
		t.Errorf("Run = %v", err)
	}
	runs, err := runner.Runs()
	if err != nil || len(runs) != 2 || !errors.As(runs[0].Err, &corrupt) || runs[0].Over() || runs[1].Err != nil {
		t.Errorf("Runs = %+v, %v", runs, err)
	}
	if err := runner.ResumeAll(t.Context(), func(flow.Run) *flow.Flow { return f }); !errors.As(err, &corrupt) {
		t.Errorf("ResumeAll = %v", err)
	}
	if err := runner.Forget("bad"); err != nil {
		t.Error(err)
	}
	if runs, err := runner.Runs(); err != nil || len(runs) != 1 || runs[0].State != flow.StateSuccess {
		t.Errorf("in the end Runs = %+v, %v", runs, err)
	}
}

// TestRunsWhileAtWork: a run can be seen while it is being worked on.
func TestRunsWhileAtWork(t *testing.T) {
	t.Parallel()
	runner := &flow.Runner{Dir: t.TempDir()}
	f := flow.Linear("f", &flow.Task{Name: "1", Execute: func(context.Context, *flow.Data) error {
		runs, err := runner.Runs()
		if err != nil || len(runs) != 1 || runs[0].Err != nil || runs[0].State != flow.StateRunning {
			t.Errorf("Runs = %+v, %v", runs, err)
		}
		if err := runner.Forget("run"); !errors.Is(err, flow.ErrLocked) {
			t.Errorf("Forget = %v", err)
		}
		return nil
	}})
	if _, err := runner.Run(t.Context(), "run", f); err != nil {
		t.Error(err)
	}
}

// FuzzJournal: whatever stands in a journal, reading it is an error or not, and
// never a panic; what is read can be read again.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(""))
	f.Add([]byte(`{"journal":1,"flow":"f","run":"run","inputs":{"a":"x"}}` + "\n" + `{"task":"1","state":"RUNNING"}` + "\n" + `{"ta`))
	f.Add([]byte(`{"journal":1,"flow":"f","inputs":{"a":3}}` + "\n" + `{"state":"REVERTING","by":"1"}` + "\n"))
	f.Add([]byte(`{"journal":2}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "run.jsonl"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		r := &flow.Runner{Dir: dir}
		runs, err := r.Runs()
		if err != nil {
			t.Fatal(err)
		}
		fl := flow.Linear("f", task("1", flow.Keys(keyA), flow.Keys(keyB)), task("2", flow.Keys(keyB), nil))
		res1, err1 := r.Resume(t.Context(), "run", fl)
		res2, err2 := r.Resume(t.Context(), "run", fl)
		if (err1 == nil) != (err2 == nil) || (err1 == nil && res1.State != res2.State) {
			t.Errorf("first %v, then %v", err1, err2)
		}
		var corrupt *flow.CorruptError
		if listed := len(runs) == 1 && runs[0].Err != nil; listed != errors.As(err1, &corrupt) {
			t.Errorf("runs are %+v; resumed: %v", runs, err1)
		}
		if err := r.Forget("run"); err != nil {
			t.Error(err)
		}
	})
}
