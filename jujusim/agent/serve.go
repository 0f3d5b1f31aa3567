package agent

import (
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"sync"
)

// A Request is what a client of the agent's socket sends to the method
// Jujuc.Main, with net/rpc in its default encoding, which goes by the names of
// the fields.
type Request struct {
	// ContextId is the value of JUJU_CONTEXT_ID.
	ContextId string
	// Dir is the client's working directory, an absolute path.
	Dir string
	// CommandName is the tool and Args its arguments.
	CommandName string
	Args        []string
	// StdinSet says that the client has sent its standard input.
	StdinSet bool
	Stdin    []byte
	// Token is empty on a unix socket.
	Token string
}

// A Response is the answer to a Request.
type Response struct {
	Code           int
	Stdout, Stderr []byte
}

// Jujuc is the service that the socket offers.
type Jujuc struct {
	agent *Agent
}

// Main runs one hook tool.
func (j *Jujuc) Main(request Request, response *Response) error {
	result, err := j.agent.request(request)
	if err != nil {
		return err
	}
	*response = Response{Code: result.Code, Stdout: result.Stdout, Stderr: result.Stderr}
	return nil
}

// server is the socket of one execution.
type server struct {
	address  string
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// Serve opens the agent's socket at the path and serves Juju's protocol on it
// until [Agent.Close]. A path that starts with "@" is an abstract socket; other
// sockets can be used by the current user only.
func (a *Agent) Serve(path string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return fmt.Errorf("cannot serve hook tools at %s: %w", path, ErrEnded)
	}
	if a.server != nil {
		return fmt.Errorf("cannot serve hook tools at %s: already serving at %s", path, a.server.address)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("cannot serve hook tools: %w", err)
	}
	if path[0] != '@' {
		if err := os.Chmod(path, 0o700); err != nil {
			return errors.Join(fmt.Errorf("cannot serve hook tools: %w", err), listener.Close())
		}
	}
	protocol := rpc.NewServer()
	if err := protocol.RegisterName("Jujuc", &Jujuc{agent: a}); err != nil {
		return errors.Join(fmt.Errorf("cannot serve hook tools: %w", err), listener.Close())
	}
	s := &server{address: path, listener: listener, conns: make(map[net.Conn]struct{})}
	a.server = s
	s.done.Go(func() { s.accept(protocol) })
	return nil
}

func (s *server) accept(protocol *rpc.Server) {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		open := s.conns != nil
		if open {
			s.conns[conn] = struct{}{}
		}
		s.mu.Unlock()
		if !open {
			conn.Close()
			return
		}
		s.done.Go(func() {
			protocol.ServeConn(conn)
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *server) close() error {
	err := s.listener.Close()
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	for conn := range conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}
