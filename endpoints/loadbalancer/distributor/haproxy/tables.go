package haproxy

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// A worker that has not got a table from the one before it looks for one for ten
// seconds, five among workers and five among other machines. Until then it would
// end without handing over its own. One that got it hands it on at once.
const (
	lookTime     = 11 * time.Second
	handOverTime = 2 * time.Second
)

// keepTables waits until the current worker can hand its tables of clients over.
// Kept says that there are clients in them.
func (b *backend) keepTables(ctx context.Context, st status) (kept bool, err error) {
	text, err := b.worker(ctx, st.workers[0].pid, "show table")
	if err != nil || !hasClients(text) {
		return false, err
	}
	return true, b.awaitTables(ctx, st, lookTime)
}

// awaitTables waits until the current worker has the tables of the one before, or
// has given up. It is no error if that takes longer than it may.
func (b *backend) awaitTables(ctx context.Context, st status, within time.Duration) error {
	for end := time.Now().Add(within); ; {
		text, err := b.worker(ctx, st.workers[0].pid, "show peers")
		if err != nil || hasTables(text) {
			return err
		}
		if time.Now().After(end) {
			b.o.Logger.Warn("HAProxy does not hand over which client belongs to which backend", "waited", within)
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// hasClients reads the answer to "show table".
func hasClients(text string) bool {
	for line := range strings.Lines(text) {
		if _, used, ok := strings.Cut(strings.TrimSpace(line), ", used:"); ok && used != "0" {
			return true
		}
	}
	return false
}

// hasTables reads the answer to "show peers". The lowest two of a section's flags
// say that workers, and that other machines, need not be asked for tables any more.
func hasTables(text string) bool {
	const asked = 0x3
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "0x") {
			continue
		}
		for _, field := range strings.Fields(line) {
			if value, ok := strings.CutPrefix(field, "flags="); ok {
				flags, err := strconv.ParseUint(value, 0, 32)
				if err == nil && flags&asked != asked {
					return false
				}
			}
		}
	}
	return true
}
