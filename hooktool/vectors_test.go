package hooktool_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/hooktool"
)

// A recorded call of one of Juju's own tools.
type recorded struct {
	Tool   string
	Args   []string
	Exit   int
	Stdout string
	Stderr string
}

// recordedCalls returns the distinct calls of the hooktools vectors.
func recordedCalls(t *testing.T) []recorded {
	t.Helper()
	dir := os.Getenv("CONFORMANCE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "internal", "conformance", "testdata")
	}
	var lines io.Reader
	f, err := os.Open(filepath.Join(dir, "hooktools.jsonl"))
	if lines = f; errors.Is(err, os.ErrNotExist) {
		if f, err = os.Open(filepath.Join(dir, "hooktools.jsonl.gz")); err == nil {
			lines, err = gzip.NewReader(f)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := map[string]bool{}
	var calls []recorded
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, 64<<20)
	for scanner.Scan() {
		var story struct{ Steps []struct{ Calls []recorded } }
		if err := json.Unmarshal(scanner.Bytes(), &story); err != nil {
			t.Fatal(err)
		}
		for _, step := range story.Steps {
			for _, c := range step.Calls {
				key := strings.Join(append([]string{c.Tool, c.Stdout, c.Stderr}, c.Args...), "\x00")
				if !seen[key] {
					seen[key] = true
					calls = append(calls, c)
				}
			}
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	if len(calls) < 1000 {
		t.Fatalf("%s holds only %d calls", f.Name(), len(calls))
	}
	return calls
}

var placeholder = regexp.MustCompile(`\$\{(secret-\d+|repeat:.:\d+|time)\}`)

// fill replaces the placeholders of a recorded output.
func fill(tool, s string) string {
	return placeholder.ReplaceAllStringFunc(s, func(p string) string {
		p = p[2 : len(p)-1]
		switch {
		case p == "time" && tool == "goal-state":
			return "2023-11-14 22:13:20Z"
		case p == "time":
			return "2023-11-14T22:13:20Z"
		case strings.HasPrefix(p, "secret-"):
			n := strings.TrimPrefix(p, "secret-")
			return someID[:len(someID)-len(n)] + n
		}
		n, _ := strconv.Atoi(p[len("repeat:x:"):])
		return strings.Repeat(p[len("repeat:"):len("repeat:x")], n)
	})
}

func has(args []string, flag string) bool { return slices.Contains(args, flag) }

// Every JSON output that Juju's tools were recorded to print is understood,
// and nothing of it lost.
func TestRecordedOutputs(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	read := map[string]int{}
	for _, call := range recordedCalls(t) {
		if call.Exit != 0 || !has(call.Args, "--format=json") ||
			slices.ContainsFunc(call.Args, func(a string) bool { return strings.HasPrefix(a, "--format=") && a != "--format=json" }) {
			continue
		}
		if call.Tool == "open-port" || call.Tool == "close-port" {
			continue // these print nothing
		}
		stdout := fill(call.Tool, call.Stdout)
		c := hooktool.New(printing(stdout))
		var generic any
		dec := json.NewDecoder(strings.NewReader(stdout))
		dec.UseNumber()
		if err := dec.Decode(&generic); err != nil {
			t.Fatalf("%s %q: %v", call.Tool, call.Args, err)
		}
		object, whole := generic.(map[string]any)
		method := call.Tool
		// got is turned into JSON, unless it is any already.
		var got any
		var err error
		switch {
		case call.Tool == "relation-ids":
			got, err = c.RelationIDs(ctx, "db")
		case call.Tool == "relation-list" && has(call.Args, "--app"):
			method += " --app"
			got, err = c.RelationApplication(ctx, "db:1")
		case call.Tool == "relation-list":
			got, err = c.RelationList(ctx, "db:1")
		case call.Tool == "relation-get" && whole:
			got, err = c.RelationGet(ctx, "db:1", "db/0")
		case call.Tool == "relation-model-get":
			var uuid string
			uuid, err = c.RelationModelUUID(ctx, "db:1")
			got = map[string]any{"uuid": uuid}
		case call.Tool == "config-get" && whole:
			got, err = c.Config(ctx)
		case call.Tool == "is-leader":
			got, err = c.IsLeader(ctx)
		case call.Tool == "leader-get" && whole:
			got, err = c.LeaderGet(ctx)
		case call.Tool == "status-get" && has(call.Args, "--application") && has(call.Args, "--include-data"):
			method += " --application"
			var s hooktool.ApplicationStatus
			s, err = c.ApplicationStatus(ctx)
			got = map[string]any{"application-status": map[string]any{"status": s.Application.Status, "message": s.Application.Message,
				"status-data": s.Application.Data, "units": s.Units}}
		case call.Tool == "status-get" && has(call.Args, "--include-data") && object["application-status"] == nil:
			got, err = c.Status(ctx)
		case call.Tool == "state-get" && (whole || generic == nil):
			var m map[string]string
			m, err = c.State(ctx)
			if got = m; generic == nil && m != nil && len(m) == 0 {
				got = nil
			}
		case call.Tool == "state-get" && has(call.Args, "--strict"):
			method += " --strict"
			got, _, err = c.StateGet(ctx, "k")
		case call.Tool == "unit-get":
			got, err = c.UnitGet(ctx, "private-address")
		case call.Tool == "network-get" && object["bind-addresses"] != nil:
			got, err = c.Network(ctx, "db")
		case call.Tool == "opened-ports" && has(call.Args, "--endpoints"):
			var ranges []hooktool.PortRange
			ranges, err = c.OpenedPorts(ctx)
			texts := []string{}
			for _, p := range ranges {
				text := p.String()
				if len(p.Endpoints) == 0 {
					text += " (*)"
				}
				texts = append(texts, text)
			}
			got = texts
		case call.Tool == "action-get" && whole:
			got, err = c.ActionParams(ctx)
		case call.Tool == "goal-state":
			var g hooktool.GoalState
			g, err = c.GoalState(ctx)
			one := func(m map[string]hooktool.GoalStatus) map[string]any {
				all := map[string]any{}
				for name, s := range m {
					all[name] = map[string]any{"status": s.Status, "since": s.Since.Format("2006-01-02 15:04:05Z07:00")}
				}
				return all
			}
			relations := map[string]any{}
			for endpoint, m := range g.Relations {
				relations[endpoint] = one(m)
			}
			got = map[string]any{"units": one(g.Units), "relations": relations}
		case call.Tool == "secret-ids":
			var uris []hooktool.SecretURI
			uris, err = c.SecretIDs(ctx)
			var ids []string
			for _, u := range uris {
				ids = append(ids, u.ID)
			}
			got = ids
			if list, ok := generic.([]any); ok {
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
			}
		case call.Tool == "secret-get" && whole:
			got, err = c.SecretGet(ctx, hooktool.SecretQuery{Label: "l"})
		case call.Tool == "secret-info-get":
			var i hooktool.SecretInfo
			i, err = c.SecretInfo(ctx, hooktool.SecretQuery{Label: "l"})
			info := map[string]any{"revision": i.Revision, "owner": i.Owner}
			for name, text := range map[string]string{"label": i.Label, "description": i.Description, "rotation": i.Rotate} {
				if text != "" {
					info[name] = text
				}
			}
			for name, at := range map[string]time.Time{"expiry": i.Expire, "rotates": i.NextRotate} {
				if !at.IsZero() {
					info[name] = at
				}
			}
			if i.Access != nil {
				info["access"] = i.Access
			}
			got = map[string]any{i.ID: info}
		case call.Tool == "storage-list":
			got, err = c.StorageList(ctx, "")
		default:
			continue // a form that no method asks for
		}
		if err != nil {
			t.Errorf("%s %q: %v", call.Tool, call.Args, err)
			continue
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again any
		dec = json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&again); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(again, generic) {
			t.Errorf("%s %q printed %.300s\nread as %.300s", call.Tool, call.Args, stdout, text)
		}
		read[method]++
	}
	want := []string{"action-get", "config-get", "goal-state", "is-leader", "leader-get", "network-get", "opened-ports", "relation-get",
		"relation-ids", "relation-list", "relation-list --app", "relation-model-get", "secret-get", "secret-ids", "secret-info-get",
		"state-get", "state-get --strict", "status-get", "status-get --application", "storage-list", "unit-get"}
	if got := slices.Sorted(maps.Keys(read)); !slices.Equal(got, want) {
		t.Errorf("read outputs of %q, want %q", got, want)
	}
}

// Every error that Juju's tools were recorded to give has a kind, and the
// message is Juju's own.
func TestRecordedErrors(t *testing.T) {
	t.Parallel()
	const noKind = "ERROR any unit level grants need to be revoked before granting access to the corresponding application\n"
	// What says so in the text is that kind; the rest is wrong arguments, as
	// their exit code 2 says, or a file that the caller named.
	says := []struct {
		text string
		kind error
	}{
		{"port range conflicts", hooktool.ErrConflict},
		{"already exists", hooktool.ErrConflict},
		{"is not the leader\n", hooktool.ErrNotLeader},
		{"settings: not the leader\n", hooktool.ErrNotLeader},
		{"ERROR cannot write relation settings\n", hooktool.ErrNotLeader},
		{"permission denied\n", hooktool.ErrPermission},
		{" exceeded\n", hooktool.ErrLimit},
		{"not found\n", hooktool.ErrNotFound},
		{"no network config found", hooktool.ErrNotFound},
		{"not running an action\n", hooktool.ErrNotAction},
		{"not supported", errors.ErrUnsupported},
		{"ERROR yaml: ", hooktool.ErrInvalid},
	}
	checked := 0
	for _, call := range recordedCalls(t) {
		if call.Exit == 0 || call.Stderr == noKind || strings.Contains(call.Stderr, "no such file or directory") ||
			strings.Contains(call.Stderr, "--primary-address must be") || strings.Contains(call.Stderr, "is not a valid unit or application") {
			continue
		}
		kind := hooktool.ErrInvalid
		found := call.Exit == 2
		for _, s := range says {
			if strings.Contains(call.Stderr, s.text) {
				kind, found = s.kind, true
				break
			}
		}
		if !found {
			t.Errorf("%s %q: the text %q is not known here", call.Tool, call.Args, call.Stderr)
			continue
		}
		c := hooktool.New(failing(call.Exit, call.Stderr))
		var err error
		if call.Tool == "relation-set" {
			err = c.RelationSet(t.Context(), "db:1", map[string]string{"a": "b"})
		} else {
			_, err = c.State(t.Context())
		}
		if !errors.Is(err, kind) {
			t.Errorf("%s: %v is not %q", call.Tool, err, kind)
		}
		var e *hooktool.Error
		if !errors.As(err, &e) || "ERROR "+e.Message+"\n" != call.Stderr {
			t.Errorf("%s: message %q of %q", call.Tool, e.Message, call.Stderr)
		}
		checked++
	}
	if checked < 100 {
		t.Errorf("checked only %d errors", checked)
	}
}
