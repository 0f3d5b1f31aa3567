package agent

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/model"
)

// ErrEnded is returned by calls that come after the execution has ended.
var ErrEnded = errors.New("the hook context has ended")

// A RequestError is a request that reached no hook tool, with the text that
// Juju's agent gives over its socket.
type RequestError struct {
	Text string
}

func (e *RequestError) Error() string { return e.Text }

// An Execution says what is run on a unit: a hook, an action or the commands of
// juju-exec. Names of remote units and applications are those the unit sees.
type Execution struct {
	// Unit is the unit that runs it.
	Unit string

	// Hook is the hook's full name, such as "db-relation-joined".
	Hook string
	// Action is the name of an action, ActionID its id (empty: one is made)
	// and Params its parameters, as JSON or YAML decode to.
	Action   string
	ActionID string
	Params   map[string]any
	// Exec says that commands of juju-exec are run, the tool on the unit's
	// machine. Those of the client command "juju exec" are the action
	// "juju-exec", with the parameters command and timeout.
	Exec bool

	// Relation is the id of the relation of a relation hook, or the one that
	// was given to juju-exec: "1" or "db:1".
	Relation string
	// RemoteUnit is empty in relation-created, relation-broken and in
	// relation-changed for application data. RemoteApp defaults to its
	// application, else to the other side of the relation. For juju-exec
	// RemoteUnit defaults to the only member of the relation.
	RemoteUnit, RemoteApp string
	// DepartingUnit is the unit for which relation-departed is run; it may be
	// the unit itself.
	DepartingUnit string

	// Secret is the secret of a secret hook, as "secret:ID"; SecretLabel the
	// label the unit knows it by; SecretRevision the revision of secret-expired
	// and secret-remove, else 0.
	Secret, SecretLabel string
	SecretRevision      int

	// Workload is the container of a pebble hook; the notice fields and
	// CheckName belong to pebble-custom-notice and the check hooks.
	Workload                        string
	NoticeID, NoticeType, NoticeKey string
	CheckName                       string

	// TargetBase and TargetSeries are what pre-series-upgrade prepares for, such
	// as "ubuntu@22.04" and "jammy" (Juju 3).
	TargetBase, TargetSeries string

	// Storage is the id of the storage instance of a storage hook.
	Storage string

	// CharmDir is the charm directory. Relative paths of hook tools that are
	// called in process start there.
	CharmDir string
	// ToolsDir holds executable hook tools; it comes first in PATH, before
	// Path. An empty Path means the usual directories.
	ToolsDir, Path string
	// APIAddresses are the controller's addresses.
	APIAddresses []string

	// Seed makes the context id, action id and secret ids repeatable. Zero:
	// they are random.
	Seed uint64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log is called for each juju-log, after the tool is done; action-log
	// comes with level "ACTION". It may use the model. Nil drops them; they
	// are in the result in any case.
	Log func(level, message string)
	// Kill ends the charm's process; juju-reboot --now calls it.
	Kill func()
	// Around is called for each call of a tool, in process or over the socket,
	// with next, which runs it; what Around returns is the answer. It may run
	// in several goroutines at a time. Nil: just next.
	Around func(c hooktool.Call, next func() (hooktool.Result, error)) (hooktool.Result, error)
	// Cache keeps what the unit has read of remote bags from one of its
	// executions to the next, as Juju's agent does. Nil keeps nothing.
	Cache *Cache
}

// An Agent plays the unit agent for one execution. Its methods are safe for
// concurrent use; like Juju it runs one tool at a time.
type Agent struct {
	x         Execution
	m         *model.Model
	contextID string
	rand      *rand.Rand
	remoteApp string

	mu     sync.Mutex
	ended  bool
	server *server
	logs   []LogLine

	relations    map[int]*relation
	hookRelation *relation
	before       before

	notLeader      bool
	config         map[string]any
	status         *model.Status
	leaderSettings map[string]string
	state          *charmState
	ports          portChanges
	action         *ActionResult
	actionLogs     []string
	reboot         rebootPriority
	storage        []StorageRequest
	secrets        secretChanges
}

// New prepares an execution on a model. It locks the model while it looks.
func New(m *model.Model, x Execution) (*Agent, error) {
	m.Lock()
	defer m.Unlock()
	a := &Agent{m: m, x: x}
	if m.Unit(x.Unit) == nil {
		return nil, fmt.Errorf("cannot run %s: model %q has no unit %q", x.what(), m.Name, x.Unit)
	}
	if n := count(x.Hook != "", x.Action != "", x.Exec); n != 1 {
		return nil, fmt.Errorf("cannot run anything on unit %s: want a hook, an action or juju-exec, got %d of them", x.Unit, n)
	}
	if a.x.Now == nil {
		a.x.Now = time.Now
	}
	a.seed()
	a.relations = make(map[int]*relation)
	for _, r := range m.RelationsOf(x.Unit) {
		a.relations[r.ID] = &relation{Relation: r}
	}
	if err := a.enterRelation(); err != nil {
		return nil, fmt.Errorf("cannot run %s on unit %s: %w", x.what(), x.Unit, err)
	}
	a.x.Cache.prepare(a)
	if x.Action != "" {
		if a.x.ActionID == "" {
			a.x.ActionID = strconv.FormatUint(a.rand.Uint64N(1_000_000), 10)
		}
		a.action = &ActionResult{Status: "completed", Results: map[string]any{}}
	}
	if x.Storage != "" && m.Unit(x.Unit).Storage[x.Storage] == nil {
		return nil, fmt.Errorf("cannot run %s on unit %s: it has no storage %q", x.what(), x.Unit, x.Storage)
	}
	a.before = before{relations: make(map[int]*relationBefore)}
	return a, nil
}

func count(conditions ...bool) int {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// what names the execution in errors.
func (x *Execution) what() string {
	switch {
	case x.Hook != "":
		return fmt.Sprintf("hook %q", x.Hook)
	case x.Action != "":
		return fmt.Sprintf("action %q", x.Action)
	}
	return "juju-exec"
}

// exec reports whether commands are run, which are committed in any case.
func (x *Execution) exec() bool { return x.Exec || x.Action == "juju-exec" }

func (a *Agent) seed() {
	seed := a.x.Seed
	if seed == 0 {
		var random [8]byte
		// The result is never an error: see the documentation of crypto/rand.
		_, _ = crand.Read(random[:])
		seed = binary.LittleEndian.Uint64(random[:])
	}
	a.rand = rand.New(rand.NewPCG(seed, 0x6a756a75))
	name := a.x.Hook
	switch {
	case a.x.Action != "":
		name = "run-action-" + a.x.Action
		if a.x.exec() {
			name = a.x.Action
		}
	case a.x.Exec:
		name = "run-commands"
	}
	a.contextID = fmt.Sprintf("%s-%s-%d", a.x.Unit, name, a.rand.Uint64())
}

// enterRelation finds the relation of the execution and who is on its other
// side.
func (a *Agent) enterRelation() error {
	x := &a.x
	if x.Relation == "" {
		return nil
	}
	id, err := strconv.Atoi(x.Relation[strings.LastIndex(x.Relation, ":")+1:])
	if err != nil {
		return fmt.Errorf("relation id %q is not valid", x.Relation)
	}
	a.hookRelation = a.relations[id]
	if a.hookRelation == nil {
		// A unit that has left the scope still runs relation-broken.
		r := a.m.Relation(id)
		if r == nil {
			return fmt.Errorf("model %q has no relation %d", a.m.Name, id)
		}
		if _, ok := r.Local(x.Unit); !ok {
			return fmt.Errorf("it is not in relation %d", id)
		}
		a.hookRelation = &relation{Relation: r}
		a.relations[id] = a.hookRelation
	}
	if x.Exec {
		if x.RemoteUnit == "" {
			members := a.members(a.hookRelation)
			if len(members) != 1 {
				return fmt.Errorf("unable to determine remote-unit, please disambiguate: %q", members)
			}
			x.RemoteUnit = members[0]
		} else if actual := a.hookRelation.Actual(x.Unit, x.RemoteUnit); !a.hookRelation.IsMember(a.m, x.Unit, actual) {
			return fmt.Errorf("remote unit %q is not in relation %s", x.RemoteUnit, a.hookRelation.RelationID(x.Unit))
		}
		a.remoteApp = x.RemoteApp
		return nil
	}
	remote, _ := a.hookRelation.Remote(x.Unit)
	switch {
	case x.RemoteApp != "":
		a.remoteApp = x.RemoteApp
	case x.RemoteUnit != "":
		a.remoteApp = model.ApplicationOf(x.RemoteUnit)
	default:
		a.remoteApp = a.hookRelation.Seen(x.Unit, remote.Application)
	}
	return nil
}

// relationEvent is "joined" for the hook db-relation-joined, and so on; "" if
// it is no relation hook.
func (a *Agent) relationEvent() string {
	if a.hookRelation == nil {
		return ""
	}
	i := strings.LastIndex(a.x.Hook, "-relation-")
	if i < 0 {
		return ""
	}
	return a.x.Hook[i+len("-relation-"):]
}

// ContextID is the JUJU_CONTEXT_ID of the execution.
func (a *Agent) ContextID() string { return a.contextID }

// ActionID is the id of the action that is run, or "".
func (a *Agent) ActionID() string { return a.x.ActionID }

// Unit is the unit that runs.
func (a *Agent) Unit() string { return a.x.Unit }

// unit is the unit's own data. The model is locked.
func (a *Agent) unit() *model.Unit { return a.m.Unit(a.x.Unit) }

// application is the unit's own application. The model is locked.
func (a *Agent) application() *model.Application { return a.m.Application(a.x.Unit) }

// leader reports whether the unit leads. Once it does not, it does not for the
// rest of the execution.
func (a *Agent) leader() bool {
	if !a.notLeader && !a.m.IsLeader(a.x.Unit) {
		a.notLeader = true
	}
	return !a.notLeader
}

// Call runs a hook tool in process. It implements hooktool.Transport. An
// unknown tool, and a tool that wants a standard input where Stdin is nil, give
// a [RequestError]; after [Agent.Finish] every call gives [ErrEnded].
func (a *Agent) Call(ctx context.Context, c hooktool.Call) (hooktool.Result, error) {
	if err := ctx.Err(); err != nil {
		return hooktool.Result{}, err
	}
	return a.call(c, a.x.CharmDir)
}

func (a *Agent) call(c hooktool.Call, dir string) (hooktool.Result, error) {
	entry, ok := toolTable[c.Tool]
	if !ok || !entry.in(major(a.m.JujuVersion())) {
		return hooktool.Result{}, badRequest("unknown command: %s", c.Tool)
	}
	if a.x.Around != nil {
		return a.x.Around(c, func() (hooktool.Result, error) { return a.runCall(entry, c, dir) })
	}
	return a.runCall(entry, c, dir)
}

func (a *Agent) runCall(entry toolEntry, c hooktool.Call, dir string) (hooktool.Result, error) {
	result, logs, kill, err := a.locked(entry, c, dir)
	if a.x.Log != nil {
		for _, line := range logs {
			a.x.Log(line.Level, line.Message)
		}
	}
	if kill && a.x.Kill != nil {
		a.x.Kill()
	}
	return result, err
}

func (a *Agent) locked(entry toolEntry, c hooktool.Call, dir string) (result hooktool.Result, logs []LogLine, kill bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return hooktool.Result{}, nil, false, ErrEnded
	}
	a.m.Lock()
	defer a.m.Unlock()
	if a.unit() == nil {
		return hooktool.Result{}, nil, false, fmt.Errorf("cannot run %s: unit %s is gone from the model", c.Tool, a.x.Unit)
	}
	logged, rebooting := len(a.logs), a.reboot
	run := &call{dir: dir, stdin: c.Stdin, stdinSet: c.Stdin != nil}
	result, err = a.runTool(entry.make(a), c.Tool, c.Args, run)
	return result, slices.Clone(a.logs[logged:]), a.reboot == rebootNow && rebooting != rebootNow, err
}

func badRequest(format string, args ...any) error {
	return &RequestError{Text: "bad request: " + fmt.Sprintf(format, args...)}
}

// request answers a request that came over the socket.
func (a *Agent) request(r Request) (hooktool.Result, error) {
	switch {
	case r.Token != "" && !a.m.Juju4():
		return hooktool.Result{}, badRequest("token does not match")
	case r.CommandName == "":
		return hooktool.Result{}, badRequest("command not specified")
	case !filepath.IsAbs(r.Dir):
		return hooktool.Result{}, badRequest("Dir is not absolute")
	case r.ContextId != a.contextID:
		return hooktool.Result{}, badRequest("wrong context ID; got %q", r.ContextId)
	}
	c := hooktool.Call{Tool: r.CommandName, Args: r.Args}
	if r.StdinSet {
		c.Stdin = append([]byte{}, r.Stdin...)
	}
	return a.call(c, r.Dir)
}

// Close closes the socket, if [Agent.Serve] opened one, and its connections. It
// does not end the execution, so a charm may close its transport before
// [Agent.Finish]; what is buffered is dropped if Finish is never called.
func (a *Agent) Close() error {
	a.mu.Lock()
	s := a.server
	a.server = nil
	a.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.close()
}
