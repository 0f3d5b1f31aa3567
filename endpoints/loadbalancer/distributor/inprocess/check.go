package inprocess

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
)

type checkKey struct{ distributor, vip, amphora string }

// check asks one amphora again and again whether it can take a VIP's traffic.
type check struct {
	cancel  context.CancelFunc
	vip     distributor.VIP
	amphora distributor.Amphora
	// down is why the amphora gets no traffic. It is nil until checks have
	// failed, as in HAProxy.
	down atomic.Pointer[error]
}

// rise is how many checks must pass for an amphora that is down to be up.
const rise = 2

// startCheck sees that the amphora is checked as the VIP asks.
func (p *proxy) startCheck(k checkKey, v distributor.VIP, a distributor.Amphora) {
	old := p.checks[k]
	if old != nil && old.amphora == a && reflect.DeepEqual(old.vip.HealthChecks, v.HealthChecks) {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &check{cancel: cancel, vip: v, amphora: a}
	if old != nil {
		old.cancel()
		c.down.Store(old.down.Load())
	}
	p.checks[k] = c
	p.wg.Go(func() { c.run(ctx) })
}

func (c *check) run(ctx context.Context) {
	interval, retries := c.vip.HealthChecks[0].Interval, c.vip.HealthChecks[0].Retries
	for _, h := range c.vip.HealthChecks {
		interval, retries = min(interval, h.Interval), min(retries, h.Retries)
	}
	good, bad := 0, 0
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		err := c.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		if bad >= retries {
			c.down.Store(&err)
		}
		if good >= rise {
			c.down.Store(nil)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (c *check) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for _, h := range c.vip.HealthChecks {
		if err := ask(ctx, h, c.amphora); err != nil {
			return err
		}
	}
	return nil
}

func ask(ctx context.Context, h distributor.HealthCheck, a distributor.Amphora) error {
	at := net.JoinHostPort(a.Address.String(), strconv.Itoa(int(h.Port)))
	if h.Protocol == distributor.TCP {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err != nil {
			return err
		}
		return c.Close()
	}
	path := h.Path
	if path == "" {
		path = "/"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(h.Protocol)+"://"+at+path, nil)
	if err != nil {
		return err
	}
	// The contract does not verify the certificates of amphorae.
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	resp, err := (&http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return errors.New("status " + fmt.Sprint(resp.StatusCode))
	}
	return nil
}
