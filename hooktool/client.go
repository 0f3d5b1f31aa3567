package hooktool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// A Client runs Juju's hook tools, one method per tool. It keeps nothing but
// its transport, so every call asks Juju, and it is safe for concurrent use:
// independent reads made at once share the connection and wait once. Juju runs
// concurrent calls in no promised order, so calls that depend on each other
// must be made one after the other.
//
// A failed tool is an error that holds an *Error.
type Client struct {
	transport Transport
	borrowed  bool
}

// New returns a Client that runs hook tools by t. Its Close closes t.
func New(t Transport) *Client { return &Client{transport: t} }

// Close ends the client. Calls under way fail.
func (c *Client) Close() error {
	if c.borrowed {
		return nil
	}
	return c.transport.Close()
}

// Call runs any hook tool, also one without a method here, and returns what it
// answered. A tool that fails is no error: see Result.Code.
func (c *Client) Call(ctx context.Context, call Call) (Result, error) {
	res, err := c.transport.Call(ctx, call)
	if err != nil {
		return Result{}, &Error{Tool: call.Tool, Code: -1, Message: err.Error(), Err: err}
	}
	return res, nil
}

// output runs a tool that must succeed and returns what it printed.
func (c *Client) output(ctx context.Context, tool string, args ...string) ([]byte, error) {
	return c.outputOf(ctx, Call{Tool: tool, Args: args})
}

func (c *Client) outputOf(ctx context.Context, call Call) ([]byte, error) {
	res, err := c.Call(ctx, call)
	if err != nil {
		return nil, err
	}
	if res.Code != 0 {
		return nil, toolError(call.Tool, res)
	}
	return res.Stdout, nil
}

// run runs a tool that prints nothing of interest.
func (c *Client) run(ctx context.Context, tool string, args ...string) error {
	_, err := c.output(ctx, tool, args...)
	return err
}

// read runs a tool with --format=json and decodes what it printed into v.
// Numbers in an any become json.Number.
func (c *Client) read(ctx context.Context, v any, tool string, args ...string) error {
	out, err := c.output(ctx, tool, append([]string{"--format=json"}, args...)...)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(out))
	dec.UseNumber()
	err = dec.Decode(v)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		// The output may be secret, and errors of package json quote it.
		return &Error{Tool: tool, Message: fmt.Sprintf("cannot understand its output of %d bytes, near byte %d", len(out), dec.InputOffset())}
	}
	return nil
}

// readMap is read for an object; null is an empty one.
func readMap[V any](ctx context.Context, c *Client, tool string, args ...string) (map[string]V, error) {
	var m map[string]V
	if err := c.read(ctx, &m, tool, args...); err != nil {
		return nil, err
	}
	if m == nil {
		m = map[string]V{}
	}
	return m, nil
}
