package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/jujusim/jujuc"
	"github.com/charmed-go/charms/jujusim/model"
)

// hookStory is one line of hooktools.jsonl.
type hookStory struct {
	ID    string          `json:"id"`
	Kind  string          `json:"kind"`
	Model json.RawMessage `json:"model"`
	Steps []hookStep      `json:"steps"`
}

type hookStep struct {
	Set            *hookSet          `json:"set"`
	Unit           string            `json:"unit"`
	Hook           string            `json:"hook"`
	Action         string            `json:"action"`
	Params         map[string]any    `json:"params"`
	Exec           bool              `json:"exec"`
	Relation       *int              `json:"relation"`
	RemoteUnit     string            `json:"remote-unit"`
	RemoteApp      string            `json:"remote-app"`
	DepartingUnit  string            `json:"departing-unit"`
	Secret         string            `json:"secret"`
	SecretLabel    string            `json:"secret-label"`
	SecretRevision int               `json:"secret-revision"`
	Workload       string            `json:"workload"`
	Files          map[string]string `json:"files"`
	Exit           int               `json:"exit"`
	Calls          []hookCall        `json:"calls"`
	Env            map[string]string `json:"env"`
	Outcome        string            `json:"outcome"`
	Changes        any               `json:"changes"`
}

type hookCall struct {
	Tool      string   `json:"tool"`
	Args      []string `json:"args"`
	Stdin     *string  `json:"stdin"`
	Exit      int      `json:"exit"`
	Stdout    string   `json:"stdout"`
	Stderr    string   `json:"stderr"`
	Unordered bool     `json:"unordered"`
}

// hookSet changes the world between two executions.
type hookSet struct {
	Leader map[string]string              `json:"leader"`
	Config map[string]map[string]any      `json:"config"`
	Data   map[int]map[string]model.Bag   `json:"data"`
	Units  map[int]model.Units            `json:"units"`
	Joined map[int]map[string]model.Units `json:"joined"`
	Life   map[int]string                 `json:"life"`
}

func (s *hookSet) apply(m *model.Model) {
	for app, unit := range s.Leader {
		m.Applications[app].Leader = unit
	}
	for app, options := range s.Config {
		for name, value := range options {
			m.Applications[app].Config[name].Value = value
		}
	}
	for id, bags := range s.Data {
		maps.Copy(m.Relation(id).Data, bags)
	}
	for id, units := range s.Units {
		m.Relation(id).Units = units
	}
	for id, joined := range s.Joined {
		maps.Copy(m.Relation(id).Joined, joined)
	}
	for id, life := range s.Life {
		m.Relation(id).Life = life
	}
}

// hookWay is a way to call hook tools.
type hookWay struct {
	name string
	call func(t *testing.T, a *agent.Agent, dir string, c hookCall) hooktool.Result
}

// runHookTools plays a story through the agent's socket and in process, and one
// that was written by hand also through executed hook tools.
func runHookTools(t *testing.T, line []byte) {
	ways := []hookWay{{"socket", callSocket}, {"in process", callInProcess}}
	var story hookStory
	if err := json.Unmarshal(line, &story); err != nil {
		t.Fatal(err)
	}
	if story.Kind == "hand" {
		ways = append(ways, hookWay{"executed", callExecuted})
	}
	for _, way := range ways {
		player := &hookPlayer{way: way, model: new(model.Model)}
		if err := json.Unmarshal(story.Model, player.model); err != nil {
			t.Fatal(err)
		}
		// A socket's path must be short.
		dir, err := os.MkdirTemp("", "hook")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		player.dir = dir
		for i, step := range story.Steps {
			player.step(t, i, step)
			if t.Failed() {
				return
			}
		}
	}
}

type hookPlayer struct {
	way     hookWay
	model   *model.Model
	dir     string
	secrets []string
	action  string
}

func (p *hookPlayer) step(t *testing.T, i int, s hookStep) {
	t.Helper()
	where := fmt.Sprintf("%s: step %d", p.way.name, i)
	if s.Set != nil {
		s.Set.apply(p.model)
		return
	}
	for name, content := range s.Files {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(p.expand(content)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	x := agent.Execution{
		Unit: s.Unit, Hook: s.Hook, Action: s.Action, Params: s.Params, Exec: s.Exec,
		RemoteUnit: s.RemoteUnit, RemoteApp: s.RemoteApp, DepartingUnit: s.DepartingUnit,
		Secret: p.expand(s.Secret), SecretLabel: s.SecretLabel, SecretRevision: s.SecretRevision,
		Workload: s.Workload, CharmDir: p.dir, Seed: uint64(i + 1), ToolsDir: p.dir,
	}
	if s.Relation != nil {
		x.Relation = strconv.Itoa(*s.Relation)
	}
	a, err := agent.New(p.model, x)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	defer a.Close()
	socket := filepath.Join(p.dir, "s")
	if err := a.Serve(socket); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	p.action = a.ActionID()
	p.compareEnv(t, where, s.Env, a.Env())
	for j, c := range s.Calls {
		expanded := c
		expanded.Args = make([]string, len(c.Args))
		for k, arg := range c.Args {
			expanded.Args[k] = p.expand(arg)
		}
		if c.Stdin != nil {
			stdin := p.expand(*c.Stdin)
			expanded.Stdin = &stdin
		}
		p.compareCall(t, fmt.Sprintf("%s, call %d: %s %q", where, j, c.Tool, c.Args), c, p.way.call(t, a, p.dir, expanded))
	}
	result, err := a.Finish(agent.Exit{Code: s.Exit})
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if got := recordedOutcome(result); got != s.Outcome {
		t.Errorf("%s: outcome %s (%v), want %s", where, result.Outcome, result.Err, s.Outcome)
	}
	p.compareChanges(t, where, s, result)
}

// recordedOutcome is the outcome as the recording has it. A failed commit of an
// action was recorded by the action's message, which an action that failed by
// its own word keeps; the reason is in its results all the same.
func recordedOutcome(r *agent.Result) string {
	if a := r.Changes.Action; a != nil && r.Outcome == agent.CommitFailed && a.Message != "committing requested changes failed" {
		return agent.Committed
	}
	return r.Outcome
}

var hookPlaceholder = regexp.MustCompile(`\$\{(secret-(\d+)|repeat:(.):(\d+)|charm-dir|action-id)\}`)

// expand replaces the placeholders of a recorded string but ${time}.
func (p *hookPlayer) expand(s string) string {
	return hookPlaceholder.ReplaceAllStringFunc(s, func(placeholder string) string {
		parts := hookPlaceholder.FindStringSubmatch(placeholder)
		switch {
		case parts[2] != "":
			if n, err := strconv.Atoi(parts[2]); err == nil && n <= len(p.secrets) {
				return p.secrets[n-1]
			}
			return placeholder
		case parts[3] != "":
			n, err := strconv.Atoi(parts[4])
			if err != nil {
				return placeholder
			}
			return strings.Repeat(parts[3], n)
		case parts[1] == "charm-dir":
			return p.dir
		}
		return p.action
	})
}

func (p *hookPlayer) compareEnv(t *testing.T, where string, want map[string]string, env []string) {
	t.Helper()
	got := hooktool.Process{Env: env}
	set := make(map[string]bool)
	for _, e := range env {
		key, _, _ := strings.Cut(e, "=")
		set[key] = true
	}
	for key := range strings.FieldsSeq(`JUJU_HOOK_NAME JUJU_DISPATCH_PATH JUJU_UNIT_NAME JUJU_MODEL_NAME
		JUJU_MODEL_UUID JUJU_VERSION JUJU_MACHINE_ID JUJU_PRINCIPAL_UNIT JUJU_AVAILABILITY_ZONE JUJU_RELATION
		JUJU_RELATION_ID JUJU_REMOTE_UNIT JUJU_REMOTE_APP JUJU_DEPARTING_UNIT JUJU_ACTION_NAME JUJU_ACTION_UUID
		JUJU_ACTION_TAG JUJU_WORKLOAD_NAME JUJU_SECRET_ID JUJU_SECRET_LABEL JUJU_SECRET_REVISION
		JUJU_CHARM_HTTP_PROXY JUJU_CHARM_HTTPS_PROXY JUJU_CHARM_FTP_PROXY JUJU_CHARM_NO_PROXY`) {
		value, wanted := want[key]
		if !wanted && (key == "JUJU_MACHINE_ID" || key == "JUJU_AVAILABILITY_ZONE") && p.model.Kubernetes() {
			continue
		}
		if wanted != set[key] || p.expand(value) != got.Getenv(key) {
			t.Errorf("%s: %s is %q (set: %v), want %q (set: %v)", where, key, got.Getenv(key), set[key], p.expand(value), wanted)
		}
	}
}

func (p *hookPlayer) compareCall(t *testing.T, where string, c hookCall, got hooktool.Result) {
	t.Helper()
	stdout, stderr := string(got.Stdout), string(got.Stderr)
	if c.Tool == "secret-add" && got.Code == 0 {
		uri := strings.TrimSpace(stdout)
		p.secrets = append(p.secrets, uri[strings.LastIndexAny(uri, "/:")+1:])
	}
	if got.Code != c.Exit {
		t.Errorf("%s: exit code %d, want %d; stderr %q, want %q", where, got.Code, c.Exit, clip(stderr), clip(p.expand(c.Stderr)))
		return
	}
	want := p.expand(c.Stdout)
	if !sameOutput(stdout, want, c.Unordered) {
		t.Errorf("%s: stdout\n got %q\nwant %q", where, clip(stdout), clip(want))
	}
	if want := p.expand(c.Stderr); stderr != want {
		t.Errorf("%s: stderr\n got %q\nwant %q", where, clip(stderr), clip(want))
	}
}

func clip(s string) string {
	if len(s) > 1500 {
		return s[:1500] + "…"
	}
	return s
}

func sameOutput(got, want string, unordered bool) bool {
	if !unordered {
		return matchTime(got, want)
	}
	var g, w []any
	if json.Unmarshal([]byte(got), &g) == nil && json.Unmarshal([]byte(want), &w) == nil {
		byText := func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
		slices.SortFunc(g, byText)
		slices.SortFunc(w, byText)
		return reflect.DeepEqual(g, w)
	}
	gl, wl := strings.Split(got, "\n"), strings.Split(want, "\n")
	slices.Sort(gl)
	slices.Sort(wl)
	return slices.Equal(gl, wl)
}

const hookTime = `\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\dZ|T\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))`

// matchTime compares texts, where ${time} stands for any time.
func matchTime(got, want string) bool {
	if !strings.Contains(want, "${time}") {
		return got == want
	}
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), regexp.QuoteMeta("${time}"), hookTime)
	return regexp.MustCompile(`^` + pattern + `$`).MatchString(got)
}

// compareChanges compares what the step changed, in its JSON form.
func (p *hookPlayer) compareChanges(t *testing.T, where string, step hookStep, result *agent.Result) {
	t.Helper()
	changes := result.Changes
	changes.Log = slices.DeleteFunc(slices.Clone(changes.Log), func(l agent.LogLine) bool { return l.Level == "TRACE" })
	text, err := json.Marshal(changes)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := p.expandAll(step.Changes)
	tidyChanges(got, step.Outcome)
	tidyChanges(want, step.Outcome)
	if !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("%s: changes\n got %s\nwant %s", where, clip(string(g)), clip(string(w)))
	}
}

// expandAll replaces the placeholders of all keys and strings.
func (p *hookPlayer) expandAll(v any) any {
	switch v := v.(type) {
	case string:
		return p.expand(v)
	case []any:
		for i := range v {
			v[i] = p.expandAll(v[i])
		}
	case map[string]any:
		expanded := make(map[string]any, len(v))
		for key, value := range v {
			expanded[p.expand(key)] = p.expandAll(value)
		}
		return expanded
	}
	return v
}

// tidyChanges takes out what the recording has not (times) or
// need not be compared (the reason of an action's failed commit), and puts
// lists in order.
func tidyChanges(changes any, outcome string) {
	c, _ := changes.(map[string]any)
	if action, ok := c["action"].(map[string]any); ok && outcome == agent.CommitFailed {
		delete(action["results"].(map[string]any), "stderr")
	}
	for _, kind := range []string{"units", "applications"} {
		things, _ := c[kind].(map[string]any)
		for _, thing := range things {
			if status, ok := thing.(map[string]any)["status"].(map[string]any); ok {
				delete(status, "since")
			}
		}
	}
	secrets, _ := c["secrets"].(map[string]any)
	for _, secret := range secrets {
		s, ok := secret.(map[string]any)
		if !ok {
			continue
		}
		delete(s, "next-rotate")
		if s["rotate"] == "" {
			s["rotate"] = "never"
		}
		if grants, ok := s["grants"].([]any); ok {
			slices.SortFunc(grants, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		} else {
			s["grants"] = []any{}
		}
		if s["consumers"] == nil {
			s["consumers"] = map[string]any{}
		}
	}
}

// callSocket calls a tool as Juju's client does: without standard input first,
// and again with it if the tool wants it.
func callSocket(t *testing.T, a *agent.Agent, dir string, c hookCall) hooktool.Result {
	t.Helper()
	env := hooktool.Process{Env: a.Env()}
	client, err := rpc.Dial("unix", env.Getenv("JUJU_AGENT_SOCKET_ADDRESS"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := agent.Request{ContextId: env.Getenv("JUJU_CONTEXT_ID"), Dir: dir, CommandName: c.Tool, Args: c.Args}
	var response agent.Response
	err = client.Call("Jujuc.Main", request, &response)
	if err != nil && err.Error() == "hook tool requires stdin, none supplied" {
		request.StdinSet = true
		if c.Stdin != nil {
			request.Stdin = []byte(*c.Stdin)
		}
		err = client.Call("Jujuc.Main", request, &response)
	}
	if err != nil {
		t.Fatalf("%s %q: %v", c.Tool, c.Args, err)
	}
	return hooktool.Result{Code: response.Code, Stdout: response.Stdout, Stderr: response.Stderr}
}

func callInProcess(t *testing.T, a *agent.Agent, _ string, c hookCall) hooktool.Result {
	t.Helper()
	call := hooktool.Call{Tool: c.Tool, Args: c.Args, Stdin: []byte{}}
	if c.Stdin != nil {
		call.Stdin = []byte(*c.Stdin)
	}
	result, err := a.Call(t.Context(), call)
	if err != nil {
		t.Fatalf("%s %q: %v", c.Tool, c.Args, err)
	}
	return result
}

// hookTools is where the executable hook tools are, once a story wants them.
var hookTools struct {
	build sync.Once
	dir   string
	err   error
}

// TestMain removes the hook tools that were built.
func TestMain(m *testing.M) {
	code := m.Run()
	if hookTools.dir != "" {
		os.RemoveAll(hookTools.dir)
	}
	os.Exit(code)
}

func hookToolDir() (string, error) {
	hookTools.build.Do(func() {
		if hookTools.dir, hookTools.err = os.MkdirTemp("", "hook-tools"); hookTools.err == nil {
			hookTools.err = jujuc.Build(context.Background(), hookTools.dir, agent.ToolNames(model.Juju3))
		}
	})
	return hookTools.dir, hookTools.err
}

func callExecuted(t *testing.T, a *agent.Agent, dir string, c hookCall) hooktool.Result {
	t.Helper()
	tools, err := hookToolDir()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(tools, c.Tool), c.Args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = a.Env(), dir, &stdout, &stderr
	if c.Stdin != nil {
		cmd.Stdin = strings.NewReader(*c.Stdin)
	}
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%s %q: %v", c.Tool, c.Args, err)
	}
	return hooktool.Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
}
