package loadbalancer_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
)

// BenchmarkRequest reads and writes a request and makes its hash, as a provider
// does for each request in every hook, and reports how many times as long that
// takes as having encoding/json read and write the text.
func BenchmarkRequest(b *testing.B) {
	plain := time.Duration(0)
	b.ReportAllocs()
	for b.Loop() {
		request, err := loadbalancer.ParseRequest(text)
		if err != nil || request.Hash() == "" {
			b.Fatal(err)
		}
		b.StopTimer()
		begin := time.Now()
		var v map[string]any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			b.Fatal(err)
		}
		if _, err := json.Marshal(v); err != nil {
			b.Fatal(err)
		}
		plain += time.Since(begin)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(plain), "x-encoding/json")
}
