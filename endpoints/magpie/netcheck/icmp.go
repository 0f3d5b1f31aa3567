package netcheck

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	probing "github.com/prometheus-community/pro-bing"
)

// ICMP pings a peer. It needs a raw socket, which root and processes with
// CAP_NET_RAW have, or the permission to send pings that the sysctl
// net.ipv4.ping_group_range gives; without either the check is skipped.
type ICMP struct {
	// Count is the number of pings. Zero means 20.
	Count int
	// Interval is the time between two pings. Zero means 50 ms.
	Interval time.Duration
	// Wait is how long to wait for answers after the last ping. Zero means 2 s.
	Wait time.Duration
	// MaxLoss is the share of pings that may stay unanswered, between 0 and 1.
	MaxLoss float64
	// Budget is how long the check may take. Zero means 5 s.
	Budget time.Duration
}

// An ICMPResult is what [ICMP] finds.
type ICMPResult struct {
	Outcome
	// Sent and Received are numbers of packets.
	Sent     int `json:"sent"`
	Received int `json:"received"`
	// Latency describes the round trips of the answered pings.
	Latency Latency `json:"latency"`
}

// Loss is the share of pings that were not answered, between 0 and 1.
func (r ICMPResult) Loss() float64 { return loss(r.Sent, r.Received) }

// Check pings the peer.
func (c ICMP) Check(ctx context.Context, peer Peer) ICMPResult {
	r := begin(ctx, KindICMP, peer, c.Budget, 5*time.Second)
	count, interval, wait := c.Count, c.Interval, c.Wait
	if count <= 0 {
		count = 20
	}
	if interval <= 0 {
		interval = 50 * time.Millisecond
	}
	if wait <= 0 {
		wait = 2 * time.Second
	}
	ping := func(privileged bool) (*probing.Statistics, error) {
		p, err := probing.NewPinger(peer.Addr.Unmap().String())
		if err != nil {
			return nil, err
		}
		p.SetPrivileged(privileged)
		p.SetLogger(probing.NoopLogger{})
		p.RecordRtts = true
		p.Count, p.Interval = count, interval
		p.Timeout = time.Duration(count)*interval + wait
		p.Size = 56 // as ping(8) has it
		err = p.RunWithContext(r.ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil
		}
		return p.Statistics(), err
	}
	stats, err := ping(true)
	if notPermitted(err) {
		stats, err = ping(false)
	}
	if notPermitted(err) {
		return ICMPResult{Outcome: r.end(Skipped, "icmp skipped: this process may not ping")}
	}
	if err != nil {
		return ICMPResult{Outcome: r.end(Failed, "icmp: %s", because(err, time.Since(r.began)))}
	}
	result := ICMPResult{Sent: stats.PacketsSent, Received: stats.PacketsRecv, Latency: LatencyOf(stats.Rtts)}
	lost := result.Sent - result.Received
	switch {
	case result.Received == 0:
		result.Outcome = r.end(Failed, "icmp: no answer to %d pings", result.Sent)
	case result.Sent < count:
		result.Outcome = r.end(Failed, "icmp: only %d of %d pings sent in time", result.Sent, count)
	case result.Loss() > c.MaxLoss:
		result.Outcome = r.end(Failed, "icmp: %d of %d pings lost", lost, result.Sent)
	case lost > 0:
		result.Outcome = r.end(OK, "icmp ok, %d of %d pings lost, %s", lost, result.Sent, result.Latency)
	default:
		result.Outcome = r.end(OK, "icmp ok, %s", result.Latency)
	}
	return result
}

func notPermitted(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM)
}
