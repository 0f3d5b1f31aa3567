package reactive

import "context"

// OnRecord calls fn at the very end of every dispatch, after what it changed
// was written or given up, with the record of it. It is for watching the charm,
// not for its work: what fn changes through h is not kept.
func (c *Charm) OnRecord(fn func(ctx context.Context, h *Hook, record *Record)) {
	c.onRecord = append(c.onRecord, fn)
}
