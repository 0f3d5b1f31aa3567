package haproxy_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/haproxy"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/trial"
)

// BenchmarkRegister1000 registers a thousand amphorae with one VIP: with the
// driver, which reloads; and with HAProxy's runtime commands, one connection for
// each and 50 to a line, which is what a driver without reloads would send.
// Runtime commands leave the configuration to be written all the same.
func BenchmarkRegister1000(b *testing.B) {
	const n = 1000
	dir := b.TempDir()
	o := launch(b, dir)
	d := haproxy.New(o)
	vip, addrs := loopback(dir)
	id := trial.Create(b, d, "lb")
	addVIP(b, d, id, distributor.VIP{ID: "v", Address: vip, Protocol: distributor.TCP, Ports: []distributor.PortMapping{{Front: 28080, Back: 29090}}}, "", "")
	amphorae := make([]distributor.Amphora, n)
	address := addrs[0]
	for i := range amphorae {
		amphorae[i] = distributor.Amphora{ID: fmt.Sprintf("a%d", i), Address: address}
		address = address.Next()
	}
	backend := ""
	for line := range strings.Lines(ask(b, o.StatsSocket, "show stat")) {
		if name, _, _ := strings.Cut(line, ","); strings.HasPrefix(name, "b:") {
			backend = name
		}
	}
	one := func(command string) {
		if answer := ask(b, o.StatsSocket, command); strings.Contains(answer, "No such") || strings.Contains(answer, "rror") {
			b.Fatal(answer)
		}
	}
	add := func(a distributor.Amphora) []string {
		server := backend + "/" + a.ID
		return []string{"add server " + server + " " + netip.AddrPortFrom(a.Address, 29090).String(), "set server " + server + " state ready"}
	}
	drop := func(a distributor.Amphora) []string {
		server := backend + "/" + a.ID
		return []string{"set server " + server + " state maint", "del server " + server}
	}
	batch := func(commands func(distributor.Amphora) []string) {
		for i := 0; i < n; i += 50 {
			var line []string
			for _, a := range amphorae[i:min(i+50, n)] {
				line = append(line, commands(a)...)
			}
			one(strings.Join(line, ";"))
		}
	}
	count := func() int {
		return strings.Count(ask(b, o.StatsSocket, "show servers state "+backend), " a")
	}
	var reload, single, batched time.Duration
	for b.Loop() {
		began := time.Now()
		trial.Run(b, d.RegisterAmphorae(""), trial.Amphorae(id, amphorae...)...)
		reload += time.Since(began)
		trial.Run(b, d.UnregisterAmphorae(""), trial.Amphorae(id, amphorae...)...)

		began = time.Now()
		for _, a := range amphorae {
			for _, c := range add(a) {
				one(c)
			}
		}
		single += time.Since(began)
		if got := count(); got < n {
			b.Fatalf("%d servers", got)
		}
		batch(drop)
		began = time.Now()
		batch(add)
		batched += time.Since(began)
		if got := count(); got < n {
			b.Fatalf("%d servers", got)
		}
		batch(drop)
	}
	each := func(d time.Duration) float64 { return float64(d.Milliseconds()) / float64(b.N) }
	b.ReportMetric(each(reload), "ms/reload")
	b.ReportMetric(each(single), "ms/commands")
	b.ReportMetric(each(batched), "ms/commands-by-50")
	b.ReportMetric(float64(reload)/float64(single), "reload/commands")
	b.ReportMetric(float64(reload)/float64(batched), "reload/commands-by-50")
}

// BenchmarkReload measures one change of a VIP, and HAProxy's answer to a
// command as the yardstick.
func BenchmarkReload(b *testing.B) {
	dir := b.TempDir()
	o := launch(b, dir)
	d := haproxy.New(o)
	vip, _ := loopback(dir)
	id := trial.Create(b, d, "lb")
	v := distributor.VIP{ID: "v", Address: vip, Protocol: distributor.TCP}
	var reload, command time.Duration
	for i := 0; b.Loop(); i++ {
		v.Ports = []distributor.PortMapping{{Front: uint16(28000 + i%2), Back: 29090}}
		began := time.Now()
		addVIP(b, d, id, v, "", "")
		reload += time.Since(began)
		began = time.Now()
		c, err := net.Dial("unix", o.MasterSocket)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(c, "show proc\n"); err != nil {
			b.Fatal(err)
		}
		_ = c.(*net.UnixConn).CloseWrite()
		if _, err := io.ReadAll(c); err != nil {
			b.Fatal(err)
		}
		c.Close()
		command += time.Since(began)
	}
	b.ReportMetric(float64(reload)/float64(command), "change/command")
}
