package detached_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/internal/detached"
)

func TestProcess(t *testing.T) {
	t.Parallel()
	p := detached.Process{Dir: filepath.Join(t.TempDir(), "run"), Name: "sleeper", Command: []string{"/bin/sh", "-c", "echo hello; exec sleep 60"}}
	t.Cleanup(func() {
		if err := p.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	if p.PID() != 0 || p.Current() {
		t.Fatal("it runs before it is started")
	}
	ended, err := p.Start()
	if err != nil {
		t.Fatal(err)
	}
	if p.PID() == 0 || !p.Current() {
		t.Error("it does not run")
	}
	other := p
	other.Command = []string{"/bin/true"}
	if other.PID() != p.PID() || other.Current() {
		t.Error("another command is taken for this one")
	}
	for deadline := time.Now().Add(10 * time.Second); p.LastWords() != "hello"; {
		if time.Now().After(deadline) {
			t.Fatalf("its words are %q", p.LastWords())
		}
		select {
		case <-t.Context().Done():
		case <-time.After(time.Millisecond):
		}
	}
	if err := p.Stop(t.Context()); err != nil || p.PID() != 0 {
		t.Errorf("stopped: %v, runs as %d", err, p.PID())
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("it ended with %v", err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	p := detached.Process{Dir: t.TempDir(), Name: "x", Command: []string{"/does/not/exist"}}
	if _, err := p.Start(); err == nil || !strings.Contains(err.Error(), "cannot start x") {
		t.Errorf("got %v", err)
	}
}

func TestSomebodyElse(t *testing.T) {
	t.Parallel()
	p := detached.Process{Dir: t.TempDir(), Name: "x"}
	for _, note := range []string{"", "x", "1 5 a", "-1 5 a", fmt.Sprintf("%d 5 a", os.Getpid()), fmt.Sprint(os.Getpid())} {
		if err := os.WriteFile(filepath.Join(p.Dir, "x.pid"), []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
		if p.PID() != 0 {
			t.Errorf("%q is taken for the process", note)
		}
		if err := p.Stop(t.Context()); err != nil {
			t.Errorf("%q: %v", note, err)
		}
	}
}
