package haproxy_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/load"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// site is an HAProxy with three web servers behind it.
type site struct {
	t       *testing.T
	o       haproxy.Options
	d       *haproxy.Driver
	id      string
	vip     netip.Addr
	addrs   []netip.Addr
	servers []*load.Server
}

func newSite(t *testing.T, amphorae int) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, o: launch(t, dir)}
	s.d = haproxy.New(s.o)
	s.vip, s.addrs = loopback(dir)
	s.id = trial.Create(t, s.d, "web")
	var as []distributor.Amphora
	for i := range amphorae {
		s.servers = append(s.servers, load.Serve(t, netip.AddrPortFrom(s.addrs[i], 29090).String(), fmt.Sprintf("a%d", i)))
		as = append(as, distributor.Amphora{ID: fmt.Sprintf("a%d", i), Address: s.addrs[i]})
	}
	trial.Run(t, s.d.RegisterAmphorae(""), trial.Amphorae(s.id, as...)...)
	return s
}

func (s *site) web(protocol distributor.Protocol, front, back uint16) distributor.VIP {
	return distributor.VIP{ID: fmt.Sprintf("vip-%d", front), Address: s.vip, Protocol: protocol, Ports: []distributor.PortMapping{{Front: front, Back: back}}}
}

// get asks for a page over a connection of its own and returns its body and
// header.
func (s *site) get(c *http.Client, url string) (string, http.Header, error) {
	if c == nil {
		c = &http.Client{}
	}
	if c.Transport == nil {
		c.Transport = &http.Transport{DisableKeepAlives: true}
	}
	resp, err := c.Get(url)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		err = errors.New(resp.Status)
	}
	return strings.TrimSpace(string(body)), resp.Header, err
}

func (s *site) url(scheme string, port uint16) string {
	return scheme + "://" + netip.AddrPortFrom(s.vip, port).String() + "/"
}

// seen returns which servers answer n requests.
func (s *site) seen(n int, url string) map[string]int {
	s.t.Helper()
	got := map[string]int{}
	for range n {
		body, _, err := s.get(nil, url)
		if err != nil {
			body = err.Error()
		}
		got[body]++
	}
	return got
}
