package netcheck_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
)

func dial(t testing.TB, network string, peer netcheck.Peer) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, peer.AddrPort().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	return conn
}

// closed waits for the other side to close the connection and returns what it
// had said.
func closed(t testing.TB, conn net.Conn) string {
	t.Helper()
	said, err := io.ReadAll(conn)
	if os.IsTimeout(err) {
		t.Errorf("the responder keeps the connection open")
	}
	return string(said)
}

func TestResponderEndsBadConnections(t *testing.T) {
	t.Parallel()
	peer := startResponder(t, netcheck.Responder{IdleTimeout: 200 * time.Millisecond, MaxSession: 600 * time.Millisecond}, "127.0.0.1")
	tests := []struct{ name, send, want string }{
		{"nothing", "", ""},
		{"half a line", "netcheck1 ec", ""},
		{"other protocol", "GET / HTTP/1.1\r\n\r\n", ""},
		{"endless line", strings.Repeat("x", 1000), ""},
		{"no token", "netcheck1 sink \n", ""},
		{"bad token", "netcheck1 sink ../../x\n", ""},
		{"long token", "netcheck1 sink " + strings.Repeat("0", 33) + "\n", ""},
		{"idle echo", "netcheck1 echo\n", "ok\n"},
		{"idle sink", "netcheck1 sink 0a\n", "ok\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, "tcp", peer)
			fmt.Fprint(conn, tt.send)
			if got := closed(t, conn); got != tt.want {
				t.Errorf("answer %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("too long", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, "tcp", peer)
		fmt.Fprint(conn, "netcheck1 echo\n")
		began := time.Now()
		for time.Since(began) < 5*time.Second {
			if _, err := conn.Write(make([]byte, 16)); err != nil {
				break
			}
			if _, err := io.ReadFull(conn, make([]byte, 16)); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if d := time.Since(began); d > 4*time.Second {
			t.Errorf("the session lasted %s", d)
		}
	})
}

func TestResponderBoundsConnections(t *testing.T) {
	t.Parallel()
	peer := startResponder(t, netcheck.Responder{MaxConnections: 2}, "127.0.0.1")
	for range 2 {
		conn := dial(t, "tcp", peer)
		fmt.Fprint(conn, "netcheck1 echo\n")
		if _, err := io.ReadFull(conn, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
	}
	if got := closed(t, dial(t, "tcp", peer)); got != "" {
		t.Errorf("one connection too many got %q", got)
	}
}

func TestResponderAllow(t *testing.T) {
	t.Parallel()
	peer := startResponder(t, netcheck.Responder{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "127.0.0.1")
	suite := netcheck.Suite{TCP: &netcheck.TCP{}, UDP: &netcheck.UDP{Count: 3, Wait: 100 * time.Millisecond}}
	report := suite.Run(t.Context(), []netcheck.Peer{peer})
	if p := report.Peers[0]; p.TCP.State != netcheck.Failed || p.UDP.State != netcheck.Failed {
		t.Errorf("a stranger was served: %s", report.Line())
	}
	peer = startResponder(t, netcheck.Responder{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "127.0.0.1")
	if report := suite.Run(t.Context(), []netcheck.Peer{peer}); !report.OK() {
		t.Errorf("a peer was not served: %s", report.Line())
	}
}

// packet makes a packet of the responder's protocol.
func packet(kind byte, size int) []byte {
	p := make([]byte, size)
	copy(p, "nck1")
	p[4] = kind
	copy(p[8:], "noncenon")
	return p
}

func TestResponderPackets(t *testing.T) {
	t.Parallel()
	peer := startResponder(t, netcheck.Responder{}, "127.0.0.1")
	tests := []struct {
		name string
		send []byte
		want int
	}{
		{"echo", packet('E', 100), 100},
		{"smallest echo", packet('E', 24), 24},
		{"probe", packet('P', 1400), 24},
		{"largest probe", packet('P', 65507), 24},
		{"answer of an echo", packet('e', 100), 0},
		{"answer of a probe", packet('p', 100), 0},
		{"other type", packet('X', 100), 0},
		{"too short", packet('E', 23), 0},
		{"empty", nil, 0},
		{"other protocol", bytes.Repeat([]byte{0}, 100), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, "udp", peer)
			if _, err := conn.Write(tt.send); err != nil {
				t.Fatal(err)
			}
			if tt.want == 0 {
				// What follows is answered in order, so nothing came before it.
				tt.send = packet('E', 50)
				tt.want = 50
				if _, err := conn.Write(tt.send); err != nil {
					t.Fatal(err)
				}
			}
			buf := make([]byte, 65536)
			n, err := conn.Read(buf)
			if err != nil || n != tt.want {
				t.Errorf("answer of %d bytes, %v; want %d", n, err, tt.want)
			}
		})
	}
}

// FuzzResponderPacket sends the responder anything; what comes back must never
// be larger than what was sent, and must never be something that a responder
// would answer.
func FuzzResponderPacket(f *testing.F) {
	f.Add(packet('E', 64))
	f.Add(packet('P', 200))
	f.Add(packet('p', 24))
	f.Add([]byte("nck1"))
	f.Fuzz(func(t *testing.T, in []byte) {
		reply := netcheck.Answer(bytes.Clone(in), 1500)
		if len(reply) > len(in) {
			t.Fatalf("%d bytes answered with %d", len(in), len(reply))
		}
		if reply != nil {
			if again := netcheck.Answer(bytes.Clone(reply), 1500); again != nil {
				t.Fatalf("an answer is answered: %x with %x", reply, again)
			}
		}
	})
}

// FuzzResponderHello sends the responder any opening; it must end the
// connection, and serve the next one.
func FuzzResponderHello(f *testing.F) {
	for _, s := range []string{"netcheck1 echo\n", "netcheck1 sink 00\nxxxx", "netcheck1 sink \n", "\n", "netcheck1 echo\n0123456789abcdef0"} {
		f.Add([]byte(s))
	}
	peer := startResponder(f, netcheck.Responder{}, "127.0.0.1")
	f.Fuzz(func(t *testing.T, in []byte) {
		conn, err := net.Dial("tcp", peer.AddrPort().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		go func() {
			_, _ = conn.Write(in)
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		said, err := io.ReadAll(conn)
		if os.IsTimeout(err) {
			t.Fatal("the responder keeps the connection open")
		}
		if len(said) > len(in)+64 {
			t.Fatalf("%d bytes answered with %d", len(in), len(said))
		}
	})
}
