package hooktool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// Socket runs hook tools inside the unit agent, over the socket that Juju's
// own executables use: net/rpc with gob, service Jujuc, method Main. One
// connection is kept; concurrent calls are pipelined over it. An argument may
// have any size and is seen by nobody but the agent.
//
// A call of a tool that reads its standard input must have a Stdin that is not
// nil; with a nil one the agent refuses it ("hook tool requires stdin").
//
// The agent waits for the connection to be closed before it ends a hook, so a
// Socket must not outlive the process of the hook. Go closes it at exec, so
// programs started by the charm do not inherit it.
type Socket struct {
	client    *rpcClient
	contextID string
	token     string
	dir       string
}

// request and response travel as gob, which matches fields by name.
type request struct {
	ContextId   string
	Dir         string
	CommandName string
	Args        []string
	StdinSet    bool
	Stdin       []byte
	Token       string // asked for by Juju 2.9 and 3, and empty on unix sockets
}

type response struct {
	Code           int
	Stdout, Stderr []byte
}

// DialSocket connects to the unit agent by the environment of p:
// JUJU_CONTEXT_ID, JUJU_AGENT_SOCKET_NETWORK, JUJU_AGENT_SOCKET_ADDRESS and
// JUJU_AGENT_TOKEN. Only unix sockets are dialled; Juju uses others for the
// retired pod-spec charms alone, and those have the executables.
func DialSocket(ctx context.Context, p Process) (*Socket, error) {
	id := p.Getenv("JUJU_CONTEXT_ID")
	if id == "" {
		return nil, fmt.Errorf("cannot reach the unit agent: JUJU_CONTEXT_ID is not set: %w", ErrNotInHook)
	}
	network, address := p.Getenv("JUJU_AGENT_SOCKET_NETWORK"), p.Getenv("JUJU_AGENT_SOCKET_ADDRESS")
	if network == "" || address == "" {
		return nil, errors.New("cannot reach the unit agent: JUJU_AGENT_SOCKET_NETWORK or JUJU_AGENT_SOCKET_ADDRESS is not set")
	}
	if network != "unix" {
		return nil, fmt.Errorf("cannot reach the unit agent: its socket has the network %q, only unix is supported", network)
	}
	dir, err := charmDir(p)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the unit agent: %w", err)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("cannot reach the unit agent: %w", err)
	}
	return &Socket{
		client:    newRPCClient(conn),
		contextID: id,
		token:     p.Getenv("JUJU_AGENT_TOKEN"),
		dir:       dir,
	}, nil
}

// charmDir returns the absolute working directory for the tools.
func charmDir(p Process) (string, error) {
	dir := p.Dir
	if dir == "" {
		dir = p.Getenv("JUJU_CHARM_DIR")
	}
	return filepath.Abs(dir)
}

// Call runs a tool in the agent. A refusal by the agent itself, such as
// "bad request: unknown command: …", is a Result with code 1 and the text that
// Juju's executables print for it. When ctx ends first, the error matches both
// its cause and ErrUnanswered: the tool may still run.
func (s *Socket) Call(ctx context.Context, call Call) (Result, error) {
	if err := ctx.Err(); err != nil {
		return Result{}, context.Cause(ctx)
	}
	req := &request{
		ContextId:   s.contextID,
		Dir:         s.dir,
		CommandName: call.Tool,
		Args:        call.Args,
		StdinSet:    call.Stdin != nil,
		Stdin:       call.Stdin,
		Token:       s.token,
	}
	replies, err := s.client.call("Jujuc.Main", req)
	if err != nil {
		return Result{}, err
	}
	select {
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%w: %w", ErrUnanswered, context.Cause(ctx))
	case r := <-replies:
		switch {
		case r.err != nil:
			return Result{}, fmt.Errorf("%w: %w", ErrUnanswered, r.err)
		case strings.HasPrefix(r.refusal, "rpc: "), strings.HasPrefix(r.refusal, "gob: "):
			// What net/rpc and gob say on the agent's side, before any tool is run.
			return Result{}, fmt.Errorf("the unit agent does not speak the protocol: %s", r.refusal)
		case r.refusal != "":
			return Result{Code: 1, Stderr: []byte("ERROR " + r.refusal + "\n")}, nil
		}
		return Result(r.response), nil
	}
}

// Close closes the connection; calls under way fail.
func (s *Socket) Close() error {
	s.client.close()
	return nil
}
