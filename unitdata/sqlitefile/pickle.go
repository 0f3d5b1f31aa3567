package sqlitefile

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// maxNodes and maxText bound how large a value a pickle may stand for, in values
// and in bytes of their texts: it can name the same list or the same text many
// times.
const (
	maxNodes = 100_000
	maxText  = canonicaljson.MaxSize
)

var errPickle = errors.New("not a pickle of plain data")

// unpickle reads a Python pickle of plain data: None, bool, int, float, str,
// list, tuple, set and dict with keys of type str, which is what ops keeps of a
// StoredState but for bytes. Sets become sorted lists. Whatever would make
// Python import or call something is an error.
func unpickle(data []byte) (any, error) {
	u := unpickler{data: data, memo: make(map[int]any)}
	for {
		op, err := u.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			break
		}
		if err := u.step(op[0]); err != nil {
			return nil, fmt.Errorf("%w: opcode %q at byte %d", errPickle, op[0], u.pos-1)
		}
	}
	if len(u.stack) != 1 {
		return nil, errPickle
	}
	return (&budget{maxNodes, maxText}).plain(u.stack[0], 0)
}

// Values that may still grow after they were memoized are shared by pointer.
type (
	pyList struct {
		items []any
		set   bool
	}
	pyDict struct{ items map[string]any }
	pyMark struct{}
)

type unpickler struct {
	data  []byte
	pos   int
	stack []any
	memo  map[int]any
}

func (u *unpickler) take(n uint64) ([]byte, error) {
	if n > uint64(len(u.data)-u.pos) {
		return nil, fmt.Errorf("%w: it ends too early", errPickle)
	}
	u.pos += int(n)
	return u.data[u.pos-int(n) : u.pos], nil
}

// number reads a little-endian number of size bytes.
func (u *unpickler) number(size uint64) (uint64, error) {
	b, err := u.take(size)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:]), nil
}

func (u *unpickler) push(v any) { u.stack = append(u.stack, v) }

func (u *unpickler) pop(n int) ([]any, error) {
	if len(u.stack) < n {
		return nil, errPickle
	}
	items := slices.Clone(u.stack[len(u.stack)-n:])
	u.stack = u.stack[:len(u.stack)-n]
	return items, nil
}

// popMark returns what is above the topmost mark, and removes both.
func (u *unpickler) popMark() ([]any, error) {
	for i := len(u.stack) - 1; i >= 0; i-- {
		if _, ok := u.stack[i].(pyMark); ok {
			items := slices.Clone(u.stack[i+1:])
			u.stack = u.stack[:i]
			return items, nil
		}
	}
	return nil, errPickle
}

func (u *unpickler) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		_, err := u.take(1)
		return err
	case 0x95: // FRAME
		_, err := u.take(8)
		return err
	case '(': // MARK
		u.push(pyMark{})
	case 'N': // NONE
		u.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		u.push(op == 0x88)
	case 'K', 'M', 'J', 0x8a, 'G':
		return u.pushNumber(op)
	case 0x8c, 'X', 0x8d: // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8
		size := map[byte]uint64{0x8c: 1, 'X': 4, 0x8d: 8}[op]
		n, err := u.number(size)
		if err != nil {
			return err
		}
		text, err := u.take(n)
		u.push(string(text))
		return err
	case '}': // EMPTY_DICT
		u.push(&pyDict{make(map[string]any)})
	case ']', ')': // EMPTY_LIST, EMPTY_TUPLE
		u.push(&pyList{items: []any{}})
	case 0x8f: // EMPTY_SET
		u.push(&pyList{items: []any{}, set: true})
	case 't', 0x91: // TUPLE, FROZENSET
		items, err := u.popMark()
		u.push(&pyList{items: items, set: op == 0x91})
		return err
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		items, err := u.pop(int(op) - 0x84)
		u.push(&pyList{items: items})
		return err
	case 'a', 's', 'e', 'u', 0x90: // APPEND, SETITEM, APPENDS, SETITEMS, ADDITEMS
		return u.collect(op)
	case 0x94: // MEMOIZE
		return u.memoize(uint64(len(u.memo)), nil)
	case 'q': // BINPUT
		return u.memoize(u.number(1))
	case 'r': // LONG_BINPUT
		return u.memoize(u.number(4))
	case 'h': // BINGET
		return u.recall(u.number(1))
	case 'j': // LONG_BINGET
		return u.recall(u.number(4))
	default:
		return errPickle
	}
	return nil
}

func (u *unpickler) pushNumber(op byte) error {
	switch op {
	case 'G': // BINFLOAT
		b, err := u.take(8)
		if err == nil {
			u.push(canonicaljson.Float(math.Float64frombits(binary.BigEndian.Uint64(b))))
		}
		return err
	case 0x8a: // LONG1
		n, err := u.number(1)
		if err != nil {
			return err
		}
		b, err := u.take(n)
		if err == nil {
			u.push(longNumber(b))
		}
		return err
	}
	n, err := u.number(map[byte]uint64{'K': 1, 'M': 2, 'J': 4}[op]) // BININT1, BININT2, BININT
	i := int64(n)
	if op == 'J' {
		i = int64(int32(n))
	}
	u.push(json.Number(strconv.FormatInt(i, 10)))
	return err
}

// longNumber reads a little-endian two's complement.
func longNumber(b []byte) json.Number {
	b = slices.Clone(b)
	slices.Reverse(b)
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return json.Number(n.String())
}

// collect adds items to the list or dict below them.
func (u *unpickler) collect(op byte) error {
	var items []any
	var err error
	switch op {
	case 'a':
		items, err = u.pop(1)
	case 's':
		items, err = u.pop(2)
	default:
		items, err = u.popMark()
	}
	if err != nil || len(u.stack) == 0 {
		return errPickle
	}
	switch c := u.stack[len(u.stack)-1].(type) {
	case *pyList:
		if op == 's' || op == 'u' || c.set != (op == 0x90) {
			return errPickle
		}
		c.items = append(c.items, items...)
	case *pyDict:
		if op != 's' && op != 'u' || len(items)%2 != 0 {
			return errPickle
		}
		for i := 0; i < len(items); i += 2 {
			key, ok := items[i].(string)
			if !ok {
				return errPickle
			}
			c.items[key] = items[i+1]
		}
	default:
		return errPickle
	}
	return nil
}

func (u *unpickler) memoize(i uint64, err error) error {
	if err != nil || len(u.stack) == 0 {
		return errPickle
	}
	u.memo[int(i)] = u.stack[len(u.stack)-1]
	return nil
}

func (u *unpickler) recall(i uint64, err error) error {
	v, ok := u.memo[int(i)]
	if err != nil || !ok {
		return errPickle
	}
	u.push(v)
	return nil
}

// A budget is what a value may still take.
type budget struct{ nodes, text int }

// plain returns v as the values that canonicaljson knows.
func (b *budget) plain(v any, depth int) (any, error) {
	b.nodes--
	switch v := v.(type) {
	case string:
		b.text -= len(v)
	case json.Number:
		b.text -= len(v)
	case *pyDict:
		for key := range v.items {
			b.text -= len(key)
		}
	}
	if b.nodes < 0 || b.text < 0 || depth > canonicaljson.MaxDepth {
		return nil, fmt.Errorf("%w: it stands for too large a value", errPickle)
	}
	switch v := v.(type) {
	case *pyList:
		list := make([]any, len(v.items))
		for i, item := range v.items {
			var err error
			if list[i], err = b.plain(item, depth+1); err != nil {
				return nil, err
			}
		}
		if v.set {
			return sorted(list)
		}
		return list, nil
	case *pyDict:
		m := make(map[string]any, len(v.items))
		for key, item := range v.items {
			var err error
			if m[key], err = b.plain(item, depth+1); err != nil {
				return nil, err
			}
		}
		return m, nil
	case pyMark:
		return nil, errPickle
	}
	return v, nil
}

// sorted orders the members of a set by their text, so that the same set is
// always the same list.
func sorted(list []any) (any, error) {
	texts := make([]string, len(list))
	for i, v := range list {
		text, err := canonicaljson.Encode(v)
		if err != nil {
			return nil, err
		}
		texts[i] = text
	}
	slices.Sort(texts)
	for i, text := range texts {
		v, err := canonicaljson.Decode(text)
		if err != nil {
			return nil, err
		}
		list[i] = v
	}
	return list, nil
}
