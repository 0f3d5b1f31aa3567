package hooktool_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmed-go/charms/hooktool"
)

func dialSocket(t *testing.T, a *agent, env ...string) *hooktool.Socket {
	t.Helper()
	s, err := hooktool.DialSocket(t.Context(), a.process(t, env...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSocketRequest(t *testing.T) {
	t.Parallel()
	var got Request
	a := newJujuc(t, func(req Request) (Response, error) {
		got = req
		return Response{Code: 3, Stdout: []byte("out"), Stderr: []byte("err")}, nil
	})
	p := a.process(t, "JUJU_AGENT_TOKEN=tok")
	s, err := hooktool.DialSocket(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, test := range []struct {
		stdin []byte
		set   bool
	}{{nil, false}, {[]byte{}, true}, {[]byte("x"), true}} {
		res, err := s.Call(t.Context(), hooktool.Call{Tool: "x-get", Args: []string{"a", "-b"}, Stdin: test.stdin})
		if err != nil {
			t.Fatal(err)
		}
		if want := (hooktool.Result{Code: 3, Stdout: []byte("out"), Stderr: []byte("err")}); !reflect.DeepEqual(res, want) {
			t.Errorf("result %+v, want %+v", res, want)
		}
		want := Request{ContextId: "app/0-install-1", Dir: p.Dir, CommandName: "x-get", Args: []string{"a", "-b"},
			StdinSet: test.set, Token: "tok"}
		if len(test.stdin) > 0 {
			want.Stdin = test.stdin
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("request %+v, want %+v", got, want)
		}
	}
}

// The agent's own refusals read as Juju's executables print them.
func TestSocketRefused(t *testing.T) {
	t.Parallel()
	for text, kind := range map[string]error{
		"bad request: unknown command: foo":                 hooktool.ErrUnknownTool,
		"bad request: wrong context ID; got \"x\"":          hooktool.ErrNotInHook,
		"bad request: Dir is not absolute":                  hooktool.ErrInvalid,
		"bad request: command not specified":                hooktool.ErrInvalid,
		"hook tool requires stdin, none supplied":           hooktool.ErrInvalid,
		"a text that nobody has seen yet of a later Juju 5": nil,
	} {
		a := newJujuc(t, func(Request) (Response, error) { return Response{}, errors.New(text) })
		s := dialSocket(t, a)
		res, err := s.Call(t.Context(), hooktool.Call{Tool: "foo"})
		if err != nil || res.Code != 1 || string(res.Stderr) != "ERROR "+text+"\n" {
			t.Errorf("%s: got %+v, %v", text, res, err)
		}
		_, err = hooktool.New(s).IsLeader(t.Context())
		var e *hooktool.Error
		if !errors.As(err, &e) || e.Code != 1 || e.Message != text || e.Tool != "is-leader" {
			t.Errorf("%s: got error %#v", text, e)
		}
		if kind != nil && !errors.Is(err, kind) {
			t.Errorf("%s: %v is not %v", text, err, kind)
		}
	}
}

// Calls made at once share one connection and are all under way together.
func TestSocketPipelines(t *testing.T) {
	t.Parallel()
	const n = 50
	var arrived sync.WaitGroup
	arrived.Add(n)
	a := newJujuc(t, func(req Request) (Response, error) {
		arrived.Done()
		arrived.Wait() // nobody is answered before the last has asked
		return Response{Stdout: []byte(fmt.Sprintf("{%q:%q}\n", "unit", req.Args[len(req.Args)-1]))}, nil
	})
	c := hooktool.New(dialSocket(t, a))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			unit := fmt.Sprintf("db/%d", i)
			bag, err := c.RelationGet(ctx, "db:1", unit)
			if err != nil || bag["unit"] != unit {
				t.Errorf("%s: got %v, %v", unit, bag, err)
			}
		})
	}
	wg.Wait()
	if got := a.conns.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

func TestSocketContext(t *testing.T) {
	t.Parallel()
	stop := errors.New("told to stop")
	t.Run("no answer", func(t *testing.T) {
		t.Parallel()
		release := make(chan struct{})
		asked := make(chan struct{})
		a := newJujuc(t, func(req Request) (Response, error) {
			if req.CommandName == "resource-get" {
				close(asked)
				<-release
			}
			return Response{Stdout: []byte("true\n")}, nil
		})
		c := hooktool.New(dialSocket(t, a))
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-asked; cancel(stop) }()
		_, err := c.ResourceGet(ctx, "image")
		if !errors.Is(err, stop) || !errors.Is(err, hooktool.ErrUnanswered) {
			t.Errorf("got %v", err)
		}
		// The connection is good for others.
		if leader, err := c.IsLeader(t.Context()); !leader || err != nil {
			t.Errorf("got %v, %v", leader, err)
		}
		close(release)
		// With a context that has ended nothing is sent.
		if _, err := c.IsLeader(ctx); !errors.Is(err, stop) || errors.Is(err, hooktool.ErrUnanswered) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("nobody reads", func(t *testing.T) {
		t.Parallel()
		a := newAgent(t, func(conn net.Conn) {
			<-t.Context().Done()
		})
		s := dialSocket(t, a)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, stop)
		defer cancel()
		_, err := s.Call(ctx, hooktool.Call{Tool: "relation-set", Stdin: make([]byte, 8<<20)})
		if !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
	})
}

func TestSocketClosed(t *testing.T) {
	t.Parallel()
	a := newJujuc(t, func(Request) (Response, error) { return Response{}, nil })
	s := dialSocket(t, a)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Call(t.Context(), hooktool.Call{Tool: "is-leader"}); err == nil {
		t.Error("a closed connection answered")
	}
}

func TestExec(t *testing.T) {
	t.Parallel()
	env, record := executables(t, "tell", "relation-set")
	env = append(env, "JUJU_CONTEXT_ID=x", "HOOKTOOL_TEST_STDOUT=out\n", "HOOKTOOL_TEST_STDERR=ERROR oh\n")
	dir := t.TempDir()
	e, err := hooktool.NewExec(hooktool.Process{Env: env, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, stdin := range []string{"", "{}"} {
		call := hooktool.Call{Tool: "relation-set", Args: []string{"-r", "db:1", ""}}
		if stdin != "" {
			call.Stdin = []byte(stdin)
		}
		res, err := e.Call(t.Context(), call)
		if err != nil || res.Code != 1 || string(res.Stdout) != "out\n" || string(res.Stderr) != "ERROR oh\n" {
			t.Fatalf("got %+v, %v", res, err)
		}
	}
	all := runs(t, record)
	if len(all) != 2 {
		t.Fatalf("%d runs, want 2", len(all))
	}
	for i, stdin := range []string{"", "{}"} {
		r := all[i]
		// Go's exec sets PWD for the directory; nothing else is added.
		r.Env = slices.DeleteFunc(r.Env, func(s string) bool { return strings.HasPrefix(s, "PWD=") })
		slices.Sort(r.Env)
		want := slices.Sorted(slices.Values(env))
		if r.Dir != dir || r.Stdin != stdin || !slices.Equal(r.Args, []string{"-r", "db:1", ""}) || !slices.Equal(r.Env, want) {
			t.Errorf("run %+v", r)
		}
	}
}

func TestExecFails(t *testing.T) {
	t.Parallel()
	env, _ := executables(t, "die", "is-leader")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "is-leader"), []byte("#!/bin/true"), 0o700); err != nil {
		t.Fatal(err)
	}
	e, err := hooktool.NewExec(hooktool.Process{Env: env, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c := hooktool.New(e)
	if _, err := c.IsLeader(t.Context()); !errors.Is(err, hooktool.ErrUnanswered) {
		t.Errorf("a killed tool: got %v", err)
	}
	if err := c.StorageAdd(t.Context(), "data", 1); !errors.Is(err, hooktool.ErrUnknownTool) {
		t.Errorf("a missing tool: got %v", err)
	}
	for _, tool := range []string{"", "../bin/sh", "/bin/sh"} {
		if _, err := e.Call(t.Context(), hooktool.Call{Tool: tool}); !errors.Is(err, hooktool.ErrInvalid) {
			t.Errorf("%q: got %v", tool, err)
		}
	}
	long := strings.Repeat("x", 200<<10)
	env, record := executables(t, "tell", "leader-set")
	if e, err = hooktool.NewExec(hooktool.Process{Env: env}); err != nil {
		t.Fatal(err)
	}
	err = hooktool.New(e).LeaderSet(t.Context(), map[string]string{"k": long})
	if !errors.Is(err, hooktool.ErrLimit) || len(runs(t, record)) != 0 || strings.Contains(err.Error(), "xxx") {
		t.Errorf("an argument of 200 KiB: got %.200v", err)
	}
}

func TestExecContext(t *testing.T) {
	t.Parallel()
	env, _ := executables(t, "hang", "is-leader")
	e, err := hooktool.NewExec(hooktool.Process{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("told to stop")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, stop)
	defer cancel()
	if _, err := hooktool.New(e).IsLeader(ctx); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

// What is secret or large is never an argument of a program.
func TestExecHidesContent(t *testing.T) {
	t.Parallel()
	env, record := executables(t, "tell", "secret-add", "secret-set", "relation-set", "state-set")
	env = append(env, "HOOKTOOL_TEST_STDOUT=secret:"+someID+"\n")
	p := hooktool.Process{Env: append(env, "JUJU_CONTEXT_ID=x", hooktool.TransportEnv+"=exec")}
	c, err := hooktool.Dial(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	content := map[string]string{"password": "hunter2\n==", "raw": "\xff\x00hunter2"}
	uri, err := c.SecretAdd(ctx, hooktool.Secret{Content: content, Label: "hunter", Description: "a=b"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SecretSet(ctx, uri, hooktool.Secret{Content: content}); err != nil {
		t.Fatal(err)
	}
	// A caller's own plain form is hidden too.
	if _, err := c.Call(ctx, hooktool.Call{Tool: "secret-add", Args: []string{
		"--description", "a=b", "password=hunter2\n==", "raw#base64=/wBodW50ZXIy"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.RelationSet(ctx, "db:1", content2); err != nil {
		t.Fatal(err)
	}
	if err := c.StateSet(ctx, content2); err != nil {
		t.Fatal(err)
	}
	all := runs(t, record)
	if len(all) != 5 {
		t.Fatalf("%d runs, want 5", len(all))
	}
	for i, r := range all {
		args := strings.Join(r.Args, " ")
		if strings.Contains(args, "hunter2") || strings.Contains(args, "aHVudGVyM") || strings.Contains(args, "wBodW50") {
			t.Errorf("%s shows its secret: %q", r.Tool, r.Args)
		}
		if i > 2 {
			if r.Stdin != `{"password": "hunter2"}` {
				t.Errorf("%s: stdin %q", r.Tool, r.Stdin)
			}
			continue
		}
		for key, value := range content {
			if string(r.Files[key]) != value {
				t.Errorf("%s: file of %s holds %q, want %q", r.Tool, key, r.Files[key], value)
			}
		}
		for key, modes := range r.Modes {
			if modes != "-rw------- in drwx------" {
				t.Errorf("%s: file of %s is %s", r.Tool, key, modes)
			}
		}
		for _, arg := range r.Args {
			if _, path, ok := strings.Cut(arg, "#file="); ok {
				if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("%s: %s is still there", r.Tool, path)
				}
			}
		}
	}
	if want := []string{"--label", "hunter", "--description", "a=b", "--"}; !slices.Equal(all[0].Args[:5], want) {
		t.Errorf("arguments %q, want %q first", all[0].Args, want)
	}
	if want := []string{"--", "secret:" + someID}; !slices.Equal(all[1].Args[:2], want) {
		t.Errorf("arguments %q, want %q first", all[1].Args, want)
	}
}

const someID = "d41k9m8cf42c738e1rtg"

var content2 = map[string]string{"password": "hunter2"}
