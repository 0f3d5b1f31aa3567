package netcheck

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// A Responder answers the checks of other machines: it echoes over TCP and
// UDP, answers probes of the path MTU, and receives and counts what a
// throughput measurement sends. It is meant to run as long as the machine is
// up, as a service.
//
// The zero value serves on [DefaultPort] of all addresses.
type Responder struct {
	// Addresses are the local addresses to serve on. None means all of them;
	// on a machine with several addresses in one network, name them, because
	// otherwise the kernel chooses the one that answers over UDP come from.
	Addresses []netip.Addr
	// Port is the TCP and UDP port. Zero means [DefaultPort].
	Port uint16
	// Allow are the networks that are served. None means all.
	Allow []netip.Prefix
	// MaxConnections bounds how many TCP connections are served at a time;
	// more are closed at once. Each takes a few kilobytes. Zero means 512, for
	// many machines may check at the same moment.
	MaxConnections int
	// IdleTimeout ends a connection on which nothing arrives. Zero means 5 s.
	IdleTimeout time.Duration
	// MaxSession bounds how long any connection lasts, and so how long one
	// throughput measurement can keep others waiting. Zero means 30 s.
	MaxSession time.Duration
	// Logger is told of connections that are turned away. Nil means nobody is.
	Logger *slog.Logger
}

// Run serves until ctx is done, which is no error, or until it cannot.
func (r Responder) Run(ctx context.Context) error {
	running, err := r.Start(ctx)
	if err != nil {
		return err
	}
	return running.Wait()
}

// Start binds the ports and serves in the background until ctx is done. When
// it returns without an error, checks are already answered.
func (r Responder) Start(ctx context.Context) (*Running, error) {
	if r.Port == 0 {
		r.Port = DefaultPort
	}
	return r.start(ctx)
}

// StartAnyPort is like Start, but serves on a free port, which
// [Running.AddrPorts] tells. It is meant for tests.
func (r Responder) StartAnyPort(ctx context.Context) (*Running, error) {
	r.Port = 0
	return r.start(ctx)
}

// A Running responder is one that has been started.
type Running struct {
	addrs []netip.AddrPort
	wait  func() error
}

// AddrPorts returns the addresses that are served.
func (r *Running) AddrPorts() []netip.AddrPort { return r.addrs }

// Wait waits until the responder has ended. Being told to end by its context
// is no error.
func (r *Running) Wait() error { return r.wait() }

// sockets are the two sockets of one address.
type sockets struct {
	tcp *net.TCPListener
	udp *net.UDPConn
}

func (s sockets) close() {
	s.tcp.Close()
	s.udp.Close()
}

// listen binds TCP and UDP to the same port of addr.
func listen(addr netip.AddrPort) (sockets, error) {
	// With port 0 the kernel chooses the port of the TCP socket, and somebody
	// may have the UDP port of that number.
	for tries := 0; ; tries++ {
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		if err != nil {
			return sockets{}, fmt.Errorf("cannot serve network checks on %s: %w", addr, err)
		}
		port := tcp.Addr().(*net.TCPAddr).AddrPort().Port()
		udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr.Addr(), port)))
		if err == nil {
			// A burst of probes fits even if this process does not run at once.
			_ = udp.SetReadBuffer(1 << 20)
			return sockets{tcp, udp}, nil
		}
		tcp.Close()
		if addr.Port() != 0 || tries == 10 {
			return sockets{}, fmt.Errorf("cannot serve network checks on %s: %w", addr, err)
		}
	}
}

func (r Responder) start(ctx context.Context) (*Running, error) {
	if r.MaxConnections <= 0 {
		r.MaxConnections = 512
	}
	if r.IdleTimeout <= 0 {
		r.IdleTimeout = 5 * time.Second
	}
	if r.MaxSession <= 0 {
		r.MaxSession = 30 * time.Second
	}
	if r.Logger == nil {
		r.Logger = slog.New(slog.DiscardHandler)
	}
	addrs := r.Addresses
	if len(addrs) == 0 {
		addrs = []netip.Addr{netip.IPv6Unspecified()}
	}
	var all []sockets
	running := &Running{}
	for _, a := range addrs {
		s, err := listen(netip.AddrPortFrom(a, r.Port))
		if err != nil && len(r.Addresses) == 0 {
			// A machine without IPv6.
			s, err = listen(netip.AddrPortFrom(netip.IPv4Unspecified(), r.Port))
		}
		if err != nil {
			for _, s := range all {
				s.close()
			}
			return nil, err
		}
		all = append(all, s)
		bound := s.tcp.Addr().(*net.TCPAddr).AddrPort()
		running.addrs = append(running.addrs, netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port()))
	}

	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() {
		for _, s := range all {
			s.close()
		}
	})
	serving := &serving{Responder: r, slots: make(chan struct{}, r.MaxConnections)}
	for _, s := range all {
		group.Go(func() error { return serving.serveTCP(ctx, s.tcp) })
		group.Go(func() error { return serving.serveUDP(ctx, s.udp) })
	}
	running.wait = sync.OnceValue(func() error {
		err := group.Wait()
		stop()
		for _, s := range all {
			s.close()
		}
		serving.connections.Wait()
		return err
	})
	return running, nil
}

// serving is a responder at work.
type serving struct {
	Responder
	slots       chan struct{}
	connections sync.WaitGroup

	mu     sync.Mutex
	token  string
	stream int
}

// pause waits a moment after an error that may pass, such as a lack of file
// descriptors. It returns false when ctx is done.
func pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(50 * time.Millisecond):
		return true
	}
}

func (s *serving) allowed(a netip.Addr) bool {
	if len(s.Allow) == 0 {
		return true
	}
	for _, p := range s.Allow {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

func (s *serving) serveTCP(ctx context.Context, l *net.TCPListener) error {
	for {
		conn, err := l.AcceptTCP()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if conn != nil {
				conn.Close()
			}
			return nil
		}
		if err != nil {
			s.Logger.Warn("cannot accept a connection", "error", err)
			if !pause(ctx) {
				return nil
			}
			continue
		}
		from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()
		if !s.allowed(from) {
			s.Logger.Info("turned away: not in an allowed network", "from", from)
			conn.Close()
			continue
		}
		select {
		case s.slots <- struct{}{}:
		default:
			s.Logger.Info("turned away: too many connections", "from", from)
			conn.Close()
			continue
		}
		s.connections.Go(func() {
			defer func() { <-s.slots }()
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			defer conn.Close()
			s.serveConn(conn)
		})
	}
}

// serveConn serves one connection until it is done, or breaks the rules.
func (s *serving) serveConn(conn *net.TCPConn) {
	end := time.Now().Add(s.MaxSession)
	idle := func() {
		if t := time.Now().Add(s.IdleTimeout); t.Before(end) {
			_ = conn.SetDeadline(t)
		} else {
			_ = conn.SetDeadline(end)
		}
	}
	idle()
	in := bufio.NewReaderSize(conn, helloLimit)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return
	}
	hello := strings.TrimSuffix(string(line), "\n")
	switch {
	case hello == helloEcho:
		if _, err := io.WriteString(conn, "ok\n"); err != nil {
			return
		}
		block := make([]byte, echoBlock)
		for {
			idle()
			if _, err := io.ReadFull(in, block); err != nil {
				return
			}
			if _, err := conn.Write(block); err != nil {
				return
			}
		}
	case strings.HasPrefix(hello, helloSink):
		token, err := parseToken(strings.TrimPrefix(hello, helloSink))
		if err != nil {
			return
		}
		if !s.join(token) {
			_, _ = io.WriteString(conn, "busy\n")
			return
		}
		defer s.leave()
		if _, err := io.WriteString(conn, "ok\n"); err != nil {
			return
		}
		buf := make([]byte, 64<<10)
		var total int64
		for {
			idle()
			n, err := in.Read(buf)
			total += int64(n)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return
			}
		}
		idle()
		_, _ = fmt.Fprintf(conn, "%d\n", total)
	}
}

// join lets a stream take part in the measurement called token; false means
// that another measurement is running.
func (s *serving) join(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream > 0 && s.token != token || s.stream >= maxStreams {
		return false
	}
	s.token = token
	s.stream++
	return true
}

func (s *serving) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stream--
}

func (s *serving) serveUDP(ctx context.Context, conn *net.UDPConn) error {
	buf := make([]byte, maxDatagram+1)
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	var known int
	var asked time.Time
	// Looking up an interface asks the kernel for all of them, so the answer
	// serves for a whole burst of probes.
	mtu := func() int {
		if time.Since(asked) > 100*time.Millisecond {
			known, asked = 0, time.Now()
			if ifi, err := interfaceOf(local); err == nil {
				known = ifi.MTU
			}
		}
		return known
	}
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			s.Logger.Warn("cannot receive a packet", "error", err)
			if !pause(ctx) {
				return nil
			}
			continue
		}
		if !s.allowed(from.Addr()) {
			continue
		}
		if reply := answer(buf[:n], mtu); reply != nil {
			// If it does not arrive the check will say so.
			_, _ = conn.WriteToUDPAddrPort(reply, from)
		}
	}
}

// interfaceOf returns the network interface that has the given address.
func interfaceOf(addr netip.Addr) (net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return net.Interface{}, fmt.Errorf("cannot list the network interfaces: %w", err)
	}
	for _, ifi := range all {
		addrs, err := ifi.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(p.IP); ok && ip.Unmap() == addr.WithZone("") {
					return ifi, nil
				}
			}
		}
	}
	return net.Interface{}, fmt.Errorf("cannot find a network interface that has address %s", addr)
}
