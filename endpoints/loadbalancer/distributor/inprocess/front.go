package inprocess

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/rendezvous"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	cookieName       = "LBSRV"
)

// settings are what a front does now. They are never changed, only replaced.
type settings struct {
	distributor string
	vip         distributor.VIP
	http        bool
	algorithm   distributor.Algorithm
	persistence distributor.Persistence
	back        uint16
	amphorae    []*converge.Amphora
	cert        *tls.Certificate
	next        *atomic.Uint64
}

func newSettings(d *converge.Distributor, v *converge.VIP, back uint16) (*settings, error) {
	s := &settings{distributor: d.ID, vip: v.VIP, http: speaksHTTP(v.VIP), algorithm: v.Algorithm, persistence: v.Persistence,
		back: back, amphorae: d.InService(), next: &atomic.Uint64{}}
	if v.TLS != nil {
		key, err := v.TLS.Key.Reveal()
		if err != nil {
			return nil, err
		}
		cert, err := tls.X509KeyPair([]byte(v.TLS.Certificate), key)
		if err != nil {
			return nil, err
		}
		s.cert = &cert
	}
	return s, nil
}

// pick returns one of the amphorae, or nil if there are none.
func (s *settings) pick(amphorae []*converge.Amphora, client netip.AddrPort, cookie string, load map[string]int) *converge.Amphora {
	if len(amphorae) == 0 {
		return nil
	}
	switch s.persistence {
	case distributor.SourceIPPersistence:
		return amphorae[rendezvous.Pick(client.Addr().String(), amphorae)]
	case distributor.SourceIPAndPortPersistence:
		return amphorae[rendezvous.Pick(client.String(), amphorae)]
	case distributor.CookiePersistence:
		if i := slices.IndexFunc(amphorae, func(a *converge.Amphora) bool { return cookie == cookieValue(a.ID) }); i >= 0 {
			return amphorae[i]
		}
	}
	switch s.algorithm {
	case distributor.SourceIP, distributor.Hash:
		return amphorae[rendezvous.Pick(client.Addr().String(), amphorae)]
	case distributor.First:
		return amphorae[0]
	case distributor.Random:
		return amphorae[rand.IntN(len(amphorae))]
	case distributor.LeastConnections:
		return slices.MinFunc(amphorae, func(a, b *converge.Amphora) int { return load[a.ID] - load[b.ID] })
	}
	return amphorae[(s.next.Add(1)-1)%uint64(len(amphorae))]
}

// cookieValue names an amphora to a client without telling what it is called.
func cookieValue(id string) string {
	sum := sha256.Sum256([]byte("cookie " + id))
	return hex.EncodeToString(sum[:8])
}

// front is one listener.
type front struct {
	p        *proxy
	at       netip.AddrPort
	http     bool
	tls      bool // whether clients of http speak TLS
	settings atomic.Pointer[settings]
	listener net.Listener
	server   *http.Server
}

func (f *front) set(s *settings) {
	if old := f.settings.Load(); old != nil {
		s.next = old.next
	}
	f.settings.Store(s)
}

// serve takes connections until the listener closes.
func (f *front) serve() {
	if f.http {
		f.serveHTTP()
		return
	}
	f.p.wg.Go(func() {
		for {
			c, err := f.listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(10 * time.Millisecond) // out of files, most likely
				continue
			}
			f.p.wg.Go(func() { f.tcp(c) })
		}
	})
}

// stop takes no more connections; established ones go on.
func (f *front) stop() {
	f.listener.Close()
	if f.server != nil {
		f.p.wg.Go(func() { _ = f.server.Shutdown(context.Background()) })
	}
}

func (f *front) kill() {
	f.listener.Close()
	if f.server != nil {
		f.server.Close()
	}
}

func (f *front) tlsConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if cert := f.settings.Load().cert; cert != nil {
			return cert, nil
		}
		return nil, errors.New("no certificate")
	}}
	if f.http {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	return c
}

// tcp carries one connection.
func (f *front) tcp(c net.Conn) {
	defer c.Close()
	if f.settings.Load().cert != nil {
		t := tls.Server(c, f.tlsConfig())
		ctx, cancel := context.WithTimeout(context.Background(), handshakeTimeout)
		err := t.HandshakeContext(ctx)
		cancel()
		if err != nil {
			return
		}
		c = t
		defer t.Close()
	}
	client, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	tried := map[string]bool{}
	for {
		ctx, s, now := f.p.begin(context.Background(), f, client, "", tried)
		if s == nil {
			return
		}
		tried[s.amphora.ID] = true
		d := net.Dialer{Timeout: dialTimeout}
		up, err := d.DialContext(ctx, "tcp", target(s.amphora, now.back))
		if err != nil {
			f.p.end(s)
			continue
		}
		join(ctx, c, up)
		f.p.end(s)
		return
	}
}

// join copies between two connections until both have ended, or ctx has.
func join(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	done := make(chan struct{})
	half := func(dst, src net.Conn) {
		_, err := io.Copy(dst, src)
		if w, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
			_ = w.CloseWrite()
		} else {
			a.Close()
			b.Close()
		}
		done <- struct{}{}
	}
	go half(a, b)
	go half(b, a)
	<-done
	<-done
	a.Close()
	b.Close()
}

func (f *front) serveHTTP() {
	l := f.listener
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: 30 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	if f.tls {
		l = tls.NewListener(l, f.tlsConfig())
	}
	f.p.wg.Go(func() { _ = f.server.Serve(l) })
}

// ServeHTTP carries one request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	client, _ := netip.ParseAddrPort(r.RemoteAddr)
	cookie := ""
	if c, err := r.Cookie(cookieName); err == nil {
		cookie = c.Value
	}
	t := &carrier{f: f, client: client, cookie: cookie}
	defer t.end()
	proxy := &httputil.ReverseProxy{Transport: t, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.Scheme, pr.Out.URL.Host = "http", "amphora"
			pr.Out.Host = pr.In.Host
			pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
			pr.SetXForwarded()
		},
		ModifyResponse: func(resp *http.Response) error {
			if t.sticky {
				resp.Header.Add("Set-Cookie", (&http.Cookie{Name: cookieName, Value: cookieValue(t.session.amphora.ID), Path: "/"}).String())
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			code := http.StatusBadGateway
			if errors.Is(err, errNobody) {
				code = http.StatusServiceUnavailable
			}
			w.WriteHeader(code)
		}}
	proxy.ServeHTTP(w, r)
}

var errNobody = errors.New("no amphora is in service")

// carrier sends one request to an amphora, and to another if it cannot connect.
type carrier struct {
	f       *front
	client  netip.AddrPort
	cookie  string
	session *session
	sticky  bool
}

func (t *carrier) end() {
	if t.session != nil {
		t.f.p.end(t.session)
	}
}

func (t *carrier) RoundTrip(r *http.Request) (*http.Response, error) {
	tried := map[string]bool{}
	body := r.Body
	for {
		ctx, s, now := t.f.p.begin(r.Context(), t.f, t.client, t.cookie, tried)
		if s == nil {
			return nil, errNobody
		}
		tried[s.amphora.ID] = true
		out := r.Clone(ctx)
		guard := &guarded{ReadCloser: body}
		if body != nil && body != http.NoBody {
			out.Body = guard
		}
		out.URL.Host = target(s.amphora, now.back)
		resp, err := transport().RoundTrip(out)
		var op *net.OpError
		if err != nil && errors.As(err, &op) && op.Op == "dial" && !guard.touched.Load() && ctx.Err() == nil {
			t.f.p.end(s)
			continue
		}
		t.session = s
		t.sticky = now.persistence == distributor.CookiePersistence && t.cookie != cookieValue(s.amphora.ID)
		return resp, err
	}
}

// transport opens a connection for each request: none is ever found closed by
// an amphora that had enough of waiting, so no request has to be sent twice.
func transport() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext}
}

// guarded keeps a body that was not read for another try.
type guarded struct {
	io.ReadCloser
	touched atomic.Bool
}

func (g *guarded) Read(b []byte) (int, error) {
	g.touched.Store(true)
	return g.ReadCloser.Read(b)
}

func (g *guarded) Close() error { return nil }
