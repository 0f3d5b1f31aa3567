//go:build !linux

package simulate

// Adopt does nothing: charms run on Linux.
func Adopt() error { return nil }

// EndLeftovers does nothing: charms run on Linux.
func EndLeftovers(bool) int { return 0 }
