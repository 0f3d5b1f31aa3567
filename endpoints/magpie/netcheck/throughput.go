package netcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxStreams is how many connections one measurement may use.
const maxStreams = 16

// Throughput measures how much a peer's responder receives over TCP. A
// responder serves one measurement at a time; while it is busy with another
// one the check waits.
type Throughput struct {
	// Streams is the number of parallel connections, at most 16. Zero means one
	// for each CPU, at most 8.
	Streams int
	// Duration is how long to send, at most 20 s. Zero means 1 s.
	Duration time.Duration
	// Minimum is the throughput below which the check fails, in bit/s. Zero
	// means that any will do.
	Minimum float64
	// MinimumShare is the least throughput as a share of the speed of the local
	// interface towards the peer, such as 0.9. If that speed is not known the
	// check fails.
	MinimumShare float64
	// Root is where sysfs is. "" means [Sysfs].
	Root string
	// Budget is how long the check may take, including waiting for a busy
	// responder. Zero means Duration plus 9 s.
	Budget time.Duration
}

// A ThroughputResult is what [Throughput] finds.
type ThroughputResult struct {
	Outcome
	// BitsPerSecond is what the peer received, divided by the time between the
	// first byte sent and the confirmation of the last one.
	BitsPerSecond float64 `json:"bits_per_second"`
	// Bytes is what the peer confirmed to have received.
	Bytes   int64 `json:"bytes"`
	Streams int   `json:"streams"`
	// Elapsed is the time the bytes took.
	Elapsed time.Duration `json:"elapsed_ns"`
}

// MegabitsPerSecond returns the throughput in Mbit/s.
func (r ThroughputResult) MegabitsPerSecond() float64 { return r.BitsPerSecond / 1e6 }

var errBusy = errors.New("busy with another measurement")

// Check measures the throughput to the peer.
func (c Throughput) Check(ctx context.Context, peer Peer) ThroughputResult {
	streams, duration := c.Streams, c.Duration
	if streams <= 0 {
		streams = min(8, runtime.NumCPU())
	}
	streams = min(streams, maxStreams)
	if duration <= 0 {
		duration = time.Second
	}
	duration = min(duration, 20*time.Second)
	r := begin(ctx, KindThroughput, peer, c.Budget, duration+9*time.Second)

	result, err := r.measure(peer, streams, duration)
	for errors.Is(err, errBusy) {
		if !pause(r.ctx) {
			return ThroughputResult{Outcome: r.end(Skipped, "throughput not measured: the responder was busy for %s", time.Since(r.began).Round(time.Second))}
		}
		result, err = r.measure(peer, streams, duration)
	}
	if err != nil {
		result.Outcome = r.end(Failed, "throughput: %s", because(err, time.Since(r.began)))
		return result
	}
	minimum, err := c.minimum(peer)
	switch {
	case result.Bytes == 0:
		result.Outcome = r.end(Failed, "throughput: nothing arrived")
	case err != nil:
		result.Outcome = r.end(Failed, "throughput %s, but %v", Mbit(result.BitsPerSecond), err)
	case result.BitsPerSecond < minimum:
		result.Outcome = r.end(Failed, "throughput: %s < %s", Mbit(result.BitsPerSecond), Mbit(minimum))
	default:
		result.Outcome = r.end(OK, "throughput %s", Mbit(result.BitsPerSecond))
	}
	return result
}

// minimum returns the least throughput to the peer, in bit/s.
func (c Throughput) minimum(peer Peer) (float64, error) {
	if c.MinimumShare <= 0 {
		return c.Minimum, nil
	}
	ifi, err := InterfaceTo(peer.Addr)
	if err != nil {
		return 0, err
	}
	root := c.Root
	if root == "" {
		root = Sysfs
	}
	link, err := ReadLink(root, ifi.Name)
	if err != nil {
		return 0, err
	}
	if link.SpeedMbit == 0 {
		return 0, fmt.Errorf("the link speed of %s is not known", ifi.Name)
	}
	return max(c.Minimum, c.MinimumShare*float64(link.SpeedMbit)*1e6), nil
}

// Mbit writes a number of bits per second as Mbit/s.
func Mbit(bitsPerSecond float64) string {
	if m := bitsPerSecond / 1e6; m < 10 {
		return fmt.Sprintf("%.1f Mbit/s", m)
	}
	return fmt.Sprintf("%.0f Mbit/s", bitsPerSecond/1e6)
}

// measure runs one measurement: all connections get the responder's consent, then
// they begin together.
func (r *run) measure(peer Peer, streams int, duration time.Duration) (ThroughputResult, error) {
	token := fmt.Sprintf("%016x", newNonce())
	conns := make([]*net.TCPConn, streams)
	closers := make([]func(), streams)
	defer func() {
		for _, closer := range closers {
			if closer != nil {
				closer()
			}
		}
	}()
	open := func(i int) error {
		conn, err := r.dial(peer)
		if err != nil {
			return err
		}
		conns[i], closers[i] = conn, r.closeOnDone(conn)
		switch answer, err := hello(conn, helloSink+token); {
		case err != nil:
			return err
		case answer == "busy":
			return errBusy
		case answer != "ok":
			return errors.New("whoever answers is not a responder")
		}
		return nil
	}
	// One asks first, so that waiting for a busy responder costs it no more than
	// one connection at a time.
	if err := open(0); err != nil {
		return ThroughputResult{}, err
	}
	var opening errgroup.Group
	for i := 1; i < streams; i++ {
		opening.Go(func() error { return open(i) })
	}
	if err := opening.Wait(); err != nil {
		return ThroughputResult{}, err
	}

	confirmed := make([]int64, streams)
	began := time.Now()
	var sending errgroup.Group
	for i, conn := range conns {
		sending.Go(func() (err error) {
			confirmed[i], err = flood(conn, duration)
			return err
		})
	}
	failed := sending.Wait()
	result := ThroughputResult{Streams: streams, Elapsed: time.Since(began)}
	for _, n := range confirmed {
		result.Bytes += n
	}
	if failed != nil {
		// What could not be sent must not keep the responder busy.
		for _, conn := range conns {
			_ = conn.SetLinger(0)
		}
		if isTimeout(failed) && result.Bytes == 0 {
			failed = fmt.Errorf("nothing confirmed within %s", r.budget)
		}
		return result, failed
	}
	result.BitsPerSecond = float64(result.Bytes) * 8 / result.Elapsed.Seconds()
	return result, nil
}

// flood sends for a while and returns how many bytes the responder confirms.
func flood(conn *net.TCPConn, duration time.Duration) (int64, error) {
	buf := make([]byte, 128<<10)
	for end := time.Now().Add(duration); time.Now().Before(end); {
		if _, err := conn.Write(buf); err != nil {
			return 0, err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return 0, err
	}
	line, err := readLine(conn)
	if err != nil {
		return 0, err
	}
	confirmed, err := strconv.ParseUint(line, 10, 62)
	if err != nil {
		return 0, fmt.Errorf("cannot read the confirmation %q", line)
	}
	return int64(confirmed), nil
}
