package hooktool_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	yaml2 "gopkg.in/yaml.v2"
	yaml3 "gopkg.in/yaml.v3"

	"github.com/charmed-go/charms/hooktool"
)

// readsBack writes data by relation-set and returns what yaml.v2, with which
// Juju reads it, and yaml.v3 make of its input.
func readsBack(t *testing.T, data map[string]string) (v2, v3 map[string]string) {
	t.Helper()
	var stdin []byte
	c := hooktool.New(tools(func(_ context.Context, call hooktool.Call) (hooktool.Result, error) {
		stdin = call.Stdin
		return hooktool.Result{}, nil
	}))
	if err := c.RelationSet(t.Context(), "db:1", data); err != nil {
		t.Fatal(err)
	}
	if err := yaml2.Unmarshal(stdin, &v2); err != nil {
		t.Fatalf("yaml.v2: %v in %.200q", err, stdin)
	}
	if err := yaml3.Unmarshal(stdin, &v3); err != nil {
		t.Fatalf("yaml.v3: %v in %.200q", err, stdin)
	}
	return v2, v3
}

// Whatever text is written is what Juju stores.
func TestWritesExactly(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	data := map[string]string{
		"<<": "merge?", "~": "null?", "1": "1e3", "-": "- a", "? a": ": b", "a=b": "#c", "yes": "no",
		strings.Repeat("k", 5000):      "a long key",
		strings.Repeat("\u0085", 500):  "a key that grows long",
		strings.Repeat("k", 999) + "e": "a key at the limit",
		"big":                          strings.Repeat("0123456789abcdef\n", 1<<16),
	}
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		if r < 0x10100 || r > 0x1ff00 && r < 0x20100 || r > utf8.MaxRune-100 {
			all.WriteRune(r)
		}
		if r < 0x100 || r > 0xfff0 && r < 0x10010 {
			data["k"+string(r)] = string(r) + " " + string(r)
		}
	}
	data["all"] = all.String()
	v2, v3 := readsBack(t, data)
	if !maps.Equal(v2, data) {
		t.Errorf("yaml.v2: %.2000s", cmp.Diff(data, v2))
	}
	if !maps.Equal(v3, data) {
		t.Errorf("yaml.v3: %.2000s", cmp.Diff(data, v3))
	}
}

func FuzzWritesExactly(f *testing.F) {
	f.Add("k", "v", "l", "w")
	f.Add("a\u0085", "\ufffe", "<<", "\x00\x7f")
	f.Add("é", "😀", "\ufeff", "\u2028 ")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2 string) {
		data := map[string]string{k1: v1, k2: v2}
		for k, v := range data {
			if k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
				if err := hooktool.New(printing("")).RelationSet(t.Context(), "db:1", data); !errors.Is(err, hooktool.ErrInvalid) {
					t.Errorf("%q: got %v", data, err)
				}
				return
			}
		}
		y2, y3 := readsBack(t, data)
		if !maps.Equal(y2, data) || !maps.Equal(y3, data) {
			t.Errorf("wrote %q, read %q and %q", data, y2, y3)
		}
	})
}
