package commandline_test

import (
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/charmed-go/charms/internal/commandline"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args, words []string
		n           int
		err         error
	}{
		"flags before":     {args: []string{"-n", "2", "a", "b"}, words: []string{"a", "b"}, n: 2},
		"flags behind":     {args: []string{"a", "b", "--n=2"}, words: []string{"a", "b"}, n: 2},
		"flags between":    {args: []string{"a", "--n", "2", "b"}, words: []string{"a", "b"}, n: 2},
		"all words behind": {args: []string{"a", "--", "--n", "2"}, words: []string{"a", "--n", "2"}},
		"none":             {},
		"help":             {args: []string{"a", "--help"}, err: flag.ErrHelp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := flag.NewFlagSet("x", flag.ContinueOnError)
			fs.SetOutput(io.Discard)
			n := fs.Int("n", 0, "")
			words, err := commandline.Parse(fs, test.args)
			if !slices.Equal(words, test.words) || *n != test.n || !errors.Is(err, test.err) {
				t.Errorf("Parse gives %q, n = %d, %v", words, *n, err)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"explain", "trace", "configure the wiki", "web.installed", "set"}
	for word, want := range map[string]string{
		"explian": "explain", "Trace": "trace", "tarce": "trace", "confgure the wki": "configure the wiki", "web.instaled": "web.installed",
		"st": "set", "x": "", "database": "", "": "",
	} {
		if got := commandline.Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
	if got := commandline.DidYouMean("explian", names); got != ` (did you mean "explain"?)` {
		t.Errorf("DidYouMean gives %q", got)
	}
}

func ExamplePrintFlags() {
	fs := flag.NewFlagSet("pack", flag.ContinueOnError)
	fs.String("output", ".", "write the archives to `DIR`")
	fs.Bool("rules", false, "list the rules, and stop")
	commandline.PrintFlags(os.Stdout, fs)
	// Output:
	// Flags:
	//   --output DIR
	//         write the archives to DIR (default .)
	//   --rules
	//         list the rules, and stop
}
