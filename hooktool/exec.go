package hooktool

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
	"syscall"
	"time"
)

// Exec runs hook tools as executables found in the PATH of the hook, with the
// hook's environment and working directory.
//
// Other users of the machine can read the arguments of a running program, so
// Exec moves the content of secrets (KEY=VALUE arguments of secret-add and
// secret-set) into files that only this user can read, in memory where
// possible, and removes them when the tool has ended (only a SIGKILL of the
// charm in between leaves them behind). The arguments of
// leader-set, action-set and the rest have no other way than the command line,
// and a limit of 128 KiB each.
type Exec struct {
	env []string
	dir string
}

// NewExec returns an Exec with the environment and the directory of p.
func NewExec(p Process) (*Exec, error) {
	dir, err := charmDir(p)
	if err != nil {
		return nil, fmt.Errorf("cannot run hook tools: %w", err)
	}
	// os/exec takes a nil environment for its own process's.
	return &Exec{env: append([]string{}, p.Env...), dir: dir}, nil
}

// Call runs a tool and waits for its end; when ctx ends first it is killed.
func (e *Exec) Call(ctx context.Context, call Call) (Result, error) {
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	path, err := e.find(call.Tool)
	if err != nil {
		return Result{}, err
	}
	args := call.Args
	if call.Tool == "secret-add" || call.Tool == "secret-set" {
		hidden, remove, err := hideContent(args)
		if err != nil {
			return Result{}, err
		}
		defer remove()
		args = hidden
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = e.env
	cmd.Dir = e.dir
	// A child of the tool must not keep us waiting for the end of its output.
	cmd.WaitDelay = 5 * time.Second
	if call.Stdin != nil {
		cmd.Stdin = bytes.NewReader(call.Stdin)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		if errors.Is(err, syscall.E2BIG) {
			return Result{}, fmt.Errorf("cannot run %s: arguments too long for the command line: %w", call.Tool, ErrLimit)
		}
		return Result{}, fmt.Errorf("cannot run %s: %w", call.Tool, err)
	}
	err = cmd.Wait()
	res := Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.As(err, &exit) && exit.Exited(), errors.Is(err, exec.ErrWaitDelay):
		return res, nil
	case ctx.Err() != nil:
		return Result{}, fmt.Errorf("%w: %w", ErrUnanswered, context.Cause(ctx))
	default:
		return Result{}, fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
}

// Close does nothing.
func (e *Exec) Close() error { return nil }

// find looks a tool up in the absolute entries of the hook's PATH.
func (e *Exec) find(tool string) (string, error) {
	if tool == "" || strings.ContainsAny(tool, `/\`) {
		return "", fmt.Errorf("hook tool name %q: %w", tool, ErrInvalid)
	}
	for _, dir := range filepath.SplitList(Process{Env: e.env}.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		path := filepath.Join(dir, tool)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("no %s in the PATH of the hook: %w", tool, ErrUnknownTool)
}

// hideContent writes the value of every KEY=VALUE argument to a file of its
// own and names that file instead, as KEY#file=PATH, which Juju reads in the
// agent. remove deletes the files.
func hideContent(args []string) (hidden []string, remove func(), err error) {
	var dir string
	remove = func() {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	hidden = append(hidden, args...)
	for i, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" || key[0] == '-' || strings.HasSuffix(key, "#file") || i > 0 && takesValue(args[i-1]) {
			continue
		}
		if name, encoded := strings.CutSuffix(key, "#base64"); encoded {
			raw, err := decodeBase64(name, value)
			if err != nil {
				return nil, remove, err
			}
			key, value = name, raw
		}
		if dir == "" {
			if dir, err = privateDir(); err != nil {
				return nil, remove, fmt.Errorf("cannot hand over the content of a secret: %w", err)
			}
		}
		path := filepath.Join(dir, strconv.Itoa(i))
		if err = os.WriteFile(path, []byte(value), 0o600); err != nil {
			return nil, remove, fmt.Errorf("cannot hand over the content of a secret: %w", err)
		}
		hidden[i] = key + "#file=" + path
	}
	return hidden, remove, nil
}

// takesValue says whether the argument after flag belongs to it.
func takesValue(flag string) bool {
	switch flag {
	case "--label", "--description", "--owner", "--rotate", "--expire", "--file":
		return true
	}
	return false
}

// privateDir makes a directory that only this user can enter, in memory where
// the machine has such a place.
func privateDir() (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "charm-secret-"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp("", "charm-secret-")
}
