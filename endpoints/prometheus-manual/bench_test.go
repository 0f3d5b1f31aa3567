package prometheusmanual_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/endpoints/prometheus-manual/promcheck"
)

// benchJobs are honest jobs of many applications.
func benchJobs(n int) []prometheusmanual.RemoteJob {
	jobs := make([]prometheusmanual.RemoteJob, n)
	for i := range jobs {
		jobs[i] = jobWith(nil)
		jobs[i].JobName = fmt.Sprintf("app-%d", i)
		jobs[i].Relation = fmt.Sprintf("manual-jobs:%d", i)
	}
	return jobs
}

// BenchmarkAccept compares the policy with Prometheus's own parser.
func BenchmarkAccept(b *testing.B) {
	job := jobWith(nil)
	base, err := prometheusmanual.ParseBase(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var accept, parse time.Duration
	for b.Loop() {
		began := time.Now()
		scrape, err := prometheusmanual.Policy{}.Accept(job, base.Global(), "/certs")
		if err != nil {
			b.Fatal(err)
		}
		accept += time.Since(began)
		text, err := base.RenderAlone(scrape)
		if err != nil {
			b.Fatal(err)
		}
		began = time.Now()
		if err := (promcheck.Validator{}).Validate(b.Context(), text); err != nil {
			b.Fatal(err)
		}
		parse += time.Since(began)
	}
	b.ReportMetric(float64(accept)/float64(parse), "accept/parse")
}

// BenchmarkApplyUnchanged is what a hook costs in which no job changed, and
// how that grows from 10 jobs to 100.
func BenchmarkApplyUnchanged(b *testing.B) {
	managers := make(map[int]*prometheusmanual.Manager)
	jobs := make(map[int][]prometheusmanual.RemoteJob)
	sizes := []int{10, 100}
	for _, n := range sizes {
		managers[n] = &prometheusmanual.Manager{ConfigFile: filepath.Join(b.TempDir(), "prometheus.yml"), Validator: promcheck.Validator{}}
		jobs[n] = benchJobs(n)
		if _, err := managers[n].Apply(b.Context(), jobs[n]); err != nil {
			b.Fatal(err)
		}
	}
	took := make(map[int]time.Duration)
	for b.Loop() {
		for _, n := range sizes {
			began := time.Now()
			if _, err := managers[n].Apply(b.Context(), jobs[n]); err != nil {
				b.Fatal(err)
			}
			took[n] += time.Since(began)
		}
	}
	b.ReportMetric(float64(took[100])/float64(took[10]), "100-jobs/10-jobs")
	b.ReportMetric(float64(took[100].Microseconds())/float64(b.N), "µs/100-jobs")
}
