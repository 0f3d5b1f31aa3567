package conformance

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// families says how a vector of each family is run. A run function reports
// what does not match through t; it gets the vector as its whole line.
var families = []struct {
	name string
	run  func(t *testing.T, line []byte)
}{
	{"values", runValues},
	{"hooktools", runHookTools},
	{"reactive", runReactive},
	{"prometheus_manual", runPrometheusManual},
	{"request_response", runRequestResponse},
	{"magpie", runMagpie},
	{"loadbalancer", runLoadbalancer},
	{"juju_stories", runJujuStories},
}

// header is what every vector has in common. A recorded story has its name for
// an id.
type header struct {
	ID    string   `json:"id"`
	Story string   `json:"story"`
	Kind  string   `json:"kind"`
	Quirk []string `json:"quirk"`
	Fixed []string `json:"fixed"`
}

// deviates are the quirks of the reference that this implementation mends. A
// vector that carries one records the fault and is skipped; its "-fixed" twin,
// where there is one, runs. Each has its row and its reason in
// docs/reference/deviations.md, which TestDeviationsDocumented checks.
var deviates = []string{
	"broken-relation-is-not-gone",
	"client-file-typo",
	"conversation-without-unit",
	"delete-is-not-a-modification",
	"find-ignores-relation",
	"interface-non-flag-condition",
	"malformed-remote-data",
	"malformed-remote-data-fails-hook",
	"prefix-match-is-like-pattern",
	"revoked-request-raises",
	"second-provider-fails-hook",
	"shared-request-cache",
	"tracer-consumes-file-change",
	"unpublish-is-lost",
}

// vectorsDir is where the vectors are: the repository's own copy, or the
// directory that CONFORMANCE_VECTORS names.
func vectorsDir() string {
	if dir := os.Getenv("CONFORMANCE_VECTORS"); dir != "" {
		return dir
	}
	return "testdata"
}

// TestVectors runs every line of each family's file and ends each with a line
// "FAMILY: N passed, M failed, K skipped".
func TestVectors(t *testing.T) {
	for _, family := range families {
		t.Run(family.name, func(t *testing.T) { runFamily(t, family.name, family.name, family.run, 1) })
	}
}

// TestTransports runs the families whose charms use hook tools over both
// transports: every vector over the agent's socket, and over executed tools,
// which takes a hundred times as long, every fiftieth, or every one if
// CONFORMANCE_EXEC is "all".
func TestTransports(t *testing.T) {
	for _, way := range []struct {
		transport string
		every     int
	}{{"socket", 1}, {"exec", 50}} {
		if testing.Short() {
			way.every *= 20
		}
		if os.Getenv("CONFORMANCE_EXEC") == "all" {
			way.every = 1
		}
		for _, family := range families {
			switch family.name {
			case "reactive", "request_response", "prometheus_manual", "magpie", "loadbalancer":
				t.Run(way.transport+"/"+family.name, func(t *testing.T) {
					t.Setenv(transportEnv, way.transport)
					runFamily(t, family.name, family.name+" by "+way.transport, family.run, way.every)
				})
			}
		}
	}
}

// runFamily runs every so-manieth vector of a family.
func runFamily(t *testing.T, family, title string, run func(t *testing.T, line []byte), every int) {
	lines, err := readVectors(vectorsDir(), family)
	if err != nil {
		t.Fatal(err)
	}
	passed, failed, skipped := 0, 0, 0
	for i, line := range lines {
		if i%every != 0 {
			continue
		}
		var h header
		if err := json.Unmarshal(line, &h); err != nil {
			t.Fatalf("cannot read a vector of family %s: %v", family, err)
		}
		if h.ID = cmp.Or(h.ID, h.Story); h.ID == "" {
			t.Fatalf("family %s has a vector without an id", family)
		}
		if deviation(h) != "" {
			skipped++
			continue
		}
		if t.Run(h.ID, func(t *testing.T) { run(t, line) }) {
			passed++
		} else {
			failed++
		}
	}
	t.Logf("%s: %d passed, %d failed, %d skipped", title, passed, failed, skipped)
	fmt.Printf("%s: %d passed, %d failed, %d skipped\n", title, passed, failed, skipped)
	if passed+failed == 0 {
		t.Errorf("family %s ran no vector", family)
	}
}

// deviation names the quirk for which a vector is skipped, if there is one.
// A twin carries the quirks of its original, and says which are mended in it.
func deviation(h header) string {
	mended := map[string]string{
		"find-honours-relation":   "find-ignores-relation",
		"broken-relation-is-gone": "broken-relation-is-not-gone",
	}
	var fixed []string
	for _, name := range h.Fixed {
		fixed = append(fixed, cmp.Or(mended[name], name))
	}
	for _, quirk := range h.Quirk {
		if slices.Contains(deviates, quirk) && !slices.Contains(fixed, quirk) {
			return quirk
		}
	}
	return ""
}

// readVectors returns the lines of a family's file, which may be compressed.
func readVectors(dir, family string) ([][]byte, error) {
	path := filepath.Join(dir, family+".jsonl")
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		path += ".gz"
		data, err = readGzip(path)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the vectors of family %s: %w", family, err)
	}
	var lines [][]byte
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, len(data)+1)
	for scanner.Scan() {
		if len(bytes.TrimSpace(scanner.Bytes())) > 0 {
			lines = append(lines, bytes.Clone(scanner.Bytes()))
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("cannot read the vectors of family %s: %w", family, err)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("cannot read the vectors of family %s: %s is empty", family, path)
	}
	return lines, nil
}

func readGzip(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// Every deviation has its row with its reason, and no row names a quirk that
// is not skipped or mended.
func TestDeviationsDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "deviations.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, quirk := range deviates {
		row := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(quirk) + "` (\\| [^|]+[^| ] ){3}\\|$")
		if len(row.FindAll(text, -1)) != 1 {
			t.Errorf("docs/reference/deviations.md has no row, or several, for the quirk %q", quirk)
		}
	}
}

// A family without vectors is a failure, not a pass.
func TestMissingVectors(t *testing.T) {
	dir := t.TempDir()
	if _, err := readVectors(dir, "values"); err == nil {
		t.Error("a missing file passes")
	}
	if err := os.WriteFile(filepath.Join(dir, "values.jsonl"), []byte("\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readVectors(dir, "values"); err == nil {
		t.Error("an empty file passes")
	}
}
