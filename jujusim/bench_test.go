package jujusim_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
)

// quiet is a charm that does nothing but write where it is.
func quiet(ctx context.Context, p hooktool.Process) int {
	if p.Getenv("JUJU_REMOTE_UNIT") == "" || p.Getenv("JUJU_RELATION") != "src" || p.Getenv("JUJU_HOOK_NAME") != "src-relation-joined" {
		return 0
	}
	result, err := p.Tools.Call(ctx, hooktool.Call{Tool: "relation-set", Args: []string{"port=80"}})
	if err != nil || result.Code != 0 {
		return 1
	}
	return 0
}

// BenchmarkSettle relates one unit with many and reports what each hook costs.
func BenchmarkSettle(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			hooks := 0
			for b.Loop() {
				m, err := jujusim.New(jujusim.Options{})
				must(b, err)
				must(b, m.Deploy("p", jujusim.Charm{Files: files(single), Run: quiet}, jujusim.DeployOptions{}))
				must(b, m.Deploy("c", jujusim.Charm{Files: files(consumer), Run: quiet}, jujusim.DeployOptions{Units: n}))
				must1[int](b)(m.Relate("p:db", "c:src"))
				must(b, m.Settle(b.Context()))
				hooks += len(m.History())
				must(b, m.Close())
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(hooks), "us/hook")
			b.ReportMetric(float64(hooks)/float64(b.N), "hooks")
		})
	}
}

const single = `
name: single
summary: s
description: d
provides:
  db: {interface: kv}
`
