package nftables

import "net/netip"

// ParseTracked reads a line of conntrack's, for tests of what it may say.
func ParseTracked(line string) (protocol string, dst, server netip.AddrPort, open, ok bool) {
	t, ok := parseTracked(line)
	return t.protocol, t.dst, t.server, t.open(), ok
}
