package magpie_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

// BenchmarkPeersJoining lets peers join one unit, all in process, and reports
// how many hook tools that unit needed in all, as a ratio to what reading every
// peer in every hook of the relation would have taken, and its time.
//
// The other units have a charm without code, so that the work of one unit is
// measured; in a model all units do the same at the same time.
func BenchmarkPeersJoining(b *testing.B) {
	for _, n := range []int{10, 100, 500} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var calls, everything, hooks int
			var times []time.Duration
			for b.Loop() {
				calls, everything, hooks, times = 0, 0, 0, nil
				real := charm(func(_ context.Context, h *reactive.Hook, p *magpie.Peers) error {
					if h.IsSet(p.Joined()) && p.NewlyJoined().Len() > 0 {
						p.DismissJoined()
					}
					return nil
				})
				c := real
				c.Run = func(ctx context.Context, p hooktool.Process) int {
					if p.Getenv("JUJU_UNIT_NAME") != "magpie/0" {
						return 0
					}
					return real.Run(ctx, p)
				}
				m, err := jujusim.New(jujusim.Options{})
				if err != nil {
					b.Fatal(err)
				}
				if err := m.Deploy("magpie", c, jujusim.DeployOptions{Units: n + 1}); err != nil {
					b.Fatal(err)
				}
				if err := m.Settle(b.Context()); err != nil {
					b.Fatal(err)
				}
				joined := 0
				for _, d := range m.History() {
					if d.Unit != "magpie/0" {
						continue
					}
					hooks++
					calls += len(d.Calls)
					times = append(times, d.Duration)
					if d.Hook.Name == "ring-relation-joined" {
						joined++
					}
					if d.Hook.Relation > 0 {
						everything += len(d.Calls) + max(joined-1, 0)
					}
				}
				if joined != n {
					b.Fatalf("%d peers joined, want %d", joined, n)
				}
				if err := m.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(hooks), "hooks")
			b.ReportMetric(float64(calls), "calls")
			b.ReportMetric(float64(calls)/float64(hooks), "calls/hook")
			b.ReportMetric(float64(everything), "calls-reading-all")
			b.ReportMetric(float64(everything)/float64(calls), "times-fewer")
			// The longest ones are those in which the simulation collects garbage.
			slices.Sort(times)
			b.ReportMetric(float64(times[hooks/2].Microseconds()), "us-median-hook")
			b.ReportMetric(float64(times[hooks*9/10].Microseconds()), "us-p90-hook")
		})
	}
}
