package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
	"github.com/charmed-go/charms/reactive"
)

// results are what an action with checks results in.
type results struct {
	// Summary is the report's line.
	Summary string `json:"summary"`
	// Peers has what each check found, by unit and check; the slash in the
	// name of a unit is a hyphen.
	Peers map[string]map[string]string `json:"peers,omitempty"`
	// Waiting are the peers that answer no checks yet.
	Waiting []string `json:"waiting,omitempty"`
	// Report is the whole report, as JSON.
	Report string `json:"report"`
}

func resultsOf(report netcheck.Report, missing []string) (results, error) {
	text, err := report.JSON()
	if err != nil {
		return results{}, err
	}
	r := results{Summary: report.Line(), Report: string(text), Waiting: missing, Peers: make(map[string]map[string]string)}
	for _, p := range report.Peers {
		found := make(map[string]string)
		for _, o := range p.Outcomes() {
			found[string(o.Check)] = o.Sentence
		}
		r.Peers[strings.ReplaceAll(p.Name, "/", "-")] = found
	}
	if !report.OK() {
		// The action fails, and shows its results all the same.
		return r, errors.New(report.Line())
	}
	return r, nil
}

type pingParams struct {
	Units string `json:"units"`
	Tries int    `json:"tries"`
}

func (m *charm) ping(ctx context.Context, h *reactive.Hook, params pingParams) (results, error) {
	s, err := readSettings(ctx, h)
	if err != nil {
		return results{}, err
	}
	if params.Tries > 0 {
		s.PingTries = params.Tries
	}
	s.CheckICMP, s.CheckTCP, s.CheckUDP, s.CheckMTU = true, true, true, true
	s.CheckDNS, s.CheckIperf, s.CheckHostname, s.CheckBonds = false, false, false, ""
	return m.act(ctx, s, params.Units)
}

type iperfParams struct {
	Units    string  `json:"units"`
	Network  string  `json:"network-cidr"`
	Duration float64 `json:"duration"`
	Streams  int     `json:"streams"`
	MinSpeed string  `json:"min-speed"`
}

func (m *charm) iperf(ctx context.Context, h *reactive.Hook, params iperfParams) (results, error) {
	s, err := readSettings(ctx, h)
	if err != nil {
		return results{}, err
	}
	if params.Network != "" {
		if s.network, err = magpie.ParseNetwork(params.Network); err != nil {
			return results{}, fmt.Errorf("parameter network-cidr: %w", err)
		}
	}
	if params.MinSpeed != "" {
		s.MinSpeed = params.MinSpeed
		if s.speed, err = parseSpeed(params.MinSpeed); err != nil {
			return results{}, fmt.Errorf("parameter min-speed: %w", err)
		}
	}
	if params.Duration <= 0 || params.Duration > 20 {
		return results{}, fmt.Errorf("parameter duration: %v is not between 0 and 20 seconds", params.Duration)
	}
	s.IperfDuration, s.IperfStreams = params.Duration, params.Streams
	s.CheckTCP, s.CheckIperf = true, true
	s.CheckICMP, s.CheckUDP, s.CheckMTU, s.CheckDNS, s.CheckHostname, s.CheckBonds = false, false, false, false, false, ""
	return m.act(ctx, s, params.Units)
}

// act runs the checks of an action against all peers, or against some. Whoever
// asks for them waits for them: the time is that of the peers one after the other,
// if that is more.
func (m *charm) act(ctx context.Context, s settings, units string) (results, error) {
	group := m.peers.All()
	if chosen := list(units); len(chosen) > 0 {
		for _, u := range chosen {
			if !slices.Contains(group.Units(), u) {
				return results{}, fmt.Errorf("parameter units: there is no peer %q", u)
			}
		}
		group = group.Only(chosen...)
	}
	if group.Len() == 0 {
		return results{}, errors.New("there are no peers")
	}
	nodes, missing, err := s.responders(ctx, group)
	if err != nil {
		return results{}, err
	}
	if len(nodes) == 0 {
		return results{}, fmt.Errorf("no checks are answered yet by %s", strings.Join(missing, ", "))
	}
	each := s.CheckTimeout + float64(s.PingTries)*s.PingInterval + s.PingTimeout
	if s.CheckIperf {
		each = s.CheckTimeout + s.IperfDuration
	}
	s.TotalTimeout = max(s.TotalTimeout, each*float64(len(nodes)))
	return resultsOf(s.check(ctx, nodes), missing)
}

// machine is what the action info tells.
type machine struct {
	Hostname  string          `json:"hostname"`
	Addresses []string        `json:"addresses"`
	Links     []netcheck.Link `json:"links"`
	Bonds     []netcheck.Bond `json:"bonds"`
	Peers     []magpie.Node   `json:"peers"`
	// Ready are the peers that answer checks, CheckedBy those that have
	// measured the network to this unit.
	Ready     []string `json:"ready"`
	CheckedBy []string `json:"checked-by"`
	// Report is the last report, as JSON; "" if there is none.
	Report string `json:"report"`
}

func (m *charm) info(ctx context.Context, h *reactive.Hook, _ struct{}) (machine, error) {
	var r machine
	var err error
	if r.Hostname, err = os.Hostname(); err != nil {
		return r, fmt.Errorf("cannot tell the host name: %w", err)
	}
	s, err := readSettings(ctx, h)
	if err != nil {
		return r, err
	}
	addrs, err := m.addresses(ctx, s)
	if err != nil {
		return r, err
	}
	for _, a := range addrs {
		r.Addresses = append(r.Addresses, a.String())
	}
	if r.Links, err = netcheck.ReadLinks(netcheck.Sysfs); err != nil {
		return r, err
	}
	if r.Bonds, err = netcheck.ReadBonds(netcheck.Sysfs); err != nil {
		return r, err
	}
	all := m.peers.All()
	if r.Peers, err = all.Nodes(ctx); err != nil {
		return r, err
	}
	for _, n := range r.Peers {
		if n.Port != 0 {
			r.Ready = append(r.Ready, n.Unit)
		}
	}
	if r.CheckedBy, err = all.CheckedBy(ctx, h.Unit()); err != nil {
		return r, err
	}
	if text, err := os.ReadFile(h.Path(reportFile)); err == nil {
		r.Report = string(text)
	}
	return r, nil
}
