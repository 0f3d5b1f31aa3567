package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/charmed-go/charms/internal/load"
)

// TestMain makes this program what the charms start, if it is started so.
func TestMain(m *testing.M) {
	if newCharm, _ := commandLine(os.Args[1:]); newCharm != nil {
		main()
	}
	os.Exit(m.Run())
}

func TestStory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			balancer := []string{"auto", "standin"}[seed]
			d := &drive{options: options{engine: "embedded", balancer: balancer, seed: seed}, teller: teller{out: &out}, began: time.Now()}
			if err := d.all(t.Context()); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			for _, want := range []string{
				"web/0-", "web/3-", "is up", "juju exec", `"register scrape job" `, "It waits for", "It knows web/", "sent, 0 failed", "All of it came true", "\njuju status\n",
			} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in\n%s", want, &out)
				}
			}
			if strings.Contains(out.String(), "PRIVATE KEY") {
				t.Error("a key is shown")
			}
			if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
				t.Errorf("%s is left", d.dir)
			}
		})
	}
}

// TestTeller: on a terminal a step shows what is being done, as far as it fits.
func TestTeller(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		0:  "step ... done\nnext ...\nkilled\n          failed\n",
		14: "step ...\r\x1b[Kstep ... hook\r\x1b[Kstep ... done\nnext ...\r\x1b[Knext ...\nkilled\n          failed\n",
	} {
		var out bytes.Buffer
		tell := teller{out: &out, width: width}
		tell.begin("step")
		tell.doing("hook that is longer")
		tell.end("done")
		tell.begin("next")
		tell.say("killed")
		tell.doing("another")
		tell.end("failed")
		if out.String() != want {
			t.Errorf("width %d: got %q, want %q", width, &out, want)
		}
	}
}

func TestStoryThatFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	d := &drive{options: options{engine: "embedded"}, teller: teller{out: &out}, began: time.Now()}
	if err := d.all(ctx); err == nil {
		t.Errorf("it came true in no time:\n%s", &out)
	}
	if left := d.workloads(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// TestNobodyReads: a run whose output is lost ends, and takes everything away.
func TestNobodyReads(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	go func() {
		_, _ = io.ReadFull(reader, make([]byte, 80)) // into the first step
		_ = reader.Close()
	}()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	d := &drive{options: options{engine: "embedded", verbose: true}, teller: teller{out: &output{writer, cancel}}, began: time.Now()}
	if err := d.all(ctx); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%v", err)
	}
	if left := d.workloads(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

// TestFailedRequestFailsTheRun sends the load to a server that drops one request.
func TestFailedRequestFailsTheRun(t *testing.T) {
	t.Parallel()
	var drop atomic.Bool // the next request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || drop.CompareAndSwap(true, false) {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "web/0 %s", body)
	}))
	defer server.Close()
	var out bytes.Buffer
	d := &drive{teller: teller{out: &out}, began: time.Now()}
	// One worker: the request that is dropped has failed before the next is sent.
	d.load = load.Start(load.Options{Address: strings.TrimPrefix(server.URL, "http://"), Fresh: 1})
	err := d.step(t.Context(), "Wait for answers", func(ctx context.Context) error {
		drop.Store(true)
		return d.load.Await(ctx, 60)
	})
	if err == nil || !strings.Contains(err.Error(), "1 failed") {
		t.Errorf("%v\n%s", err, &out)
	}
	if err := d.stopLoad(t.Context()); err == nil || !strings.Contains(err.Error(), "1 failed") {
		t.Errorf("at the end: %v", err)
	}
}

// TestCharmFile: what is embedded is a copy, since no program can embed what is
// not below it.
func TestCharmFile(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("../loadbalancer-provider/charmcraft.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := charmFiles.ReadFile("loadbalancer-provider/charmcraft.yaml")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the copy of charmcraft.yaml is another one; run go generate (%v)", err)
	}
}

func TestWrongArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--nonsense"}, {"nonsense"}, {"--engine", "nonsense"}, {"--balancer", "nonsense"}} {
		if code := run(t.Context(), args); code != 2 {
			t.Errorf("%v: exit status %d", args, code)
		}
	}
}
