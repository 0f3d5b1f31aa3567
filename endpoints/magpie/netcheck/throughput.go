package netcheck

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"
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

	var result ThroughputResult
	for {
		var err error
		result, err = r.measure(peer, streams, duration)
		if errors.Is(err, errBusy) {
			if pause(r.ctx) {
				continue
			}
			return ThroughputResult{Outcome: r.end(Skipped, "throughput not measured: the responder was busy for %s", time.Since(r.began).Round(time.Second))}
		}
		if err != nil {
			result.Outcome = r.end(Failed, "throughput: %s", because(err, time.Since(r.began)))
			return result
		}
		break
	}
	switch {
	case result.Bytes == 0:
		result.Outcome = r.end(Failed, "throughput: nothing arrived")
	case result.BitsPerSecond < c.Minimum:
		result.Outcome = r.end(Failed, "throughput: %s < %s", Mbit(result.BitsPerSecond), Mbit(c.Minimum))
	default:
		result.Outcome = r.end(OK, "throughput %s", Mbit(result.BitsPerSecond))
	}
	return result
}

// Mbit writes a number of bits per second as Mbit/s.
func Mbit(bitsPerSecond float64) string {
	if m := bitsPerSecond / 1e6; m < 10 {
		return fmt.Sprintf("%.1f Mbit/s", m)
	}
	return fmt.Sprintf("%.0f Mbit/s", bitsPerSecond/1e6)
}

// measure runs one measurement. All streams first get the responder's consent,
// then begin together.
func (r *run) measure(peer Peer, streams int, duration time.Duration) (ThroughputResult, error) {
	token := fmt.Sprintf("%016x", newNonce())
	type stream struct {
		confirmed int64
		err       error
	}
	all := make([]stream, streams)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	abort := make(chan struct{})
	ready.Add(streams)
	for i := range all {
		done.Go(func() {
			s := &all[i]
			conn, err := r.dial(peer)
			if err == nil {
				defer r.closeOnDone(conn)()
				var answer string
				if answer, err = hello(conn, helloSink+token); err == nil && answer == "busy" {
					err = errBusy
				} else if err == nil && answer != "ok" {
					err = errors.New("whoever answers is not a responder")
				}
			}
			s.err = err
			ready.Done()
			if err != nil {
				return
			}
			select {
			case <-start:
			case <-abort:
				return
			}
			buf := make([]byte, 128<<10)
			for end := time.Now().Add(duration); time.Now().Before(end); {
				if _, s.err = conn.Write(buf); s.err != nil {
					return
				}
			}
			if s.err = conn.CloseWrite(); s.err != nil {
				return
			}
			var line string
			if line, s.err = readLine(conn); s.err != nil {
				return
			}
			confirmed, err := strconv.ParseUint(line, 10, 62)
			if err != nil {
				s.err = fmt.Errorf("cannot read the confirmation %q", line)
			}
			s.confirmed = int64(confirmed)
		})
	}
	ready.Wait()
	for i := range all {
		if err := all[i].err; err != nil {
			close(abort)
			done.Wait()
			return ThroughputResult{}, err
		}
	}
	began := time.Now()
	close(start)
	done.Wait()
	result := ThroughputResult{Streams: streams, Elapsed: time.Since(began)}
	var failed error
	for i := range all {
		result.Bytes += all[i].confirmed
		if failed == nil {
			failed = all[i].err
		}
	}
	if failed != nil {
		if isTimeout(failed) && result.Bytes == 0 {
			failed = fmt.Errorf("nothing confirmed within %s", r.budget)
		}
		return result, failed
	}
	result.BitsPerSecond = float64(result.Bytes) * 8 / result.Elapsed.Seconds()
	return result, nil
}
