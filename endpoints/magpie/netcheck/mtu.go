package netcheck

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// MTU finds the largest packet that reaches a peer without being fragmented
// (RFC 4821, RFC 8899): it sends UDP packets of different sizes that routers
// must not fragment and sees which the peer's responder answers. The answers
// are small, so that only the way there is measured. It ignores what the kernel
// has learned before, and does not depend on ICMP.
//
// It fails if the path takes less than the local interface does, if the
// peer's interface has another MTU than the local one, or if either is not
// what is required.
type MTU struct {
	// Required is the MTU that the network is meant to have. Zero means that
	// of the local interface.
	Required int
	// Tolerance is by how much the local MTU may exceed the required one, and by
	// how much the MTU of the peer's interface may differ from the local one,
	// as with tunnels or VLAN tags. Zero means 12.
	Tolerance int
	// Budget is how long the check may take. Zero means 8 s.
	Budget time.Duration
}

// An MTUCause says where packets end.
type MTUCause string

// The causes.
const (
	// MTUFragmentationNeeded: a router refuses larger packets and says so, so
	// TCP adapts.
	MTUFragmentationNeeded MTUCause = "fragmentation-needed"
	// MTUBlackHole: larger packets vanish without a word, so connections hang.
	MTUBlackHole MTUCause = "black-hole"
	// MTULocal: the local interface does not have the required MTU.
	MTULocal MTUCause = "local"
	// MTUPeer: the peer's interface has another MTU.
	MTUPeer MTUCause = "peer"
)

// An MTUResult is what [MTU] finds. All MTUs are in bytes and include the IP
// header.
type MTUResult struct {
	Outcome
	// Path is the size of the largest packet that reached the peer.
	Path int `json:"path"`
	// Interface and Local are the local interface towards the peer and its MTU.
	Interface string `json:"interface"`
	Local     int    `json:"local"`
	// Remote is the MTU of the peer's interface; 0 if it is not known.
	Remote int `json:"remote,omitempty"`
	// Cause says what is wrong; "" if nothing is.
	Cause MTUCause `json:"cause,omitempty"`
}

const (
	udpOverhead4 = 20 + 8
	udpOverhead6 = 40 + 8
	minMTU4      = 576
	minMTU6      = 1280
	maxPacket    = 65535

	// probesAtOnce is how many sizes are tried at the same time. With 16 the
	// range between 576 and 9000 takes four rounds.
	probesAtOnce = 16
	// searchTries is how often a size is tried that is one of many: that others
	// are answered corrects most of what is lost by bad luck, and the last step
	// the rest. surelyTries is how often one is tried that decides.
	searchTries = 2
	surelyTries = 4
)

// Check probes the path to the peer.
func (c MTU) Check(ctx context.Context, peer Peer) MTUResult {
	r := begin(ctx, KindMTU, peer, c.Budget, 8*time.Second)
	tolerance := c.Tolerance
	if tolerance <= 0 {
		tolerance = 12
	}
	dialer := net.Dialer{Control: dontFragment}
	conn, err := dialer.DialContext(r.ctx, "udp", peer.AddrPort().String())
	if errors.Is(err, errors.ErrUnsupported) {
		return MTUResult{Outcome: r.end(Skipped, "mtu skipped: %v", err)}
	}
	if err != nil {
		return MTUResult{Outcome: r.end(Failed, "mtu: %s", because(err, time.Since(r.began)))}
	}
	udp := conn.(*net.UDPConn)
	defer r.closeOnDone(udp)()
	ifi, err := interfaceOf(udp.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap())
	if err != nil {
		return MTUResult{Outcome: r.end(Failed, "mtu: %v", err)}
	}
	result := MTUResult{Interface: ifi.Name, Local: ifi.MTU}

	p := &prober{run: r, conn: udp, nonce: newNonce(), overhead: udpOverhead4, wait: 300 * time.Millisecond}
	lowest := minMTU4
	if peer.Addr.Is6() && !peer.Addr.Is4In6() {
		p.overhead, lowest = udpOverhead6, minMTU6
	}
	result.Path = p.search(min(lowest, ifi.MTU), min(ifi.MTU, maxPacket))
	result.Remote = p.remote
	want := c.Required
	if want <= 0 {
		want = ifi.MTU
	}
	switch {
	case result.Path == 0 && p.refused:
		result.Outcome = r.end(Failed, "mtu: udp port %d refused", peer.AddrPort().Port())
	case result.Path == 0:
		result.Outcome = r.end(Failed, "mtu: no answer")
	case ifi.MTU < want || c.Required > 0 && ifi.MTU > want+tolerance:
		result.Cause = MTULocal
		result.Outcome = r.end(Failed, "mtu %d on %s, required %d", ifi.MTU, ifi.Name, want)
	case result.Path < min(want, maxPacket) && r.ctx.Err() != nil:
		result.Outcome = r.end(Failed, "mtu: path takes %d or more, not all measured within %s", result.Path, r.budget)
	case result.Path < min(want, maxPacket) && p.tooBig:
		result.Cause = MTUFragmentationNeeded
		result.Outcome = r.end(Failed, "path mtu %d, %d on %s (a router refuses larger packets)", result.Path, ifi.MTU, ifi.Name)
	case result.Path < min(want, maxPacket):
		result.Cause = MTUBlackHole
		result.Outcome = r.end(Failed, "path mtu %d, %d on %s (larger packets vanish)", result.Path, ifi.MTU, ifi.Name)
	case result.Remote > 0 && max(result.Remote-ifi.MTU, ifi.MTU-result.Remote) > tolerance:
		result.Cause = MTUPeer
		result.Outcome = r.end(Failed, "mtu %d on %s here, %d there", ifi.MTU, ifi.Name, result.Remote)
	default:
		result.Outcome = r.end(OK, "mtu ok, %d", result.Path)
	}
	return result
}

// A prober sends probes over one socket.
type prober struct {
	*run
	conn     *net.UDPConn
	nonce    uint64
	overhead int
	// wait is how long to wait for answers to a burst of probes.
	wait     time.Duration
	measured bool
	// remote is the MTU of the peer's interface, once it has said so.
	remote int
	// tooBig is whether a router refused a packet, hint the MTU it named.
	tooBig  bool
	hint    int
	refused bool
}

// search returns the size of the largest packet that is answered, between
// lowest and highest; 0 if there is none.
func (p *prober) search(lowest, highest int) int {
	good := p.round([]int{lowest, highest}, surelyTries)
	bad := highest + 1
	if good < highest {
		bad = highest
	}
	for good > 0 && bad-good > 1 && p.ctx.Err() == nil {
		sizes := between(good, bad, probesAtOnce)
		if p.hint > good && p.hint < bad {
			sizes = append(sizes, p.hint)
			if p.hint+1 < bad {
				sizes = append(sizes, p.hint+1)
			}
		}
		best := p.round(sizes, searchTries)
		for _, s := range sizes {
			if s > max(best, good) && s < bad {
				bad = s
			}
		}
		good = max(good, best)
		if bad-good == 1 && p.ctx.Err() == nil {
			// A size that only had bad luck must not become the result.
			if again := p.round([]int{bad}, surelyTries); again > 0 {
				good, bad = again, highest+1
			}
		}
	}
	return good
}

// between returns up to n sizes above good and below bad, evenly spread.
func between(good, bad, n int) []int {
	var sizes []int
	gap := bad - good
	for i := 1; i <= n; i++ {
		s := good + gap*i/(n+1)
		if s > good && s < bad && (len(sizes) == 0 || sizes[len(sizes)-1] != s) {
			sizes = append(sizes, s)
		}
	}
	if len(sizes) == 0 && gap > 1 {
		sizes = append(sizes, good+1)
	}
	return sizes
}

// round sends a packet of each size, so many times if need be, and returns the
// largest one that was answered.
func (p *prober) round(sizes []int, tries int) int {
	largest, best := 0, 0
	for _, s := range sizes {
		largest = max(largest, s)
	}
	packet := make([]byte, largest-p.overhead)
	for try := 0; try < tries && best < largest && p.ctx.Err() == nil; try++ {
		for _, s := range sizes {
			if s <= best {
				continue
			}
			payload := s - p.overhead
			header{kind: typeProbe, nonce: p.nonce, seq: uint32(s)}.put(packet)
			if _, err := p.conn.Write(packet[:payload]); err != nil {
				p.note(err)
				// The error may belong to an earlier packet.
				_, _ = p.conn.Write(packet[:payload])
			}
		}
		_ = p.conn.SetReadDeadline(p.deadline(p.wait))
		best = max(best, p.collect(largest))
	}
	return best
}

// collect reads answers until that to the largest packet is there or the time
// has come, and returns the size of the largest one that arrived.
func (p *prober) collect(largest int) int {
	best := 0
	began := time.Now()
	buf := make([]byte, 2*headerSize)
	for best < largest {
		n, err := p.conn.Read(buf)
		if err != nil {
			if isTimeout(err) || errors.Is(err, net.ErrClosed) {
				return best
			}
			p.note(err)
			continue
		}
		h, ok := parseHeader(buf[:n])
		if !ok || h.kind != typeProbeAnswer || h.nonce != p.nonce {
			continue
		}
		if !p.measured {
			// No more patience than this path needs, but some for a busy machine.
			p.measured = true
			p.wait = min(max(8*time.Since(began), 100*time.Millisecond), time.Second)
		}
		if size := int(h.seq) + p.overhead; size <= largest {
			best = max(best, size)
		}
		if h.mtu > 0 {
			p.remote = int(h.mtu)
		}
	}
	return best
}

// note remembers what an ICMP message said.
func (p *prober) note(err error) {
	switch {
	case errors.Is(err, syscall.EMSGSIZE):
		p.tooBig = true
		p.hint = pathMTU(p.conn, p.is6())
	case errors.Is(err, syscall.ECONNREFUSED):
		p.refused = true
	}
}

func (p *prober) is6() bool { return p.overhead == udpOverhead6 }

// InterfaceTo returns the local network interface from which packets to addr
// leave.
func InterfaceTo(addr netip.Addr) (net.Interface, error) {
	// Connecting a UDP socket chooses the route and sends nothing.
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr.Unmap(), 9)))
	if err != nil {
		return net.Interface{}, err
	}
	defer conn.Close()
	return interfaceOf(conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap())
}
