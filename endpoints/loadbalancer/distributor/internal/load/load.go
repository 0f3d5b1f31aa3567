// Package load is package internal/load as a driver's tests use it, and the
// amphorae that the load goes to.
package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/charmed-go/charms/internal/load"
)

// Options say what load is sent.
type Options = load.Options

// A Load is load that is being sent.
type Load struct{ *load.Load }

// Start starts the workers.
func Start(o Options) *Load { return &Load{load.Start(o)} }

// Await waits until n more requests have ended.
func (l *Load) Await(t testing.TB, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := l.Load.Await(ctx, n); err != nil {
		t.Fatal(err)
	}
}

// Server is an amphora that answers with its name and what it is told.
type Server struct {
	server *http.Server
	served atomic.Int64
	done   chan struct{}
}

// Serve starts a server.
func Serve(t testing.TB, address, name string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{done: make(chan struct{})}
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("X-Served-By", name)
		for _, h := range []string{"X-Forwarded-Proto", "X-Forwarded-For"} {
			w.Header().Set("Saw-"+h, r.Header.Get(h))
		}
		fmt.Fprintf(w, "%s %s", name, body)
	})}
	go func() {
		defer close(s.done)
		_ = s.server.Serve(l)
	}()
	t.Cleanup(func() { s.Stop() })
	return s
}

// Served returns how many requests have come.
func (s *Server) Served() int { return int(s.served.Load()) }

// Stop finishes what is being served and ends the server.
func (s *Server) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		s.server.Close()
	}
	<-s.done
}
