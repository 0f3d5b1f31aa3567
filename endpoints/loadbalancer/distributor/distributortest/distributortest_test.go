package distributortest_test

import (
	"context"
	"errors"
	"hash/fnv"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/distributortest"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/inprocess"
)

// broken is a driver that breaks one rule: its flows are those of a good driver
// but for one.
type broken struct {
	*inprocess.Driver
	dir, how string
}

// swap is an operation that needs what n needs and does something else.
func swap(name string, n flow.Node, keys []flow.AnyKey, do func(context.Context, *flow.Data, flow.Node) error) flow.Node {
	return &flow.Task{Name: name, Requires: keys, Execute: func(ctx context.Context, d *flow.Data) error { return do(ctx, d, n) }}
}

var amphoraKeys = flow.Keys(distributor.DistributorID, distributor.Amphorae)

// runAmphorae runs an operation on amphorae by itself, out of sight of whoever
// would revert it.
func runAmphorae(ctx context.Context, d *flow.Data, n flow.Node) error {
	_, err := new(flow.Runner).Run(ctx, "run", flow.Linear("hidden", n),
		distributor.DistributorID.Value(distributor.DistributorID.Get(d)), distributor.Amphorae.Value(distributor.Amphorae.Get(d)))
	return err
}

func (b *broken) CreateDistributor(p string) flow.Node {
	n := b.Driver.CreateDistributor(p)
	if b.how == "always another id" {
		return flow.Linear("x", flow.Rebind(n, distributor.DistributorID, flow.NewKey[string](p+"real")),
			&flow.Task{Name: p + "id", Provides: flow.Keys(distributor.DistributorID), Execute: func(_ context.Context, d *flow.Data) error {
				f, err := os.CreateTemp(b.dir, "id")
				if err == nil {
					distributor.DistributorID.Set(d, filepath.Base(f.Name()))
					err = f.Close()
				}
				return err
			}})
	}
	return n
}

func (b *broken) DrainAmphorae(p string) flow.Node {
	n := b.Driver.DrainAmphorae(p)
	switch b.how {
	case "drain forgets to return":
		return nil
	case "drain does nothing":
		return swap(p+"x", n, amphoraKeys, func(context.Context, *flow.Data, flow.Node) error { return nil })
	case "drain cuts":
		return flow.Linear("x", b.Driver.UnregisterAmphorae(p), b.Driver.RegisterAmphorae(p), n)
	}
	return n
}

func (b *broken) RegisterAmphorae(p string) flow.Node {
	n := b.Driver.RegisterAmphorae(p)
	switch b.how {
	case "register cannot be reverted":
		return swap(p+"x", n, amphoraKeys, runAmphorae)
	case "register cannot run again":
		return swap(p+"x", n, amphoraKeys, func(ctx context.Context, d *flow.Data, n flow.Node) error {
			id := distributor.DistributorID.Get(d)
			status, err := b.DrainStatus(ctx, id)
			for _, s := range status {
				for _, a := range distributor.Amphorae.Get(d) {
					if s.ID == a.ID {
						return errors.New("registered already")
					}
				}
			}
			if err != nil {
				return err
			}
			return runAmphorae(ctx, d, n)
		})
	case "a kill leaves a lock":
		lock := filepath.Join(b.dir, "broken-lock")
		inner := &flow.Task{Name: p + "x", Requires: amphoraKeys, Execute: func(ctx context.Context, d *flow.Data) error {
			f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			f.Close()
			err = runAmphorae(ctx, d, n)
			return errors.Join(err, os.Remove(lock))
		}}
		return inner
	}
	return n
}

func (b *broken) UnregisterAmphorae(p string) flow.Node {
	n := b.Driver.UnregisterAmphorae(p)
	switch b.how {
	case "unregister does not cut":
		return swap(p+"x", b.Driver.DrainAmphorae(p), amphoraKeys, func(ctx context.Context, d *flow.Data, n flow.Node) error {
			var missing *distributor.NotFoundError
			if err := runAmphorae(ctx, d, n); err != nil && !errors.As(err, &missing) {
				return err
			}
			return nil
		})
	case "removing nothing fails":
		return flow.Linear("x", b.Driver.DrainAmphorae(p), n)
	}
	return n
}

func (b *broken) RemoveVIP(p string) flow.Node {
	n := b.Driver.RemoveVIP(p)
	if b.how == "remove VIP does nothing" {
		return swap(p+"x", n, flow.Keys(distributor.DistributorID, distributor.VIPKey), func(context.Context, *flow.Data, flow.Node) error { return nil })
	}
	return n
}

// CheckVIP and Batch would go past what is broken.
func (b *broken) Batch(p string, build func(distributor.Driver) []flow.Node) flow.Node {
	return b.Driver.Batch(p, build)
}

const envBroken = "DISTRIBUTORTEST_BROKEN"

// TestBroken is what TestFindsWhatIsBroken runs in a process of its own, with a
// driver that is broken as the environment says.
func TestBroken(t *testing.T) {
	how := os.Getenv(envBroken)
	if how == "" {
		t.Skip("run by TestFindsWhatIsBroken")
	}
	distributortest.Run(t, func(t *testing.T, dir string) distributortest.Setup {
		h := fnv.New32a()
		_, _ = h.Write([]byte(dir))
		n := h.Sum32()
		at := func(last byte) netip.Addr {
			return netip.AddrFrom4([4]byte{127, byte(200 + n%50), byte(n >> 8), last})
		}
		d := inprocess.New(dir)
		t.Cleanup(func() { d.Close() })
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		return distributortest.Setup{Driver: &broken{d, dir, how}, VIP: at(1), Amphorae: []netip.Addr{at(2), at(3), at(4)}, EveryKill: true}
	})
}

// TestFindsWhatIsBroken: a suite that cannot fail shows nothing. Each way of
// breaking the contract is found by the case whose rule it breaks.
func TestFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	for how, found := range map[string]string{
		"not at all":                  "",
		"drain forgets to return":     "names",
		"always another id":           "create",
		"register cannot run again":   "again",
		"removing nothing fails":      "unknown_ids",
		"register cannot be reverted": "revert",
		"drain does nothing":          "drain",
		"drain cuts":                  "drain",
		"unregister does not cut":     "unregister",
		"remove VIP does nothing":     "remove_VIP",
		"a kill leaves a lock":        "kill_and_resume/register-amphorae$",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			pattern := "^TestBroken$/" + strings.ReplaceAll("^"+found+"$", "/", "$/^")
			if found == "" {
				pattern = "^TestBroken$/^(names|create|again|revert|drain|unregister|remove_VIP)$"
			}
			cmd := exec.Command(os.Args[0], "-test.run="+strings.ReplaceAll(pattern, "$$", "$"), "-test.v")
			cmd.Env = append(os.Environ(), envBroken+"="+how)
			out, err := cmd.CombinedOutput()
			if found == "" {
				if err != nil {
					t.Errorf("a good driver fails:\n%s", out)
				}
				return
			}
			name := "--- FAIL: TestBroken/" + strings.TrimSuffix(found, "$")
			if err == nil || !strings.Contains(string(out), name) || !strings.Contains(string(out), "the rule: ") {
				t.Errorf("case %s does not find it (%v):\n%.3000s", found, err, out)
			}
		})
	}
}
