package reactive_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// Whatever the ports are, after the declaration they are those declared.
func TestPorts(t *testing.T) {
	t.Parallel()
	for _, version := range jujuVersions {
		for _, test := range []struct {
			before   []string
			declared string
			after    string
		}{
			{nil, "80/tcp", "[80/tcp]"},
			{[]string{"80/tcp"}, "80/tcp", "[80/tcp]"},
			{[]string{"80/tcp"}, "", "[]"},
			{[]string{"80/tcp", "icmp"}, "443/tcp;icmp", "[443/tcp icmp]"},
			{[]string{"80/tcp"}, "80/tcp (access)", "[80/tcp (access)]"},
			{[]string{"80/tcp (access)"}, "80/tcp", "[80/tcp]"},
			{[]string{"80/tcp (access)"}, "80/tcp (cluster)", "[80/tcp (cluster)]"},
			{[]string{"80/tcp (access, cluster)"}, "80/tcp (cluster)", "[80/tcp (cluster)]"},
			{[]string{"80/tcp (access)"}, "80/udp", "[80/udp]"},
			{[]string{"80/tcp (access)"}, "", "[]"},
		} {
			s := reactivetest.State{JujuVersion: version, Ports: test.before, Config: map[string]any{"ports": test.declared}}
			r := reactivetest.Run(t, vaultUnderTest, s, reactivetest.ConfigChanged())
			if got := fmt.Sprint(r.State.Ports); got != test.after {
				t.Errorf("%s: %v with %q declared becomes %s, want %s", version, test.before, test.declared, got, test.after)
			}
			changed := slices.ContainsFunc(r.Calls, func(c reactivetest.Call) bool { return c.Tool == "open-port" || c.Tool == "close-port" })
			if same := fmt.Sprint(test.before) == test.after; changed == same {
				t.Errorf("%s: %v with %q declared: changed %v", version, test.before, test.declared, changed)
			}
		}
		// What overlaps a range that closes is opened one hook later.
		s := reactivetest.State{JujuVersion: version, Ports: []string{"80-90/tcp"}, Config: map[string]any{"ports": "85/tcp;443/tcp"}}
		r := reactivetest.Run(t, vaultUnderTest, s, reactivetest.ConfigChanged())
		if got := fmt.Sprint(r.State.Ports); got != "[443/tcp]" {
			t.Errorf("%s: at first the ports are %s", version, got)
		}
		charm := vaultUnderTest
		charm.Twice = true
		r = reactivetest.Run(t, charm, r.State, reactivetest.UpdateStatus())
		if got := fmt.Sprint(r.State.Ports); got != "[443/tcp 85/tcp]" {
			t.Errorf("%s: one hook later the ports are %s", version, got)
		}
		s.Config["ports"] = "80-90/tcp;85/tcp"
		r = reactivetest.RunFailing(t, vaultUnderTest, s, reactivetest.ConfigChanged())
		if !strings.Contains(r.Err.Error(), "cannot declare the open ports: the ports ") || !strings.HasSuffix(r.Err.Error(), " overlap") {
			t.Errorf("%s: the error is %v", version, r.Err)
		}
	}
}

// Whatever was open and whatever is declared: two hooks later the ports are
// those declared, and a third hook writes nothing.
func TestPortsConverge(t *testing.T) {
	t.Parallel()
	endpoints := []string{"access", "cluster"}
	random := rand.New(rand.NewPCG(1, 2))
	pick := func() (list []string) {
		for _, protocol := range []string{"tcp", "udp"} {
			for at := 80; at < 90; {
				at += random.IntN(4)
				p := hooktool.PortRange{Protocol: protocol, From: at, To: at + random.IntN(3)}
				at = p.To + 1
				if n := random.IntN(3); n > 0 {
					p.Endpoints = endpoints[:n]
				}
				list = append(list, p.String())
			}
		}
		slices.Sort(list)
		return list
	}
	// To be open for all endpoints by name is to be open for all of them.
	same := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			list[i] = strings.TrimSuffix(list[i], " (access, cluster)")
		}
		slices.Sort(list)
		return list
	}
	charm := vaultUnderTest
	charm.Twice = true
	for i := range 200 {
		version := jujuVersions[i%2]
		before, declared := pick(), pick()
		s := reactivetest.State{JujuVersion: version, Ports: before, Config: map[string]any{"ports": strings.Join(declared, ";")}}
		r := reactivetest.Run(t, vaultUnderTest, s, reactivetest.ConfigChanged())
		r = reactivetest.Run(t, charm, r.State, reactivetest.UpdateStatus())
		if !slices.Equal(same(r.State.Ports), same(declared)) {
			t.Fatalf("%s: from %q with %q declared, the ports are %q", version, before, declared, r.State.Ports)
		}
	}
}
