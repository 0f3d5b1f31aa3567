package rules_test

import (
	"bufio"
	"compress/gzip"
	"os"
	"testing"

	"github.com/charmed-go/charms/internal/jujustory"
	"github.com/charmed-go/charms/jujusim/rules"
)

// stories reads what was recorded from a real Juju.
func stories(t testing.TB) []*jujustory.Story {
	t.Helper()
	f, err := os.Open("../../internal/conformance/testdata/juju_stories.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all []*jujustory.Story
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		s, err := jujustory.Parse(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := lines.Err(); err != nil || len(all) == 0 {
		t.Fatalf("read %d stories: %v", len(all), err)
	}
	return all
}

func TestRecordedStoriesBreakNoRule(t *testing.T) {
	t.Parallel()
	for _, s := range stories(t) {
		t.Run(s.Name, func(t *testing.T) {
			for _, v := range rules.Check(s.Sequences()...) {
				t.Error(v)
			}
		})
	}
}
