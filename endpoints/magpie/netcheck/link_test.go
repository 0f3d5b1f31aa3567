package netcheck_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
)

// sysfs builds a tree like that of the kernel, from paths below class/net.
func sysfs(t testing.TB, files ...map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for _, fs := range files {
		for name, content := range fs {
			path := filepath.Join(root, "class", "net", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

func nic(name, speed, state, carrier string) map[string]string {
	return map[string]string{
		name + "/mtu": "1500", name + "/speed": speed, name + "/operstate": state,
		name + "/carrier": carrier, name + "/duplex": "full",
	}
}

// bond returns bond0 over eth0 and eth1 as 802.3ad, with everything in order.
func bond(change map[string]string) map[string]string {
	files := map[string]string{
		"bonding_masters":                               "bond0",
		"bond0/bonding/mode":                            "802.3ad 4",
		"bond0/bonding/slaves":                          "eth0 eth1",
		"bond0/bonding/ad_aggregator":                   "1",
		"eth0/bonding_slave/mii_status":                 "up",
		"eth1/bonding_slave/mii_status":                 "up",
		"eth0/bonding_slave/ad_aggregator_id":           "1",
		"eth1/bonding_slave/ad_aggregator_id":           "1",
		"eth0/bonding_slave/ad_actor_oper_port_state":   "61",
		"eth1/bonding_slave/ad_actor_oper_port_state":   "61",
		"eth0/bonding_slave/ad_partner_oper_port_state": "61",
		"eth1/bonding_slave/ad_partner_oper_port_state": "61",
	}
	for _, n := range []map[string]string{nic("bond0", "20000", "up", "1"), nic("eth0", "10000", "up", "1"), nic("eth1", "10000", "up", "1")} {
		for k, v := range n {
			files[k] = v
		}
	}
	for k, v := range change {
		files[k] = v
	}
	return files
}

func TestBonds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change map[string]string
		check  netcheck.Bonds
		state  netcheck.State
		words  string
	}{
		{"ok", nil, netcheck.Bonds{}, netcheck.OK, "bonds ok"},
		{"slave down", map[string]string{"eth1/operstate": "down", "eth1/carrier": "0"}, netcheck.Bonds{}, netcheck.Failed, "bonds: bond0:eth1 down"},
		{"mii down", map[string]string{"eth0/bonding_slave/mii_status": "down"}, netcheck.Bonds{}, netcheck.Failed, "bond0:eth0 down"},
		{"bond down", map[string]string{"bond0/operstate": "down"}, netcheck.Bonds{}, netcheck.Failed, "bonds: bond0 down"},
		{"other aggregator", map[string]string{"eth1/bonding_slave/ad_aggregator_id": "2"}, netcheck.Bonds{}, netcheck.Failed, "bond0:eth1 aggregator 2, not 1"},
		{"no partner", map[string]string{"eth1/bonding_slave/ad_actor_oper_port_state": "77"}, netcheck.Bonds{}, netcheck.Failed, "bond0:eth1: no LACP from the switch"},
		{"expired", map[string]string{"eth1/bonding_slave/ad_actor_oper_port_state": "189"}, netcheck.Bonds{}, netcheck.Failed, "LACP expired"},
		{"port states differ", map[string]string{"eth1/bonding_slave/ad_partner_oper_port_state": "13"}, netcheck.Bonds{}, netcheck.Failed, "bond0:eth1 LACP port state 0x3d, 0x0d at the switch"},
		{"passive", map[string]string{"eth1/bonding_slave/ad_partner_oper_port_state": "60"}, netcheck.Bonds{}, netcheck.Failed, "0x3c at the switch"},
		{"passive tolerated", map[string]string{"eth1/bonding_slave/ad_partner_oper_port_state": "60"}, netcheck.Bonds{Passive: true}, netcheck.OK, ""},
		{"carries nothing", map[string]string{"eth1/bonding_slave/ad_partner_oper_port_state": "5", "eth1/bonding_slave/ad_actor_oper_port_state": "5"}, netcheck.Bonds{}, netcheck.Failed, "0x05 carries nothing"},
		{"not LACP", map[string]string{"bond0/bonding/mode": "active-backup 1", "eth1/bonding_slave/ad_aggregator_id": "2"}, netcheck.Bonds{}, netcheck.OK, ""},
		{"no slaves", map[string]string{"bond0/bonding/slaves": ""}, netcheck.Bonds{}, netcheck.Failed, "bond0 has no slaves"},
		{"missing", nil, netcheck.Bonds{Names: []string{"bond0", "bond7"}}, netcheck.Failed, "bonds: bond7 missing"},
		{"bad name", nil, netcheck.Bonds{Names: []string{"../bond0"}}, netcheck.Failed, "missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check.Root = sysfs(t, bond(tt.change))
			wantOutcome(t, tt.check.Check(t.Context()).Outcome, tt.state, tt.words)
		})
	}
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		check := netcheck.Bonds{Root: sysfs(t, nic("eth0", "1000", "up", "1"))}
		wantOutcome(t, check.Check(t.Context()).Outcome, netcheck.Skipped, "no bonds")
	})
	t.Run("no sysfs", func(t *testing.T) {
		t.Parallel()
		check := netcheck.Bonds{Root: t.TempDir()}
		wantOutcome(t, check.Check(t.Context()).Outcome, netcheck.Skipped, "cannot list the bonds")
	})
}

func TestReadBond(t *testing.T) {
	t.Parallel()
	bonds, err := netcheck.ReadBonds(sysfs(t, bond(nil)))
	if err != nil || len(bonds) != 1 {
		t.Fatalf("%v, %v", bonds, err)
	}
	b := bonds[0]
	if !b.LACP() || b.SpeedMbit != 20000 || b.Aggregator != 1 || len(b.Slaves) != 2 {
		t.Errorf("%+v", b)
	}
	want := netcheck.Slave{
		Link:      netcheck.Link{Name: "eth1", MTU: 1500, State: "up", Carrier: true, SpeedMbit: 10000, Duplex: "full"},
		MIIStatus: "up", Aggregator: 1, Actor: 61, Partner: 61,
	}
	if !reflect.DeepEqual(b.Slaves[1], want) {
		t.Errorf("got  %+v\nwant %+v", b.Slaves[1], want)
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	root := sysfs(t, nic("eth0", "10000", "up", "1"), nic("eth1", "-1", "unknown", "1"), nic("eth2", "1000", "down", ""), nic("lo", "", "unknown", "1"),
		map[string]string{"bonding_masters": ""})
	tests := []struct {
		name  string
		check netcheck.Links
		state netcheck.State
		words string
	}{
		{"all", netcheck.Links{}, netcheck.Failed, "links: eth2 down"},
		{"named", netcheck.Links{Names: []string{"eth0", "eth1"}}, netcheck.OK, "links ok"},
		{"fast enough", netcheck.Links{Names: []string{"eth0"}, MinimumMbit: 10000}, netcheck.OK, ""},
		{"too slow", netcheck.Links{Names: []string{"eth0"}, MinimumMbit: 25000}, netcheck.Failed, "eth0 has 10000 < 25000 Mbit/s"},
		{"unknown speed", netcheck.Links{Names: []string{"eth1"}, MinimumMbit: 1}, netcheck.Failed, "eth1 has no known speed"},
		{"missing", netcheck.Links{Names: []string{"eth9"}}, netcheck.Failed, "eth9 missing"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check.Root = root
			wantOutcome(t, tt.check.Check(t.Context()).Outcome, tt.state, tt.words)
		})
	}
	links, err := netcheck.ReadLinks(root)
	if err != nil || len(links) != 4 {
		t.Errorf("%+v, %v", links, err)
	}
}

// FuzzReadBond reads bonds from files with any content: a broken driver must
// not take the charm down.
func FuzzReadBond(f *testing.F) {
	f.Add("bond0", "802.3ad 4", "eth0 eth1", "61")
	f.Add("bond0 ../x", "", "/etc/passwd", "-1")
	f.Add("\x00", " ", "eth0", "999999999999999999999")
	f.Fuzz(func(t *testing.T, masters, mode, slaves, state string) {
		root := sysfs(t, bond(map[string]string{
			"bonding_masters": masters, "bond0/bonding/mode": mode, "bond0/bonding/slaves": slaves,
			"eth0/bonding_slave/ad_actor_oper_port_state": state, "eth0/mtu": state,
		}))
		bonds, err := netcheck.ReadBonds(root)
		if err == nil && bonds == nil && len(masters) > 0 && masters == "bond0" {
			t.Error("bond0 is lost")
		}
		netcheck.Bonds{Root: root}.Check(t.Context())
	})
}
