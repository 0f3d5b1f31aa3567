package netcheck

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// UDP checks that packets reach a peer's responder and come back, and measures
// how many are lost and how long they take.
type UDP struct {
	// Count is the number of packets. Zero means 50.
	Count int
	// Size is the size of each packet without IP and UDP headers, in bytes, at
	// least 24 and at most 1200. Zero means 64.
	Size int
	// Interval is the time between two packets. Zero means 5 ms.
	Interval time.Duration
	// Wait is how long to wait for answers after the last packet. Zero means 1 s.
	Wait time.Duration
	// MaxLoss is the share of packets that may be lost, between 0 and 1.
	MaxLoss float64
	// Budget is how long the check may take. Zero means 5 s.
	Budget time.Duration
}

// A UDPResult is what [UDP] finds.
type UDPResult struct {
	Outcome
	// Sent and Received are numbers of packets; one that came back twice
	// counts once.
	Sent     int `json:"sent"`
	Received int `json:"received"`
	// Latency describes the round trips of the packets that came back.
	Latency Latency `json:"latency"`
}

// Loss is the share of packets that did not come back, between 0 and 1.
func (r UDPResult) Loss() float64 { return loss(r.Sent, r.Received) }

func loss(sent, received int) float64 {
	if sent == 0 {
		return 0
	}
	return float64(sent-received) / float64(sent)
}

// Check sends packets to the peer's responder and waits for them to come back.
func (c UDP) Check(ctx context.Context, peer Peer) UDPResult {
	r := begin(ctx, KindUDP, peer, c.Budget, 5*time.Second)
	count, size, interval, wait := c.Count, c.Size, c.Interval, c.Wait
	if count <= 0 {
		count = 50
	}
	if size <= 0 {
		size = 64
	}
	size = min(max(size, headerSize), 1200)
	if interval <= 0 {
		interval = 5 * time.Millisecond
	}
	if wait <= 0 {
		wait = time.Second
	}
	port := peer.AddrPort().Port()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(peer.AddrPort()))
	if err != nil {
		return UDPResult{Outcome: r.end(Failed, "udp port %d: %s", port, because(err, time.Since(r.began)))}
	}
	defer r.closeOnDone(conn)()

	echo := &echo{conn: conn, nonce: newNonce(), sent: make([]time.Time, count), back: make([]time.Duration, count)}
	_ = conn.SetReadDeadline(r.deadline(time.Duration(count)*interval + wait))
	received := make(chan struct{})
	go func() {
		defer close(received)
		echo.receive()
	}()
	sent := echo.send(r.ctx, size, interval)
	_ = conn.SetReadDeadline(r.deadline(wait))
	<-received

	result := UDPResult{Sent: sent}
	var samples []time.Duration
	for _, d := range echo.back {
		if d > 0 {
			samples = append(samples, d)
		}
	}
	result.Received = len(samples)
	result.Latency = LatencyOf(samples)
	lost := result.Sent - result.Received
	switch {
	case result.Received == 0 && echo.refused:
		result.Outcome = r.end(Failed, "udp port %d: refused", port)
	case result.Received == 0:
		result.Outcome = r.end(Failed, "udp port %d: no answer", port)
	case result.Sent < count:
		result.Outcome = r.end(Failed, "udp: only %d of %d packets sent in time", result.Sent, count)
	case result.Loss() > c.MaxLoss:
		result.Outcome = r.end(Failed, "udp: %d of %d packets lost", lost, result.Sent)
	case lost > 0:
		result.Outcome = r.end(OK, "udp ok, %d of %d packets lost, %s", lost, result.Sent, result.Latency)
	default:
		result.Outcome = r.end(OK, "udp ok, %s", result.Latency)
	}
	return result
}

// echo is one exchange of packets.
type echo struct {
	conn  *net.UDPConn
	nonce uint64

	mu      sync.Mutex
	sent    []time.Time
	back    []time.Duration
	refused bool
	stopped bool
}

// send sends the packets one after the other and returns how many.
func (e *echo) send(ctx context.Context, size int, interval time.Duration) int {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	packet := make([]byte, size)
	for i := range e.sent {
		header{kind: typeEcho, nonce: e.nonce, seq: uint32(i)}.put(packet)
		e.mu.Lock()
		e.sent[i] = time.Now()
		stopped := e.stopped
		e.mu.Unlock()
		if stopped {
			return i
		}
		// A packet that cannot be sent is lost; that the last one was refused
		// is reported here, too, instead of sending this one.
		if _, err := e.conn.Write(packet); errors.Is(err, syscall.ECONNREFUSED) {
			_, _ = e.conn.Write(packet)
		}
		if i == len(e.sent)-1 {
			break
		}
		select {
		case <-ctx.Done():
			return i + 1
		case <-tick.C:
		}
	}
	return len(e.sent)
}

// receive collects answers until all are there or the read deadline has come.
func (e *echo) receive() {
	buf := make([]byte, 2048)
	missing, refused := len(e.sent), 0
	for missing > 0 {
		n, err := e.conn.Read(buf)
		now := time.Now()
		if errors.Is(err, syscall.ECONNREFUSED) {
			// Nobody has the port. A few of these are enough to believe it.
			if refused++; refused >= 3 && missing == len(e.sent) {
				e.mu.Lock()
				e.refused, e.stopped = true, true
				e.mu.Unlock()
				return
			}
			continue
		}
		if err != nil {
			e.mu.Lock()
			e.refused = refused > 0
			e.mu.Unlock()
			return
		}
		h, ok := parseHeader(buf[:n])
		if !ok || h.kind != typeEchoAnswer || h.nonce != e.nonce || int(h.seq) >= len(e.sent) {
			continue
		}
		e.mu.Lock()
		if sent := e.sent[h.seq]; !sent.IsZero() && e.back[h.seq] == 0 {
			e.back[h.seq] = max(now.Sub(sent), 1)
			missing--
		}
		e.mu.Unlock()
	}
}

// newNonce returns a number that others cannot guess, so that a stranger's
// packets are not taken for answers.
func newNonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
