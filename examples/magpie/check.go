package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/charmed-go/charms/endpoints/magpie"
	"github.com/charmed-go/charms/endpoints/magpie/netcheck"
	"github.com/charmed-go/charms/reactive"
)

// reportFile is where, in the charm directory, the last report is kept.
const reportFile = "report.json"

// measuredKey is where the unit remembers to whom it has measured the network.
const measuredKey = "magpie.measured"

// check checks the network to those peers that are due, and says in the unit's
// status what it found of them now and of the others before.
func (m *charm) check(ctx context.Context, h *reactive.Hook) error {
	if h.Event().Action != "" {
		return nil // the next hook does it
	}
	partly, some := m.partly, m.some
	m.partly, m.some = false, nil
	h.Clear(m.due)
	if leaving(h) {
		return nil
	}
	s, err := readSettings(ctx, h)
	if err != nil {
		return reactive.Blocked(err.Error())
	}
	all := m.peers.All()
	group, known := all, all.Units()
	last, err := readReport(h.Path(reportFile))
	if partly && err == nil {
		group = all.Only(some...)
	} else {
		partly, last = false, netcheck.Report{}
	}
	nodes, _, err := s.responders(ctx, group)
	if err != nil {
		return err
	}
	if len(nodes) > 0 {
		if err := h.Progress(ctx, fmt.Sprintf("Checking the network to %s", unitsIn(nodes))); err != nil {
			return err
		}
	}
	report := s.check(ctx, nodes)
	if !partly {
		if err := m.tellMeasured(ctx, h, report); err != nil {
			return err
		}
	}
	report = merge(last, report, slices.DeleteFunc(slices.Clone(known), func(u string) bool { return slices.Contains(some, u) }))
	if err := saveReport(h.Path(reportFile), report); err != nil {
		return err
	}
	missing := slices.DeleteFunc(known, func(u string) bool { return has(report, u) })
	status(h, report, missing)
	return nil
}

// status says in the unit's status what a report says, and which peers answer no
// checks yet.
func status(h *reactive.Hook, report netcheck.Report, missing []string) {
	line := report.Line()
	switch {
	case len(report.Peers) == 0 && report.OK():
		h.SetStatus(reactive.WaitingStatus(shorten("Waiting for peers to be ready: " + strings.Join(missing, ", "))))
		return
	case len(missing) > 0:
		line += "; waiting for " + strings.Join(missing, ", ")
	}
	if report.OK() {
		h.SetStatus(reactive.Active(shorten(line)))
		return
	}
	h.Log().Warn("something is wrong with the network", "found", line)
	h.SetStatus(reactive.BlockedStatus(shorten(line)))
}

// tellMeasured publishes to whom the network was measured, now or before. Saying
// it again would only wake the peers.
func (m *charm) tellMeasured(ctx context.Context, h *reactive.Hook, report netcheck.Report) error {
	all := m.peers.All()
	var before []string
	if _, err := h.Data().Get(measuredKey, &before); err != nil {
		return err
	}
	measured := slices.DeleteFunc(all.Units(), func(u string) bool {
		return !slices.Contains(before, u) && !slices.ContainsFunc(report.Peers, func(p netcheck.PeerReport) bool {
			return p.Name == u && p.Throughput != nil && p.Throughput.Bytes > 0
		})
	})
	if slices.Equal(measured, before) {
		return nil
	}
	if err := h.Data().Set(measuredKey, measured); err != nil {
		return err
	}
	return all.Only(measured...).SetIperfChecked(ctx)
}

func has(report netcheck.Report, unit string) bool {
	return slices.ContainsFunc(report.Peers, func(p netcheck.PeerReport) bool { return p.Name == unit })
}

// merge returns what was found now, and what was found before of those units that
// are to be kept, ordered as units are.
func merge(before, now netcheck.Report, keep []string) netcheck.Report {
	for _, p := range before.Peers {
		if slices.Contains(keep, p.Name) && !has(now, p.Name) {
			now.Peers = append(now.Peers, p)
		}
	}
	slices.SortFunc(now.Peers, func(a, b netcheck.PeerReport) int { return magpie.CompareUnits(a.Name, b.Name) })
	return now
}

// responders returns the peers of a group that answer checks, with their
// addresses in the network to check, and the names of those that do not.
func (s settings) responders(ctx context.Context, g *magpie.Group) (nodes []magpie.Node, missing []string, err error) {
	if s.network.IsValid() {
		nodes, err = g.NodesIn(ctx, s.network)
	} else {
		nodes, err = g.Nodes(ctx)
	}
	return slices.DeleteFunc(nodes, func(n magpie.Node) bool {
		if n.Port == 0 {
			missing = append(missing, n.Unit)
		}
		return n.Port == 0
	}), missing, err
}

// check runs the checks that are configured, within the time that is.
func (s settings) check(ctx context.Context, nodes []magpie.Node) netcheck.Report {
	ctx, cancel := context.WithTimeout(ctx, seconds(s.TotalTimeout))
	defer cancel()
	peers := make([]netcheck.Peer, len(nodes))
	for i, n := range nodes {
		peers[i] = netcheck.PeerAt(n.Unit, n.Address, n.Port)
	}
	return s.suite().Run(ctx, peers)
}

func unitsIn(nodes []magpie.Node) string {
	if len(nodes) == 1 {
		return nodes[0].Unit
	}
	return fmt.Sprintf("%d peers", len(nodes))
}

func readReport(path string) (netcheck.Report, error) {
	var report netcheck.Report
	text, err := os.ReadFile(path)
	if err != nil {
		return report, fmt.Errorf("cannot read the last report: %w", err)
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return netcheck.Report{}, fmt.Errorf("cannot read the last report: %w", err)
	}
	return report, nil
}

func saveReport(path string, report netcheck.Report) error {
	data, err := report.JSON()
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(path, data, 0o644); err != nil {
		return fmt.Errorf("cannot keep the report: %w", err)
	}
	return nil
}

// maxStatus is how long a status may be, in bytes; all of it is in the log.
const maxStatus = 600

func shorten(line string) string {
	if len(line) <= maxStatus {
		return line
	}
	return strings.ToValidUTF8(line[:maxStatus], "") + "…"
}
