package explore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	prometheusmanual "github.com/charmed-go/charms/endpoints/prometheus-manual"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/internal/explore"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

func lbConsumer() *reactive.Charm {
	charm := reactive.New("consumer")
	lb := loadbalancer.NewRequirer(charm, "lb-provider")
	charm.HandleLeader("ask for load balancers", flags.When(lb.Available()), func(ctx context.Context, l *reactive.Leader) error {
		for i, name := range []string{"site", "admin"} {
			request, err := lb.Request(ctx, l, name)
			if err != nil {
				return err
			}
			request.Protocol = loadbalancer.TCP
			request.PortMapping = map[int]int{80 + i: 8080 + i}
			if err := lb.Send(ctx, l, request); err != nil {
				return err
			}
		}
		return nil
	})
	charm.HandleEvery("use the load balancers", func(ctx context.Context, h *reactive.Hook) error {
		text := ""
		for _, name := range []string{"site", "admin"} {
			answer, ok, err := lb.Response(ctx, h, name)
			if err != nil {
				return err
			}
			if ok && answer.Err() == nil {
				text += fmt.Sprintf("%s at %s ", name, answer.Address())
				if err := lb.Acknowledge(ctx, h, name); err != nil {
					return err
				}
			}
		}
		h.SetStatus(reactive.Active(text))
		return nil
	})
	return charm
}

func lbProvider() *reactive.Charm {
	charm := reactive.New("provider")
	lb := loadbalancer.NewProvider(charm, "lb-consumers")
	charm.HandleLeader("make load balancers", flags.When(lb.RequestsChanged()), func(ctx context.Context, l *reactive.Leader) error {
		for _, request := range lb.NewRequests() {
			if err := lb.Respond(ctx, l, request, loadbalancer.Succeed("192.0.2.1")); err != nil {
				return err
			}
		}
		for _, removed := range lb.Removed() {
			if err := lb.RevokeRemoved(ctx, l, removed); err != nil {
				return err
			}
		}
		return nil
	})
	return charm
}

func scraped() *reactive.Charm {
	charm := reactive.New("scraped")
	metrics := prometheusmanual.NewProvider(charm, "metrics")
	charm.Handle("register scrape job", flags.When(metrics.Joined()), func(ctx context.Context, h *reactive.Hook) error {
		return metrics.RegisterJob(ctx, prometheusmanual.Job{
			Name: h.Unit(),
			Data: map[string]any{"static_configs": []any{map[string]any{"targets": []string{"10.0.0.1:9100"}}}},
		})
	})
	return charm
}

func scraper() *reactive.Charm {
	charm := reactive.New("scraper")
	requirer := prometheusmanual.NewRequirer(charm, "manual-jobs")
	charm.HandleEvery("count jobs", func(ctx context.Context, h *reactive.Hook) error {
		jobs, err := requirer.Jobs(ctx)
		if err != nil {
			return err
		}
		h.SetStatus(reactive.Active(fmt.Sprintf("%d jobs", len(jobs))))
		return nil
	})
	return charm
}

func deploy(name, yaml string, build func() *reactive.Charm, units int) explore.Step {
	return func(m *jujusim.Model) error {
		return m.Deploy(name, simCharm("name: "+name+"\n"+yaml, build), jujusim.DeployOptions{Units: units})
	}
}

func relate(a, b string) explore.Step {
	return func(m *jujusim.Model) error { _, err := m.Relate(a, b); return err }
}

func scale(app string, units int) explore.Step {
	return func(m *jujusim.Model) error { return m.Scale(app, units) }
}

func TestEndpointsInManyOrders(t *testing.T) {
	t.Parallel()
	tests := map[string][]explore.Step{
		"loadbalancer": {
			deploy("provider", "provides: {lb-consumers: {interface: loadbalancer}}\n", lbProvider, 2),
			deploy("one", "requires: {lb-provider: {interface: loadbalancer}}\n", lbConsumer, 2),
			deploy("two", "requires: {lb-provider: {interface: loadbalancer}}\n", lbConsumer, 1),
			relate("provider", "one"), relate("provider", "two"), scale("one", 3), scale("provider", 3),
		},
		"prometheus-manual": {
			deploy("scraper", "requires: {manual-jobs: {interface: prometheus-manual}}\n", scraper, 1),
			deploy("scraped", "provides: {metrics: {interface: prometheus-manual}}\n", scraped, 3),
			relate("scraper", "scraped"), scale("scraped", 4), scale("scraped", 2),
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result, err := explore.Run(t.Context(), explore.Options{Runs: manyRuns(), Seed: 1, Steps: steps})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("endpoints of %s: %d runs, %d orders, %d hooks, %d kills", name, result.Runs, result.Orders, result.Hooks, result.Kills)
			if result.Difference != nil {
				t.Fatal(result.Difference)
			}
		})
	}
}
