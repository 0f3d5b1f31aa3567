package canonicaljson

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// MaxSize is the size in bytes of the longest text that is decoded. No
	// value that Juju keeps comes near it.
	MaxSize = 16 << 20

	// MaxDepth is how deep arrays and objects may be nested, as in Python.
	MaxDepth = 1000

	// MaxDigits is how many digits an integer may have, as in Python since
	// 3.11.
	MaxDigits = 4300
)

// A SyntaxError says why and where a text is not JSON that Python reads. It
// holds nothing of the text itself, which may be secret.
type SyntaxError struct {
	Offset int    // in bytes from the beginning of the text
	Reason string // such as "text ends inside a string"
}

// Error returns the reason and the offset.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not JSON: %s at byte %d", e.Reason, e.Offset)
}

// Float is a JSON number with a fraction or an exponent, or one of NaN,
// Infinity and -Infinity. It is a type of its own so that 3.0 stays 3.0 when
// it is encoded again, where a plain float64 3 is encoded as encoding/json
// does: 3.
type Float float64

// MarshalJSON writes f as Python does, so that it keeps its spelling inside
// any Go value. Like encoding/json it refuses NaN and infinities.
func (f Float) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) {
		return nil, &json.UnsupportedValueError{Str: string(appendFloat(nil, float64(f)))}
	}
	return appendFloat(nil, float64(f)), nil
}

// Decode returns the value that Python's json.loads makes of text: nil, bool,
// string, json.Number (an integer with neither superfluous sign nor zeros),
// Float, []any or map[string]any. Of duplicate keys the last one counts.
//
// The error is a *SyntaxError. Beyond what Python refuses (including integers
// of more than MaxDigits digits), texts longer than MaxSize are refused.
func Decode(text string) (any, error) {
	d := decoder{text: text}
	if len(text) > MaxSize {
		return nil, d.fail("text is too long")
	}
	d.space()
	v, err := d.value(0)
	if err != nil {
		return nil, err
	}
	d.space()
	if d.pos < len(d.text) {
		return nil, d.fail("unexpected text after the value")
	}
	return v, nil
}

// DecodeBag returns the value that a JSON view of a databag shows for a raw
// value: the decoded value, or the raw string itself if it is not JSON, as it
// is for an empty one.
func DecodeBag(raw string) any {
	v, err := Decode(raw)
	if err != nil {
		return raw
	}
	return v
}

// Members returns the members of a JSON object, each as the text it has there.
// The error is a *SyntaxError.
func Members(text string) (map[string]json.RawMessage, error) {
	m := make(map[string]json.RawMessage)
	d := decoder{text: text}
	if len(text) > MaxSize {
		return nil, d.fail("text is too long")
	}
	d.space()
	if d.peek() != '{' {
		return nil, d.fail("no object")
	}
	err := d.members(1, func(key string) error {
		start := d.pos
		_, err := d.value(1)
		m[key] = json.RawMessage(text[start:d.pos])
		return err
	})
	if err != nil {
		return nil, err
	}
	d.space()
	if d.pos < len(text) {
		return nil, d.fail("unexpected text after the value")
	}
	return m, nil
}

type decoder struct {
	text string
	pos  int
}

func (d *decoder) fail(reason string) error {
	return &SyntaxError{Offset: d.pos, Reason: reason}
}

// peek returns the next byte, or 0 at the end: a NUL is valid nowhere.
func (d *decoder) peek() byte {
	if d.pos < len(d.text) {
		return d.text[d.pos]
	}
	return 0
}

func (d *decoder) space() {
	for d.pos < len(d.text) {
		switch d.text[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *decoder) literal(word string) bool {
	if !strings.HasPrefix(d.text[d.pos:], word) {
		return false
	}
	d.pos += len(word)
	return true
}

func (d *decoder) value(depth int) (any, error) {
	switch c := d.peek(); {
	case c == '"':
		return d.string()
	case c == '{':
		return d.object(depth + 1)
	case c == '[':
		return d.array(depth + 1)
	case c == 'n' && d.literal("null"):
		return nil, nil
	case c == 't' && d.literal("true"):
		return true, nil
	case c == 'f' && d.literal("false"):
		return false, nil
	case c == 'N' && d.literal("NaN"):
		return Float(math.NaN()), nil
	case c == 'I' && d.literal("Infinity"):
		return Float(math.Inf(1)), nil
	case c == '-' && d.literal("-Infinity"):
		return Float(math.Inf(-1)), nil
	case c == '-' || isDigit(c):
		return d.number()
	}
	if d.pos == len(d.text) {
		return nil, d.fail("text ends where a value should be")
	}
	return nil, d.fail("no value")
}

func (d *decoder) array(depth int) (any, error) {
	if depth > MaxDepth {
		return nil, d.fail("too deeply nested")
	}
	d.pos++
	list := []any{}
	d.space()
	if d.peek() == ']' {
		d.pos++
		return list, nil
	}
	for {
		v, err := d.value(depth)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		more, err := d.next(']')
		if err != nil {
			return nil, err
		}
		if !more {
			return list, nil
		}
	}
}

// next reads what follows an item: a comma, or the end of the collection.
func (d *decoder) next(end byte) (more bool, err error) {
	d.space()
	switch d.peek() {
	case end:
		d.pos++
		return false, nil
	case ',':
		d.pos++
		d.space()
		return true, nil
	}
	return false, d.fail("no comma and no end of the array or object")
}

func (d *decoder) object(depth int) (any, error) {
	m := map[string]any{}
	err := d.members(depth, func(key string) error {
		v, err := d.value(depth)
		m[key] = v
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// members reads an object; read gets each key and reads its value.
func (d *decoder) members(depth int, read func(key string) error) error {
	if depth > MaxDepth {
		return d.fail("too deeply nested")
	}
	d.pos++
	d.space()
	if d.peek() == '}' {
		d.pos++
		return nil
	}
	for {
		if d.peek() != '"' {
			return d.fail("no key")
		}
		key, err := d.string()
		if err != nil {
			return err
		}
		d.space()
		if d.peek() != ':' {
			return d.fail("no colon after a key")
		}
		d.pos++
		d.space()
		if err := read(key); err != nil {
			return err
		}
		more, err := d.next('}')
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func (d *decoder) digits() int {
	start := d.pos
	for isDigit(d.peek()) {
		d.pos++
	}
	return d.pos - start
}

// number reads the longest number that begins here. What follows it, such as
// the second digit of 01 or the point of 1., is left to the caller to refuse.
func (d *decoder) number() (any, error) {
	start := d.pos
	negative := d.peek() == '-'
	if negative {
		d.pos++
	}
	first := d.pos
	if d.peek() == '0' {
		d.pos++
	} else if d.digits() == 0 {
		return nil, d.fail("no digit after a minus sign")
	}
	integer := d.pos
	if d.peek() == '.' {
		d.pos++
		if d.digits() == 0 {
			d.pos = integer
		}
	}
	if fraction := d.pos; d.peek() == 'e' || d.peek() == 'E' {
		d.pos++
		if c := d.peek(); c == '+' || c == '-' {
			d.pos++
		}
		if d.digits() == 0 {
			d.pos = fraction
		}
	}
	if d.pos > integer {
		// An error can only be that the number is too large or too small,
		// which is infinity or zero in Python also.
		f, _ := strconv.ParseFloat(d.text[start:d.pos], 64)
		return Float(f), nil
	}
	if integer-first > MaxDigits {
		d.pos = start
		return nil, d.fail("integer with too many digits")
	}
	if negative && d.text[first] == '0' {
		start = first
	}
	return json.Number(d.text[start:d.pos]), nil
}

func (d *decoder) string() (string, error) {
	d.pos++
	start := d.pos
	for d.pos < len(d.text) {
		switch c := d.text[d.pos]; {
		case c == '"':
			s := d.text[start:d.pos]
			d.pos++
			return s, nil
		case c == '\\' || c >= utf8.RuneSelf:
			return d.longString(start)
		case c < ' ':
			return "", d.fail("control character inside a string")
		}
		d.pos++
	}
	return "", d.fail("text ends inside a string")
}

// longString reads on in a string whose plain beginning is at start, when it
// may have to be changed on the way.
func (d *decoder) longString(start int) (string, error) {
	buf := append(make([]byte, 0, d.pos-start+16), d.text[start:d.pos]...)
	for d.pos < len(d.text) {
		c := d.text[d.pos]
		switch {
		case c == '"':
			d.pos++
			return string(buf), nil
		case c < ' ':
			return "", d.fail("control character inside a string")
		case c >= utf8.RuneSelf:
			r, size := decodeRune(d.text[d.pos:])
			d.pos += size
			buf = appendRune(buf, r)
		case c == '\\':
			r, err := d.escape()
			if err != nil {
				return "", err
			}
			buf = appendRune(buf, r)
		default:
			buf = append(buf, c)
			d.pos++
		}
	}
	return "", d.fail("text ends inside a string")
}

func (d *decoder) escape() (rune, error) {
	d.pos++
	c := d.peek()
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return d.unicodeEscape()
	default:
		return 0, d.fail("unknown escape")
	}
	d.pos++
	return rune(c), nil
}

func (d *decoder) unicodeEscape() (rune, error) {
	d.pos++
	r, ok := hex4(d.text[d.pos:])
	if !ok {
		return 0, d.fail("no four hexadecimal digits after \\u")
	}
	d.pos += 4
	if !isHigh(r) || !strings.HasPrefix(d.text[d.pos:], `\u`) {
		return r, nil
	}
	low, ok := hex4(d.text[d.pos+2:])
	if !ok || !isLow(low) {
		return r, nil
	}
	d.pos += 6
	return (r-surrogateMin)<<10 + (low - lowMin) + 0x10000, nil
}

func hex4(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for i := range 4 {
		c := s[i]
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
