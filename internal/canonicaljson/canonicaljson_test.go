package canonicaljson_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

func Example() {
	v := canonicaljson.DecodeBag(`{"port":80,"host":"é","ratio":3.0}`)
	text, err := canonicaljson.Encode(v)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(text)
	fmt.Println(canonicaljson.Digest(text))
	fmt.Println(canonicaljson.Canonical("10.0.0.1"))
	// Output:
	// {"host": "\u00e9", "port": 80, "ratio": 3.0}
	// 5f1928d90dbc025fe00d7a38b9469992
	// "10.0.0.1"
}

func TestDecode(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", canonicaljson.MaxDepth) + strings.Repeat("]", canonicaljson.MaxDepth)
	digits := strings.Repeat("7", canonicaljson.MaxDigits)
	tests := []struct {
		name, text string
		want       any
	}{
		{"integer", " 12\n", json.Number("12")},
		{"negative zero is an integer", "-0", json.Number("0")},
		{"negative", "-5", json.Number("-5")},
		{"most digits", digits, json.Number(digits)},
		{"float", "3.0", canonicaljson.Float(3)},
		{"exponent", "1e2", canonicaljson.Float(100)},
		{"too large", "-1e999", canonicaljson.Float(math.Inf(-1))},
		{"infinity", "Infinity", canonicaljson.Float(math.Inf(1))},
		{"minus infinity", "-Infinity", canonicaljson.Float(math.Inf(-1))},
		{"null", "null", nil},
		{"list", `[true, [], {}, "a\/b"]`, []any{true, []any{}, map[string]any{}, "a/b"}},
		{"duplicate keys", `{"a": 1, "a": 2}`, map[string]any{"a": json.Number("2")}},
		{"surrogate pair", `"\ud83d\ude80"`, "\U0001f680"},
		{"lone surrogates", `"\ud83d_\ude80"`, "\xed\xa0\xbd_\xed\xba\x80"},
		{"two high surrogates", `"\ud83d\ud83d\ude80"`, "\xed\xa0\xbd\U0001f680"},
		{"surrogate kept", "\"\xed\xa0\xbd\"", "\xed\xa0\xbd"},
		{"not UTF-8", "\"a\xff\xc3(\"", "a\ufffd\ufffd("},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := canonicaljson.Decode(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %#v, want %#v", got, test.want)
			}
		})
	}
	if v, err := canonicaljson.Decode("NaN"); err != nil || !math.IsNaN(float64(v.(canonicaljson.Float))) {
		t.Errorf("NaN: got %v, %v", v, err)
	}
	if got := canonicaljson.Canonical(deep); got != deep {
		t.Errorf("deepest list: got %.20q…", got)
	}
}

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, want string }{
		{"", "not JSON: text ends where a value should be at byte 0"},
		{"nul", "not JSON: no value at byte 0"},
		{"\x00", "not JSON: no value at byte 0"},
		{"\u00a01", "not JSON: no value at byte 0"},
		{"\ufeff1", "not JSON: no value at byte 0"},
		{"01", "not JSON: unexpected text after the value at byte 1"},
		{"1.", "not JSON: unexpected text after the value at byte 1"},
		{"1e+", "not JSON: unexpected text after the value at byte 1"},
		{"-", "not JSON: no digit after a minus sign at byte 1"},
		{"-NaN", "not JSON: no digit after a minus sign at byte 1"},
		{"[1,]", "not JSON: no value at byte 3"},
		{"[1", "not JSON: no comma and no end of the array or object at byte 2"},
		{"[1}", "not JSON: no comma and no end of the array or object at byte 2"},
		{"{1:2}", "not JSON: no key at byte 1"},
		{`{"a" 2}`, "not JSON: no colon after a key at byte 5"},
		{`{"a":2,}`, "not JSON: no key at byte 7"},
		{`{"a":`, "not JSON: text ends where a value should be at byte 5"},
		{`"a`, "not JSON: text ends inside a string at byte 2"},
		{`"é`, "not JSON: text ends inside a string at byte 3"},
		{"\"\n\"", "not JSON: control character inside a string at byte 1"},
		{"\"é\n\"", "not JSON: control character inside a string at byte 3"},
		{`"\x"`, "not JSON: unknown escape at byte 2"},
		{`"\u12g4"`, `not JSON: no four hexadecimal digits after \u at byte 3`},
		{`"\u12`, `not JSON: no four hexadecimal digits after \u at byte 3`},
		{`"\`, "not JSON: unknown escape at byte 2"},
		{strings.Repeat("1", canonicaljson.MaxDigits+1), "not JSON: integer with too many digits at byte 0"},
		{strings.Repeat("[", canonicaljson.MaxDepth+1), "not JSON: too deeply nested at byte 1000"},
		{strings.Repeat(`{"":`, canonicaljson.MaxDepth+1), "not JSON: too deeply nested at byte 4000"},
		{strings.Repeat(" ", canonicaljson.MaxSize) + "1", "not JSON: text is too long at byte 0"},
	}
	for _, test := range tests {
		v, err := canonicaljson.Decode(test.text)
		var syntax *canonicaljson.SyntaxError
		if !errors.As(err, &syntax) || err.Error() != test.want {
			t.Errorf("%.20q: got %v, error %v, want error %s", test.text, v, err, test.want)
		}
		if v := canonicaljson.DecodeBag(test.text); v != test.text {
			t.Errorf("%.20q in a bag: got %v", test.text, v)
		}
	}
}

type job struct {
	Name    string              `json:"job_name"`
	Targets []string            `json:"targets,omitempty"`
	Ratio   float64             `json:"ratio"`
	Kept    canonicaljson.Float `json:"kept"`
}

func TestEncode(t *testing.T) {
	t.Parallel()
	huge, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	tests := []struct {
		name  string
		value any
		want  string
	}{
		{"nil", nil, "null"},
		{"nil list", []any(nil), "null"},
		{"nil map", map[string]any(nil), "null"},
		{"nil pointer", (*job)(nil), "null"},
		{"string", "a\"\\/<\x00\b\f\n\r\t\x7f\u2028é\U0001f680", `"a\"\\/<\u0000\b\f\n\r\t\u007f\u2028\u00e9\ud83d\ude80"`},
		{"surrogate", "\xed\xa0\xbd", `"\ud83d"`},
		{"not UTF-8", "\xff\xed\xa0", `"\ufffd\ufffd\ufffd"`},
		{"int", -7, "-7"},
		{"uint64", uint64(math.MaxUint64), "18446744073709551615"},
		{"big", huge, "123456789012345678901234567890"},
		{"float64 as encoding/json", []float64{3, 0.5, 1e21}, "[3, 0.5, 1e+21]"},
		{"Float", []canonicaljson.Float{3, 0.5, 1e21}, "[3.0, 0.5, 1e+21]"},
		{"Float list", []any{canonicaljson.Float(3), canonicaljson.Float(math.NaN())}, "[3.0, NaN]"},
		{"small", canonicaljson.Float(0.00001), "1e-05"},
		{"not small", canonicaljson.Float(0.0001), "0.0001"},
		{"not large", canonicaljson.Float(-1e15), "-1000000000000000.0"},
		{"large", canonicaljson.Float(1e16), "1e+16"},
		{"negative zero", canonicaljson.Float(math.Copysign(0, -1)), "-0.0"},
		{"json.Number", []any{json.Number("1"), json.Number("1.50"), json.Number("-0")}, "[1, 1.5, 0]"},
		{"json.RawMessage", json.RawMessage(`{"b":1.0, "a":[]}`), `{"a": [], "b": 1.0}`},
		{"struct", job{"a<b", []string{"x:1"}, 2, 2}, `{"job_name": "a<b", "kept": 2.0, "ratio": 2, "targets": ["x:1"]}`},
		{"mixed", map[string]any{"b": job{}, "a": []string{}}, `{"a": [], "b": {"job_name": "", "kept": 0.0, "ratio": 0}}`},
		{"keys by code point", map[string]int{"\U0001f680": 1, "\uffee": 2, "": 3, "A": 4, "a": 5},
			`{"": 3, "A": 4, "a": 5, "\uffee": 2, "\ud83d\ude80": 1}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := canonicaljson.Encode(test.value)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestEncodeErrors(t *testing.T) {
	t.Parallel()
	cycle := map[string]any{}
	cycle["self"] = []any{cycle}
	tests := []struct {
		value any
		want  string
	}{
		{cycle, "cannot encode a map[string]interface {} as JSON: too deeply nested"},
		{json.Number("0x1"), "cannot encode a json.Number as JSON: invalid json.Number"},
		{json.Number(""), "cannot encode a json.Number as JSON: invalid json.Number"},
		{json.Number(`"`), "cannot encode a json.Number as JSON: invalid json.Number"},
		{math.NaN(), "cannot encode a float64 as JSON: json: unsupported value: NaN"},
		{make(chan int), "cannot encode a chan int as JSON: json: unsupported type: chan int"},
		{[]any{new(big.Int).Exp(big.NewInt(10), big.NewInt(5000), nil)},
			"cannot encode a []interface {} as JSON: not JSON: integer with too many digits at byte 0"},
	}
	for _, test := range tests {
		text, err := canonicaljson.Encode(test.value)
		if err == nil || err.Error() != test.want {
			t.Errorf("%T: got %q, error %v, want error %s", test.value, text, err, test.want)
		}
	}
	if _, err := canonicaljson.Encode(struct{ F canonicaljson.Float }{canonicaljson.Float(math.Inf(1))}); err == nil {
		t.Error("encoding/json accepted an infinite Float")
	}
}

func TestMembers(t *testing.T) {
	t.Parallel()
	got, err := canonicaljson.Members(`{"b": {"x":1} , "a":NaN,"b":[ ]} `)
	want := map[string]json.RawMessage{"a": json.RawMessage("NaN"), "b": json.RawMessage("[ ]")}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	text, err := canonicaljson.Encode(map[string]any{"data": got})
	if want := `{"data": {"a": NaN, "b": []}}`; err != nil || text != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
	for _, text := range []string{"", "[]", "{", `{"a":1}2`, `{"a":01}`} {
		var syntax *canonicaljson.SyntaxError
		if _, err := canonicaljson.Members(text); !errors.As(err, &syntax) {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		"", "1", "-0", "1.5e300", "NaN", "-Infinity", `"\ud83d\ude80\ud83d"`, "\"\xed\xa0\xbd\xff\"",
		`{"b":1,"a":[true,null,{"":"\u2028"}],"b":2}`, "[[[[", "10.0.0.1", "raw",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		text := canonicaljson.Canonical(raw)
		for _, c := range []byte(text) {
			if c < ' ' || c > '~' {
				t.Fatalf("%q has a byte %#x", text, c)
			}
		}
		// Two surrogates that were apart in the source are a pair in the
		// text, in Python also, so that only the second text is stable; and
		// keys may become equal by that.
		stable := canonicaljson.Canonical(text)
		if again := canonicaljson.Canonical(stable); again != stable {
			t.Errorf("%q: %s became %s", raw, stable, again)
		}
		if !strings.Contains(text, `\ud`) && stable != text {
			t.Errorf("%q: %s became %s", raw, text, stable)
		}
		_, decodeErr := canonicaljson.Decode(raw)
		members, err := canonicaljson.Members(raw)
		if err == nil {
			if whole, err := canonicaljson.Encode(members); err != nil || canonicaljson.Canonical(whole) != stable {
				t.Errorf("%q: members %s, %v", raw, whole, err)
			}
		}
		if object := strings.HasPrefix(strings.TrimLeft(raw, " \t\r\n"), "{"); (err == nil) != (decodeErr == nil && object) {
			t.Errorf("%q: errors %v and %v", raw, err, decodeErr)
		}
		// What encoding/json reads without loss, Decode reads.
		if json.Valid([]byte(raw)) && decodeErr != nil && len(raw) < canonicaljson.MaxDepth {
			t.Errorf("%q: %v", raw, decodeErr)
		}
	})
}

var benchRaw = func() string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range 100 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"job_name":"node-%d","static_configs":[{"targets":["10.0.0.%d:9100"],"labels":{"unit":"node/%d"}}],"interval":%d.5}`, i, i, i, i)
	}
	b.WriteByte(']')
	return b.String()
}()

// BenchmarkCanonical compares with encoding/json reading and writing the same
// text, which it does in its own spelling.
func BenchmarkCanonical(b *testing.B) {
	b.Run("address", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			canonicaljson.Canonical("10.246.154.17")
		}
	})
	b.Run("jobs", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(benchRaw)))
		for b.Loop() {
			canonicaljson.Canonical(benchRaw)
		}
	})
	b.Run("jobs-encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(benchRaw)))
		for b.Loop() {
			var v any
			if err := json.Unmarshal([]byte(benchRaw), &v); err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
