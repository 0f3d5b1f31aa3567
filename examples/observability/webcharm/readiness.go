package webcharm

import (
	"net/http"
	"sync"
	"time"
)

// readiness answers load balancers that ask whether to send requests here, and
// knows when requests came.
type readiness struct {
	mu     sync.Mutex
	asked  time.Time // when a load balancer asked last
	served time.Time // when a request came last
	ending bool
}

// ServeHTTP answers with 200, or with 503 once the application is ending.
func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = time.Now()
	if r.ending {
		http.Error(w, "ending", http.StatusServiceUnavailable)
	}
}

// note wraps what serves requests.
func (r *readiness) note(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.served = time.Now()
		r.mu.Unlock()
		serve(w, request)
	}
}

// end makes load balancers keep away, and waits until each had the time to find
// out. It waits for less if nobody asks and no requests come.
func (r *readiness) end() {
	const interval = checkInterval * time.Second
	r.mu.Lock()
	r.ending = true
	r.mu.Unlock()
	for deadline := time.Now().Add((checkRetries + 1) * interval); time.Now().Before(deadline); time.Sleep(interval / 20) {
		r.mu.Lock()
		alone := time.Since(r.asked) > 2*interval && time.Since(r.served) > interval
		r.mu.Unlock()
		if alone {
			return
		}
	}
}
