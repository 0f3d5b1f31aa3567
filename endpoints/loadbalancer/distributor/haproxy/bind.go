package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
)

// bindable tries whether the addresses that are new can be bound. HAProxy finds
// out too, but by having the running worker stop listening for a second, in which
// every new connection is refused.
func (b *backend) bindable(ctx context.Context, want *converge.State, pid int) error {
	text, err := b.worker(ctx, pid, "show stat")
	if err != nil {
		return fmt.Errorf("cannot ask HAProxy: %w", err)
	}
	listening := map[netip.AddrPort]bool{}
	for line := range strings.Lines(text) {
		front, _, _ := strings.Cut(line, ",")
		if at, ok := frontAddress(front); ok {
			listening[at] = true
		}
	}
	for _, d := range want.Sorted() {
		for _, v := range d.SortedVIPs() {
			for _, p := range v.Ports {
				at := netip.AddrPortFrom(v.Address, p.Front)
				if overlaps(listening, at) {
					continue
				}
				if err := tryBind(at); err != nil {
					return fmt.Errorf("cannot serve VIP %s: %s cannot be bound: %w", v.ID, at, err)
				}
			}
		}
	}
	return nil
}

// overlaps reports whether HAProxy's own sockets are in the way of a try.
func overlaps(listening map[netip.AddrPort]bool, at netip.AddrPort) bool {
	for l := range listening {
		if l == at || (l.Port() == at.Port() && (l.Addr().IsUnspecified() || at.Addr().IsUnspecified())) {
			return true
		}
	}
	return false
}

// tryBind binds a socket that never listens. What the driver may not try, the
// master may yet do.
func tryBind(at netip.AddrPort) error {
	family, addr := syscall.AF_INET6, syscall.Sockaddr(&syscall.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()})
	if at.Addr().Is4() {
		family, addr = syscall.AF_INET, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	fd, err := syscall.Socket(family, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return nil
	}
	if err := syscall.Bind(fd, addr); errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return err
	}
	return nil
}
