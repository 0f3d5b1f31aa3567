package webcharm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/reactive"
)

// balancerName is the name of the only request for a load balancer.
const balancerName = "web"

// The load balancer asks each unit every second whether it is ready, and leaves
// it alone after two times no.
const (
	checkInterval = 1 // seconds
	checkRetries  = 2
)

// backend is where the load balancer may send requests of this unit's share, ""
// for nowhere.
func (w *web) backend(ctx context.Context, h *reactive.Hook) (string, error) {
	if h.IsSet(w.drained) || !h.IsSet(w.serving) {
		return "", nil
	}
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return "", err
	}
	address, err := options.address(h.Unit())
	if err != nil || address != "" {
		return address, err
	}
	network, err := w.peers.Network(ctx)
	if err != nil {
		return "", err
	}
	return network.IngressAddress(), nil
}

// others are the backends that the peers published.
func (w *web) others(ctx context.Context) ([]string, error) {
	var addresses []string
	for rel := range w.peers.Relations().Values() {
		for unit := range rel.Units().Values() {
			bag, err := unit.Received(ctx)
			if err != nil {
				return nil, err
			}
			var address string
			if _, err := bag.Get(backendKey, &address); err != nil {
				return nil, fmt.Errorf("cannot read where %s serves: %w", unit.Name(), err)
			}
			if address != "" {
				addresses = append(addresses, address)
			}
		}
	}
	return addresses, nil
}

// ask has the load balancer send requests to all units that are ready for them.
func (w *web) ask(ctx context.Context, l *reactive.Leader) error {
	options, err := reactive.DecodeConfig[config](ctx, l.Hook)
	if err != nil {
		return err
	}
	backends, err := w.others(ctx)
	if err != nil {
		return err
	}
	own, err := w.backend(ctx, l.Hook)
	if err != nil {
		return err
	}
	if own != "" {
		backends = append(backends, own)
	}
	if len(backends) == 0 {
		return nil // a request without any would mean all units
	}
	slices.Sort(backends)
	at, err := readPorts(l.Path("run/ports.json"))
	if err != nil {
		return err
	}
	request, err := w.balancer.Request(ctx, l, balancerName)
	if err != nil {
		return err
	}
	check := loadbalancer.NewHealthCheck(loadbalancer.HTTP, at.HTTP)
	check.Path, check.Interval, check.Retries = new("/readyz"), checkInterval, checkRetries
	request.Protocol = loadbalancer.HTTP
	request.PortMapping = map[int]int{options.BalancerPort: at.HTTP}
	request.Backends = slices.Compact(backends)
	request.HealthChecks = []loadbalancer.HealthCheck{check}
	return w.balancer.Send(ctx, l, request)
}

// note remembers that the answer was seen; the status tells it.
func (w *web) note(ctx context.Context, h *reactive.Hook) error {
	return w.balancer.Acknowledge(ctx, h, balancerName)
}

// balanced is what the status says of where this unit, which has a port of its
// own, is reached.
func (w *web) balanced(ctx context.Context, h *reactive.Hook, port int) (reactive.Status, error) {
	direct := fmt.Sprintf("serving on port %d", port)
	if !w.balancer.IsAvailable() {
		return reactive.Active(direct), nil
	}
	if h.IsSet(w.drained) {
		return reactive.Active(direct + ", drained"), nil
	}
	answer, ok, err := w.balancer.Response(ctx, h, balancerName)
	if err != nil {
		return reactive.Status{}, err
	}
	if !ok || answer.Stale {
		return reactive.Active(direct + ", not balanced yet"), nil
	}
	if err := answer.Err(); err != nil {
		return reactive.BlockedStatus("no load balancer: " + err.Error()), nil
	}
	options, err := reactive.DecodeConfig[config](ctx, h)
	if err != nil {
		return reactive.Status{}, err
	}
	return reactive.Active("behind " + net.JoinHostPort(answer.Address(), strconv.Itoa(options.BalancerPort))), nil
}

type noParams struct{}

type outcome struct {
	State string `json:"state"`
}

// drain takes this unit out of service, gently. The leader has the load balancer
// do so, once it hears of it.
func (w *web) drain(ctx context.Context, h *reactive.Hook, _ noParams) (outcome, error) {
	others, err := w.others(ctx)
	if err != nil {
		return outcome{}, err
	}
	if len(others) == 0 {
		return outcome{}, errors.New("no other unit gets requests")
	}
	h.Set(w.drained)
	return outcome{"drained"}, nil
}

// resume puts this unit back into service.
func (w *web) resume(_ context.Context, h *reactive.Hook, _ noParams) (outcome, error) {
	h.Clear(w.drained)
	return outcome{"in service"}, nil
}
