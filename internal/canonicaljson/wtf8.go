package canonicaljson

import "unicode/utf8"

const (
	surrogateMin = 0xd800
	lowMin       = 0xdc00
	surrogateMax = 0xdfff
)

func isHigh(r rune) bool { return surrogateMin <= r && r < lowMin }
func isLow(r rune) bool  { return lowMin <= r && r <= surrogateMax }

// decodeRune is utf8.DecodeRuneInString that knows surrogates. Any other byte
// that is not UTF-8 is one U+FFFD.
func decodeRune(s string) (rune, int) {
	r, size := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && size == 1 && len(s) >= 3 &&
		s[0] == 0xed && s[1]&0xe0 == 0xa0 && s[2]&0xc0 == 0x80 {
		return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), 3
	}
	return r, size
}

// appendRune is utf8.AppendRune that knows surrogates.
func appendRune(buf []byte, r rune) []byte {
	if surrogateMin <= r && r <= surrogateMax {
		return append(buf, 0xed, 0x80|byte(r>>6&0x3f), 0x80|byte(r&0x3f))
	}
	return utf8.AppendRune(buf, r)
}
