package service

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestProcess(t *testing.T) {
	t.Parallel()
	s := Service{Manager: "process", Name: "sleeper", Dir: filepath.Join(t.TempDir(), "run"), Command: []string{"/bin/sh", "-c", "echo up; exec sleep 60"}}
	t.Cleanup(func() {
		if err := s.Remove(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for i, want := range []bool{true, false} {
		if started, _, err := s.Ensure(t.Context()); err != nil || started != want {
			t.Errorf("time %d: started is %v, %v", i, started, err)
		}
	}
	before := s.process().PID()
	s.Command = []string{"/bin/sleep", "61"}
	if started, _, err := s.Ensure(t.Context()); err != nil || !started {
		t.Errorf("with another command: started is %v, %v", started, err)
	}
	if s.process().PID() == before {
		t.Error("the old command still runs")
	}
	if err := s.Remove(t.Context()); err != nil || s.process().PID() != 0 {
		t.Errorf("removed: %v, pid %d", err, s.process().PID())
	}
	s.Command = []string{"/bin/sh", "-c", "echo no way; exit 3"}
	_, ended, err := s.Ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if end := <-ended; end == nil || s.LastWords(t.Context()) != "no way" {
		t.Errorf("it ended with %v and the words %q", end, s.LastWords(t.Context()))
	}
}

func TestUnit(t *testing.T) {
	t.Parallel()
	s := Service{Name: "web-web-0", Dir: "/var/lib/x/run", Command: []string{"/bin/true", "--title=100% \"$HOME\" \\o/"}}
	text := string(s.unit())
	if want := `ExecStart="/bin/true" "--title=100%% \"$$HOME\" \\o/"` + "\n"; !strings.Contains(text, want) {
		t.Errorf("want %s in\n%s", want, text)
	}
	if string(s.unit()) != text {
		t.Error("the unit is another one the next time")
	}
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze to check the unit with")
	}
	file := filepath.Join(t.TempDir(), "web-web-0.service")
	if err := os.WriteFile(file, s.unit(), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", file).CombinedOutput(); err != nil || strings.Contains(string(out), filepath.Base(file)) {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
