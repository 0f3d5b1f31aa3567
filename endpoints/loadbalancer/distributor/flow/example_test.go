package flow_test

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

// A flow that fails is undone, last task first.
func Example() {
	var (
		name    = flow.NewKey[string]("name")
		address = flow.NewKey[string]("address")
	)
	allocate := &flow.Task{
		Name:     "allocate",
		Requires: flow.Keys(name),
		Provides: flow.Keys(address),
		Execute: func(_ context.Context, d *flow.Data) error {
			address.Set(d, "10.0.0.7")
			fmt.Println("allocated an address for", name.Get(d))
			return nil
		},
		Revert: func(_ context.Context, d *flow.Data) error {
			fmt.Println("released the address of", name.Get(d))
			return nil
		},
	}
	announce := &flow.Task{
		Name:     "announce",
		Requires: flow.Keys(address),
		Execute: func(_ context.Context, d *flow.Data) error {
			return errors.New("nobody listens to " + address.Get(d))
		},
	}
	_, err := new(flow.Runner).Run(context.Background(), "web", flow.Linear("publish", allocate, announce), name.Value("web"))
	fmt.Println(err)
	// Output:
	// allocated an address for web
	// released the address of web
	// cannot run flow "publish": task "announce": nobody listens to 10.0.0.7
}

// A run that was stopped is gone on with by the next process.
func ExampleRunner_Run() {
	dir, err := os.MkdirTemp("", "flows")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	step := func(name string) *flow.Task {
		return &flow.Task{Name: name, Execute: func(context.Context, *flow.Data) error {
			fmt.Println(name)
			return nil
		}}
	}
	ctx, stop := context.WithCancel(context.Background())
	f := flow.Linear("deploy", step("fetch"), &flow.Task{Name: "stop", Execute: func(context.Context, *flow.Data) error {
		stop() // as a hook does whose time is over
		return nil
	}}, step("install"))

	_, err = (&flow.Runner{Dir: dir}).Run(ctx, "deploy", f)
	fmt.Println(err)
	res, err := (&flow.Runner{Dir: dir}).Run(context.Background(), "deploy", f)
	fmt.Println(res.State, err)
	// Output:
	// fetch
	// flow "deploy" is suspended: context canceled
	// install
	// SUCCESS <nil>
}

// addresses is where addresses come from.
type addresses map[string]string

func (a addresses) Allocate(_ context.Context, name string) (string, error) {
	if a[name] == "" {
		a[name] = fmt.Sprint("10.0.0.", 1+len(a))
	}
	return a[name], nil
}

func (a addresses) Release(_ context.Context, name string) error {
	delete(a, name)
	return nil
}

// The tasks of the package's tour.
func ExampleLinear() {
	ctx, pool := context.Background(), make(addresses)
	nothing := func(context.Context, *flow.Data) error { return nil }
	configure := &flow.Task{Name: "configure", Execute: nothing}
	announce := &flow.Task{Name: "announce", Execute: nothing}
	var (
		Name    = flow.NewKey[string]("name")
		Address = flow.NewKey[string]("address")
	)

	allocate := &flow.Task{
		Name:     "allocate",
		Requires: flow.Keys(Name),
		Provides: flow.Keys(Address),
		Execute: func(ctx context.Context, d *flow.Data) error {
			addr, err := pool.Allocate(ctx, Name.Get(d)) // the same for the same name
			if err == nil {
				Address.Set(d, addr)
			}
			return err
		},
		Revert: func(ctx context.Context, d *flow.Data) error {
			return pool.Release(ctx, Name.Get(d)) // content to find nothing
		},
	}

	f := flow.Linear("publish", allocate, configure, announce)
	r := &flow.Runner{Dir: "/var/lib/charm/flows"}
	res, err := r.Run(ctx, "publish-web", f, Name.Value("web"))
	if err != nil {
		fmt.Println(err)
		return
	}
	address, _ := Address.From(res)
	fmt.Println(address)
}
