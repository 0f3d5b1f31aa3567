package hooktool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

func TestDial(t *testing.T) {
	t.Parallel()
	jujuc := func(Request) (Response, error) { return Response{Stdout: []byte("true\n")}, nil }
	a := newJujuc(t, jujuc)
	env, record := executables(t, "tell", "is-leader", "relation-ids")
	env = slices.Clip(append(env, "HOOKTOOL_TEST_STDOUT=false\n"))
	nobody := []string{"JUJU_AGENT_SOCKET_ADDRESS=/nonexistent/socket"}
	for _, test := range []struct {
		name   string
		env    []string
		leader bool // true by socket, false by exec
		err    error
		text   string
	}{
		{name: "socket", env: env, leader: true},
		{name: "socket without executables", leader: true},
		{name: "forced exec", env: append(env, "CHARM_HOOKTOOL_TRANSPORT=exec")},
		{name: "forced socket", env: append(env, "CHARM_HOOKTOOL_TRANSPORT=socket"), leader: true},
		{name: "no socket", env: append(env, nobody...)},
		{name: "no socket variables", env: append(env, "JUJU_AGENT_SOCKET_NETWORK=")},
		{name: "another network", env: append(env, "JUJU_AGENT_SOCKET_NETWORK=tcp")},
		{name: "no socket, forced", env: append(append(env, nobody...), "CHARM_HOOKTOOL_TRANSPORT=socket"),
			err: os.ErrNotExist, text: "cannot reach the unit agent"},
		{name: "neither", env: append([]string{"PATH=/nonexistent"}, nobody...),
			err: hooktool.ErrUnknownTool, text: "/nonexistent/socket"},
		{name: "wrong choice", env: []string{"CHARM_HOOKTOOL_TRANSPORT=http"}, err: hooktool.ErrInvalid, text: `"http"`},
		{name: "no hook", env: append(env, "JUJU_CONTEXT_ID="), err: hooktool.ErrNotInHook},
	} {
		c, err := hooktool.Dial(t.Context(), a.process(t, test.env...))
		if test.err != nil {
			if !errors.Is(err, test.err) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("%s: got error %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		before := len(runs(t, record))
		leader, err := c.IsLeader(t.Context())
		if err != nil || leader != test.leader || (len(runs(t, record)) == before) != test.leader {
			t.Errorf("%s: got %v, %v", test.name, leader, err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// closing notes that it was closed.
type closing struct {
	tools
	closed int
}

func (c *closing) Close() error { c.closed++; return nil }

func TestDialTakesTools(t *testing.T) {
	t.Parallel()
	own := &closing{tools: printing("true\n")}
	c, err := hooktool.Dial(t.Context(), hooktool.Process{Tools: own})
	if err != nil {
		t.Fatal(err)
	}
	if leader, err := c.IsLeader(t.Context()); !leader || err != nil {
		t.Errorf("got %v, %v", leader, err)
	}
	if c.Close(); own.closed != 0 {
		t.Error("Close closed the tools of the process")
	}
	if hooktool.New(own).Close(); own.closed != 1 {
		t.Error("Close did not close the transport")
	}
}

// oddities are agents that do not speak the protocol.
func oddities(t *testing.T) map[string]func(net.Conn) {
	return map[string]func(net.Conn){
		"closes at once":  func(conn net.Conn) {},
		"another service": serveAs(t, "Jujuc2", func(Request) (Response, error) { return Response{}, nil }),
		"reads and closes": func(conn net.Conn) {
			conn.Read(make([]byte, 1))
		},
		"answers in HTTP": func(conn net.Conn) {
			io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 0\r\n\r\n")
			io.Copy(io.Discard, conn)
		},
		"answers with noise": func(conn net.Conn) {
			conn.Write([]byte{7, 0xff, 0x81, 3, 1, 1, 9, 1, 2})
			io.Copy(io.Discard, conn)
		},
		"says nothing": func(conn net.Conn) { io.Copy(io.Discard, conn) },
		"other fields": serveShape(t),
	}
}

// A Mismatch is a service whose request cannot take ours.
type Mismatch struct{}

type MismatchRequest struct{ CommandName int }

func (Mismatch) Main(MismatchRequest, *Response) error { return nil }

func serveShape(t *testing.T) func(net.Conn) {
	t.Helper()
	server := rpc.NewServer()
	if err := server.RegisterName("Jujuc", Mismatch{}); err != nil {
		t.Fatal(err)
	}
	return func(conn net.Conn) { server.ServeConn(conn) }
}

func TestFallsBackToExec(t *testing.T) {
	t.Parallel()
	for name, serve := range oddities(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, record := executables(t, "tell", "is-leader", "juju-log", "relation-ids")
			env = append(env, "HOOKTOOL_TEST_STDOUT=true\n")
			for _, first := range []string{"write", "read"} {
				if name == "says nothing" && first == "read" {
					continue // each first takes 5 seconds
				}
				c, err := hooktool.Dial(t.Context(), newAgent(t, serve).process(t, env...))
				if err != nil {
					t.Fatal(err)
				}
				os.Remove(record)
				var want []string
				if first == "write" {
					if err := c.Log(t.Context(), 0, "hello"); err != nil {
						t.Fatal(err)
					}
					want = append(want, "juju-log")
				}
				for range 2 {
					if leader, err := c.IsLeader(t.Context()); !leader || err != nil {
						t.Fatalf("got %v, %v", leader, err)
					}
					want = append(want, "is-leader")
				}
				var got []string
				for _, r := range runs(t, record) {
					got = append(got, r.Tool)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%s first: executed %v, want %v", first, got, want)
				}
				c.Close()
			}
		})
	}
}

// A tool that may have run is not run again, whatever breaks.
func TestFallbackRunsNothingTwice(t *testing.T) {
	t.Parallel()
	env, record := executables(t, "tell", "secret-add", "storage-add", "is-leader", "relation-ids")
	var added atomic.Int32
	a := newAgent(t, func(conn net.Conn) {
		serveAs(t, "Jujuc", func(req Request) (Response, error) {
			if req.CommandName == "storage-add" {
				added.Add(1)
				conn.Close() // it has run, and the answer is lost
			}
			return Response{Stdout: []byte("true\n")}, nil
		})(conn)
	})
	for _, first := range []string{"read", "write"} {
		added.Store(0)
		c, err := hooktool.Dial(t.Context(), a.process(t, env...))
		if err != nil {
			t.Fatal(err)
		}
		if first == "read" {
			if _, err := c.IsLeader(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		err = c.StorageAdd(t.Context(), "data", 1)
		if !errors.Is(err, hooktool.ErrUnanswered) {
			t.Errorf("%s first: got %v", first, err)
		}
		if got := added.Load(); got != 1 {
			t.Errorf("%s first: ran %d times by the socket", first, got)
		}
		if got := runs(t, record); len(got) != 0 {
			t.Errorf("%s first: ran %v too", first, got)
		}
		c.Close()
	}
}

// Many calls at once on an undecided connection all get their answer.
func TestFallbackAtOnce(t *testing.T) {
	t.Parallel()
	env, record := executables(t, "tell", "is-leader", "juju-log", "relation-ids")
	env = append(env, "HOOKTOOL_TEST_STDOUT=true\n")
	for _, serve := range []func(net.Conn){
		func(net.Conn) {},
		serveAs(t, "Jujuc", func(Request) (Response, error) { return Response{Stdout: []byte("true\n")}, nil }),
	} {
		c, err := hooktool.Dial(t.Context(), newAgent(t, serve).process(t, env...))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := c.Log(t.Context(), 0, "hello"); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if leader, err := c.IsLeader(t.Context()); !leader || err != nil {
					t.Errorf("got %v, %v", leader, err)
				}
			})
		}
		wg.Wait()
		c.Close()
	}
	logs := 0
	for _, r := range runs(t, record) {
		if r.Tool == "juju-log" {
			logs++
		}
	}
	if logs != 4 {
		t.Errorf("executed juju-log %d times, want 4", logs)
	}
}
