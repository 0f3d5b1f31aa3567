package magpie

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// formatList writes a list of strings as Python's str() does.
func formatList(list []string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		formatString(&b, s)
	}
	b.WriteByte(']')
	return b.String()
}

// formatString writes a string as Python's repr() does: in single quotes,
// unless it has those and no double ones.
func formatString(b *strings.Builder, s string) {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteRune(quote)
	for i, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == utf8.RuneError && s[i] != 0xef:
			// A byte that is not UTF-8 is, in Python, a lone surrogate.
			fmt.Fprintf(b, `\udc%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			fmt.Fprintf(b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
}

var errNotAList = errors.New("cannot read a list of strings")

// parseList reads what formatList writes, and JSON lists of strings.
func parseList(s string) ([]string, error) {
	s = strings.TrimSpace(s)
	if len(s) < 2 || s[0] != '[' || s[len(s)-1] != ']' {
		return nil, errNotAList
	}
	s = strings.TrimSpace(s[1 : len(s)-1])
	var list []string
	for s != "" {
		item, rest, err := parseString(s)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
		rest = strings.TrimSpace(rest)
		if rest == "" {
			break
		}
		if rest[0] != ',' {
			return nil, errNotAList
		}
		s = strings.TrimSpace(rest[1:])
	}
	return list, nil
}

// parseString reads a quoted string and returns it and what follows it.
func parseString(s string) (value, rest string, err error) {
	quote := s[0]
	if quote != '\'' && quote != '"' {
		return "", "", errNotAList
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		if c == quote {
			return b.String(), s[i+1:], nil
		}
		if c != '\\' {
			b.WriteByte(c)
			continue
		}
		if i++; i == len(s) {
			break
		}
		digits := 0
		switch c := s[i]; c {
		case '\\', '\'', '"', '/':
			b.WriteByte(c)
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		default:
			return "", "", errNotAList
		}
		if digits == 0 {
			continue
		}
		if i+digits >= len(s) {
			break
		}
		n, err := strconv.ParseUint(s[i+1:i+1+digits], 16, 32)
		if err != nil {
			return "", "", errNotAList
		}
		if n >= 0xdc80 && n <= 0xdcff {
			b.WriteByte(byte(n))
		} else {
			b.WriteRune(rune(n))
		}
		i += digits
	}
	return "", "", errNotAList
}
