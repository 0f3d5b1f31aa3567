package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// site is where the run serves: a network of loopback addresses, and ports that
// are free on them. In a simulated model the addresses that Juju knows, 10.0.0.x,
// are nobody's.
type site struct {
	network       netip.Prefix
	http, metrics int
}

// mostUnits is how many units of web there ever are.
const mostUnits = 8

// findSite finds a network that nobody uses, so that several runs get along.
func findSite() (site, error) {
	var err error
	for range 100 {
		b := [4]byte{127, byte(64 + rand.IntN(128)), byte(rand.IntN(256)), 0}
		s := site{network: netip.PrefixFrom(netip.AddrFrom4(b), 24), http: 8080, metrics: 9443}
		if err != nil {
			s.http = 20000 + rand.IntN(10000)
			s.metrics = s.http + 1
		}
		if err = s.free(); err == nil {
			return s, nil
		}
	}
	return site{}, fmt.Errorf("cannot find loopback addresses to serve on: %w", err)
}

// free reports what is in the way of serving there.
func (s site) free() error {
	var listeners []net.Listener
	defer func() {
		for _, l := range listeners {
			_ = l.Close()
		}
	}()
	for n := range mostUnits + 1 {
		for _, port := range []int{s.http, s.metrics} {
			l, err := net.Listen("tcp", net.JoinHostPort(s.address(n), strconv.Itoa(port)))
			if err != nil {
				return err
			}
			listeners = append(listeners, l)
		}
	}
	return nil
}

// address is that of the unit with a number, as the charm of web chooses it.
func (s site) address(unit int) string {
	b := s.network.Addr().As4()
	b[3] = byte(unit + 1)
	return netip.AddrFrom4(b).String()
}

// balancer is the address of the load balancer.
func (s site) balancer() string { return s.address(mostUnits) }

// front is where the load balancer receives.
func (s site) front() string { return net.JoinHostPort(s.balancer(), strconv.Itoa(s.http)) }

// page is the URL of the page of a unit.
func (s site) page(unit string) string {
	_, number, _ := strings.Cut(unit, "/")
	n, _ := strconv.Atoi(number)
	return "http://" + net.JoinHostPort(s.address(n), strconv.Itoa(s.http))
}

// page is what a unit of web shows.
func (d *drive) page(ctx context.Context, unit string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.site.page(unit), nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("the page of %s answers %s", unit, response.Status)
	}
	return string(text), err
}

// acquainted checks that the page of each unit of web names just the others.
func (d *drive) acquainted(ctx context.Context) error {
	units := d.model.Units("web")
	slices.Sort(units)
	var errs []error
	for _, unit := range units {
		page, err := d.page(ctx, unit)
		if err != nil {
			return err
		}
		want := fmt.Sprintf("This is %s.\n", unit)
		for _, other := range units {
			if other != unit {
				_, number, _ := strings.Cut(other, "/")
				n, _ := strconv.Atoi(number)
				want += fmt.Sprintf("It knows %s at %s.\n", other, d.site.address(n))
			}
		}
		if page != want {
			errs = append(errs, fmt.Errorf("the page of %s is %q, want %q", unit, page, want))
		}
	}
	return errors.Join(errs...)
}
