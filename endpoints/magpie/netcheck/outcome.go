package netcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
)

// DefaultPort is the TCP and UDP port of a responder, unless another is given.
const DefaultPort = 7117

// A Peer is a machine to check against.
type Peer struct {
	// Name is how results call the peer, usually the name of its unit.
	Name string `json:"name"`
	// Addr is the address that is checked, IPv4 or IPv6.
	Addr netip.Addr `json:"address"`
	// Host is a name that a [Suite] looks up if there is no Addr.
	Host string `json:"host,omitempty"`
	// Port is the port of the peer's responder. Zero means [DefaultPort].
	Port uint16 `json:"port,omitempty"`
}

// PeerAt returns the peer at an address, which may be the name of a host.
func PeerAt(name, address string, port uint16) Peer {
	if addr, err := netip.ParseAddr(address); err == nil {
		return Peer{Name: name, Addr: addr, Port: port}
	}
	return Peer{Name: name, Host: address, Port: port}
}

// AddrPort returns the address of the peer's responder.
func (p Peer) AddrPort() netip.AddrPort {
	port := p.Port
	if port == 0 {
		port = DefaultPort
	}
	return netip.AddrPortFrom(p.Addr.Unmap(), port)
}

// A Kind names a sort of check.
type Kind string

// The sorts of checks. The first seven look at a peer, the others at the machine
// they run on.
const (
	KindLookup     Kind = "lookup"
	KindTCP        Kind = "tcp"
	KindUDP        Kind = "udp"
	KindICMP       Kind = "icmp"
	KindMTU        Kind = "mtu"
	KindDNS        Kind = "dns"
	KindThroughput Kind = "throughput"
	KindHostname   Kind = "hostname"
	KindLinks      Kind = "links"
	KindBonds      Kind = "bonds"
)

// A State says how a check ended.
type State string

// The states of a check.
const (
	// OK: the check ran and everything was as it has to be.
	OK State = "ok"
	// Failed: the check ran and found something wrong, or nobody answered.
	Failed State = "failed"
	// Skipped: the check could not tell, for instance because this process
	// must not send ICMP.
	Skipped State = "skipped"
	// Unfinished: the check was not done, because its context was cancelled, or
	// had a deadline before the end of the check's budget.
	Unfinished State = "unfinished"
)

// An Outcome is what every result has in common.
type Outcome struct {
	// Check is the sort of check.
	Check Kind `json:"check"`
	// Peer is the name of the peer; "" for a check of the machine itself.
	Peer string `json:"peer,omitempty"`
	// Address is the address of the peer; invalid for a check of the machine
	// itself.
	Address netip.Addr `json:"address,omitzero"`
	// State says how the check ended.
	State State `json:"state"`
	// Sentence says what was found, in lower case and without the peer's name,
	// such as "tcp port 7117 refused".
	Sentence string `json:"sentence"`
	// Took is how long the check ran.
	Took time.Duration `json:"took_ns"`
}

// Latency describes a sample of round trips.
type Latency struct {
	// Samples is the number of round trips; if it is 0 so is everything else.
	Samples int           `json:"samples"`
	Min     time.Duration `json:"min_ns"`
	Median  time.Duration `json:"median_ns"`
	// P99 is the 99th percentile by nearest rank: with fewer than 100 samples
	// it is the slowest one.
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// LatencyOf describes the given round trips, which it leaves as they are.
func LatencyOf(samples []time.Duration) Latency {
	if len(samples) == 0 {
		return Latency{}
	}
	s := slices.Sorted(slices.Values(samples))
	rank := func(percent int) time.Duration {
		return s[(len(s)*percent+99)/100-1]
	}
	return Latency{Samples: len(s), Min: s[0], Median: rank(50), P99: rank(99), Max: s[len(s)-1]}
}

// String returns the minimum, median and 99th percentile in milliseconds.
func (l Latency) String() string {
	if l.Samples == 0 {
		return "no samples"
	}
	return fmt.Sprintf("min %s, median %s, p99 %s", milliseconds(l.Min), milliseconds(l.Median), milliseconds(l.P99))
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}

// run is one run of a check: it knows when it began and when it has to end.
type run struct {
	ctx     context.Context
	parent  context.Context
	cancel  context.CancelFunc
	budget  time.Duration
	began   time.Time
	outcome Outcome
}

// begin starts a check that has to end within budget, or within preset if that
// is 0.
func begin(ctx context.Context, kind Kind, peer Peer, budget, preset time.Duration) *run {
	if budget <= 0 {
		budget = preset
	}
	r := &run{parent: ctx, budget: budget, began: time.Now()}
	r.outcome = Outcome{Check: kind, Peer: peer.Name, Address: peer.Addr.Unmap()}
	r.ctx, r.cancel = context.WithTimeout(ctx, budget)
	return r
}

// end returns the outcome. If the caller's context ended, a check that did not
// go well did not find anything either: it is unfinished.
func (r *run) end(state State, format string, args ...any) Outcome {
	o := r.outcome
	o.State, o.Sentence = state, fmt.Sprintf(format, args...)
	if err := ended(r.parent); err != nil && state != OK {
		o.State, o.Sentence = Unfinished, cutShort(o.Check, err)
	}
	o.Took = time.Since(r.began)
	r.cancel()
	return o
}

// ended returns why a context ended; nil if it did not. A socket whose deadline is
// that of a context may notice before the context does.
func ended(ctx context.Context) error {
	if end, ok := ctx.Deadline(); ok && ctx.Err() == nil && !time.Now().Before(end) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// cutShort says why a check was not done.
func cutShort(kind Kind, err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return string(kind) + " not checked: out of time"
	}
	return string(kind) + " not checked: cancelled"
}

// deadline returns the earlier of the end of the budget and now plus d.
func (r *run) deadline(d time.Duration) time.Time {
	t := time.Now().Add(d)
	if end, ok := r.ctx.Deadline(); ok && end.Before(t) {
		return end
	}
	return t
}

// closeOnDone closes c as soon as the check's context is done, so that no read
// outlives it. The returned function ends the watch and closes c.
func (r *run) closeOnDone(c interface{ Close() error }) func() {
	stop := context.AfterFunc(r.ctx, func() { c.Close() })
	return func() {
		stop()
		c.Close()
	}
}

// because says in a few words why talking to a peer failed.
func because(err error, waited time.Duration) string {
	var dial *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH):
		return "host unreachable"
	case errors.Is(err, syscall.ENETUNREACH):
		return "network unreachable"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "not permitted by this machine"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, net.ErrClosed), isTimeout(err):
		return "no answer within " + waited.Round(100*time.Millisecond).String()
	case errors.As(err, &dial):
		return dial.Err.Error()
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
