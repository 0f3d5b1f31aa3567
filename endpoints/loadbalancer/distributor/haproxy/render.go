package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
)

// config is a whole configuration. Its identity covers what only a reload can
// bring about: not the states of servers, which are set at run time too, and not
// what certificate files hold, unless that is too long to be given at run time.
type config struct {
	text string
	id   string
}

// cookieName is the cookie that keeps a client with its server.
const cookieName = "LBSRV"

// render writes the configuration for a state, the same text for the same state.
// Everything in it that came from outside has passed Validate.
func (b *backend) render(st *converge.State) config {
	body := b.renderWith(st, "", false)
	sum := sha256.Sum256([]byte(body))
	id := "config-" + hex.EncodeToString(sum[:12])
	return config{text: b.renderWith(st, id, true), id: id}
}

func (b *backend) renderWith(st *converge.State, id string, states bool) string {
	w := &strings.Builder{}
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	o := b.o
	line("# Written by a charm; changes made here are lost.")
	line("global")
	// "show info" gives it back: so the driver knows what is running.
	line("    description %s", id)
	line("    stats socket %s mode 600 level admin expose-fd listeners", quote(o.StatsSocket))
	line("    server-state-file %s", quote(b.path("server-state")))
	line("    localpeer local")
	if o.User != "" {
		line("    user %s", quote(o.User))
	}
	if o.Group != "" {
		line("    group %s", quote(o.Group))
	}
	if o.HardStopAfter > 0 {
		line("    hard-stop-after %s", ms(o.HardStopAfter))
	}
	line("    ssl-default-bind-options ssl-min-ver TLSv1.2")
	line("defaults")
	line("    load-server-state-from-file global")
	line("    option redispatch")
	line("    retries 3")
	line("    timeout connect 5s")
	line("    timeout check 5s")
	line("    timeout client %s", ms(o.IdleTimeout))
	line("    timeout server %s", ms(o.IdleTimeout))
	line("    timeout tunnel %s", ms(o.IdleTimeout))
	line("    timeout http-request 30s")
	line("    timeout http-keep-alive 1m")
	line("    timeout queue 30s")
	if usesTable(st) {
		line("peers tables")
		line("    peer local %s", o.PeerAddress)
	}
	for _, d := range st.Sorted() {
		for _, v := range d.SortedVIPs() {
			for _, p := range v.Ports {
				b.frontend(line, d, v, p)
				b.backend(line, d, v, p, states)
			}
		}
	}
	return w.String()
}

func usesTable(st *converge.State) bool {
	for _, d := range st.Distributors {
		for _, v := range d.VIPs {
			if stickTable(v) {
				return true
			}
		}
	}
	return false
}

// stickTable reports whether the VIP needs a table of clients: not if its
// algorithm leads an address to the same server by itself.
func stickTable(v *converge.VIP) bool {
	return v.Persistence == distributor.SourceIPPersistence && algorithms[v.Algorithm] != "source"
}

func (b *backend) frontend(line func(string, ...any), d *converge.Distributor, v *converge.VIP, p distributor.PortMapping) {
	line("frontend %s", frontName(d, v, p))
	bind := "    bind " + netip.AddrPortFrom(v.Address, p.Front).String()
	if v.TLS != nil {
		bind += " ssl crt " + quote(b.certPath(v.ID))
		if speaksHTTP(v.VIP) {
			bind += " alpn h2,http/1.1"
		}
	}
	line("%s", bind)
	if v.TLS != nil {
		if digest := longDigest(v.TLS); digest != "" {
			line("    # with certificate %s", digest)
		}
	}
	if speaksHTTP(v.VIP) {
		line("    mode http")
		line("    option forwardfor")
		// Without it a reload closes idle connections that clients are
		// about to use.
		line("    option idle-close-on-response")
		proto := "http"
		if v.TLS != nil {
			proto = "https"
		}
		line("    http-request set-header X-Forwarded-Proto %s", proto)
	} else {
		line("    mode tcp")
	}
	line("    default_backend %s", name("b", d.ID, v.ID, p.Front))
}

// algorithms are HAProxy's words.
var algorithms = map[distributor.Algorithm]string{
	distributor.AnyAlgorithm:     "roundrobin",
	distributor.RoundRobin:       "roundrobin",
	distributor.LeastConnections: "leastconn",
	distributor.SourceIP:         "source",
	distributor.Hash:             "source",
	distributor.Random:           "random",
	distributor.First:            "first",
}

func (b *backend) backend(line func(string, ...any), d *converge.Distributor, v *converge.VIP, p distributor.PortMapping, states bool) {
	line("backend %s", name("b", d.ID, v.ID, p.Front))
	if speaksHTTP(v.VIP) {
		line("    mode http")
	} else {
		line("    mode tcp")
	}
	line("    balance %s", algorithms[v.Algorithm])
	if algorithms[v.Algorithm] == "source" {
		line("    hash-type consistent")
	}
	switch {
	case v.Persistence == distributor.CookiePersistence:
		sum := sha256.Sum256([]byte(d.ID + "/" + v.ID))
		line("    cookie %s insert indirect nocache dynamic", cookieName)
		line("    dynamic-cookie-key %s", hex.EncodeToString(sum[:16]))
	case stickTable(v):
		line("    stick-table type ipv6 size 100k expire %s peers tables", ms(o1h(b.o.IdleTimeout)))
		line("    stick on src")
	}
	check := checks(line, v.HealthChecks)
	ids := serverIDs(d)
	for _, a := range d.SortedAmphorae() {
		state := ""
		if states && a.Draining {
			state = " disabled"
		}
		line("    server %s %s id %d%s%s", a.ID, net.JoinHostPort(a.Address.String(), strconv.Itoa(int(p.Back))), ids[a.ID], check, state)
	}
}

// o1h is how long a client is remembered: as long as it may be idle, and an
// hour at least.
func o1h(d time.Duration) time.Duration { return max(d, time.Hour) }

// checks writes what a backend asks its servers and returns what is added to
// each server.
func checks(line func(string, ...any), hs []distributor.HealthCheck) string {
	if len(hs) == 0 {
		return ""
	}
	interval, retries, web := hs[0].Interval, hs[0].Retries, false
	for _, h := range hs {
		interval, retries = min(interval, h.Interval), min(retries, h.Retries)
		web = web || h.Protocol != distributor.TCP
	}
	suffix := fmt.Sprintf(" check inter %s fastinter %s fall %d rise 2", ms(interval), ms(min(interval, 2*time.Second)), retries)
	if len(hs) == 1 && !web {
		return suffix + fmt.Sprintf(" port %d", hs[0].Port)
	}
	suffix += fmt.Sprintf(" port %d", hs[0].Port)
	if !web {
		line("    option tcp-check")
		for _, h := range hs {
			line("    tcp-check connect port %d", h.Port)
		}
		return suffix
	}
	line("    option httpchk")
	secure := false
	for _, h := range hs {
		if h.Protocol == distributor.TCP {
			continue
		}
		ssl := ""
		if h.Protocol == distributor.HTTPS {
			ssl, secure = " ssl", true
		}
		path := h.Path
		if path == "" {
			path = "/"
		}
		line("    http-check connect port %d%s", h.Port, ssl)
		line("    http-check send meth GET uri %s ver HTTP/1.1 hdr Host health.check", quote(path))
		line("    http-check expect status 200-399")
	}
	// HAProxy wants an answer after each connect but the last ones.
	for _, h := range hs {
		if h.Protocol == distributor.TCP {
			line("    http-check connect port %d", h.Port)
		}
	}
	if secure {
		suffix += " verify none"
	}
	return suffix
}

// serverIDs gives each amphora the number that HAProxy hashes it by. Left to
// HAProxy they would be counted, and a member that goes would move the clients
// of all that follow it.
func serverIDs(d *converge.Distributor) map[string]uint32 {
	const floor = distributor.MaxPosition + 1
	ids, used := map[string]uint32{}, map[uint32]bool{}
	for _, a := range d.SortedAmphorae() {
		if a.Position > 0 {
			ids[a.ID] = uint32(a.Position)
			continue
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(a.ID))
		id := h.Sum32() & 0x7fffffff
		for id < floor || used[id] {
			id = (id + floor) & 0x7fffffff
		}
		used[id] = true
		ids[a.ID] = id
	}
	return ids
}

// frontName names a frontend by its address too, so that it can be seen where a
// worker listens.
func frontName(d *converge.Distributor, v *converge.VIP, p distributor.PortMapping) string {
	return name("f", d.ID, v.ID, p.Front) + ":" + v.Address.String()
}

// frontAddress is the address in a frontend's name.
func frontAddress(name string) (netip.AddrPort, bool) {
	part := strings.SplitN(name, ":", 5)
	if len(part) != 5 || part[0] != "f" {
		return netip.AddrPort{}, false
	}
	port, err1 := strconv.ParseUint(part[3], 10, 16)
	addr, err2 := netip.ParseAddr(part[4])
	return netip.AddrPortFrom(addr, uint16(port)), err1 == nil && err2 == nil
}

// name names a section. No ID holds a colon.
func name(kind, distributorID, vip string, port uint16) string {
	return fmt.Sprintf("%s:%s:%s:%d", kind, distributorID, vip, port)
}

func speaksHTTP(v distributor.VIP) bool {
	return v.Protocol == distributor.HTTP || (v.Protocol == distributor.HTTPS && v.TLS != nil)
}

// quote makes one word of HAProxy's configuration out of text. In single quotes
// nothing has a meaning but the quote itself.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func ms(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) + "ms" }
