// Package load sends HTTP requests and counts those that fail. It never sends
// one twice, as HTTP clients otherwise do behind one's back, so that no request
// that was dropped goes uncounted.
//
// Each request POSTs a text of its own; the server answers with its name, a
// space, and that text.
package load

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options say what load is sent.
type Options struct {
	// Address is host and port, Path what is asked for, "" meaning "/".
	Address, Path string
	// TLS, if set, is how to speak TLS.
	TLS *tls.Config
	// Fresh workers open a connection for each request, Kept ones keep theirs
	// for as long as the other side does.
	Fresh, Kept int
	// Think is the longest time between two requests of a worker.
	Think time.Duration
}

// Report is what came of it.
type Report struct {
	Requests, Connections int
	// Failures counts by where and how requests failed.
	Failures map[string]int
	// Answers counts the others by who answered.
	Answers map[string]int
}

// Failed returns the number of failures.
func (r Report) Failed() int {
	n := 0
	for _, c := range r.Failures {
		n += c
	}
	return n
}

// Add adds what another report counts.
func (r Report) Add(o Report) Report {
	return Report{r.Requests + o.Requests, r.Connections + o.Connections, add(r.Failures, o.Failures), add(r.Answers, o.Answers)}
}

// Since returns what r counts that before, an earlier report of the same load,
// does not.
func (r Report) Since(before Report) Report {
	d := Report{Requests: r.Requests - before.Requests, Connections: r.Connections - before.Connections,
		Failures: maps.Clone(r.Failures), Answers: maps.Clone(r.Answers)}
	for _, c := range []struct{ from, less map[string]int }{{d.Failures, before.Failures}, {d.Answers, before.Answers}} {
		for k, n := range c.less {
			if c.from[k] -= n; c.from[k] == 0 {
				delete(c.from, k)
			}
		}
	}
	return d
}

func add(a, b map[string]int) map[string]int {
	sum := map[string]int{}
	for _, f := range []map[string]int{a, b} {
		for k, n := range f {
			sum[k] += n
		}
	}
	return sum
}

func (r Report) String() string {
	s := fmt.Sprintf("%d requests over %d connections, %d failed", r.Requests, r.Connections, r.Failed())
	for _, k := range slices.Sorted(maps.Keys(r.Failures)) {
		s += fmt.Sprintf("; %d × %s", r.Failures[k], k)
	}
	return s
}

// A Load is load that is being sent.
type Load struct {
	o        Options
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	requests atomic.Int64
	conns    atomic.Int64
	mu       sync.Mutex
	failures map[string]int
	answers  map[string]int
}

// Start starts the workers. They work until Stop.
func Start(o Options) *Load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &Load{o: o, cancel: cancel, failures: map[string]int{}, answers: map[string]int{}}
	for i := range o.Fresh + o.Kept {
		l.wg.Go(func() { l.work(ctx, i, i >= o.Fresh) })
	}
	return l
}

// Requests returns how many requests have ended so far.
func (l *Load) Requests() int { return int(l.requests.Load()) }

// Failed returns how many requests have failed so far.
func (l *Load) Failed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Report{Failures: l.failures}.Failed()
}

// Report returns what has come of it so far.
func (l *Load) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Report{l.Requests(), int(l.conns.Load()), maps.Clone(l.failures), maps.Clone(l.answers)}
}

// Stop lets each worker finish its request and returns the report.
func (l *Load) Stop() Report {
	l.cancel()
	l.wg.Wait()
	return l.Report()
}

// Await waits until n more requests have ended.
func (l *Load) Await(ctx context.Context, n int) error {
	for target := l.Requests() + n; l.Requests() < target; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the load has stopped at %d requests: %w", l.Requests(), context.Cause(ctx))
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (l *Load) fail(where string, err error, reused bool) {
	conn := "new connection"
	if reused {
		conn = "kept connection"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures[where+": "+kind(err)+" on a "+conn]++
}

func kind(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return err.Error()
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

func (l *Load) work(ctx context.Context, worker int, keep bool) {
	var c *conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	for n := 0; ctx.Err() == nil; n++ {
		reused := c != nil
		c = l.request(c, fmt.Sprintf("request %d of worker %d", n, worker), keep)
		l.requests.Add(1)
		if c != nil && !reused {
			l.conns.Add(1)
		}
		if l.o.Think > 0 {
			time.Sleep(rand.N(l.o.Think))
		}
	}
}

// request sends one request and returns the connection if it can be used again.
func (l *Load) request(c *conn, text string, keep bool) *conn {
	reused := c != nil
	fail := func(where string, err error) *conn {
		l.fail(where, err, reused)
		if c != nil {
			c.Close()
		}
		return nil
	}
	if c == nil {
		raw, err := net.DialTimeout("tcp", l.o.Address, 5*time.Second)
		if err != nil {
			return fail("connecting", err)
		}
		_ = raw.SetDeadline(time.Now().Add(10 * time.Second))
		if l.o.TLS != nil {
			t := tls.Client(raw, l.o.TLS)
			if err := t.Handshake(); err != nil {
				raw.Close()
				return fail("TLS handshake", err)
			}
			raw = t
		}
		c = &conn{raw, bufio.NewReader(raw)}
		if !keep {
			l.conns.Add(1)
		}
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	end := "keep-alive"
	if !keep {
		end = "close"
	}
	_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: load\r\nConnection: %s\r\nContent-Length: %d\r\n\r\n%s", cmp.Or(l.o.Path, "/"), end, len(text), text)
	if err != nil {
		return fail("sending", err)
	}
	resp, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodPost})
	if err != nil {
		return fail("reading the answer", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fail("reading the body", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fail("status", errors.New(resp.Status))
	}
	who, ok := strings.CutSuffix(string(body), " "+text)
	if !ok {
		return fail("body", errors.New("not the text that was sent"))
	}
	l.mu.Lock()
	l.answers[who]++
	l.mu.Unlock()
	if !keep || resp.Close {
		c.Close()
		return nil
	}
	return c
}
