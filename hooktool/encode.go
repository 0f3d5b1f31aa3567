package hooktool

import (
	"encoding/base64"
	"fmt"
	"slices"
	"unicode/utf8"
)

// encodeMap returns m as what relation-set --file and state-set --file read
// back exactly: JSON that is also the YAML 1.1 that Juju's parser takes. That
// parser refuses or changes raw control characters and U+FFFE and U+FFFF,
// does not know surrogate pairs, so characters beyond U+FFFF stay as they are,
// and gives up on plain keys of more than 1024 bytes. Keys are sorted, so equal
// maps have equal texts.
func encodeMap(tool string, m map[string]string) ([]byte, error) {
	size := 2
	keys := make([]string, 0, len(m))
	for k, v := range m {
		if k == "" {
			return nil, invalid(tool, "a key is empty")
		}
		if !utf8.ValidString(k) {
			return nil, invalid(tool, "key %q is not valid UTF-8", k)
		}
		if !utf8.ValidString(v) {
			return nil, invalid(tool, "value of key %q is not valid UTF-8", k)
		}
		keys = append(keys, k)
		size += len(k) + len(v) + 8
	}
	slices.Sort(keys)
	out := make([]byte, 0, size)
	out = append(out, '{')
	for i, k := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		start := len(out)
		out = appendQuoted(out, k)
		if len(out)-start > 1000 {
			// An explicit key has no limit.
			out = slices.Insert(out, start, '?', ' ')
		}
		out = append(out, ':', ' ')
		out = appendQuoted(out, m[k])
	}
	return append(out, '}'), nil
}

func appendQuoted(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, '\\', 'n')
		case r == '\r':
			out = append(out, '\\', 'r')
		case r == '\t':
			out = append(out, '\\', 't')
		case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
			out = append(out, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return append(out, '"')
}

// decodeBase64 decodes the value of a secret's key; the error does not show it.
func decodeBase64(key, value string) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return "", fmt.Errorf("secret key %q has a value that is not base64: %w", key, ErrInvalid)
	}
	return string(raw), nil
}
