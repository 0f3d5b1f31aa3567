package noop_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/distributortest"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/noop"
)

func TestContract(t *testing.T) {
	distributortest.Run(t, func(t *testing.T, dir string) distributortest.Setup {
		a := netip.MustParseAddr("127.0.0.1")
		return distributortest.Setup{Driver: noop.New(dir), VIP: a, Amphorae: []netip.Addr{a, a.Next(), a.Next().Next()},
			NoTraffic: true, EveryKill: true}
	})
}

func TestRecords(t *testing.T) {
	t.Parallel()
	d := noop.New("")
	f := flow.Linear("web", d.CreateDistributor(""), d.AddVIP(""), d.RegisterAmphorae(""), d.DrainAmphorae(""))
	res, err := new(flow.Runner).Run(t.Context(), "web", f,
		distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}),
		distributor.VIPKey.Value(distributor.VIP{ID: "v1", Address: netip.MustParseAddr("10.0.0.1"), Protocol: distributor.TCP,
			Ports: []distributor.PortMapping{{Front: 80, Back: 8080}}}),
		distributor.VIPAlgorithm.Value(distributor.AnyAlgorithm),
		distributor.VIPPersistence.Value(distributor.NoPersistence),
		distributor.Amphorae.Value([]distributor.Amphora{{ID: "a1", Address: netip.MustParseAddr("10.0.0.2")}}))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := distributor.DistributorID.From(res)
	records := d.Records()
	want := "distributor " + id + " of web: vip v1 on 10.0.0.1 tcp 80>8080; amphorae a1 draining"
	if id == "" || len(records) != 4 || records[3] != want {
		t.Errorf("records:\n%s\nwant the last of four to be\n%s", strings.Join(records, "\n"), want)
	}
}
