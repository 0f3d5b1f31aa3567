package reactive_test

import (
	"testing"

	"github.com/charmed-go/charms/reactive"
)

// TestSetKeepsSpelling holds that Set writes nothing for the spelling of JSON
// alone, but does write what is another value, or was no JSON.
func TestSetKeepsSpelling(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		was  string
		v    any
		want string
	}{
		{`{"b":1,"a":["é"]}`, map[string]any{"a": []string{"é"}, "b": 1}, `{"b":1,"a":["é"]}`},
		{` 10 `, 10, ` 10 `},
		{`1.0`, 1, `1`},
		{`abc`, "abc", `"abc"`},
		{`{"a": 1`, map[string]int{"a": 1}, `{"a": 1}`},
	} {
		bag := reactive.NewDatabag(map[string]string{"k": test.was}, true)
		if err := bag.Set("k", test.v); err != nil {
			t.Fatal(err)
		}
		if got := bag.Raw("k"); got != test.want || bag.Modified() != (test.was != test.want) {
			t.Errorf("%s, set to %v, is %s, modified: %v; want %s", test.was, test.v, got, bag.Modified(), test.want)
		}
	}
}
