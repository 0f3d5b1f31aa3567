package jujusim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
)

// ErrKilled is the cause with which the context of a charm that is killed ends,
// and what its hook tools return from then on.
var ErrKilled = errors.New("the charm's process was killed")

// grace is how long charm code in this process may take to end after it was
// killed.
const grace = 10 * time.Second

// A Running is a hook, an action or a juju-exec that was started and has not
// been waited for.
type Running struct {
	m        *Model
	u        *unit
	hook     Hook
	dispatch *Dispatch
	agent    *agent.Agent
	program  func(ctx context.Context, p hooktool.Process) int
	argv     []string
	stdin    string

	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
	began  time.Time
	finish sync.Once

	// of the process, once done is closed
	code           int
	missing        bool // the charm has no program for it
	stdout, stderr output

	// what the hook is about, as it was when it started
	configStamp uint64
	bag         seen

	mu     sync.Mutex
	number int // of the last call
	calls  []Call
	log    []LogLine
	dead   bool
	// orphan says that it was killed with its agent.
	orphan bool

	result *agent.Result
	err    error
}

func (r *Running) title() string { return r.dispatch.title() }

// output keeps what a process prints, up to a limit.
type output struct {
	bytes.Buffer
	lost bool
}

const maxOutput = 1 << 20

func (o *output) Write(p []byte) (int, error) {
	if room := maxOutput - o.Len(); room < len(p) {
		o.lost = true
		o.Buffer.Write(p[:max(room, 0)])
		return len(p), nil
	}
	return o.Buffer.Write(p)
}

// Start starts a hook that is legal now, and returns while it runs. Wait for
// it; until then the unit and its machine do nothing else. The error says why
// Juju would not run the hook, or that it could not be started.
func (m *Model) Start(ctx context.Context, h Hook) (*Running, error) {
	m.lock()
	u := m.units[h.Unit]
	if u == nil {
		m.unlock()
		return nil, fmt.Errorf("cannot run %s: there is no unit %q", h, h.Unit)
	}
	if err := u.legal(h); err != nil {
		m.unlock()
		return nil, fmt.Errorf("cannot run %s: %w", h, err)
	}
	u.begin(h)
	x := u.execution(h)
	r := m.launch(ctx, u, h, h.Name)
	r.configStamp = u.app.configStamp
	if ur := u.relation(h.Relation); ur != nil && h.relationKind() != "" {
		owner := h.Remote
		if owner == "" {
			owner = ur.remoteApp()
		}
		if bag := ur.r.bags[owner]; bag != nil {
			r.bag = bag.seen
		}
	}
	m.unlock()
	if err := r.start(x); err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", h, err)
	}
	return r, nil
}

// launch marks the unit as running. The model is locked.
func (m *Model) launch(ctx context.Context, u *unit, h Hook, at string) *Running {
	r := &Running{m: m, u: u, hook: h, done: make(chan struct{}), began: time.Now()}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.dispatch = &Dispatch{Seq: len(m.history) + 1, Unit: u.name, At: at, Hook: h, Machine: u.machine.id, Start: m.tick()}
	m.history = append(m.history, r.dispatch)
	u.running = r
	u.machine.running = r
	u.update()
	return r
}

// execution is what the unit's agent has to know of the hook.
func (u *unit) execution(h Hook) agent.Execution {
	x := agent.Execution{Unit: u.name, Hook: h.Name}
	if h.relationKind() != "" {
		ur := u.relation(h.Relation)
		x.Relation = strconv.Itoa(h.Relation)
		x.RemoteUnit = ur.r.data.Seen(u.name, h.Remote)
		if h.relationKind() == "departed" {
			x.DepartingUnit = x.RemoteUnit
			if u.dying {
				x.DepartingUnit = u.name
			}
		}
	}
	if h.Secret != "" {
		x.Secret = "secret:" + h.Secret
		x.SecretRevision = h.Revision
		x.SecretLabel = u.secretLabel(h.Secret)
	}
	x.Storage = h.Storage
	return x
}

// start prepares the charm directory and the agent and starts the process.
func (r *Running) start(x agent.Execution) error {
	m, u := r.m, r.u
	if err := r.prepare(&x); err != nil {
		r.cancel(nil)
		m.lock()
		r.release()
		m.history = slices.DeleteFunc(m.history, func(d *Dispatch) bool { return d == r.dispatch })
		m.unlock()
		return err
	}
	m.emit(Event{Kind: DispatchStarted, Unit: u.name, Dispatch: r.dispatch, Text: r.title()})
	go func() {
		defer close(r.done)
		r.run()
	}()
	return nil
}

func (r *Running) prepare(x *agent.Execution) error {
	m, u := r.m, r.u
	if err := u.charmDir(); err != nil {
		return err
	}
	x.CharmDir, x.ToolsDir = u.dir, m.opts.ToolsDir
	x.Seed = m.opts.Seed<<20 + uint64(r.dispatch.Seq)
	x.Now = func() time.Time { return r.dispatch.Start }
	x.Log = func(level, message string) { r.logged(LogLine{level, message}) }
	x.Kill, x.Around = r.Kill, r.around
	x.Cache = &u.cache
	a, err := agent.New(m.data, *x)
	if err != nil {
		return err
	}
	r.agent = a
	if r.program == nil && r.argv == nil {
		r.program = u.charm.run
	}
	if r.program == nil || m.opts.SocketInProcess {
		socket := filepath.Join(m.dir, fmt.Sprintf("%d.socket", r.dispatch.Seq))
		if err := a.Serve(socket); err != nil {
			return errors.Join(err, a.Close())
		}
	}
	r.dispatch.Env = a.Env()
	r.dispatch.Charm = u.charm.number
	return nil
}

// charmDir makes the unit's charm directory what it has to be.
func (u *unit) charmDir() error {
	if u.dir == "" {
		dir := filepath.Join(u.m.dir, strings.ReplaceAll(u.name, "/", "-"), "charm")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("cannot make the charm directory: %w", err)
		}
		if err := u.charm.stage(u.m.dir); err != nil {
			return err
		}
		files, err := u.charm.unpack(dir)
		if err != nil {
			return err
		}
		u.dir, u.files, u.unpacked = dir, files, u.charm
	}
	if u.unpacked != u.charm {
		if err := u.charm.stage(u.m.dir); err != nil {
			return err
		}
		files, err := u.charm.upgrade(u.dir, u.files)
		if err != nil {
			return err
		}
		u.files, u.unpacked = files, u.charm
	}
	return nil
}

// run runs the process to its end.
func (r *Running) run() {
	if r.program != nil {
		r.inProcess()
		return
	}
	argv := r.argv
	if argv == nil {
		path := ""
		for _, e := range r.dispatch.Env {
			if p, ok := strings.CutPrefix(e, "JUJU_DISPATCH_PATH="); ok {
				path = p
			}
		}
		file := program(r.u.dir, path)
		if file == "" {
			r.missing = true
			return
		}
		argv = []string{file}
	}
	err := r.execute(argv)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			r.code = agent.Killed
			// Other signals than these are failures of the charm.
			if s := status.Signal(); s != syscall.SIGKILL && s != syscall.SIGTERM {
				r.code = 128 + int(s)
			}
		}
	default:
		r.code = 1
		fmt.Fprintf(&r.stderr, "cannot run %s: %v\n", argv[0], err)
	}
}

// execute runs the charm's program. A file that was just written is busy as
// long as another process, started meanwhile, has not closed it; that passes.
func (r *Running) execute(argv []string) error {
	for try := 0; ; try++ {
		cmd := exec.CommandContext(r.ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = r.u.dir, r.dispatch.Env
		cmd.Stdout, cmd.Stderr = &r.stdout, &r.stderr
		if r.stdin != "" {
			cmd.Stdin = strings.NewReader(r.stdin)
		}
		// A service that the charm starts may keep its output open.
		cmd.WaitDelay = time.Second
		err := cmd.Run()
		if !errors.Is(err, syscall.ETXTBSY) || try == 100 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (r *Running) inProcess() {
	p := hooktool.Process{
		Env: r.dispatch.Env, Dir: r.u.dir,
		Stdin:  strings.NewReader(r.stdin),
		Stdout: &r.stdout, Stderr: &r.stderr,
	}
	if !r.m.opts.SocketInProcess {
		p.Tools = direct{r.agent}
	}
	ended := make(chan int, 1)
	stdout, stderr := new(output), new(output)
	p.Stdout, p.Stderr = stdout, stderr
	go func() {
		code := 2
		defer func() {
			if cause := recover(); cause != nil {
				// The cause comes last: an error's last line is what is shown of it.
				fmt.Fprintf(stderr, "%s\npanic: %v\n", debug.Stack(), cause)
			}
			ended <- code
		}()
		code = r.program(r.ctx, p)
	}()
	var late <-chan time.Time
	stopped := r.ctx.Done()
	for {
		select {
		case r.code = <-ended:
			r.stdout, r.stderr = *stdout, *stderr
			return
		case <-stopped:
			stopped, late = nil, time.After(grace)
		case <-late:
			r.code = agent.Killed
			r.mu.Lock()
			r.log = append(r.log, LogLine{"ERROR", fmt.Sprintf("the charm's code did not end within %s of being killed", grace)})
			r.mu.Unlock()
			return
		}
	}
}

// Kill kills the process, as SIGKILL does.
func (r *Running) Kill() {
	r.mu.Lock()
	r.dead = true
	r.mu.Unlock()
	r.cancel(ErrKilled)
}

// KillAgent kills the process together with the unit's agent, which starts
// again. Unless failed hooks are retried the unit is then in error for the hook.
func (r *Running) KillAgent() {
	r.mu.Lock()
	r.orphan = true
	r.mu.Unlock()
	r.Kill()
}

// Done is closed when the process has ended and Wait does not wait any more.
func (r *Running) Done() <-chan struct{} { return r.done }

func (r *Running) killed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dead
}

func (r *Running) logged(line LogLine) {
	r.mu.Lock()
	r.log = append(r.log, line)
	r.mu.Unlock()
	r.m.emit(Event{Kind: Logged, Unit: r.u.name, Dispatch: r.dispatch, Line: line})
}

// Wait waits for the end of the process, commits or discards what it did, and
// returns how it went. A hook that failed is no error here; the dispatch says
// so, and so does Settle.
func (r *Running) Wait() (*Dispatch, error) {
	r.wait()
	return r.dispatch, r.err
}

func (r *Running) wait() {
	r.finish.Do(func() {
		<-r.done
		events := r.end()
		r.m.emit(events...)
	})
}

// end closes the books on a process that has ended.
func (r *Running) end() []Event {
	m, u, d := r.m, r.u, r.dispatch
	r.passExit()
	if r.killed() || context.Cause(r.ctx) != nil {
		r.code = agent.Killed
	}
	r.cancel(nil)
	result, err := r.agent.Finish(agent.Exit{Code: r.code, Missing: r.missing, Stdout: r.stdout.Bytes(), Stderr: r.stderr.Bytes()})
	if cerr := r.agent.Close(); err == nil {
		err = cerr
	}
	m.lock()
	defer m.unlock()
	r.result, r.err = result, err
	r.release()
	d.End, d.Duration, d.Exit = m.tick(), time.Since(r.began), r.code
	r.mu.Lock()
	// Calls of threads that the process left behind come too late.
	d.Calls, d.Log = slices.Clip(r.calls), slices.Clip(r.log)
	r.mu.Unlock()
	d.Log = append(d.Log, lines("DEBUG", r.stdout)...)
	d.Log = append(d.Log, lines("WARNING", r.stderr)...)
	switch {
	case err != nil:
		d.Outcome, d.Err = Failed, err.Error()
	case r.code == agent.Killed, result.Changes.RebootNow:
		d.Outcome = Killed
	case result.Outcome == agent.Committed:
		d.Outcome = Done
	default:
		d.Outcome = Failed
	}
	if result != nil {
		if result.Err != nil {
			d.Err = result.Err.Error()
		}
		d.Changes = result.Changes
		for id, c := range d.Changes.Relations {
			if c.Joined = nil; c.Data == nil {
				delete(d.Changes.Relations, id)
			}
		}
	}
	if result != nil && (result.Changes.Reboot || result.Changes.RebootNow) {
		u.machine.reboot()
	}
	events := []Event{{Kind: DispatchEnded, Unit: u.name, Dispatch: d, Text: fmt.Sprintf("%s: %s", d.title(), d.Outcome)}}
	if result != nil {
		m.announce(u, result.Changes)
	}
	if r.hook.Name != "" && !u.gone {
		events = append(events, u.ended(r)...)
	}
	return events
}

// release takes the mark of running from the unit and its machine.
func (r *Running) release() {
	r.u.running = nil
	r.u.machine.running = nil
	r.u.update()
	for _, other := range r.u.machine.units {
		other.update()
	}
}

func lines(level string, out output) []LogLine {
	var list []LogLine
	for line := range strings.Lines(out.String()) {
		list = append(list, LogLine{level, strings.TrimRight(line, "\n")})
	}
	if out.lost {
		list = append(list, LogLine{"WARNING", "more was printed than is kept"})
	}
	return list
}

// announce tells the units of what one of them changed. The model is locked.
func (m *Model) announce(u *unit, c agent.Changes) {
	for _, id := range sortedKeys(c.Relations) {
		if r := m.relations[id]; r != nil {
			for _, owner := range sortedKeys(c.Relations[id].Data) {
				r.commit(owner, u)
			}
		}
	}
	for _, app := range c.Applications {
		if app.LeaderSettings != nil {
			for _, other := range u.app.units {
				if other != u {
					other.settings = true
					other.update()
				}
			}
		}
	}
	m.secretEvents(c.Secrets)
	for _, s := range c.Storage {
		for range s.Count {
			m.addStorage(u, s.Name)
		}
	}
}
