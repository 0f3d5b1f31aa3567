package rules_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/charmed-go/charms/internal/jujustory"
	"github.com/charmed-go/charms/jujusim/rules"
)

// recordings are the lines of what was recorded from a real Juju.
var recordings = sync.OnceValues(func() (lines [][]byte, err error) {
	f, err := os.Open("../../internal/conformance/testdata/juju_stories.jsonl.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(z)
	return bytes.Split(bytes.TrimSpace(text), []byte("\n")), err
})

// stories reads the stories whose line holds the text.
func stories(t testing.TB, with string) []*jujustory.Story {
	t.Helper()
	lines, err := recordings()
	if err != nil {
		t.Fatal(err)
	}
	var all []*jujustory.Story
	for _, line := range lines {
		if !bytes.Contains(line, []byte(with)) {
			continue
		}
		s, err := jujustory.Parse(line)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		t.Fatalf("no story holds %q", with)
	}
	return all
}

func TestRecordedStoriesBreakNoRule(t *testing.T) {
	t.Parallel()
	for _, s := range stories(t, "") {
		t.Run(s.Name, func(t *testing.T) {
			for _, v := range rules.Check(s.Sequences()...) {
				t.Error(v)
			}
		})
	}
}
