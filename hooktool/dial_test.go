package hooktool_test

import (
	"errors"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/charmed-go/charms/hooktool"
)

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

// What every charm links must not bring a web server along, which net/rpc
// would: it would take most of a hook's time to start.
func TestLinksNoHTTP(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, dep := range strings.Fields(string(out)) {
		switch dep {
		case "net/rpc", "net/http", "text/template", "html/template", "crypto/tls":
			t.Errorf("hooktool links %s", dep)
		}
	}
}
