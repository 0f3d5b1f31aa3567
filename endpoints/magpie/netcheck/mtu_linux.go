package netcheck

import (
	"net"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dontFragment makes the kernel send packets of a new socket with the
// don't-fragment bit, up to the MTU of the interface, whatever path MTU it has
// learned (ip(7), IP_PMTUDISC_PROBE).
func dontFragment(network, _ string, c syscall.RawConn) error {
	var err error
	control := func(fd uintptr) {
		if strings.HasSuffix(network, "6") {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
			if err == nil {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
			}
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		}
	}
	if e := c.Control(control); e != nil {
		return e
	}
	return err
}

// pathMTU returns the path MTU that the kernel has learned for a connected
// socket; 0 if it knows none.
func pathMTU(conn *net.UDPConn, is6 bool) int {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	mtu := 0
	_ = raw.Control(func(fd uintptr) {
		level, option := unix.IPPROTO_IP, unix.IP_MTU
		if is6 {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_MTU
		}
		if v, err := unix.GetsockoptInt(int(fd), level, option); err == nil {
			mtu = v
		}
	})
	return mtu
}
