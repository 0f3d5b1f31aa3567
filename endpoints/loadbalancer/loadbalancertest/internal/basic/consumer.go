package basic

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

type consumer struct{ lb *loadbalancer.Requirer }

// NewConsumer returns the charm lb-consumer.
func NewConsumer() *reactive.Charm {
	charm := reactive.New("lb-consumer")
	c := &consumer{loadbalancer.NewRequirer(charm, "lb-provider")}
	charm.HandleLeader("ask", flags.When(c.lb.Available()), c.ask)
	charm.Handle("acknowledge", flags.When(c.lb.ResponseChanged()), c.acknowledge)
	charm.StatusFunc(c.status)
	return charm
}

type consumerConfig struct {
	Name      string `json:"name"`
	Protocol  string `json:"protocol"`
	Ports     string `json:"ports"`
	Backends  string `json:"backends"`
	Algorithm string `json:"algorithm"`
	Sticky    bool   `json:"sticky"`
	Public    bool   `json:"public"`
}

// ports reads pairs such as "80:8080,443:8443".
func ports(text string) (map[int]int, error) {
	mapping := make(map[int]int)
	for _, pair := range list(text) {
		front, back, ok := strings.Cut(pair, ":")
		a, err1 := strconv.Atoi(front)
		b, err2 := strconv.Atoi(back)
		if !ok || err1 != nil || err2 != nil {
			return nil, fmt.Errorf("ports: %q is not a pair such as 80:8080", pair)
		}
		mapping[a] = b
	}
	return mapping, nil
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// ask sends the request that the configuration describes, and takes back those
// of other names.
func (c *consumer) ask(ctx context.Context, l *reactive.Leader) error {
	config, err := reactive.DecodeConfig[consumerConfig](ctx, l.Hook)
	if err != nil {
		return err
	}
	mapping, err := ports(config.Ports)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	requests, err := c.lb.Requests(ctx, l)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if request.Name() != config.Name {
			if err := c.lb.Remove(ctx, l, request.Name()); err != nil {
				return err
			}
		}
	}
	if config.Name == "" {
		return nil
	}
	request, err := c.lb.Request(ctx, l, config.Name)
	if err != nil {
		return err
	}
	request.Protocol = loadbalancer.Protocol(config.Protocol)
	request.PortMapping = mapping
	request.Backends, request.Algorithm = list(config.Backends), list(config.Algorithm)
	request.Sticky, request.Public = config.Sticky, config.Public
	if err := request.Validate(); err != nil {
		return reactive.Blocked(err.Error())
	}
	return c.lb.Send(ctx, l, request)
}

func (c *consumer) acknowledge(ctx context.Context, h *reactive.Hook) error {
	revoked, err := c.lb.Revoked(ctx, h)
	if err != nil {
		return err
	}
	for _, answer := range c.lb.New() {
		revoked = append(revoked, answer.Name)
	}
	return c.lb.Acknowledge(ctx, h, revoked...)
}

func (c *consumer) status(ctx context.Context, h *reactive.Hook) (reactive.Status, error) {
	config, err := reactive.DecodeConfig[consumerConfig](ctx, h)
	if err != nil {
		return reactive.Status{}, err
	}
	if !c.lb.IsAvailable() {
		return reactive.WaitingStatus("no load balancer provider"), nil
	}
	answer, ok, err := c.lb.Response(ctx, h, config.Name)
	switch {
	case err != nil:
		return reactive.Status{}, err
	case !ok || answer.Stale:
		return reactive.WaitingStatus("no answer yet"), nil
	case answer.Err() != nil:
		return reactive.BlockedStatus(answer.Err().Error()), nil
	}
	return reactive.Active("at " + answer.Address()), nil
}
