package flow_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// BenchmarkRun runs a flow of ten tasks that do nothing, with a journal and
// without, and prints what a synced record costs.
func BenchmarkRun(b *testing.B) {
	dir := b.TempDir()
	var nodes []flow.Node
	for i := range 10 {
		nodes = append(nodes, &flow.Task{Name: fmt.Sprint(i)})
	}
	f := flow.Linear("f", nodes...)
	var durable, memory time.Duration
	runs := 0
	for b.Loop() {
		name := fmt.Sprint("run", runs)
		runs++
		began := time.Now()
		if _, err := (&flow.Runner{Dir: dir}).Run(b.Context(), name, f); err != nil {
			b.Fatal(err)
		}
		durable += time.Since(began)
		began = time.Now()
		if _, err := new(flow.Runner).Run(b.Context(), name, f); err != nil {
			b.Fatal(err)
		}
		memory += time.Since(began)
		if err := (&flow.Runner{Dir: dir}).Forget(name); err != nil {
			b.Fatal(err)
		}
	}
	// A header, two records for each task, and one for the end.
	b.ReportMetric(float64(durable.Microseconds())/float64(runs)/22, "µs/record")
	b.ReportMetric(float64(durable)/float64(memory), "durable/memory")
}
