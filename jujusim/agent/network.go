package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// networkInfo is what network-get prints. The fields without a JSON name are
// older spellings that only YAML shows.
type networkInfo struct {
	Binds   []bindAddress `json:"bind-addresses" yaml:"bind-addresses"`
	Egress  []string      `json:"egress-subnets" yaml:"egress-subnets"`
	Ingress []string      `json:"ingress-addresses" yaml:"ingress-addresses"`
}

type bindAddress struct {
	MAC          string             `json:"mac-address" yaml:"mac-address"`
	Name         string             `json:"interface-name" yaml:"interface-name"`
	Addresses    []interfaceAddress `json:"addresses" yaml:"addresses"`
	OldMAC       string             `json:"-" yaml:"macaddress"`
	OldInterface string             `json:"-" yaml:"interfacename"`
}

type interfaceAddress struct {
	Hostname string `json:"hostname" yaml:"hostname"`
	Value    string `json:"value" yaml:"value"`
	CIDR     string `json:"cidr" yaml:"cidr"`
	Old      string `json:"-" yaml:"address"`
}

func (a *Agent) networkGet() *tool {
	t := &tool{usage: "<binding-name> [--ingress-address] [--bind-address] [--egress-subnets]", purpose: "Get network config."}
	out := t.smartOutput()
	a.relationFlag(t)
	var primary, bind, ingress, egress bool
	t.flags.boolVar(&primary, "primary-address", "(deprecated) get the primary address for the binding")
	t.flags.boolVar(&bind, "bind-address", "get the address for the binding on which the unit should listen")
	t.flags.boolVar(&ingress, "ingress-address", "get the ingress address for the binding")
	t.flags.boolVar(&egress, "egress-subnets", "get the egress subnets for the binding")
	var binding string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return errors.New("no arguments specified")
		}
		if binding = args[0]; binding == "" {
			return errors.New("no binding name specified")
		}
		return noMore(args[1:])
	}
	t.run = func(c *call) error {
		u := a.unit()
		_, bound := a.application().Endpoint(binding)
		if !bound && binding != model.JujuInfo && !slices.Contains(a.application().ExtraBindings, binding) {
			return fmt.Errorf("no network config found for binding %q", binding)
		}
		info := a.network(u)
		if primary {
			if bind || ingress || egress {
				return errors.New("--primary-address must be the only flag specified")
			}
			return out.write(c, u.Address)
		}
		chosen := make(map[string]any)
		if bind {
			chosen["bind-address"] = u.Address
		}
		if ingress {
			chosen["ingress-address"] = info.Ingress[0]
		}
		if egress {
			chosen["egress-subnets"] = info.Egress
		}
		switch len(chosen) {
		case 0:
			return out.write(c, info)
		case 1:
			for _, value := range chosen {
				return out.write(c, value)
			}
		}
		return out.write(c, chosen)
	}
	return t
}

// network is the unit's one network interface.
func (a *Agent) network(u *model.Unit) networkInfo {
	bits := "/32"
	if strings.Contains(u.Address, ":") {
		bits = "/128"
	}
	return networkInfo{
		Binds: []bindAddress{{
			MAC: u.MAC, OldMAC: u.MAC,
			Name: u.Interface, OldInterface: u.Interface,
			Addresses: []interfaceAddress{{Value: u.Address, Old: u.Address, CIDR: u.CIDR}},
		}},
		Egress:  []string{u.Address + bits},
		Ingress: []string{u.Address},
	}
}
