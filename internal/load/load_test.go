package load_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/charmed-go/charms/internal/load"
)

// TestEveryFailureCounts has a server drop, refuse and mangle some requests, and
// compares what it knows with what the load saw.
func TestEveryFailureCounts(t *testing.T) {
	t.Parallel()
	var asked, dropped, refused, mangled atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/echo" {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		switch asked.Add(1) % 10 {
		case 3:
			dropped.Add(1)
			panic(http.ErrAbortHandler)
		case 5:
			refused.Add(1)
			http.Error(w, "not now", http.StatusServiceUnavailable)
		case 7:
			mangled.Add(1)
			_, _ = io.WriteString(w, "one something else")
		default:
			_, _ = io.WriteString(w, "one "+string(body))
		}
	}))
	defer server.Close()
	l := load.Start(load.Options{Address: strings.TrimPrefix(server.URL, "http://"), Path: "/echo", Fresh: 2, Kept: 2})
	if err := l.Await(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	between := l.Report()
	if err := l.Await(t.Context(), 200); err != nil {
		t.Fatal(err)
	}
	r := l.Stop()
	failed := int(dropped.Load() + refused.Load() + mangled.Load())
	if r.Requests != int(asked.Load()) || r.Failed() != failed || r.Failed() != l.Failed() || r.Answers["one"] != r.Requests-failed {
		t.Errorf("asked %d, failed %d: %v, %v", asked.Load(), failed, r, r.Answers)
	}
	byKind := map[string]int{}
	for what, n := range r.Failures {
		where, _, _ := strings.Cut(what, ":")
		byKind[where] += n
	}
	if byKind["reading the answer"] != int(dropped.Load()) || byKind["status"] != int(refused.Load()) || byKind["body"] != int(mangled.Load()) {
		t.Errorf("%v", r)
	}
	since := r.Since(between)
	if sum := between.Add(since); sum.String() != r.String() || sum.Answers["one"] != r.Answers["one"] {
		t.Errorf("%v and %v are %v, want %v", between, since, sum, r)
	}
	if r.Connections == 0 || r.Connections >= r.Requests {
		t.Errorf("%d connections for %d requests", r.Connections, r.Requests)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	l := load.Start(load.Options{Address: address, Kept: 1})
	if err := l.Await(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if r := l.Stop(); r.Failures["connecting: refused on a new connection"] != r.Requests {
		t.Errorf("%v", r)
	}
}
