package providercharm

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/noop"
	"github.com/charmed-go/charms/examples/observability/service"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
)

// standin keeps what is asked for in a directory. A process of this program
// looks there and serves it: see follow. It cannot count connections, so nothing
// waits for them; those to a backend that departs go on until they end.
type standin struct {
	*converge.Driver
	checker *inprocess.Driver
	process service.Service
}

func newStandin(h *reactive.Hook, c config, dir string) (Driver, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find this program: %w", err)
	}
	return standin{noop.New(dir).Driver, inprocess.New(dir), service.Service{
		Manager: c.ServiceManager,
		Name:    "loadbalancer-" + strings.ReplaceAll(h.Unit(), "/", "-"),
		Dir:     filepath.Join(dir, "run"),
		Command: []string{program, "standin", dir},
	}}, nil
}

// CheckVIP asks the proxy that serves.
func (s standin) CheckVIP(ctx context.Context, v distributor.VIP, a distributor.Algorithm, p distributor.Persistence) error {
	return s.checker.CheckVIP(ctx, v, a, p)
}

// Converge starts the process, and waits until it serves.
func (s standin) Converge(ctx context.Context) error {
	if err := s.Driver.Converge(ctx); err != nil {
		return err
	}
	state, err := s.State(ctx)
	if err != nil || len(state.Distributors) == 0 {
		return err
	}
	if _, _, err := s.process.Ensure(ctx); err != nil {
		return err
	}
	for _, d := range state.Sorted() {
		for _, v := range d.VIPs {
			for _, port := range v.Ports {
				if err := await(ctx, netip.AddrPortFrom(v.Address, port.Front)); err != nil {
					return fmt.Errorf("the stand-in does not serve: %w: %s", err, s.process.LastWords(ctx))
				}
			}
		}
	}
	return nil
}

// await waits until somebody listens at an address.
func await(ctx context.Context, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop ends the process.
func (s standin) Stop(ctx context.Context) error { return s.process.Remove(ctx) }

// standinCommand is the process: it serves what a directory asks for until it
// is told to end.
func standinCommand(ctx context.Context, p hooktool.Process) error {
	if len(p.Args) != 1 {
		return fmt.Errorf("standin needs a directory")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	return follow(ctx, p.Args[0])
}

func follow(ctx context.Context, dir string) error {
	d := inprocess.New(dir)
	defer d.Close()
	served := ""
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		state, err := d.State(ctx)
		if err == nil {
			text, encodeErr := json.Marshal(state)
			if err = encodeErr; err == nil && string(text) != served {
				if err = d.Converge(ctx); err == nil {
					served = string(text)
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
