package canonicaljson

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

var errDepth = errors.New("too deeply nested")

// Encode returns the text that Python's json.dumps(v, sort_keys=True) writes:
// keys sorted by code point, ", " and ": " between items, everything outside
// printable ASCII escaped.
//
// The values that Decode returns keep all they hold. Any other Go value is
// taken as encoding/json encodes it: struct tags and MarshalJSON count, and a
// float64 3 is 3. A json.Number may be any JSON number, and a json.RawMessage
// any text that Decode reads; but inside of other types, where encoding/json
// sees it first, it cannot hold NaN or Infinity.
//
// The error says what cannot be encoded: what encoding/json refuses, a
// json.Number that is none, or more than MaxDepth levels.
func Encode(v any) (string, error) {
	buf, err := appendValue(nil, v, 0)
	if err != nil {
		return "", fmt.Errorf("cannot encode a %T as JSON: %w", v, err)
	}
	return string(buf), nil
}

// Canonical returns the canonical text of the value that a JSON view of a
// databag shows for raw: Encode(DecodeBag(raw)). Two raw values have the same
// canonical text exactly if they differ in their spelling alone.
func Canonical(raw string) string {
	buf := make([]byte, 0, len(raw)+len(raw)/8+2)
	if v, err := Decode(raw); err == nil {
		if text, err := appendValue(buf, v, 0); err == nil {
			return string(text)
		}
	}
	return string(appendString(buf, raw))
}

// Digest returns the MD5 of a canonical text in hexadecimal digits, which is
// what change detection compares.
func Digest(text string) string {
	sum := md5.Sum([]byte(text))
	return hex.EncodeToString(sum[:])
}

func appendValue(buf []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(buf, "null"...), nil
	case bool:
		return strconv.AppendBool(buf, v), nil
	case string:
		return appendString(buf, v), nil
	case int:
		return strconv.AppendInt(buf, int64(v), 10), nil
	case Float:
		return appendFloat(buf, float64(v)), nil
	case json.Number:
		return appendNumber(buf, v)
	case []any:
		return appendArray(buf, v, depth+1)
	case map[string]any:
		return appendMap(buf, v, depth+1)
	case json.RawMessage:
		return appendText(buf, v, depth)
	case map[string]json.RawMessage:
		m := make(map[string]any, len(v))
		for key, text := range v {
			m[key] = text
		}
		return appendMap(buf, m, depth+1)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return appendText(buf, text, depth)
}

// appendText appends the value of a JSON text.
func appendText(buf []byte, text json.RawMessage, depth int) ([]byte, error) {
	if text == nil {
		return append(buf, "null"...), nil
	}
	v, err := Decode(string(text))
	if err != nil {
		return nil, err
	}
	return appendValue(buf, v, depth)
}

// appendNumber appends a number as it is after decoding, which leaves the
// integers of Decode as they are.
func appendNumber(buf []byte, n json.Number) ([]byte, error) {
	d := decoder{text: string(n)}
	if c := d.peek(); c != '-' && !isDigit(c) {
		return nil, errors.New("invalid json.Number")
	}
	v, err := d.number()
	if err != nil {
		return nil, err
	}
	if d.pos < len(n) {
		return nil, errors.New("invalid json.Number")
	}
	if f, ok := v.(Float); ok {
		return appendFloat(buf, float64(f)), nil
	}
	return append(buf, v.(json.Number)...), nil
}

func appendArray(buf []byte, list []any, depth int) ([]byte, error) {
	if list == nil {
		return append(buf, "null"...), nil
	}
	if depth > MaxDepth {
		return nil, errDepth
	}
	var err error
	buf = append(buf, '[')
	for i, v := range list {
		if i > 0 {
			buf = append(buf, ", "...)
		}
		if buf, err = appendValue(buf, v, depth); err != nil {
			return nil, err
		}
	}
	return append(buf, ']'), nil
}

func appendMap(buf []byte, m map[string]any, depth int) ([]byte, error) {
	if m == nil {
		return append(buf, "null"...), nil
	}
	if depth > MaxDepth {
		return nil, errDepth
	}
	// The order of bytes is that of code points, in WTF-8 as in UTF-8.
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var err error
	buf = append(buf, '{')
	for i, key := range keys {
		if i > 0 {
			buf = append(buf, ", "...)
		}
		buf = append(appendString(buf, key), ": "...)
		if buf, err = appendValue(buf, m[key], depth); err != nil {
			return nil, err
		}
	}
	return append(buf, '}'), nil
}

// appendFloat appends f as Python's repr writes it.
func appendFloat(buf []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(buf, "NaN"...)
	case math.IsInf(f, 1):
		return append(buf, "Infinity"...)
	case math.IsInf(f, -1):
		return append(buf, "-Infinity"...)
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(buf, f, 'e', -1, 64)
	}
	start := len(buf)
	buf = strconv.AppendFloat(buf, f, 'f', -1, 64)
	if !slices.Contains(buf[start:], '.') {
		buf = append(buf, ".0"...)
	}
	return buf
}

const hexDigits = "0123456789abcdef"

func appendString(buf []byte, s string) []byte {
	buf = append(buf, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if ' ' <= c && c <= '~' && c != '"' && c != '\\' {
			i++
			continue
		}
		buf = append(buf, s[start:i]...)
		if c < utf8.RuneSelf {
			buf = appendEscape(buf, c)
			i++
		} else {
			r, size := decodeRune(s[i:])
			if r >= 0x10000 {
				r -= 0x10000
				buf = appendUnit(buf, surrogateMin+r>>10)
				r = lowMin + r&0x3ff
			}
			buf = appendUnit(buf, r)
			i += size
		}
		start = i
	}
	return append(append(buf, s[start:]...), '"')
}

func appendEscape(buf []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(buf, '\\', c)
	case '\b':
		return append(buf, `\b`...)
	case '\f':
		return append(buf, `\f`...)
	case '\n':
		return append(buf, `\n`...)
	case '\r':
		return append(buf, `\r`...)
	case '\t':
		return append(buf, `\t`...)
	}
	return appendUnit(buf, rune(c))
}

func appendUnit(buf []byte, r rune) []byte {
	return append(buf, '\\', 'u', hexDigits[r>>12&0xf], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
}
