package converge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/durable"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
)

// store keeps the state, in a directory or, without one, in memory. Whoever
// reads it to change it, or the world after it, holds its lock.
type store struct {
	dir string
	mu  chan struct{}
	// mem is the encoded state of a store without a directory, secrets are
	// the private keys that it needs.
	mem    []byte
	memory map[string]flow.Secret
}

func newStore(dir string) *store {
	return &store{dir: dir, mu: make(chan struct{}, 1), memory: map[string]flow.Secret{}}
}

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

// lock waits for the store until ctx ends.
func (s *store) lock(ctx context.Context) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case s.mu <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	release := func() { <-s.mu }
	if s.dir == "" {
		return release, nil
	}
	f, err := s.lockFile(ctx)
	if err != nil {
		release()
		return nil, err
	}
	return func() { f.Close(); release() }, nil
}

func (s *store) lockFile(ctx context.Context) (*os.File, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// load returns the state, with its secrets filled in.
func (s *store) load() (*State, error) {
	st := &State{}
	data := s.mem
	if s.dir != "" {
		var err error
		data, err = os.ReadFile(s.path("state.json"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot read the driver's state: %w", err)
		}
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, st); err != nil {
			return nil, fmt.Errorf("cannot read the driver's state: %s: %w", s.path("state.json"), err)
		}
	}
	if st.Distributors == nil {
		st.Distributors = map[string]*Distributor{}
	}
	for id, d := range st.Distributors {
		if d == nil || d.ID != id {
			return nil, fmt.Errorf("cannot read the driver's state: distributor %q is not itself", id)
		}
		for id, v := range d.VIPs {
			if v == nil || v.ID != id {
				return nil, fmt.Errorf("cannot read the driver's state: VIP %q is not itself", id)
			}
		}
		for id, a := range d.Amphorae {
			if a == nil || a.ID != id {
				return nil, fmt.Errorf("cannot read the driver's state: amphora %q is not itself", id)
			}
		}
		if d.VIPs == nil {
			d.VIPs = map[string]*VIP{}
		}
		if d.Amphorae == nil {
			d.Amphorae = map[string]*Amphora{}
		}
	}
	for _, secret := range st.Secrets() {
		if secret.IsZero() {
			continue
		}
		if s.dir == "" {
			secret.Fill(s.memory[secret.Ref()])
			continue
		}
		content, err := os.ReadFile(s.secretPath(*secret))
		if err != nil {
			return nil, fmt.Errorf("cannot read a private key: %w", err)
		}
		secret.Fill(flow.NewSecret(content))
	}
	return st, nil
}

func (s *store) secretPath(secret flow.Secret) string {
	return filepath.Join(s.dir, "keys", secret.Ref())
}

// save replaces the state.
func (s *store) save(ctx context.Context, st *State) error {
	data, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("cannot write the driver's state: %w", err)
	}
	used := map[string]bool{}
	for _, secret := range st.Secrets() {
		if secret.IsZero() {
			continue
		}
		content, err := secret.Reveal()
		if err != nil {
			return fmt.Errorf("cannot keep a private key: %w", err)
		}
		used[secret.Ref()] = true
		if s.dir == "" {
			s.memory[secret.Ref()] = *secret
			continue
		}
		if _, err := os.Stat(s.secretPath(*secret)); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Join(s.dir, "keys"), 0o700); err != nil {
			return fmt.Errorf("cannot keep a private key: %w", err)
		}
		if err := durable.WriteFile(s.secretPath(*secret), content); err != nil {
			return fmt.Errorf("cannot keep a private key: %w", err)
		}
	}
	if s.dir == "" {
		s.mem = data
		return nil
	}
	probe.Hit(ctx, "state: before write")
	if err := durable.WriteFile(s.path("state.json"), data); err != nil {
		return fmt.Errorf("cannot write the driver's state: %w", err)
	}
	probe.Hit(ctx, "state: written")
	return s.dropKeys(used)
}

func (s *store) dropKeys(used map[string]bool) error {
	entries, err := os.ReadDir(s.path("keys"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot remove old private keys: %w", err)
	}
	for _, e := range entries {
		if !used[e.Name()] {
			if err := os.Remove(filepath.Join(s.dir, "keys", e.Name())); err != nil {
				return fmt.Errorf("cannot remove an old private key: %w", err)
			}
		}
	}
	return nil
}
