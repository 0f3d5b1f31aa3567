package sqlitefile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/unitdata"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// BenchmarkHook measures what a hook of a unit with 300 entries of 200 bytes
// costs that opens the store, loads it and commits five of them. The yardstick
// is to write a file of that size safely: write, sync, rename.
func BenchmarkHook(b *testing.B) {
	dir := b.TempDir()
	o := sqlitefile.Options{Path: filepath.Join(dir, sqlitefile.FileName)}
	a := newAgent()
	value := `"` + strings.Repeat("x", 200) + `"`
	first := unitdata.Changes{Set: map[string]json.RawMessage{}}
	for i := range 300 {
		first.Set[fmt.Sprintf("key-%d", i)] = json.RawMessage(value)
	}
	hook := func(changes *unitdata.Changes) {
		store := sqlitefile.NewStore(a.tools(), o)
		_, err := store.Load(b.Context())
		if err == nil && changes != nil {
			err = store.Commit(b.Context(), *changes)
			a.commit()
		}
		if err := errors.Join(err, store.Close()); err != nil {
			b.Fatal(err)
		}
	}
	hook(&first)
	data, err := os.ReadFile(o.Path)
	if err != nil {
		b.Fatal(err)
	}
	yardstick := func() {
		f, err := os.Create(filepath.Join(dir, "new"))
		if err != nil {
			b.Fatal(err)
		}
		_, err = f.Write(data)
		if err := errors.Join(err, f.Sync(), f.Close(), os.Rename(f.Name(), filepath.Join(dir, "old"))); err != nil {
			b.Fatal(err)
		}
	}
	for _, bench := range []struct {
		name string
		run  func(i int)
	}{
		{"load", func(int) { hook(nil) }},
		{"load-and-commit", func(i int) {
			changes := unitdata.Changes{Set: map[string]json.RawMessage{}}
			for k := range 5 {
				changes.Set[fmt.Sprintf("key-%d", (i+k)%300)] = json.RawMessage(fmt.Sprint(i))
			}
			hook(&changes)
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			var own, other time.Duration
			for i := 0; b.Loop(); i++ {
				start := time.Now()
				bench.run(i)
				middle := time.Now()
				yardstick()
				own, other = own+middle.Sub(start), other+time.Since(middle)
			}
			b.ReportMetric(float64(own)/float64(other), "writes")
			b.ReportMetric(float64(own.Microseconds())/float64(b.N), "µs/hook")
		})
	}
}
