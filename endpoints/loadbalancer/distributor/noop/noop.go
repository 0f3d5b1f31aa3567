// Package noop is a distributor driver that moves no traffic. It keeps what it
// is asked for, gives what the contract promises, and can be asked what was
// done, for tests of what uses a driver:
//
//	d := noop.New("")
//	serve := flow.Linear("serve", d.CreateDistributor(""), d.RegisterAmphorae(""))
//	res, err := new(flow.Runner).Run(ctx, "serve-web", serve,
//		distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}),
//		distributor.Amphorae.Value([]distributor.Amphora{{ID: "web-0", Address: netip.MustParseAddr("10.0.0.2")}}))
//	for _, record := range d.Records() {
//		fmt.Println(record)
//	}
package noop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
)

// Driver is the driver. It serves every VIP that is valid and whose algorithm
// and persistence have a name.
type Driver struct {
	*converge.Driver
	b *backend
}

// New returns a driver that keeps its state in dir, or in memory if dir is "".
func New(dir string) *Driver {
	b := &backend{}
	return &Driver{converge.New(dir, b), b}
}

// Records returns what this process has had the driver do, in order, such as
// "distributor 6f… of web: vip v1 on 10.0.0.1 tcp 80>8080; amphorae a1, a2
// draining". There is a record for each time that something was put into force.
func (d *Driver) Records() []string {
	d.b.mu.Lock()
	defer d.b.mu.Unlock()
	return slices.Clone(d.b.records)
}

type backend struct {
	mu      sync.Mutex
	records []string
}

func (*backend) CheckVIP(_ distributor.VIP, alg distributor.Algorithm, p distributor.Persistence) error {
	var errs []error
	if _, err := distributor.ParseAlgorithm(string(alg)); err != nil {
		errs = append(errs, err)
	}
	switch p {
	case distributor.NoPersistence, distributor.SourceIPPersistence, distributor.SourceIPAndPortPersistence, distributor.CookiePersistence:
	default:
		errs = append(errs, &distributor.Unsupported{Field: "sticky", Reason: fmt.Sprintf("unknown: %.50q", string(p))})
	}
	return errors.Join(errs...)
}

func (b *backend) Converge(ctx context.Context, want *converge.State) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(want.Distributors) == 0 {
		b.records = append(b.records, "nothing")
	}
	for _, d := range want.Sorted() {
		text := fmt.Sprintf("distributor %s of %s:", d.ID, d.LoadBalancer.ID)
		for _, v := range d.SortedVIPs() {
			text += fmt.Sprintf(" vip %s on %s %s", v.ID, v.Address, v.Protocol)
			for _, p := range v.Ports {
				text += fmt.Sprintf(" %d>%d", p.Front, p.Back)
			}
			text += ";"
		}
		for i, a := range d.SortedAmphorae() {
			if i == 0 {
				text += " amphorae"
			} else {
				text += ","
			}
			text += " " + a.ID
			if a.Draining {
				text += " draining"
			}
		}
		b.records = append(b.records, text)
	}
	return nil
}

func (*backend) Connections(context.Context, *converge.Distributor) (map[string]int, error) {
	return nil, nil
}
