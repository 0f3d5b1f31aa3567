package hooktool

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"sync"
)

// rpcClient speaks the protocol of package net/rpc with its default codec,
// which is frozen: a header and a body for each call, both ways, in one stream
// of gob each. It is written here because net/rpc links net/http and
// html/template, which costs a charm two megabytes and, in every hook, more
// time to start than all its calls take.
type rpcClient struct {
	conn net.Conn

	send sync.Mutex // one call at a time is written
	out  *bufio.Writer
	enc  *gob.Encoder

	mu      sync.Mutex
	seq     uint64
	pending map[uint64]chan rpcReply
	err     error // why there are no more answers
}

// rpcRequest and rpcResponse are the headers; gob matches them by field name.
type rpcRequest struct {
	ServiceMethod string
	Seq           uint64
}

type rpcResponse struct {
	ServiceMethod string
	Seq           uint64
	Error         string
}

// An rpcReply is the answer to a call: a response, or the server's refusal, or
// why there is none.
type rpcReply struct {
	response response
	refusal  string
	err      error
}

var errRPCClosed = errors.New("connection to the unit agent is closed")

func newRPCClient(conn net.Conn) *rpcClient {
	out := bufio.NewWriter(conn)
	c := &rpcClient{conn: conn, out: out, enc: gob.NewEncoder(out), pending: map[uint64]chan rpcReply{}}
	go c.receive()
	return c
}

// call starts a call; its reply comes on the channel, which the caller may
// abandon. Nothing has been sent when it returns an error.
func (c *rpcClient) call(method string, body any) (<-chan rpcReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, fmt.Errorf("%w: %w", errRPCClosed, c.err)
	}
	c.seq++
	seq, reply := c.seq, make(chan rpcReply, 1)
	c.pending[seq] = reply
	// Writing blocks while the agent does not read; that is for nobody to wait.
	go c.write(rpcRequest{ServiceMethod: method, Seq: seq}, body)
	return reply, nil
}

func (c *rpcClient) write(header rpcRequest, body any) {
	c.send.Lock()
	defer c.send.Unlock()
	err := c.enc.Encode(&header)
	if err == nil {
		err = c.enc.Encode(body)
	}
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil {
		c.fail(err)
	}
}

func (c *rpcClient) receive() {
	dec := gob.NewDecoder(bufio.NewReader(c.conn))
	for {
		var header rpcResponse
		if err := dec.Decode(&header); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			c.fail(err)
			return
		}
		var reply rpcReply
		var err error
		if reply.refusal = header.Error; reply.refusal != "" {
			err = dec.DecodeValue(reflect.Value{}) // drops the empty body that comes with it
		} else {
			err = dec.Decode(&reply.response)
		}
		if err != nil {
			c.fail(fmt.Errorf("answer: %w", err))
			return
		}
		c.mu.Lock()
		waiting := c.pending[header.Seq]
		delete(c.pending, header.Seq)
		c.mu.Unlock()
		if waiting != nil {
			waiting <- reply
		}
	}
}

// fail ends the connection and every call under way.
func (c *rpcClient) fail(err error) {
	c.conn.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	for seq, waiting := range c.pending {
		waiting <- rpcReply{err: c.err}
		delete(c.pending, seq)
	}
}

// close ends the connection and every call under way.
func (c *rpcClient) close() { c.fail(net.ErrClosed) }
