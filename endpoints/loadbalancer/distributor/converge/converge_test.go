package converge_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/converge"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// machine is a backend that remembers what it was brought to, and fails as often
// as it is told.
type machine struct {
	fail  int
	cuts  []string
	calls int
	ids   []string
}

func (m *machine) CheckVIP(distributor.VIP, distributor.Algorithm, distributor.Persistence) error {
	return nil
}

func (m *machine) Converge(_ context.Context, want *converge.State) error {
	m.calls++
	if m.fail > 0 {
		m.fail--
		return errors.New("out of order")
	}
	m.cuts, m.ids = nil, nil
	for _, c := range want.Cuts {
		m.cuts = append(m.cuts, c.Amphora.ID)
	}
	for _, d := range want.Sorted() {
		for _, a := range d.SortedAmphorae() {
			m.ids = append(m.ids, a.ID)
		}
	}
	return nil
}

func (m *machine) Connections(context.Context, *converge.Distributor) (map[string]int, error) {
	return nil, nil
}

func run(t *testing.T, n flow.Node, inputs ...flow.Value) (*flow.Result, error) {
	t.Helper()
	return new(flow.Runner).Run(t.Context(), "run", flow.Linear("test", n), inputs...)
}

func TestCutsAreKeptUntilMade(t *testing.T) {
	t.Parallel()
	m := &machine{}
	d := converge.New(t.TempDir(), m)
	res, err := run(t, d.CreateDistributor(""), distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "lb"}))
	if err != nil {
		t.Fatal(err)
	}
	id, _ := distributor.DistributorID.From(res)
	in := []flow.Value{distributor.DistributorID.Value(id), distributor.Amphorae.Value([]distributor.Amphora{{ID: "a", Address: netip.MustParseAddr("10.0.0.1")}})}
	if _, err := run(t, d.RegisterAmphorae(""), in...); err != nil {
		t.Fatal(err)
	}
	// The first try fails and is reverted: the amphora is back, its cut is
	// called off.
	m.fail = 1
	if _, err := run(t, d.UnregisterAmphorae(""), in...); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("UnregisterAmphorae = %v", err)
	}
	if len(m.cuts) != 0 || len(m.ids) != 1 {
		t.Errorf("after the failure: cuts %v, amphorae %v", m.cuts, m.ids)
	}
	if _, err := run(t, d.UnregisterAmphorae(""), in...); err != nil {
		t.Fatal(err)
	}
	if len(m.cuts) != 1 || len(m.ids) != 0 {
		t.Errorf("unregistered: cuts %v, amphorae %v", m.cuts, m.ids)
	}
	if err := d.Converge(t.Context()); err != nil || len(m.cuts) != 0 {
		t.Errorf("a cut was made twice: %v, %v", m.cuts, err)
	}
}

func TestBatchConvergesOnce(t *testing.T) {
	t.Parallel()
	m := &machine{}
	d := converge.New("", m)
	_, err := run(t, d.Batch("", func(d distributor.Driver) []flow.Node {
		return []flow.Node{d.CreateDistributor(""), d.RegisterAmphorae("")}
	}), distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "lb"}),
		distributor.Amphorae.Value([]distributor.Amphora{{ID: "a", Address: netip.MustParseAddr("10.0.0.1")}}))
	if err != nil || m.calls != 1 || len(m.ids) != 1 {
		t.Errorf("converged %d times to %v: %v", m.calls, m.ids, err)
	}
}

func TestBadState(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{", `{"distributors":{"x":null}}`, `{"distributors":3}`} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := run(t, converge.New(dir, &machine{}).CreateDistributor(""), distributor.LoadBalancerKey.Value(distributor.LoadBalancer{ID: "lb"}))
		if err == nil || !strings.Contains(err.Error(), "cannot read the driver's state") {
			t.Errorf("with a state of %s: %v", text, err)
		}
		if now, err := os.ReadFile(filepath.Join(dir, "state.json")); err != nil || string(now) != text {
			t.Errorf("a state that cannot be read was replaced by %s", now)
		}
	}
}

// FuzzState: whatever the state says, reading it is an error or not, and never
// a panic.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"distributors":{"d":{"id":"d","vips":{"v":null},"amphorae":{"a":null}}}}`))
	f.Add([]byte(`{"distributors":{"d":{"vips":{"v":{"tls":{"key":{"secret":"sha256-x"}}}}}},"cuts":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = converge.New(dir, &machine{}).Converge(t.Context())
	})
}
