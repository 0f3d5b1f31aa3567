package webcharm_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/examples/observability/webcharm"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/reactive"
)

// app is the web application, in this process.
type app struct {
	url   string
	end   context.CancelFunc
	ended chan int
}

func serve(t *testing.T) *app {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	a := &app{end: cancel, ended: make(chan int, 1)}
	portsFile := filepath.Join(dir, "ports.json")
	go func() {
		a.ended <- reactive.Run(ctx, webcharm.New, hooktool.Process{
			Args: []string{"serve", "--unit=web/7", "--address=127.0.0.1", "--http-port=0", "--metrics-port=0",
				"--tls=" + dir, "--ports=" + portsFile, "--peers=" + filepath.Join(dir, "peers.json")},
			Dir: dir, Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: os.Stderr,
		})
	}()
	t.Cleanup(cancel)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		var at struct{ HTTP int }
		text, err := os.ReadFile(portsFile)
		if err == nil {
			err = json.Unmarshal(text, &at)
		}
		if err == nil {
			a.url = "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(at.HTTP))
			return a
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// ask sends one request on a connection of its own, and returns the status and
// what was answered; 0 if nothing was.
func (a *app) ask(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, a.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func (a *app) await(t *testing.T) {
	t.Helper()
	select {
	case code := <-a.ended:
		if code != 0 {
			t.Errorf("exit status %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
}

// TestTakesLeave: told to end, the application says so to the load balancer, and
// answers requests until that must have found out.
func TestTakesLeave(t *testing.T) {
	t.Parallel()
	a := serve(t)
	if status, _ := a.ask(t, "GET", "/readyz", ""); status != 200 {
		t.Fatalf("not ready: %d", status)
	}
	if status, text := a.ask(t, "POST", "/echo", "hello"); status != 200 || text != "web/7 hello" {
		t.Fatalf("%d %q", status, text)
	}
	a.end()
	every := time.NewTicker(time.Second) // as the load balancer asks
	defer every.Stop()
	refused := 0
	for refused < 2 {
		status, text := a.ask(t, "GET", "/readyz", "")
		switch status {
		case 200: // it has not heard yet
		case 503:
			if refused++; refused < 2 {
				<-every.C
			}
		default:
			t.Fatalf("it ended after %d refusals: %d %s", refused, status, text)
		}
		if status, text := a.ask(t, "POST", "/echo", "still there"); status != 200 {
			t.Fatalf("it ended after %d refusals: %d %s", refused, status, text)
		}
	}
	a.await(t)
}

// TestEndsAtOnce: nobody is waited for who never asked.
func TestEndsAtOnce(t *testing.T) {
	t.Parallel()
	a := serve(t)
	began := time.Now()
	a.end()
	a.await(t)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestTooLong(t *testing.T) {
	t.Parallel()
	a := serve(t)
	if status, _ := a.ask(t, "POST", "/echo", strings.Repeat("x", 1<<20+1)); status != 400 {
		t.Errorf("status %d", status)
	}
}
