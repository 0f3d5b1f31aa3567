package simulate

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Adopt makes this process the parent of whatever its charms leave running, so
// that it can be ended: a server that a hook started would otherwise go on
// without the model, and hold its port.
func Adopt() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot look after what the charms start: %w", err)
	}
	return nil
}

// EndLeftovers ends the processes that the charms of models that are gone left
// running, and returns how many there were. With all it ends every process
// below this one, for when no hook is running.
func EndLeftovers(all bool) int {
	var ended []int
	for _, pid := range below(os.Getpid()) {
		if all || ofNoModel(pid) {
			if unix.Kill(pid, unix.SIGTERM) == nil {
				ended = append(ended, pid)
			}
		}
	}
	left := slices.Clone(ended)
	for deadline := time.Now().Add(2 * time.Second); len(left) > 0; time.Sleep(5 * time.Millisecond) {
		late := time.Now().After(deadline)
		left = slices.DeleteFunc(left, func(pid int) bool {
			if late {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
			// Those whose parent is another of them come to this process first.
			_, err := unix.Wait4(pid, nil, unix.WNOHANG, nil)
			return unix.Kill(pid, 0) != nil || err != nil && late
		})
	}
	return len(ended)
}

// ofNoModel says whether a process was started by a hook in a charm directory
// that is gone.
func ofNoModel(pid int) bool {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if dir, ok := strings.CutPrefix(string(v), "JUJU_CHARM_DIR="); ok {
			return !exists(dir)
		}
	}
	return false
}

// below returns the processes below one, parents first.
func below(parent int) []int {
	children := make(map[int][]int)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// The name, in parentheses, may hold anything.
		name := bytes.LastIndexByte(text, ')')
		fields := strings.Fields(string(text[name+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || len(fields) < 2 || fields[0] == "Z" {
			continue
		}
		if ppid, err := strconv.Atoi(fields[1]); err == nil {
			children[ppid] = append(children[ppid], pid)
		}
	}
	var list []int
	for todo := children[parent]; len(todo) > 0; todo = todo[1:] {
		list = append(list, todo[0])
		todo = append(todo, children[todo[0]]...)
	}
	return list
}
