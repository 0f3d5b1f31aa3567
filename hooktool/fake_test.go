package hooktool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/jujuc"
)

// tools is a Transport made of a function.
type tools func(ctx context.Context, call hooktool.Call) (hooktool.Result, error)

func (f tools) Call(ctx context.Context, call hooktool.Call) (hooktool.Result, error) {
	return f(ctx, call)
}
func (f tools) Close() error { return nil }

// printing is a Transport whose tools all print the same.
func printing(stdout string) tools {
	return func(context.Context, hooktool.Call) (hooktool.Result, error) {
		return hooktool.Result{Stdout: []byte(stdout)}, nil
	}
}

// failing is a Transport whose tools all fail alike.
func failing(code int, stderr string) tools {
	return func(context.Context, hooktool.Call) (hooktool.Result, error) {
		return hooktool.Result{Code: code, Stderr: []byte(stderr)}, nil
	}
}

// Request and Response are the agent's side of the protocol.
type Request struct {
	ContextId   string
	Dir         string
	CommandName string
	Args        []string
	StdinSet    bool
	Stdin       []byte
	Token       string
}

type Response struct {
	Code           int
	Stdout, Stderr []byte
}

// Jujuc is the agent's service.
type Jujuc struct {
	main func(Request) (Response, error)
}

func (j *Jujuc) Main(req Request, resp *Response) (err error) {
	*resp, err = j.main(req)
	return err
}

// An agent listens on a socket as a unit agent does.
type agent struct {
	address string
	conns   atomic.Int32
}

// newAgent starts an agent that hands every connection to serve; serve must
// end when the connection does.
func newAgent(tb testing.TB, serve func(net.Conn)) *agent {
	tb.Helper()
	a := &agent{address: filepath.Join(shortDir(tb), "agent.socket")}
	l, err := net.Listen("unix", a.address)
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			a.conns.Add(1)
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range open {
			conn.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return a
}

// newJujuc starts an agent that serves the protocol.
func newJujuc(tb testing.TB, main func(Request) (Response, error)) *agent {
	return newAgent(tb, serveAs(tb, "Jujuc", main))
}

func serveAs(tb testing.TB, service string, main func(Request) (Response, error)) func(net.Conn) {
	tb.Helper()
	server := rpc.NewServer()
	if err := server.RegisterName(service, &Jujuc{main}); err != nil {
		tb.Fatal(err)
	}
	return func(conn net.Conn) { server.ServeConn(conn) }
}

// process is what Juju would give a hook of the agent.
func (a *agent) process(tb testing.TB, env ...string) hooktool.Process {
	return hooktool.Process{
		Dir: tb.TempDir(),
		Env: append([]string{
			"JUJU_CONTEXT_ID=app/0-install-1",
			"JUJU_AGENT_SOCKET_NETWORK=unix",
			"JUJU_AGENT_SOCKET_ADDRESS=" + a.address,
		}, env...),
	}
}

// shortDir is a temporary directory whose path leaves room for the name of a
// socket (108 bytes in all).
func shortDir(tb testing.TB) string {
	dir, err := os.MkdirTemp("", "ht")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// helperEnv makes this test binary be a hook tool: "tell" prints and records
// how it was run, "jujuc" asks the agent, as Juju's own do, "jujusim" is the simulated Juju's, "die" kills itself
// and "hang" waits for the end of its input.
const helperEnv = "HOOKTOOL_TEST_HELPER"

func TestMain(m *testing.M) {
	if mode := os.Getenv(helperEnv); mode != "" {
		os.Exit(helper(mode))
	}
	os.Exit(m.Run())
}

// A run is how a helper was run.
type run struct {
	Tool, Dir string
	Args, Env []string
	Stdin     string
	Files     map[string][]byte // content of the #file= arguments
	Modes     map[string]string
}

func helper(mode string) int {
	r := run{Tool: filepath.Base(os.Args[0]), Args: os.Args[1:], Env: os.Environ(),
		Files: map[string][]byte{}, Modes: map[string]string{}}
	switch mode {
	case "die":
		p, _ := os.FindProcess(os.Getpid())
		p.Kill()
		select {}
	case "hang":
		io.ReadAll(os.Stdin)
		select {}
	case "jujusim":
		return jujuc.Main(r.Tool, r.Args)
	case "jujuc":
		conn, err := net.Dial("unix", os.Getenv("JUJU_AGENT_SOCKET_ADDRESS"))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		dir, _ := os.Getwd()
		var resp Response
		err = rpc.NewClient(conn).Call("Jujuc.Main", Request{ContextId: os.Getenv("JUJU_CONTEXT_ID"),
			Dir: dir, CommandName: r.Tool, Args: r.Args}, &resp)
		if err != nil {
			fmt.Fprintln(os.Stderr, "ERROR", err)
			return 1
		}
		os.Stdout.Write(resp.Stdout)
		os.Stderr.Write(resp.Stderr)
		return resp.Code
	}
	r.Dir, _ = os.Getwd()
	stdin, _ := io.ReadAll(os.Stdin)
	r.Stdin = string(stdin)
	for _, arg := range r.Args {
		if key, path, ok := strings.Cut(arg, "#file="); ok {
			content, err := os.ReadFile(path)
			info, _ := os.Stat(path)
			dir, _ := os.Stat(filepath.Dir(path))
			if err != nil {
				panic(err)
			}
			r.Files[key] = content
			r.Modes[key] = info.Mode().String() + " in " + dir.Mode().String()
		}
	}
	line, _ := json.Marshal(r)
	if path := os.Getenv("HOOKTOOL_TEST_RECORD"); path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			panic(err)
		}
		f.Write(append(line, '\n'))
		f.Close()
	}
	os.Stdout.WriteString(os.Getenv("HOOKTOOL_TEST_STDOUT"))
	if text := os.Getenv("HOOKTOOL_TEST_STDERR"); text != "" {
		os.Stderr.WriteString(text)
		return 1
	}
	return 0
}

// executables makes hook tools of this test binary and returns the environment
// that finds them, and the file that records their runs.
func executables(tb testing.TB, mode string, names ...string) (env []string, record string) {
	tb.Helper()
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	for _, name := range names {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			tb.Fatal(err)
		}
	}
	record = filepath.Join(tb.TempDir(), "runs")
	env = []string{"PATH=relative:" + dir + ":/usr/bin", helperEnv + "=" + mode, "HOOKTOOL_TEST_RECORD=" + record}
	if testing.CoverMode() != "" {
		env = append(env, "GOCOVERDIR="+tb.TempDir()) // or they complain on stderr
	}
	return env, record
}

// runs returns what the executables recorded.
func runs(tb testing.TB, record string) []run {
	tb.Helper()
	data, err := os.ReadFile(record)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		tb.Fatal(err)
	}
	var all []run
	for line := range strings.Lines(string(data)) {
		var r run
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			tb.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}
