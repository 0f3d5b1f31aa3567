package hooktool_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmed-go/charms/hooktool"
)

// benchAgent answers as fast as it can, one call at a time as Juju does.
func benchAgent(b *testing.B) *agent {
	var one sync.Mutex
	return newJujuc(b, func(Request) (Response, error) {
		one.Lock()
		defer one.Unlock()
		return Response{Stdout: []byte(`{"host":"h0","port":"5432","private-address":"10.0.0.20"}` + "\n")}, nil
	})
}

func benchDial(b *testing.B, p hooktool.Process) *hooktool.Client {
	c, err := hooktool.Dial(b.Context(), p)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

func get(b *testing.B, c *hooktool.Client) {
	bag, err := c.RelationGet(b.Context(), "db:1", "db/0")
	if err != nil || len(bag) != 3 {
		b.Fatalf("got %v, %v", bag, err)
	}
}

// One relation-get over the socket; exec/socket is how many times longer the
// same takes by an executable, which like Juju's asks the same agent.
func BenchmarkSocket(b *testing.B) {
	a := benchAgent(b)
	env, _ := executables(b, "jujuc", "relation-get", "relation-ids")
	executed := benchDial(b, a.process(b, append(env, hooktool.TransportEnv+"=exec")...))
	socket := benchDial(b, a.process(b, append(env, hooktool.TransportEnv+"=socket")...))
	get(b, executed)
	get(b, socket)
	const runs = 50
	start := time.Now()
	for range runs {
		get(b, executed)
	}
	exec := time.Since(start) / runs
	b.ReportAllocs()
	for b.Loop() {
		get(b, socket)
	}
	one := b.Elapsed() / time.Duration(b.N)
	b.ReportMetric(float64(exec)/float64(one), "exec/socket")
}

// A hundred independent reads at once; sequential/pipelined is how many times
// longer the same take one after the other.
func BenchmarkPipelined(b *testing.B) {
	const reads = 100
	c := benchDial(b, benchAgent(b).process(b))
	get(b, c)
	const runs = 20
	start := time.Now()
	for range runs * reads {
		get(b, c)
	}
	sequential := time.Since(start) / runs
	for b.Loop() {
		var wg sync.WaitGroup
		for range reads {
			wg.Go(func() { get(b, c) })
		}
		wg.Wait()
	}
	b.ReportMetric(float64(sequential)/float64(b.Elapsed()/time.Duration(b.N)), "sequential/pipelined")
}

func BenchmarkRelationSet(b *testing.B) {
	c := hooktool.New(printing(""))
	data := map[string]string{"host": "h0", "port": "5432", "certificate": strings.Repeat("MIIBozCCAUmgAwIBAgIQ\n", 200)}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.RelationSet(b.Context(), "db:1", data); err != nil {
			b.Fatal(err)
		}
	}
}
