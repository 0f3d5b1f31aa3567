package netcheck

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// A Suite is a set of checks. Those that are nil are left out.
type Suite struct {
	// TCP, UDP, ICMP, MTU, DNS and Throughput are run against each peer;
	// Hostname, Links and Bonds look at this machine.
	TCP        *TCP
	UDP        *UDP
	ICMP       *ICMP
	MTU        *MTU
	DNS        *DNS
	Throughput *Throughput
	Hostname   *Hostname
	Links      *Links
	Bonds      *Bonds

	// Parallel is how many peers are checked at the same time. Zero means 8.
	Parallel int
}

// A PeerReport holds the results of one peer. Results of checks that are not
// in the suite are nil.
type PeerReport struct {
	Peer
	// Lookup is how looking up the peer's Host went, if that was necessary.
	Lookup     *Outcome          `json:"lookup,omitempty"`
	TCP        *TCPResult        `json:"tcp,omitempty"`
	UDP        *UDPResult        `json:"udp,omitempty"`
	ICMP       *ICMPResult       `json:"icmp,omitempty"`
	MTU        *MTUResult        `json:"mtu,omitempty"`
	DNS        *DNSResult        `json:"dns,omitempty"`
	Throughput *ThroughputResult `json:"throughput,omitempty"`
}

// A Report holds all results of a suite.
type Report struct {
	// Began is when the suite began, and Took how long it ran.
	Began time.Time     `json:"began"`
	Took  time.Duration `json:"took_ns"`
	// Peers are in the order in which they were given to [Suite.Run].
	Peers []PeerReport `json:"peers"`
	// Hostname, Links and Bonds are nil if they are not in the suite.
	Hostname *HostnameResult `json:"hostname,omitempty"`
	Links    *LinksResult    `json:"links,omitempty"`
	Bonds    *BondsResult    `json:"bonds,omitempty"`
}

// Run runs the checks against all peers, and those of the machine itself, and
// returns when all are done. Each check has its own budget; when ctx ends, so
// does everything at once, and what was not done until then is [Unfinished].
func (s Suite) Run(ctx context.Context, peers []Peer) Report {
	report := Report{Began: time.Now(), Peers: make([]PeerReport, len(peers))}
	parallel := s.Parallel
	if parallel <= 0 {
		parallel = 8
	}
	var local errgroup.Group
	if s.Hostname != nil {
		local.Go(func() error { report.Hostname = ptr(s.Hostname.Check(ctx)); return nil })
	}
	if s.Links != nil {
		local.Go(func() error { report.Links = ptr(s.Links.Check(ctx)); return nil })
	}
	if s.Bonds != nil {
		local.Go(func() error { report.Bonds = ptr(s.Bonds.Check(ctx)); return nil })
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, p := range peers {
		group.Go(func() error { report.Peers[i] = s.runPeer(ctx, p); return nil })
	}
	// None of these functions returns an error.
	_ = group.Wait()
	_ = local.Wait()
	// A full wire delays and loses the packets of the other checks, so the
	// throughput comes last, one peer after the other. The first is any, so that
	// machines that measure at the same time do not all begin with the same one,
	// and those for which there is no time left are others the next time.
	if s.Throughput != nil && len(peers) > 0 {
		first := rand.IntN(len(peers))
		for i := range report.Peers {
			s.throughput(ctx, &report.Peers[(first+i)%len(peers)])
		}
	}
	report.Took = time.Since(report.Began)
	return report
}

func ptr[T any](v T) *T { return &v }

// runPeer runs all checks of one peer but the throughput, side by side: none
// disturbs another one.
func (s Suite) runPeer(ctx context.Context, p Peer) PeerReport {
	report := PeerReport{Peer: p}
	if !p.Addr.IsValid() {
		report.Lookup = ptr(lookup(ctx, &p))
		report.Peer = p
		if report.Lookup.State != OK {
			return report
		}
	}
	var group errgroup.Group
	if s.TCP != nil {
		group.Go(func() error { report.TCP = ptr(s.TCP.Check(ctx, p)); return nil })
	}
	if s.UDP != nil {
		group.Go(func() error { report.UDP = ptr(s.UDP.Check(ctx, p)); return nil })
	}
	if s.ICMP != nil {
		group.Go(func() error { report.ICMP = ptr(s.ICMP.Check(ctx, p)); return nil })
	}
	if s.DNS != nil {
		group.Go(func() error { report.DNS = ptr(s.DNS.Check(ctx, p)); return nil })
	}
	_ = group.Wait()
	if s.MTU != nil {
		if report.UDP != nil && report.UDP.State == Failed && report.UDP.Received == 0 {
			report.MTU = &MTUResult{Outcome: skipped(KindMTU, p, "mtu not measured: no answer over udp")}
		} else {
			report.MTU = ptr(s.MTU.Check(ctx, p))
		}
	}
	return report
}

// lookup gives a peer the address of its host.
func lookup(ctx context.Context, p *Peer) Outcome {
	r := begin(ctx, KindLookup, *p, 0, 5*time.Second)
	if p.Host == "" {
		return r.end(Failed, "has no address")
	}
	addrs, err := net.DefaultResolver.LookupNetIP(r.ctx, "ip", p.Host)
	if err != nil || len(addrs) == 0 {
		return r.end(Failed, "address %q does not resolve", p.Host)
	}
	p.Addr = addrs[0].Unmap()
	r.outcome.Address = p.Addr
	return r.end(OK, "%s is %s", p.Host, p.Addr)
}

// throughput measures the throughput to one peer, unless that is hopeless.
func (s Suite) throughput(ctx context.Context, report *PeerReport) {
	if !report.Addr.IsValid() {
		return
	}
	if report.TCP != nil && report.TCP.State == Failed {
		report.Throughput = &ThroughputResult{Outcome: skipped(KindThroughput, report.Peer, "throughput not measured: no answer over tcp")}
		return
	}
	report.Throughput = ptr(s.Throughput.Check(ctx, report.Peer))
}

func skipped(kind Kind, p Peer, sentence string) Outcome {
	return Outcome{Check: kind, Peer: p.Name, Address: p.Addr, State: Skipped, Sentence: sentence}
}

// Outcomes returns the outcomes of the checks of this peer that ran.
func (p PeerReport) Outcomes() []Outcome {
	var all []Outcome
	if p.Lookup != nil {
		all = append(all, *p.Lookup)
	}
	if p.ICMP != nil {
		all = append(all, p.ICMP.Outcome)
	}
	if p.TCP != nil {
		all = append(all, p.TCP.Outcome)
	}
	if p.UDP != nil {
		all = append(all, p.UDP.Outcome)
	}
	if p.MTU != nil {
		all = append(all, p.MTU.Outcome)
	}
	if p.DNS != nil {
		all = append(all, p.DNS.Outcome)
	}
	if p.Throughput != nil {
		all = append(all, p.Throughput.Outcome)
	}
	return all
}

// Outcomes returns the outcomes of all checks: first those of the machine
// itself, then those of the peers in order.
func (r Report) Outcomes() []Outcome {
	var all []Outcome
	if r.Bonds != nil {
		all = append(all, r.Bonds.Outcome)
	}
	if r.Links != nil {
		all = append(all, r.Links.Outcome)
	}
	if r.Hostname != nil {
		all = append(all, r.Hostname.Outcome)
	}
	for _, p := range r.Peers {
		all = append(all, p.Outcomes()...)
	}
	return all
}

// Failures returns the outcomes of the checks that failed.
func (r Report) Failures() []Outcome {
	return slices.DeleteFunc(r.Outcomes(), func(o Outcome) bool { return o.State != Failed })
}

// OK is whether no check failed.
func (r Report) OK() bool { return len(r.Failures()) == 0 }

// Line says in one line what is wrong with whom, or which checks went well, and
// how many peers there was no time for. Peers with the same fault are named
// together, but not more than a few:
//
//	magpie/1, magpie/2: dns: no answer from 10.0.0.53:53; magpie/2: udp: 5 of 50 packets lost
//	magpie/3, magpie/4, magpie/5 and 96 more: mtu 9000 on eth0 here, 1500 there; 12 of 499 peers not fully checked
func (r Report) Line() string {
	line := r.okLine()
	if failures := r.Failures(); len(failures) > 0 {
		line = faultLine(failures)
	}
	if n := r.unfinished(); n > 0 {
		line += fmt.Sprintf("; %d of %d peers not fully checked", n, len(r.Peers))
	}
	return line
}

// unfinished returns the number of peers with unfinished checks.
func (r Report) unfinished() int {
	n := 0
	for _, p := range r.Peers {
		if slices.ContainsFunc(p.Outcomes(), func(o Outcome) bool { return o.State == Unfinished }) {
			n++
		}
	}
	return n
}

// Of more than mostNames peers with the same fault only the first fewNames are
// named.
const (
	mostNames = 6
	fewNames  = 3
)

func namesOf(peers []string) string {
	if len(peers) <= mostNames {
		return strings.Join(peers, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(peers[:fewNames], ", "), len(peers)-fewNames)
}

// faultLine names what failed.
func faultLine(failures []Outcome) string {
	type fault struct {
		peers     []string
		sentences []string
	}
	// First the peers that share a sentence, then the sentences that have the
	// same peers.
	var bySentence []fault
	for _, o := range failures {
		i := slices.IndexFunc(bySentence, func(f fault) bool { return f.sentences[0] == o.Sentence })
		if i < 0 {
			i = len(bySentence)
			bySentence = append(bySentence, fault{sentences: []string{o.Sentence}})
		}
		if o.Peer != "" {
			bySentence[i].peers = append(bySentence[i].peers, o.Peer)
		}
	}
	var byPeers []fault
	for _, f := range bySentence {
		i := slices.IndexFunc(byPeers, func(g fault) bool { return slices.Equal(g.peers, f.peers) })
		if i < 0 {
			byPeers = append(byPeers, f)
			continue
		}
		byPeers[i].sentences = append(byPeers[i].sentences, f.sentences...)
	}
	parts := make([]string, 0, len(byPeers))
	for _, f := range byPeers {
		part := strings.Join(f.sentences, ", ")
		if len(f.peers) > 0 {
			part = namesOf(f.peers) + ": " + part
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// okLine names the checks that went well, in the order of the outcomes.
func (r Report) okLine() string {
	var ok []string
	slowest := 0.0
	for _, o := range r.Outcomes() {
		if word := string(o.Check) + " ok"; o.State == OK && o.Check != KindThroughput && o.Check != KindLookup && !slices.Contains(ok, word) {
			ok = append(ok, word)
		}
	}
	for _, p := range r.Peers {
		if p.Throughput != nil && p.Throughput.State == OK && (slowest == 0 || p.Throughput.BitsPerSecond < slowest) {
			slowest = p.Throughput.BitsPerSecond
		}
	}
	if slowest > 0 {
		ok = append(ok, Mbit(slowest))
	}
	if len(ok) == 0 {
		return "nothing checked"
	}
	return strings.Join(ok, ", ")
}

// JSON returns the report as JSON in one line.
func (r Report) JSON() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("cannot write the report: %w", err)
	}
	return data, nil
}
