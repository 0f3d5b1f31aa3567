package distributor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/noop"
)

func Example() {
	d := noop.New("")
	serve := flow.Linear("serve", d.CreateDistributor("web-"), d.AddVIP("web-"), d.RegisterAmphorae("web-"))
	res, err := new(flow.Runner).Run(context.Background(), "serve-web", serve,
		distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "web"}),
		distributor.VIPKey.Value(distributor.VIP{
			ID:       "web",
			Address:  netip.MustParseAddr("10.0.0.1"),
			Protocol: distributor.HTTP,
			Ports:    []distributor.PortMapping{{Front: 80, Back: 8080}},
		}),
		distributor.VIPAlgorithm.Value(distributor.RoundRobin),
		distributor.VIPPersistence.Value(distributor.NoPersistence),
		distributor.Amphorae.Value([]distributor.Amphora{
			{ID: "web-0", Address: netip.MustParseAddr("10.0.1.1")},
			{ID: "web-1", Address: netip.MustParseAddr("10.0.1.2")},
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	id, _ := distributor.DistributorID.From(res)
	status, err := d.DrainStatus(context.Background(), id)
	for _, s := range status {
		fmt.Println(s.ID, s.Address, "draining:", s.Draining)
	}
	fmt.Println(err)
	// Output:
	// web-0 10.0.1.1 draining: false
	// web-1 10.0.1.2 draining: false
	// <nil>
}

func ExampleUnsupportedFields() {
	v := distributor.VIP{ID: "web", Address: netip.MustParseAddr("10.0.0.1"), Protocol: "quic"}
	for field, reason := range distributor.UnsupportedFields(v.Validate()) {
		if field == "protocol" {
			fmt.Println(reason)
		}
	}
	// Output: unknown: "quic"
}

func TestParseAlgorithm(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]distributor.Algorithm{
		"": distributor.AnyAlgorithm, "Default": distributor.AnyAlgorithm, "roundrobin": distributor.RoundRobin, "ROUND_ROBIN": distributor.RoundRobin,
		"round-robin": distributor.RoundRobin, "LEAST_CONNECTIONS": distributor.LeastConnections, "leastconn": distributor.LeastConnections,
		"SOURCE_IP": distributor.SourceIP, "SourceIP": distributor.SourceIP, "SourceIPProtocol": distributor.SourceIP,
		"random": distributor.Random, "first": distributor.First, "hash": distributor.Hash,
	} {
		if got, err := distributor.ParseAlgorithm(name); err != nil || got != want {
			t.Errorf("ParseAlgorithm(%q) = %q, %v", name, got, err)
		}
	}
	if _, err := distributor.ParseAlgorithm("magic\nbind"); distributor.UnsupportedFields(err)["algorithm"] == "" {
		t.Errorf("ParseAlgorithm of nonsense = %v", err)
	}
}

func TestUnsupportedFields(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("cannot serve: %w", errors.Join(
		&distributor.Unsupported{Field: "algorithm", Reason: "one"},
		fmt.Errorf("and: %w", &distributor.Unsupported{Field: "algorithm", Reason: "two"}),
		&distributor.Unsupported{Field: "sticky", Reason: "three"}, errors.New("other")))
	got := distributor.UnsupportedFields(err)
	if len(got) != 2 || got["algorithm"] != "one; two" || got["sticky"] != "three" {
		t.Errorf("UnsupportedFields = %v", got)
	}
	if got := distributor.UnsupportedFields(errors.New("x")); got != nil {
		t.Errorf("UnsupportedFields of something else = %v", got)
	}
	if got := distributor.UnsupportedFields(nil); got != nil {
		t.Errorf("UnsupportedFields of nil = %v", got)
	}
}

// reporter is a driver whose connections end when the test says so.
type reporter struct {
	*noop.Driver
	open func() int
}

func (r *reporter) DrainStatus(ctx context.Context, id string) ([]distributor.AmphoraStatus, error) {
	status, err := r.Driver.DrainStatus(ctx, id)
	for i := range status {
		status[i].Connections = r.open()
	}
	return status, err
}

func TestPorts(t *testing.T) {
	t.Parallel()
	v := distributor.VIP{ID: "web", Address: netip.MustParseAddr("10.0.0.1"), Protocol: distributor.TCP}
	for port := uint16(1); port <= distributor.MaxPorts; port++ {
		v.Ports = append(v.Ports, distributor.PortMapping{Front: port, Back: port})
	}
	if err := v.Validate(); err != nil {
		t.Errorf("%d ports: %v", len(v.Ports), err)
	}
	v.Ports = append(v.Ports, distributor.PortMapping{Front: 8080, Back: 8080})
	if got := distributor.UnsupportedFields(v.Validate())["port_mapping"]; got != "257 ports, more than 256" {
		t.Errorf("257 ports: %q", got)
	}
}

func TestDrainThenUnregister(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		// ends is when the connections do, cancel when the hook's time is over.
		timeout, ends, cancel time.Duration
		took                  time.Duration
		open                  int
		suspended             bool
	}{
		"ends before":   {timeout: time.Minute, ends: 10 * time.Second, took: 10 * time.Second},
		"never ends":    {timeout: time.Minute, ends: time.Hour, took: time.Minute, open: 3},
		"no waiting":    {ends: time.Hour, open: 3},
		"between polls": {timeout: 1500 * time.Millisecond, ends: time.Hour, took: 1500 * time.Millisecond, open: 3},
		"hook is over, bound counts on": {timeout: time.Minute, ends: time.Hour, cancel: 20 * time.Second,
			took: time.Minute, open: 3, suspended: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				d := &reporter{noop.New(""), func() int {
					if time.Since(began) < tt.ends {
						return 3
					}
					return 0
				}}
				a := []distributor.Amphora{{ID: "a", Address: netip.MustParseAddr("10.0.0.1")}}
				f := func(n ...flow.Node) *flow.Flow { return flow.Linear("f", n...) }
				res, err := new(flow.Runner).Run(t.Context(), "r", f(d.CreateDistributor(""), d.RegisterAmphorae("")),
					distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "lb"}), distributor.Amphorae.Value(a))
				if err != nil {
					t.Fatal(err)
				}
				id, _ := distributor.DistributorID.From(res)
				ctx := t.Context()
				if tt.cancel > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.cancel)
					defer cancel()
				}
				drain := f(distributor.DrainThenUnregister("", d, distributor.DrainOptions{Timeout: tt.timeout}))
				runner := &flow.Runner{Dir: dir}
				inputs := []flow.Value{distributor.DistributorID.Value(id), distributor.Amphorae.Value(a)}
				res, err = runner.Run(ctx, "drain", drain, inputs...)
				var suspended *flow.SuspendedError
				if errors.As(err, &suspended) != tt.suspended {
					t.Fatalf("Run = %v", err)
				}
				if tt.suspended {
					res, err = runner.Run(t.Context(), "drain", drain, inputs...)
				}
				if err != nil {
					t.Fatal(err)
				}
				if got, ok := distributor.DrainResultKey.From(res); !ok || got.Open["a"] != tt.open || time.Since(began) != tt.took {
					t.Errorf("ended with %+v after %v, want %d open after %v", got, time.Since(began), tt.open, tt.took)
				}
				if status, err := d.Driver.DrainStatus(t.Context(), id); err != nil || len(status) != 0 {
					t.Errorf("left registered: %v, %v", status, err)
				}
			})
		})
	}
}

// FuzzVIP: whatever JSON says about a VIP, checking it is no panic, and what
// passes has no text in it that could be taken for anything else.
func FuzzVIP(f *testing.F) {
	f.Add([]byte(`{"id":"a","address":"10.0.0.1","protocol":"http","ports":[{"front":80,"back":8080}],"health_checks":[{"protocol":"http","port":80,"path":"/x","interval":1000000000,"retries":3}]}`))
	f.Add([]byte(`{"id":"a\nb","address":"::1%eth0","tls":{"certificate":"x","key":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v distributor.VIP
		if json.Unmarshal(data, &v) != nil || v.Validate() != nil {
			return
		}
		texts := []string{v.ID, v.Address.String(), string(v.Protocol)}
		for _, h := range v.HealthChecks {
			texts = append(texts, h.Path, string(h.Protocol))
		}
		for _, s := range texts {
			if strings.ContainsAny(s, "\n\r\t \"\\#`\x00") {
				t.Errorf("passed: %q", s)
			}
		}
	})
}
