package netcheck

import (
	"context"
	"errors"
	"io"
	"net"
	"time"
)

// TCP checks that a peer's responder can be reached over TCP, and measures the
// round trips over the connection.
type TCP struct {
	// Count is the number of round trips. Zero means 20.
	Count int
	// Budget is how long the check may take. Zero means 5 s.
	Budget time.Duration
}

// A TCPResult is what [TCP] finds.
type TCPResult struct {
	Outcome
	// Connect is how long connecting took.
	Connect time.Duration `json:"connect_ns"`
	// Latency describes the round trips of small messages over the connection.
	Latency Latency `json:"latency"`
}

// Check connects to the peer's responder and exchanges messages with it.
func (c TCP) Check(ctx context.Context, peer Peer) TCPResult {
	r := begin(ctx, KindTCP, peer, c.Budget, 5*time.Second)
	count := c.Count
	if count <= 0 {
		count = 20
	}
	port := peer.AddrPort().Port()
	conn, err := r.dial(peer)
	if err != nil {
		return TCPResult{Outcome: r.end(Failed, "tcp port %d: %s", port, because(err, time.Since(r.began)))}
	}
	defer r.closeOnDone(conn)()
	result := TCPResult{Connect: time.Since(r.began)}
	if answer, err := hello(conn, helloEcho); err != nil {
		result.Outcome = r.end(Failed, "tcp port %d: connected, then %s", port, because(err, time.Since(r.began)))
		return result
	} else if answer != "ok" {
		result.Outcome = r.end(Failed, "tcp port %d: whoever answers is not a responder", port)
		return result
	}
	var block, back [echoBlock]byte
	samples := make([]time.Duration, 0, count)
	for i := range count {
		block[0] = byte(i)
		sent := time.Now()
		_, err := conn.Write(block[:])
		if err == nil {
			_, err = io.ReadFull(conn, back[:])
		}
		if err == nil && back != block {
			err = errors.New("the echo is not what was sent")
		}
		if err != nil {
			result.Latency = LatencyOf(samples)
			result.Outcome = r.end(Failed, "tcp port %d: %d of %d messages came back, then %s", port, i, count, because(err, time.Since(sent)))
			return result
		}
		samples = append(samples, time.Since(sent))
	}
	result.Latency = LatencyOf(samples)
	result.Outcome = r.end(OK, "tcp ok, %s", result.Latency)
	return result
}

// dial connects to the peer's responder over TCP within the check's budget.
func (r *run) dial(peer Peer) (*net.TCPConn, error) {
	conn, err := (&net.Dialer{}).DialContext(r.ctx, "tcp", peer.AddrPort().String())
	if err != nil {
		return nil, err
	}
	if end, ok := r.ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	return conn.(*net.TCPConn), nil
}

// hello sends a line and reads the line that answers it. It reads not a byte
// more, and not more than helloLimit.
func hello(conn net.Conn, line string) (string, error) {
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return "", err
	}
	return readLine(conn)
}

func readLine(conn net.Conn) (string, error) {
	var line []byte
	var b [1]byte
	for len(line) < helloLimit {
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the connection was closed")
			}
			return "", err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
	return "", errors.New("the answer has no end")
}
