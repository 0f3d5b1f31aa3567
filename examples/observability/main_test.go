package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain makes this program what the charms start, if it is started so.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && charms()[os.Args[1]] != nil {
		os.Exit(run(context.Background(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestStory(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			d := &drive{options: options{engine: "embedded", seed: seed}, out: &out, began: time.Now()}
			if err := d.all(t.Context()); err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			for _, want := range []string{
				"web/0-", "web/3-", "is up", "juju exec", `"register scrape job" `, "It waits for", "It knows web/3 at 127.", "All of it came true",
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

func TestStoryThatFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	d := &drive{options: options{engine: "embedded"}, out: &out, began: time.Now()}
	if err := d.all(ctx); err == nil {
		t.Errorf("it came true in no time:\n%s", &out)
	}
	if left := d.workloads(); len(left) > 0 {
		t.Errorf("processes are left: %v", left)
	}
}

func TestWrongArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--nonsense"}, {"nonsense"}} {
		if code := run(t.Context(), args); code != 2 {
			t.Errorf("%v: exit status %d", args, code)
		}
	}
}
