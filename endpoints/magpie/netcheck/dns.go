package netcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// DNS checks that a peer's address has a name (reverse DNS) and that this name
// has the address (forward DNS). It asks the DNS servers themselves: the
// system's resolver would look into /etc/hosts first and hide that they are
// broken.
type DNS struct {
	// Servers are the DNS servers, as ADDRESS or ADDRESS:PORT. None means those
	// of ResolvConf.
	Servers []string
	// ResolvConf is the path of a resolv.conf(5). "" means /etc/resolv.conf.
	ResolvConf string
	// Tries is how often a server that does not answer is asked. Zero means 2.
	Tries int
	// Timeout is how long to wait for one answer. Zero means 1 s.
	Timeout time.Duration
	// Budget is how long the check may take. Zero means 5 s.
	Budget time.Duration
}

// A DNSFailure says which step of a [DNS] check failed.
type DNSFailure string

// The steps.
const (
	// DNSServer: no server answers.
	DNSServer DNSFailure = "server"
	// DNSReverse: the address has no name.
	DNSReverse DNSFailure = "reverse"
	// DNSForward: a name has no address.
	DNSForward DNSFailure = "forward"
	// DNSMatch: a name does not have the peer's address.
	DNSMatch DNSFailure = "match"
)

// A DNSResult is what [DNS] finds.
type DNSResult struct {
	Outcome
	// Server is the server that answered last.
	Server string `json:"server,omitempty"`
	// Names are the names of the address, without the final dot.
	Names []string `json:"names,omitempty"`
	// Addresses are the addresses of these names.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Failure says which step failed; "" if none did.
	Failure DNSFailure `json:"failure,omitempty"`
}

// maxNames bounds how many names of an address are looked up.
const maxNames = 16

// Check looks up the peer's address, and then its names.
func (c DNS) Check(ctx context.Context, peer Peer) DNSResult {
	r := begin(ctx, KindDNS, peer, c.Budget, 5*time.Second)
	servers, err := c.servers()
	if err != nil {
		return DNSResult{Failure: DNSServer, Outcome: r.end(Failed, "dns: %v", err)}
	}
	q := resolver{DNS: c, servers: servers}
	addr := peer.Addr.Unmap()
	result := DNSResult{}
	fail := func(f DNSFailure, format string, args ...any) DNSResult {
		result.Server, result.Failure = q.answered, f
		result.Outcome = r.end(Failed, format, args...)
		return result
	}
	arpa, err := dns.ReverseAddr(addr.WithZone("").String())
	if err != nil {
		return fail(DNSReverse, "dns: %v", err)
	}
	records, err := q.ask(r.ctx, arpa, dns.TypePTR)
	for _, rr := range records {
		if ptr, ok := rr.(*dns.PTR); ok {
			result.Names = append(result.Names, strings.TrimSuffix(ptr.Ptr, "."))
		}
	}
	slices.Sort(result.Names)
	result.Names = slices.Compact(result.Names)
	switch {
	case errors.Is(err, errNoServer):
		return fail(DNSServer, "dns: no answer from %s", strings.Join(servers, ", "))
	case err != nil:
		return fail(DNSReverse, "reverse dns of %s: %v", addr, err)
	case len(result.Names) == 0:
		return fail(DNSReverse, "reverse dns of %s: no name", addr)
	case len(result.Names) > maxNames:
		return fail(DNSReverse, "reverse dns of %s: %d names", addr, len(result.Names))
	}
	for _, name := range result.Names {
		addrs, err := q.addresses(r.ctx, name, addr.Is6())
		switch {
		case errors.Is(err, errNoServer):
			return fail(DNSServer, "dns: no answer from %s", strings.Join(servers, ", "))
		case err != nil:
			return fail(DNSForward, "forward dns of %s: %v", name, err)
		case len(addrs) == 0:
			return fail(DNSForward, "forward dns of %s: no address", name)
		}
		result.Addresses = append(result.Addresses, addrs...)
		if !slices.Contains(addrs, addr.WithZone("")) {
			return fail(DNSMatch, "forward dns of %s: %s, not %s", name, addrs[0], addr)
		}
	}
	result.Server = q.answered
	result.Outcome = r.end(OK, "dns ok, %s", result.Names[0])
	return result
}

// servers returns the servers to ask as ADDRESS:PORT.
func (c DNS) servers() ([]string, error) {
	servers, port := c.Servers, "53"
	if len(servers) == 0 {
		path := c.ResolvConf
		if path == "" {
			path = "/etc/resolv.conf"
		}
		conf, err := dns.ClientConfigFromFile(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read the resolver configuration: %w", err)
		}
		servers, port = conf.Servers, conf.Port
		if len(servers) == 0 {
			return nil, fmt.Errorf("no server in %s", path)
		}
	}
	result := make([]string, 0, len(servers))
	for _, s := range servers {
		if _, err := netip.ParseAddr(s); err == nil {
			s = net.JoinHostPort(s, port)
		} else if _, err := netip.ParseAddrPort(s); err != nil {
			return nil, fmt.Errorf("cannot use dns server %q: it is no address", s)
		}
		result = append(result, s)
	}
	return result, nil
}

var errNoServer = errors.New("no server answers")

// A resolver asks the servers one after the other.
type resolver struct {
	DNS
	servers  []string
	answered string
}

// ask returns the records of one name and type; none if there are none. The
// error is errNoServer or says what the server answered instead.
func (q *resolver) ask(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	tries, timeout := q.Tries, q.Timeout
	if tries <= 0 {
		tries = 2
	}
	if timeout <= 0 {
		timeout = time.Second
	}
	question := new(dns.Msg)
	question.SetQuestion(dns.Fqdn(name), kind)
	question.SetEdns0(1232, false)
	failure := errNoServer
	for range tries {
		for _, server := range q.servers {
			in, err := exchange(ctx, dns.Client{Timeout: timeout}, question, server)
			if err == nil && in.Truncated {
				in, err = exchange(ctx, dns.Client{Timeout: timeout, Net: "tcp"}, question, server)
			}
			if err != nil {
				if ctx.Err() != nil {
					return nil, failure
				}
				continue
			}
			q.answered = server
			switch in.Rcode {
			case dns.RcodeSuccess:
				return in.Answer, nil
			case dns.RcodeNameError:
				return nil, errors.New("no such name")
			}
			// Another server may do better.
			failure = fmt.Errorf("%s answers %s", server, dns.RcodeToString[in.Rcode])
		}
	}
	return nil, failure
}

// exchange asks one server once. The client by itself heeds a context's deadline,
// but not that it is cancelled.
func exchange(ctx context.Context, client dns.Client, question *dns.Msg, server string) (*dns.Msg, error) {
	conn, err := client.DialContext(ctx, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in, _, err := client.ExchangeWithConnContext(ctx, question, conn)
	return in, err
}

// addresses returns the addresses of a name, following CNAMEs that the server
// did not follow itself.
func (q *resolver) addresses(ctx context.Context, name string, is6 bool) ([]netip.Addr, error) {
	kind := dns.TypeA
	if is6 {
		kind = dns.TypeAAAA
	}
	for range 8 {
		records, err := q.ask(ctx, name, kind)
		if err != nil {
			return nil, err
		}
		var addrs []netip.Addr
		next := ""
		for _, rr := range records {
			switch rr := rr.(type) {
			case *dns.A:
				if a, ok := netip.AddrFromSlice(rr.A); ok {
					addrs = append(addrs, a.Unmap())
				}
			case *dns.AAAA:
				if a, ok := netip.AddrFromSlice(rr.AAAA); ok {
					addrs = append(addrs, a)
				}
			case *dns.CNAME:
				next = rr.Target
			}
		}
		if len(addrs) > 0 || next == "" {
			return addrs, nil
		}
		name = next
	}
	return nil, errors.New("too many aliases")
}
