//go:build !linux

package netcheck

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"syscall"
)

func dontFragment(string, string, syscall.RawConn) error {
	return fmt.Errorf("cannot probe the path mtu on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func pathMTU(*net.UDPConn, bool) int { return 0 }
