// Package basic holds the two counterparts, without anything that only tests
// need.
package basic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

type provider struct{ lb *loadbalancer.Provider }

// NewProvider returns the charm lb-provider.
func NewProvider() *reactive.Charm {
	charm := reactive.New("lb-provider")
	p := &provider{loadbalancer.NewProvider(charm, "lb-consumers")}
	charm.HandleLeader("answer again", flags.When(charm.ConfigChanged()), p.answerAll)
	charm.HandleLeader("serve", flags.When(p.lb.RequestsChanged()), p.serve)
	charm.StatusFunc(p.status)
	return charm
}

type providerConfig struct {
	Address string `json:"address"`
	Reject  string `json:"reject"`
	Fail    string `json:"fail"`
}

// response is what every request is answered with.
func (p *provider) response(ctx context.Context, h *reactive.Hook) (loadbalancer.Response, error) {
	c, err := reactive.DecodeConfig[providerConfig](ctx, h)
	if err != nil {
		return loadbalancer.Response{}, err
	}
	switch {
	case c.Fail != "":
		return loadbalancer.Fail(errors.New(c.Fail)), nil
	case c.Reject != "":
		fields := make(map[loadbalancer.Field]string)
		for field := range strings.SplitSeq(c.Reject, ",") {
			fields[loadbalancer.Field(strings.TrimSpace(field))] = "not supported"
		}
		return loadbalancer.Reject(fields), nil
	}
	return loadbalancer.Succeed(c.Address), nil
}

func (p *provider) answer(ctx context.Context, l *reactive.Leader, requests []*loadbalancer.Incoming) error {
	response, err := p.response(ctx, l.Hook)
	if err != nil {
		return err
	}
	for _, in := range requests {
		if err := p.lb.Respond(ctx, l, in, response); err != nil {
			return err
		}
	}
	return nil
}

func (p *provider) answerAll(ctx context.Context, l *reactive.Leader) error {
	return p.answer(ctx, l, p.lb.Requests())
}

func (p *provider) serve(ctx context.Context, l *reactive.Leader) error {
	if err := p.answer(ctx, l, p.lb.NewRequests()); err != nil {
		return err
	}
	for _, removed := range p.lb.Removed() {
		if err := p.lb.RevokeRemoved(ctx, l, removed); err != nil {
			return err
		}
	}
	return nil
}

func (p *provider) status(_ context.Context, _ *reactive.Hook) (reactive.Status, error) {
	n := len(p.lb.Requests())
	return reactive.Active(fmt.Sprintf("%d %s", n, cmp.Or(map[int]string{1: "load balancer"}[n], "load balancers"))), nil
}
