package magpie_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"testing"

	"github.com/charmed-go/charms/endpoints/magpie"
)

func TestFormatList(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   []string
		want string
	}{
		{nil, `[]`},
		{[]string{"None app/1", "None app/2"}, `['None app/1', 'None app/2']`},
		{[]string{"it's"}, `["it's"]`},
		{[]string{`it's "q"`}, `['it\'s "q"']`},
		{[]string{`a\b`}, `['a\\b']`},
		{[]string{"\n\r\t\x00\x7f"}, `['\n\r\t\x00\x7f']`},
		{[]string{"é ☃ 😀"}, `['é ☃ 😀']`},
		{[]string{"\u00ad\u2028\ufffd"}, "['\\xad\\u2028\ufffd']"},
	}
	for _, tt := range tests {
		got := magpie.FormatList(tt.in)
		if got != tt.want {
			t.Errorf("FormatList(%q) = %s, want %s", tt.in, got, tt.want)
		}
		back, err := magpie.ParseList(got)
		if err != nil || !slices.Equal(back, tt.in) {
			t.Errorf("ParseList(%s) = %q, %v; want %q", got, back, err, tt.in)
		}
	}
}

// TestFormatListAsPython asks Python itself, where there is one.
func TestFormatListAsPython(t *testing.T) {
	t.Parallel()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	list := []string{"None a/1", `['None a/1'] a/2`, `["['None a/1'] a/2"] a/3`, "it's", `"`, `'"`, "\\", "\t\x1b\u0085", "é☃😀", ""}
	in, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-X", "utf8", "-c", "import json,sys; sys.stdout.write(str(json.loads(sys.argv[1])))", string(in)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := magpie.FormatList(list); got != string(out) {
		t.Errorf("got  %s\nwant %s", got, out)
	}
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{`[]`, `['a', "b"]`, `['\x41\u1234\U0001f600']`, `['`, `[,]`, `['a' 'b']`, `["\"]`, `['\ud800']`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list, err := magpie.ParseList(s)
		if err != nil {
			return
		}
		again, err := magpie.ParseList(magpie.FormatList(list))
		if err != nil || !slices.Equal(again, list) {
			t.Fatalf("%q is read as %q, then as %q, %v", s, list, again, err)
		}
	})
}
