package jujuc

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
)

// noStdin is what the agent answers when a tool wants its standard input.
const noStdin = "hook tool requires stdin, none supplied"

// request and response are those of the agent's socket, which go by the names
// of their fields.
type request struct {
	ContextId   string
	Dir         string
	CommandName string
	Args        []string
	StdinSet    bool
	Stdin       []byte
	Token       string
}

type response struct {
	Code           int
	Stdout, Stderr []byte
}

// Main runs the hook tool called name with the arguments, and the process's own
// environment, directory and standard streams, and returns its exit code.
func Main(name string, args []string) int {
	code, err := run(name, args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "ERROR %v\n", err)
		return 1
	}
	return code
}

func run(name string, args []string) (int, error) {
	env := make(map[string]string)
	for _, key := range []string{"JUJU_CONTEXT_ID", "JUJU_AGENT_SOCKET_ADDRESS", "JUJU_AGENT_SOCKET_NETWORK"} {
		if env[key] = os.Getenv(key); env[key] == "" {
			return 0, fmt.Errorf("%s not set", key)
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	conn, err := net.Dial(env["JUJU_AGENT_SOCKET_NETWORK"], env["JUJU_AGENT_SOCKET_ADDRESS"])
	if err != nil {
		return 0, err
	}
	client := rpc.NewClient(conn)
	defer client.Close()
	req := request{
		ContextId:   env["JUJU_CONTEXT_ID"],
		Dir:         dir,
		CommandName: name,
		Args:        args,
		Token:       os.Getenv("JUJU_AGENT_TOKEN"),
	}
	var resp response
	err = client.Call("Jujuc.Main", req, &resp)
	if err != nil && err.Error() == noStdin {
		if req.Stdin, err = io.ReadAll(os.Stdin); err != nil {
			return 0, fmt.Errorf("cannot read stdin: %w", err)
		}
		req.StdinSet = true
		err = client.Call("Jujuc.Main", req, &resp)
	}
	if err != nil {
		return 0, err
	}
	_, errOut := os.Stdout.Write(resp.Stdout)
	_, errErr := os.Stderr.Write(resp.Stderr)
	return resp.Code, errors.Join(errOut, errErr)
}
