package hooktool_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/charmed-go/charms/hooktool"
)

// The texts of Juju 3.6 and 4.0, by tool, and what they are.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	kinds := []error{hooktool.ErrNotLeader, hooktool.ErrPermission, hooktool.ErrNotFound, hooktool.ErrUnknownTool, hooktool.ErrLimit,
		hooktool.ErrNotAction, hooktool.ErrInvalid, hooktool.ErrConflict, hooktool.ErrNotInHook, hooktool.ErrUnanswered, errors.ErrUnsupported}
	for _, test := range []struct {
		tool string
		code int
		text string
		kind error
	}{
		{"relation-get", 2, "no relation id specified", hooktool.ErrInvalid},
		{"relation-get", 2, `invalid value "99" for option -r: relation not found`, hooktool.ErrNotFound},
		{"relation-get", 2, `invalid value "foo" for option -r: invalid relation id`, hooktool.ErrInvalid},
		{"relation-get", 1, "permission denied", hooktool.ErrPermission},
		{"relation-get", 1, "relation unit not found", hooktool.ErrNotFound},
		{"relation-get", 1, `cannot read settings for unit "db/9" in relation "app:db db:server": unit "db/9": settings not found`, hooktool.ErrNotFound},
		{"relation-get", 2, `expected unit name, got application name "db"`, hooktool.ErrInvalid},
		{"relation-set", 1, "cannot write relation settings", hooktool.ErrNotLeader},
		{"relation-set", 1, "yaml: control characters are not allowed", hooktool.ErrInvalid},
		{"relation-set", 1, "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!map into string", hooktool.ErrInvalid},
		{"relation-set", 2, `key "this unit is not the leader" specified more than once`, hooktool.ErrInvalid},
		{"leader-set", 1, "cannot write leadership settings: cannot write settings: not the leader", hooktool.ErrNotLeader},
		{"leader-get", 1, "bad request: unknown command: leader-get", hooktool.ErrUnknownTool},
		{"status-set", 1, "this unit is not the leader", hooktool.ErrNotLeader},
		{"status-get", 1, "finding application status: this unit is not the leader", hooktool.ErrNotLeader},
		{"status-set", 2, `invalid status "bogus", expected one of [maintenance blocked waiting active]`, hooktool.ErrInvalid},
		{"secret-add", 2, `key "k" not valid`, hooktool.ErrInvalid},
		{"secret-add", 1, `secret with label "x" already exists`, hooktool.ErrConflict},
		{"secret-get", 1, `getting latest secret revision: secret label "own" for owner "app/0" already exists`, hooktool.ErrConflict},
		{"secret-get", 1, `consumer label "x" not found`, hooktool.ErrNotFound},
		{"secret-get", 1, `"cn3/0" is not allowed to read this secret`, hooktool.ErrPermission},
		{"secret-add", 2, `secret content for key "pem" too large: 1048577 bytes`, hooktool.ErrLimit},
		{"secret-add", 2, `secret content too large: 1048577 bytes`, hooktool.ErrLimit},
		{"storage-add", 1, `invalid storage name: "nope", expected one of: data`, hooktool.ErrNotFound},
		{"credential-get", 1, `cannot access cloud credentials: permission denied`, hooktool.ErrPermission},
		{"secret-get", 1, `secret "secret:x" not found`, hooktool.ErrNotFound},
		{"secret-grant", 1, `any unit level grants need to be revoked before granting access to the corresponding application`, nil},
		{"state-get", 1, `"not the leader" not found`, hooktool.ErrNotFound},
		{"state-set", 1, "max allowed value length (65536) exceeded", hooktool.ErrLimit},
		{"state-set", 1, "max allowed key length (256) exceeded", hooktool.ErrLimit},
		{"state-set", 1, "max allowed value length (65536): quota limit exceeded", hooktool.ErrLimit},
		{"network-get", 1, `no network config found for binding "nope"`, hooktool.ErrNotFound},
		{"network-get", 1, `no bind address attached to space for binding "x"`, nil},
		{"open-port", 1, "port ranges are not supported for k8s applications, please specify a single port", errors.ErrUnsupported},
		{"open-port", 1, `cannot open 80-90/tcp (unit "a/0"): port range conflicts with 80/tcp (unit "b/0")`, hooktool.ErrConflict},
		{"action-get", 1, "not running an action", hooktool.ErrNotAction},
		{"action-set", 2, `cannot set reserved action key "stdout"`, hooktool.ErrInvalid},
		{"is-leader", 1, "leadership status unknown: lease is being renewed", nil},
		{"juju-reboot", 1, "juju-reboot is not supported when running an action.", errors.ErrUnsupported},
		{"status-set", 1, "not implemented for restricted context", errors.ErrUnsupported},
		{"is-leader", 1, `bad request: wrong context ID; got "x"`, hooktool.ErrNotInHook},
		{"is-leader", 1, "JUJU_AGENT_SOCKET_ADDRESS not set", hooktool.ErrNotInHook},
		{"is-leader", 1, "bad request: Dir is not absolute", hooktool.ErrInvalid},
		{"is-leader", 2, "option provided but not defined: --zzz", hooktool.ErrInvalid},
	} {
		c := hooktool.New(failing(test.code, "ERROR "+test.text+"\n"))
		// Any method shows it; the tool's name matters to one text only.
		var err error
		if test.tool == "relation-set" {
			err = c.RelationSetApp(t.Context(), "db:1", map[string]string{"a": "b"})
		} else {
			_, err = c.State(t.Context())
		}
		var e *hooktool.Error
		if !errors.As(err, &e) || e.Code != test.code || e.Message != test.text {
			t.Errorf("%s: got %#v", test.text, e)
		}
		for _, kind := range kinds {
			if got, want := errors.Is(err, kind), kind == test.kind; got != want {
				t.Errorf("%s: %s: is %q: %v, want %v", test.tool, test.text, kind, got, want)
			}
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for stderr, want := range map[string]string{
		"ERROR permission denied\n":     `cannot read the data of db/0 in relation "db:1": relation-get: permission denied`,
		"WARNING old\nERROR oh\n  no\n": "relation-get: oh\n  no",
		"panic":                         "relation-get: panic",
		"":                              "relation-get: exit code 7",
		"ERROR " + strings.Repeat("é", 5000) + "\n":   strings.Repeat("é", 1000),
		"--format flag deprecated\nERROR something\n": "relation-get: something",
	} {
		_, err := hooktool.New(failing(7, stderr)).RelationGet(t.Context(), "db:1", "db/0")
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 3000 {
			t.Errorf("%q: got %.200v, want %.200q", stderr, err, want)
		}
	}
	_, err := hooktool.New(failing(1, "ERROR permission denied\nsomething of the shell's\n")).State(t.Context())
	if !errors.Is(err, hooktool.ErrPermission) {
		t.Errorf("got %v", err)
	}
	// What is printed but not understood may be secret.
	_, err = hooktool.New(printing(`{"a":"hush"`)).RelationGet(t.Context(), "db:1", "db/0")
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v", err)
	}
	// Neither does a secret tool's text show content, whatever Juju says.
	c := hooktool.New(failing(1, "ERROR cannot store hushhush, aHVzaGh1c2g= in the vault\n"))
	_, err = c.SecretAdd(t.Context(), hooktool.Secret{Content: map[string]string{"key": "hushhush"}})
	if err == nil || strings.Contains(err.Error(), "hushhush") || strings.Contains(err.Error(), "aHVz") ||
		!strings.Contains(err.Error(), "in the vault") {
		t.Errorf("got %v", err)
	}
	if !strings.HasPrefix(err.Error(), "cannot add a secret: secret-add: ") {
		t.Errorf("got %v", err)
	}
}
