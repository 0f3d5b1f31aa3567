package unitdata

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/internal/canonicaljson"
)

// Limits of one entry of Juju's charm state, in bytes.
const (
	maxStateKey   = 256
	maxStateValue = 64 << 10
)

// A JujuState keeps unit data in Juju's charm state, through state-get and
// state-set. The agent buffers what is written and Juju commits it together
// with relation data in one transaction after the hook, so that a hook that
// fails or is killed leaves nothing behind.
//
// The layout meets Juju's limits of 256 bytes a key and 64 KiB a value: all
// entries are one JSON document, kept under the key "reactive" and, where it
// is too long for one value, cut into pieces under "reactive.1" and so on. What
// was seen of each remote databag is under a key of its own, "seen.RELATION.NAME",
// and read only when that bag is looked at, so that a hook costs the same
// however many units are related.
type JujuState struct {
	tools *hooktool.Client

	pieces  []string // as they were loaded
	entries map[string]json.RawMessage
	seen    map[Bag]string // stored values read in this hook
	total   int            // bytes of all stored values under seen.*
}

// NewJujuState returns a store in the charm state of the unit for which tools
// run. Use a new one for each hook.
func NewJujuState(tools *hooktool.Client) *JujuState {
	return &JujuState{tools: tools, seen: make(map[Bag]string)}
}

// rootKey is the key of the document, or of its first piece. The document has
// all entries under "data", and under "seen" how many bytes the values under
// seen.* take.
const rootKey = "reactive"

// Load implements [Store].
func (s *JujuState) Load(ctx context.Context) (map[string]json.RawMessage, error) {
	first, ok, err := s.tools.StateGet(ctx, rootKey)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, nil
	}
	s.pieces = []string{first}
	text := first
	// A document in several pieces begins with their number: "3#{...".
	if count, rest, ok := strings.Cut(first, "#"); ok && len(count) <= 4 {
		n, err := strconv.Atoi(count)
		if err != nil {
			return nil, fmt.Errorf("cannot read the charm state %q: %w", rootKey, err)
		}
		var b strings.Builder
		b.WriteString(rest)
		for i := 1; i < n; i++ {
			piece, ok, err := s.tools.StateGet(ctx, pieceKey(i))
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, fmt.Errorf("cannot read the charm state: %q is missing", pieceKey(i))
			}
			s.pieces = append(s.pieces, piece)
			b.WriteString(piece)
		}
		text = b.String()
	}
	doc, err := canonicaljson.Members(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read the charm state %q: %w", rootKey, err)
	}
	if s.entries, err = canonicaljson.Members(string(doc["data"])); err != nil {
		return nil, fmt.Errorf("cannot read the charm state %q: %w", rootKey, err)
	}
	if s.total, err = strconv.Atoi(string(doc["seen"])); err != nil {
		return nil, fmt.Errorf("cannot read the charm state %q: %w", rootKey, err)
	}
	return maps.Clone(s.entries), nil
}

func pieceKey(i int) string {
	if i == 0 {
		return rootKey
	}
	return rootKey + "." + strconv.Itoa(i)
}

// Seen implements [Store].
func (s *JujuState) Seen(ctx context.Context, bag Bag) (Seen, error) {
	value, ok := s.seen[bag]
	if !ok {
		var err error
		if value, _, err = s.tools.StateGet(ctx, seenKey(bag)); err != nil {
			return Seen{}, err
		}
		s.seen[bag] = value
	}
	var seen Seen
	data, err := base64.RawStdEncoding.DecodeString(value)
	if err != nil {
		return seen, fmt.Errorf("cannot read the charm state %q: %w", seenKey(bag), err)
	}
	return seen, seen.UnmarshalBinary(data)
}

// seenKey returns the key of a databag's digests. Names too long for Juju's
// limit are replaced by their hash.
func seenKey(bag Bag) string {
	key := "seen." + bag.Relation + "." + bag.Name
	if len(key) > maxStateKey {
		sum := sha256.Sum256([]byte(key))
		key = "seen." + hex.EncodeToString(sum[:])
	}
	return key
}

// A plan is what a commit writes and removes, and what the state is then.
type plan struct {
	set     map[string]string
	remove  map[string]bool
	entries map[string]json.RawMessage
	pieces  []string
	seen    map[Bag]string
	total   int
}

// plan works out a commit. It fails if the state would be too large.
func (s *JujuState) plan(ctx context.Context, changes Changes) (*plan, error) {
	p := &plan{set: make(map[string]string), remove: make(map[string]bool), seen: make(map[Bag]string), total: s.total}
	put := func(bag Bag, value string) {
		p.total += seenSize(bag, value) - seenSize(bag, s.seen[bag])
		p.seen[bag] = value
		if value == "" {
			p.remove[seenKey(bag)] = s.seen[bag] != ""
		} else if value != s.seen[bag] {
			p.set[seenKey(bag)] = value
		}
	}
	for _, bag := range changes.Forget {
		if _, err := s.Seen(ctx, bag); err != nil {
			return nil, err
		}
		_, again := changes.Seen[bag]
		if _, former := changes.Former[bag]; !again && !former {
			put(bag, "")
		}
	}
	bags := slices.Collect(maps.Keys(changes.Seen))
	for bag := range changes.Former {
		if _, twice := changes.Seen[bag]; !twice {
			bags = append(bags, bag)
		}
	}
	for _, bag := range bags {
		seen, err := s.Seen(ctx, bag)
		if err != nil {
			return nil, err
		}
		if former, ok := changes.Former[bag]; ok {
			seen = former.Clone()
		} else if slices.Contains(changes.Forget, bag) {
			seen = Seen{}
		}
		for key, sum := range changes.Seen[bag] {
			seen.Note(key, sum)
		}
		data, err := seen.MarshalBinary()
		if err != nil {
			return nil, err
		}
		put(bag, base64.RawStdEncoding.EncodeToString(data))
	}

	p.entries = maps.Clone(s.entries)
	if p.entries == nil {
		p.entries = make(map[string]json.RawMessage)
	}
	maps.Copy(p.entries, changes.Set)
	for _, key := range changes.Delete {
		delete(p.entries, key)
	}
	text, err := canonicaljson.Encode(map[string]any{"data": p.entries, "seen": p.total})
	if err != nil {
		return nil, fmt.Errorf("cannot encode the charm state: %w", err)
	}
	p.pieces = cut(text)
	size := p.total + len(text)
	for i, piece := range p.pieces {
		size += len(pieceKey(i))
		if i >= len(s.pieces) || s.pieces[i] != piece {
			p.set[pieceKey(i)] = piece
		}
	}
	for i := len(p.pieces); i < len(s.pieces); i++ {
		p.remove[pieceKey(i)] = true
	}
	maps.DeleteFunc(p.remove, func(_ string, there bool) bool { return !there })
	return p, checkTotal(p.entries, p.total, size)
}

// Check implements [Checker].
func (s *JujuState) Check(ctx context.Context, changes Changes) error {
	_, err := s.plan(ctx, changes)
	return err
}

// Commit implements [Store].
func (s *JujuState) Commit(ctx context.Context, changes Changes) error {
	p, err := s.plan(ctx, changes)
	if err != nil {
		return err
	}
	if len(p.set) > 0 {
		if err := s.tools.StateSet(ctx, p.set); err != nil {
			return err
		}
	}
	if len(p.remove) > 0 {
		if err := s.tools.StateDelete(ctx, slices.Sorted(maps.Keys(p.remove))...); err != nil {
			return err
		}
	}
	s.entries, s.pieces, s.total = p.entries, p.pieces, p.total
	maps.Copy(s.seen, p.seen)
	return nil
}

// seenSize is what a databag's digests take in the charm state.
func seenSize(bag Bag, value string) int {
	if value == "" {
		return 0
	}
	return len(seenKey(bag)) + len(value)
}

// cut divides a document, which is ASCII, into values that Juju takes.
func cut(text string) []string {
	if len(text) <= maxStateValue {
		return []string{text}
	}
	const room = maxStateValue - len("9999#")
	n := (len(text) + room - 1) / room
	var pieces []string
	for ; text != ""; text = text[min(room, len(text)):] {
		pieces = append(pieces, text[:min(room, len(text))])
	}
	pieces[0] = strconv.Itoa(n) + "#" + pieces[0]
	return pieces
}
