// Package flow runs work that must be done or undone as a whole, and that may be
// killed at any moment.
//
// A flow is made of tasks. A task says what it needs, what it gives, how it is
// done and how it is undone:
//
//	var (
//		Name    = flow.NewKey[string]("name")
//		Address = flow.NewKey[string]("address")
//	)
//
//	allocate := &flow.Task{
//		Name:     "allocate",
//		Requires: flow.Keys(Name),
//		Provides: flow.Keys(Address),
//		Execute: func(ctx context.Context, d *flow.Data) error {
//			addr, err := pool.Allocate(ctx, Name.Get(d)) // the same for the same name
//			if err == nil {
//				Address.Set(d, addr)
//			}
//			return err
//		},
//		Revert: func(ctx context.Context, d *flow.Data) error {
//			return pool.Release(ctx, Name.Get(d)) // content to find nothing
//		},
//	}
//
//	f := flow.Linear("publish", allocate, configure, announce)
//	r := &flow.Runner{Dir: "/var/lib/charm/flows"}
//	res, err := r.Run(ctx, "publish-web", f, Name.Value("web"))
//
// When a task fails, it and those before it are reverted, last first, and the
// error is a [*RevertedError]. When the process is killed, the next one finds
// the journal: calling Run with the same name goes on, [Runner.ResumeAll] goes
// on with everything. The outcome stays until it has been acted on and
// [Runner.Forget] is called, so that a hook which is killed after the flow but
// before Juju has what came of it does not do the work twice.
//
// [Linear], [Unordered] and [Graph] flows contain tasks and each other. What
// tasks require is checked before anything runs; see [Compile].
//
// # What is promised
//
// Before a task executes, and after it has, a record is written and synced to
// the disk. So after a kill it is known which tasks are done, which may be half
// done, and which have not begun. A task that may be half done is executed again
// or, on the way back, reverted: at least once, never exactly once. That is why
// [Task] asks for idempotent functions, and why ids are made in Execute. The
// journal is locked, so two processes do not work on one run; a record torn off
// at its end is cut. Values that hold a [Secret] are written as a reference.
//
// The semantics are those of OpenStack's TaskFlow, with these differences: a
// context that ends suspends a run instead of failing it; a Revert that fails
// holds up only the tasks it depends on, and is tried again; changed flows are
// noticed and reverted. Retrying is per task.
//
// # Why not a library
//
// Three embedded workflow engines were weighed for charms: by the size of a
// stripped program that uses one, where an empty program that encodes JSON has
// 1.9 MB, and by killing a process in the second of two activities, of which the
// first one was to be compensated after the second had failed.
//
//	github.com/Azure/go-workflow v0.1.13           2.2 MB  keeps nothing: a killed run is lost, and nothing is reverted
//	github.com/cschleiden/go-workflows v0.19.0    10.6 MB  resumed, and compensated by hand, after 120 s
//	github.com/microsoft/durabletask-go v0.6.0    14.5 MB  resumed, and compensated by hand, after 124 s
//	this package                                   2.8 MB  resumed and reverted at once
//
// The two durable ones wait until a lock of two minutes has expired before they
// touch what was running, which a hook cannot; they keep everything in an SQLite
// file of mode 0644; undoing is code in the orchestration, which must be
// deterministic; and both need workers that poll. This package is some 2,000
// lines, comments included, over the standard library.
package flow
