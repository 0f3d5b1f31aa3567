package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/rendezvous"
)

// buckets is how many parts the hashes of clients are divided into. It never
// changes, so that an amphora which comes or goes moves its own buckets only.
const buckets = 1024

// seed keeps hashes what they are when rules are replaced; left out, the kernel
// draws a new one for each rule.
const seed = "0x63686172"

// render writes the rules of a state: the same text for the same state.
// Everything in it is a number, an address, or a word of this package.
func (b *backend) render(st *converge.State) (text string, vips []netip.Addr, err error) {
	w := &strings.Builder{}
	for _, family := range []string{"ip", "ip6"} {
		var nat, reject []string
		var own []string
		for _, d := range st.Sorted() {
			for _, v := range d.SortedVIPs() {
				if v.Address.Is4() != (family == "ip") {
					continue
				}
				if !slices.Contains(vips, v.Address) {
					vips = append(vips, v.Address)
				}
				if !slices.Contains(own, v.Address.String()) {
					own = append(own, v.Address.String())
				}
				for _, p := range v.Ports {
					match := fmt.Sprintf("%s daddr %s %s dport %d", family, v.Address, transport(v.VIP), p.Front)
					choice, err := choose(family, d, v, p)
					if err != nil {
						return "", nil, err
					}
					if choice == "" {
						reject = append(reject, match+" ct state new "+refusal(v.VIP))
						continue
					}
					nat = append(nat, fmt.Sprintf("%s dnat %s to %s", match, family, choice))
				}
			}
		}
		// Named once, the table exists and can be deleted; all of it is one
		// transaction.
		fmt.Fprintf(w, "table %s %s\ndelete table %s %s\n", family, b.o.Table, family, b.o.Table)
		if len(nat)+len(reject) == 0 {
			continue
		}
		fmt.Fprintf(w, "table %s %s {\n", family, b.o.Table)
		chain := func(name, kind, hook, priority string, rules ...string) {
			fmt.Fprintf(w, "\tchain %s {\n\t\ttype %s hook %s priority %s; policy accept;\n", name, kind, hook, priority)
			for _, r := range rules {
				fmt.Fprintf(w, "\t\t%s\n", r)
			}
			fmt.Fprint(w, "\t}\n")
		}
		chain("from_outside", "nat", "prerouting", "-100", nat...)
		chain("from_here", "nat", "output", "-100", nat...)
		chain("refused_outside", "filter", "prerouting", "-99", reject...)
		chain("refused_here", "filter", "output", "-99", reject...)
		if b.o.Masquerade {
			chain("to_amphorae", "nat", "postrouting", "100",
				fmt.Sprintf("ct status dnat ct original %s daddr { %s } masquerade", family, strings.Join(own, ", ")))
		}
		fmt.Fprint(w, "}\n")
	}
	return w.String(), vips, nil
}

func transport(v distributor.VIP) string {
	if v.Datagram() {
		return "udp"
	}
	return "tcp"
}

func refusal(v distributor.VIP) string {
	if v.Datagram() {
		return "reject"
	}
	return "reject with tcp reset"
}

// choose returns the expression that gives the amphora and port of a new
// connection, or "" if there is none.
func choose(family string, d *converge.Distributor, v *converge.VIP, p distributor.PortMapping) (string, error) {
	amphorae := d.InService()
	for _, a := range amphorae {
		if a.Address.Is4() != v.Address.Is4() {
			return "", &distributor.Unsupported{Field: "backends", Reason: fmt.Sprintf("%s: an address of the family of %s is needed, not %s", a.ID, v.Address, a.Address)}
		}
	}
	n := len(amphorae)
	if n == 0 {
		return "", nil
	}
	by := ""
	switch {
	case v.Persistence == distributor.SourceIPAndPortPersistence:
		by = fmt.Sprintf("jhash %s saddr . %s sport mod %d seed %s", family, transport(v.VIP), buckets, seed)
	case v.Persistence == distributor.SourceIPPersistence || v.Algorithm == distributor.SourceIP || v.Algorithm == distributor.Hash:
		by = fmt.Sprintf("jhash %s saddr mod %d seed %s", family, buckets, seed)
	}
	index, size := func(i int) int { return i }, n
	if by != "" {
		index, size = func(i int) int { return rendezvous.Pick(strconv.Itoa(i), amphorae) }, buckets
	} else if v.Algorithm == distributor.Random {
		by = fmt.Sprintf("numgen random mod %d", n)
	} else {
		by = fmt.Sprintf("numgen inc mod %d", n)
	}
	elements := make([]string, size)
	for i := range elements {
		elements[i] = fmt.Sprintf("%d : %s . %d", i, amphorae[index(i)].Address, p.Back)
	}
	return fmt.Sprintf("%s map { %s }", by, strings.Join(elements, ", ")), nil
}
