package hooktool_test

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/charmed-go/charms/hooktool"
)

// readers are the methods that decode an output.
func readers(ctx context.Context, c *hooktool.Client) map[string]func() error {
	query := hooktool.SecretQuery{URI: hooktool.SecretURI{ID: someID}}
	return map[string]func() error{
		"RelationIDs":         func() error { _, err := c.RelationIDs(ctx, "db"); return err },
		"RelationList":        func() error { _, err := c.RelationList(ctx, "db:1"); return err },
		"RelationApplication": func() error { _, err := c.RelationApplication(ctx, "db:1"); return err },
		"RelationGet":         func() error { _, err := c.RelationGet(ctx, "db:1", "db/0"); return err },
		"RelationModelUUID":   func() error { _, err := c.RelationModelUUID(ctx, "db:1"); return err },
		"Config":              func() error { _, err := c.Config(ctx); return err },
		"IsLeader":            func() error { _, err := c.IsLeader(ctx); return err },
		"Status":              func() error { _, err := c.Status(ctx); return err },
		"ApplicationStatus":   func() error { _, err := c.ApplicationStatus(ctx); return err },
		"State":               func() error { _, err := c.State(ctx); return err },
		"StateGet":            func() error { _, _, err := c.StateGet(ctx, "k"); return err },
		"Network":             func() error { n, err := c.Network(ctx, "db"); n.BindAddress(); n.IngressAddress(); return err },
		"OpenedPorts":         func() error { _, err := c.OpenedPorts(ctx); return err },
		"ActionParams":        func() error { _, err := c.ActionParams(ctx); return err },
		"GoalState":           func() error { _, err := c.GoalState(ctx); return err },
		"SecretAdd": func() error {
			_, err := c.SecretAdd(ctx, hooktool.Secret{Content: map[string]string{"key": "v"}})
			return err
		},
		"SecretGet":     func() error { _, err := c.SecretGet(ctx, query); return err },
		"SecretInfo":    func() error { _, err := c.SecretInfo(ctx, query); return err },
		"SecretIDs":     func() error { _, err := c.SecretIDs(ctx); return err },
		"StorageGet":    func() error { _, err := c.StorageGet(ctx, "data/0"); return err },
		"ResourceGet":   func() error { _, err := c.ResourceGet(ctx, "image"); return err },
		"CredentialGet": func() error { _, err := c.CredentialGet(ctx); return err },
	}
}

// Whatever a tool prints is understood or an error that says which tool.
func FuzzOutputs(f *testing.F) {
	for _, seed := range []string{"", "null", "true\n", `["db:1"]`, `{"a":"b"}`, `"x\ufffd"`, `{"k":"\ufffd"}`, `["80/tcp (a, b)","icmp (*)"]`,
		`{"application-status":{"units":{"a/0":{}}}}`, `{"units":{"a/0":{"since":"2023-11-14 22:13:20Z"}}}`, `{"x":{"expiry":"2035-01-02T03:04:05Z"}}`,
		`{"bind-addresses":[{"addresses":[null]}]}`, "secret:" + someID, `["` + someID + `"]`, `{} {}`, `{"n":1e999}`, `[`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, stdout string) {
		for name, read := range readers(t.Context(), hooktool.New(printing(stdout))) {
			err := read()
			var e *hooktool.Error
			if err != nil && !errors.As(err, &e) && !errors.Is(err, hooktool.ErrInvalid) {
				t.Errorf("%s of %q: %v", name, stdout, err)
			}
		}
	})
}

func FuzzErrors(f *testing.F) {
	f.Add(1, "ERROR permission denied\n")
	f.Add(2, "WARNING x\nERROR y\n  z")
	f.Add(-1, "")
	f.Fuzz(func(t *testing.T, code int, stderr string) {
		if code == 0 {
			return
		}
		err := hooktool.New(failing(code, stderr)).SetApplicationVersion(t.Context(), "1")
		var e *hooktool.Error
		if !errors.As(err, &e) || e.Code != code || e.Message == "" || len(e.Message) > 2100 {
			t.Errorf("%d %q: got %#v", code, stderr, e)
		}
	})
}

func FuzzParsePortRange(f *testing.F) {
	for _, seed := range []string{"80/tcp", "icmp (*)", "8000-8100/udp (a, b)", "80", "-/tcp"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := hooktool.ParsePortRange(s)
		if err != nil {
			return
		}
		again, err := hooktool.ParsePortRange(p.String())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%q is %+v, written %s, read %+v, %v", s, p, p, again, err)
		}
	})
}

func FuzzParseSecretURI(f *testing.F) {
	for _, seed := range []string{someID, "secret:" + someID, "secret://deadbeef-0bad-400d-8000-4b1d0d06f00d/" + someID, "secret:///"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := hooktool.ParseSecretURI(s)
		if err != nil {
			return
		}
		again, err := hooktool.ParseSecretURI(u.String())
		if err != nil || again != u || strings.ContainsAny(u.String(), " \n=") || s[0] == '-' {
			t.Errorf("%q is %+v, written %s, read %+v, %v", s, u, u, again, err)
		}
	})
}

// Whatever comes over the socket is an answer or an error.
func FuzzSocketAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Add([]byte{7, 0xff, 0x81, 3, 1, 1, 9, 1, 2})
	f.Add([]byte{})
	answers := make(chan []byte)
	a := newAgent(f, func(conn net.Conn) {
		select {
		case answer := <-answers:
			conn.Write(answer)
		case <-time.After(time.Second):
		}
	})
	p := a.process(f)
	f.Fuzz(func(t *testing.T, answer []byte) {
		s, err := hooktool.DialSocket(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		answers <- answer
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if res, err := s.Call(ctx, hooktool.Call{Tool: "is-leader"}); err == nil && res.Code == 0 && len(res.Stdout) == 0 && len(answer) == 0 {
			t.Error("no answer was taken for one")
		} else if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("still waiting after %v", err)
		}
	})
}

func FuzzLog(f *testing.F) {
	f.Add("x", 3)
	f.Add("é\n", 40_000)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if len(s) == 0 || n < 0 || n > (200<<10)/len(s) {
			return
		}
		message := strings.Repeat(s, n)
		var b logbook
		if err := hooktool.New(&b).Log(t.Context(), 0, message); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, line := range b.lines {
			got.WriteString(strings.TrimPrefix(line, "INFO "))
		}
		if !utf8.ValidString(got.String()) || utf8.ValidString(message) && !strings.Contains(message, "\x00") && got.String() != message {
			t.Errorf("%d times %q was changed", n, s)
		}
	})
}
