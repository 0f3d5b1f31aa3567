package loadbalancertest_test

import (
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/loadbalancertest"
	"github.com/charmed-go/charms/jujusim"
)

// myCharm stands for the charm under test.
var myCharm = loadbalancertest.Consumer()

func TestAsksForALoadBalancer(t *testing.T) {
	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Deploy("lb", loadbalancertest.Provider(), jujusim.DeployOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Deploy("my-charm", myCharm, jujusim.DeployOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Relate("my-charm:lb-provider", "lb:lb-consumers"); err != nil {
		t.Fatal(err)
	}
	if err := m.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if unit, _ := m.Status().Unit("my-charm/0"); unit.Message != "at 192.0.2.1" {
		t.Errorf("the charm says %q", unit.Message)
	}
}
