package conformance

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"testing"

	"github.com/charmed-go/charms/internal/canonicaljson"
	"github.com/charmed-go/charms/reactive"
)

// fields is a JSON object of a vector. Its values are read with the methods,
// which panic if they are not what the format promises.
type fields map[string]any

func (f fields) text(key string) string { return f[key].(string) }
func (f fields) flag(key string) bool   { return f[key].(bool) }
func (f fields) object(key string) fields {
	return f[key].(map[string]any)
}

func (f fields) objects(key string) []fields {
	var list []fields
	for _, v := range f[key].([]any) {
		list = append(list, v.(map[string]any))
	}
	return list
}

func (f fields) texts(key string) []string {
	list := []string{}
	for _, v := range f[key].([]any) {
		list = append(list, v.(string))
	}
	return list
}

func (f fields) bag(key string) map[string]string {
	bag := map[string]string{}
	for k, v := range f.object(key) {
		bag[k] = v.(string)
	}
	return bag
}

// runValues runs the vectors about single values, as opposed to hooks. They
// are read with the decoder under test, since encoding/json would lose the
// unpaired surrogates in them. That hides none of its faults: what is expected
// is the text of a value, in plain ASCII.
func runValues(t *testing.T, line []byte) {
	v, err := canonicaljson.Decode(string(line))
	if err != nil {
		t.Fatal(err)
	}
	f := fields(v.(map[string]any))
	switch kind := f.text("kind"); kind {
	case "decode":
		runDecode(t, f)
	case "encode":
		runEncode(t, f)
	case "data_changed":
		runDataChanged(t, f)
	case "view":
		runView(t, line, f)
	case "any_hook":
		runAnyHook(t, f)
	case "units":
		runUnits(t, f)
	case "store":
		runStore(t, f)
	default:
		t.Fatalf("no runner for kind %s", kind)
	}
}

func runDecode(t *testing.T, f fields) {
	raw := f.text("raw")
	v := canonicaljson.DecodeBag(raw)
	if got, want := pythonType(v), f.text("type"); got != want {
		t.Errorf("%q has type %s, want %s", raw, got, want)
	}
	text, err := canonicaljson.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	compareText(t, text, f)
	if again := canonicaljson.Canonical(raw); again != text {
		t.Errorf("Canonical returned %s, want %s", again, text)
	}
}

func pythonType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "bool"
	case json.Number:
		return "int"
	case canonicaljson.Float:
		return "float"
	case string:
		return "str"
	case []any:
		return "list"
	case map[string]any:
		return "dict"
	}
	return fmt.Sprintf("%T", v)
}

func runEncode(t *testing.T, f fields) {
	v, err := canonicaljson.Decode(f.text("input"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := canonicaljson.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	compareText(t, text, f)
}

func compareText(t *testing.T, text string, f fields) {
	t.Helper()
	if want := f.text("text"); text != want {
		t.Errorf("text\n%s\nwant\n%s", text, want)
	}
	if got, want := canonicaljson.Digest(text), f.text("md5"); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

// runDataChanged lets a charm compare values in a hook.
func runDataChanged(t *testing.T, f fields) {
	hashes := map[string]func() hash.Hash{"md5": md5.New, "sha1": sha1.New, "sha256": sha256.New}
	r := newHookRunner(t, []byte(`{"charm": {"unit": "local/0"}}`))
	done := 0
	r.run(t, &vectorStep{Hook: "update-status"}, func() *reactive.Charm {
		charm := reactive.New("charm")
		charm.HandleEvery("compare", func(_ context.Context, h *reactive.Hook) error {
			for i, call := range f.objects("calls") {
				v, err := canonicaljson.Decode(call.text("input"))
				if err != nil {
					return err
				}
				compare := h.IsDataChanged
				if call.flag("update") {
					compare = h.DataChanged
				}
				newHash := []func() hash.Hash{hashes[call.text("hash_type")]}
				if call.text("hash_type") == "md5" && i%2 == 0 {
					newHash = nil // it is the hash where none is given
				}
				changed, err := compare(call.text("id"), v, newHash...)
				if err != nil {
					return err
				}
				if want := call.flag("changed"); changed != want {
					t.Errorf("call %d: changed %v, want %v", i, changed, want)
				}
				var stored any
				if _, err := h.Data().Get("reactive.data_changed."+call.text("id"), &stored); err != nil {
					return err
				}
				if stored != call["stored"] {
					t.Errorf("call %d: stored %v, want %v", i, stored, call["stored"])
				}
				done++
			}
			return nil
		})
		return charm
	})
	if r.err != nil || done == 0 {
		t.Fatalf("%d calls were made: %v", done, r.err)
	}
}
