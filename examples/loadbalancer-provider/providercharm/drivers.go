package providercharm

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/nftables"
	"github.com/charmed-go/charms/reactive"
)

// A Driver is what makes load balancers.
type Driver interface {
	distributor.Driver
	distributor.Checker
	// State returns what the driver was asked for.
	State(ctx context.Context) (*converge.State, error)
	// Converge makes it true again, as after the machine has started.
	Converge(ctx context.Context) error
	// Stop ends what still runs once there are no load balancers left.
	Stop(ctx context.Context) error
}

// openDriver returns the driver that the configuration names, with a directory
// of its own.
func openDriver(h *reactive.Hook, c config, dir string, at addresses) (Driver, error) {
	dir = filepath.Join(dir, c.Driver)
	switch c.Driver {
	case "haproxy":
		o := haproxy.Options{Dir: dir, Addresses: []netip.Addr(at), Logger: h.Log()}
		start := o
		o.Start = func(ctx context.Context) error {
			_, err := haproxy.Launch(ctx, start)
			return err
		}
		return haproxyDriver{haproxy.New(o), start}, nil
	case "nftables":
		return stateless{nftables.New(nftables.Options{Dir: dir, Masquerade: c.Masquerade, Addresses: []netip.Addr(at)}).Driver}, nil
	case "standin":
		h.Log().Warn("load balancers are made by the charm's own stand-in, which is not meant for production")
		return newStandin(h, c, dir)
	}
	return nil, fmt.Errorf("option driver: %.40q is not haproxy, nftables or standin", c.Driver)
}

type haproxyDriver struct {
	*haproxy.Driver
	options haproxy.Options
}

// Stop ends HAProxy, if it runs.
func (d haproxyDriver) Stop(ctx context.Context) error {
	p, err := haproxy.Running(ctx, d.options)
	if err != nil || p == nil {
		return err
	}
	return p.Stop()
}

// stateless is a driver without a process of its own.
type stateless struct{ *converge.Driver }

// Stop does nothing.
func (stateless) Stop(context.Context) error { return nil }
