package jujusim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/model"
)

// Options say what model is simulated. The zero value is a machine model of
// Juju 3.6 with seed 0, in a temporary directory.
type Options struct {
	// Seed chooses the order of what Juju leaves open: the same seed gives the
	// same run, another seed another legal order.
	Seed uint64
	// Version is the version of Juju to play, such as "3.6" or "4.0"; empty
	// means 3.6.
	Version string
	// Name is the model's name; empty means "test".
	Name string
	// Kubernetes makes it a Kubernetes model.
	Kubernetes bool
	// Cloud is what credential-get shows to applications that were deployed with
	// Trust.
	Cloud *hooktool.CloudSpec
	// Dir is where charm directories and sockets are made. Empty means a
	// temporary directory, which Close removes. Paths of sockets are short, so
	// keep it short too.
	Dir string
	// ToolsDir holds hook tools as executables, for charms that run them; it
	// comes first in the PATH of hooks.
	ToolsDir string
	// SocketInProcess makes charms that run in this process talk to their agent
	// over its socket too. Otherwise they call it directly.
	SocketInProcess bool
	// Retries is how often in a row a failed hook is run again by itself. With
	// 0 the unit stays in error until Resolve. A hook that was killed is always
	// run again.
	Retries int
	// SilentPeers leaves out -departed of a removed unit for its peers, as Juju
	// 4.0.15 was seen to do.
	SilentPeers bool
	// MixedContainers lets a subordinate unit meet all units of the principal
	// application, as Juju 4.0.15 was seen to do.
	MixedContainers bool
	// OnEvent is called with everything that happens, in order, from the
	// goroutine that drives the model. It may look at the model.
	OnEvent func(Event)
}

// A Model is a simulated Juju model. Make one with [New]; its methods are safe
// for concurrent use, but what runs at the same time runs in no repeatable
// order.
type Model struct {
	opts Options
	rng  *rand.Rand
	dir  string
	temp bool

	// mu guards all that follows and is not held while a charm runs. The data
	// has its own lock, which agents take; mu is taken first.
	mu           sync.Mutex
	data         *model.Model
	applications map[string]*application
	units        map[string]*unit
	relations    map[int]*relation
	machines     map[string]*machine
	order        []*application
	ready        set[*unit]
	stalled      []string
	nextRelation int
	nextAction   int
	nextStorage  int
	obsolete     map[Hook]bool
	clock        time.Time
	history      []*Dispatch
	points       []*point
	closed       bool
	closers      []func() error
}

// An application is one deployed application.
type application struct {
	m           *Model
	name        string
	data        *model.Application
	charm       *revision
	units       []*unit
	nextUnit    int
	leader      *unit
	relations   []*relation
	configStamp uint64
	dying       bool
}

// A machine runs one thing at a time.
type machine struct {
	id      string
	number  int
	units   []*unit
	running *Running
}

// New makes an empty model. Close it when done.
func New(opts Options) (*Model, error) {
	version := map[string]string{"": model.Juju3, "3.6": model.Juju3, "3": model.Juju3, "4.0": model.Juju4, "4": model.Juju4}[opts.Version]
	if version == "" {
		version = opts.Version
	}
	if version[0] != '3' && version[0] != '4' {
		return nil, fmt.Errorf("cannot simulate Juju %q: it plays 3.6 and 4.x", opts.Version)
	}
	m := &Model{
		opts:         opts,
		rng:          rand.New(rand.NewPCG(opts.Seed, 0x6a756a7573696d)),
		dir:          opts.Dir,
		applications: make(map[string]*application),
		units:        make(map[string]*unit),
		relations:    make(map[int]*relation),
		machines:     make(map[string]*machine),
		nextRelation: 1,
		clock:        time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC),
	}
	m.data = &model.Model{
		Name: opts.Name, Version: version, Type: model.Machine,
		Applications: make(map[string]*model.Application),
		Secrets:      make(map[string]*model.Secret),
		Cloud:        opts.Cloud,
	}
	if m.data.Name == "" {
		m.data.Name = "test"
	}
	if opts.Kubernetes {
		m.data.Type = model.Kubernetes
	}
	m.data.UUID = fmt.Sprintf("%08x-0bad-400d-8000-%012x", m.rng.Uint32(), m.rng.Uint64N(1<<48))
	if m.dir == "" {
		dir, err := os.MkdirTemp("", "jujusim")
		if err != nil {
			return nil, fmt.Errorf("cannot make a model: %w", err)
		}
		m.dir, m.temp = dir, true
	} else if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a model: %w", err)
	} else if m.dir, err = filepath.Abs(m.dir); err != nil {
		return nil, fmt.Errorf("cannot make a model: %w", err)
	}
	return m, nil
}

// Close ends the model: what still runs is killed, and a temporary directory is
// removed.
func (m *Model) Close() error {
	m.lock()
	m.closed = true
	var runs []*Running
	for _, u := range m.units {
		if u.running != nil {
			runs = append(runs, u.running)
		}
	}
	closers := m.closers
	m.closers = nil
	m.unlock()
	for _, r := range runs {
		r.Kill()
		r.wait()
	}
	var errs []error
	for _, c := range closers {
		errs = append(errs, c())
	}
	if m.temp {
		errs = append(errs, os.RemoveAll(m.dir))
	}
	return errors.Join(errs...)
}

// lock locks the scheduler and the data.
func (m *Model) lock() {
	m.mu.Lock()
	m.data.Lock()
}

func (m *Model) unlock() {
	m.data.Unlock()
	m.mu.Unlock()
}

// tick moves the model's clock on, which only serves to order things.
func (m *Model) tick() time.Time {
	m.clock = m.clock.Add(time.Second)
	return m.clock
}

// address is the address of the n-th machine.
func address(n int) string {
	return fmt.Sprintf("10.%d.%d.%d", n>>16&0xff, n>>8&0xff, n&0xff)
}

// View calls look with the model's data, locked. What look keeps of it or
// changes in it is on its own responsibility; [Model.Snapshot] is a copy.
func (m *Model) View(look func(data *model.Model)) {
	m.lock()
	defer m.unlock()
	look(m.data)
}

// Snapshot is a copy of the model's data: databags, charm state, ports, config,
// secrets and all.
func (m *Model) Snapshot() *model.Model {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.data.Clone()
}
