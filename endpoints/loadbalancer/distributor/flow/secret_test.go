package flow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/flow"
)

type tlsPair struct {
	Cert string      `json:"cert"`
	Key  flow.Secret `json:"key"`
}

func (p *tlsPair) Secrets() []*flow.Secret { return []*flow.Secret{&p.Key} }

func TestSecretsStayOutOfTheJournal(t *testing.T) {
	t.Parallel()
	const private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ\n-----END PRIVATE KEY-----\n"
	dir := filepath.Join(t.TempDir(), "flows")
	ctx, cancel := context.WithCancel(t.Context())
	var got []byte
	again := flow.NewKey[tlsPair]("again")
	f := flow.Linear("f",
		&flow.Task{Name: "copy", Requires: flow.Keys(keyTLS), Provides: flow.Keys(again), Execute: func(_ context.Context, d *flow.Data) error {
			again.Set(d, keyTLS.Get(d))
			cancel()
			return nil
		}},
		&flow.Task{Name: "use", Requires: flow.Keys(again), Execute: func(_ context.Context, d *flow.Data) error {
			var err error
			if got, err = again.Get(d).Key.Reveal(); err != nil {
				return err
			}
			return fmt.Errorf("refused: %s", got)
		}})
	in := keyTLS.Value(tlsPair{Cert: "c", Key: flow.NewSecret([]byte(private))})
	if _, err := (&flow.Runner{Dir: dir}).Run(ctx, "run", f, in); err == nil {
		t.Fatal("not suspended")
	}
	if _, err := (&flow.Runner{Dir: dir}).Resume(t.Context(), "run", f); err == nil {
		t.Fatal("the failing task did not fail")
	}
	if string(got) != private {
		t.Errorf("after the resume the key is %q", got)
	}
	journal, err := os.ReadFile(filepath.Join(dir, "run.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(journal), "MC4CAQAwBQ") || !strings.Contains(string(journal), "refused: [secret]") {
		t.Errorf("journal:\n%s", journal)
	}
	err = filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := (&flow.Runner{Dir: dir}).Forget("run"); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left after Forget: %v", left)
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	s := flow.NewSecret([]byte("hunter2"))
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s, "in", struct{ S flow.Secret }{s})
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s),
		fmt.Sprintf("%+v %#v", tlsPair{Key: s}, &tlsPair{Key: s}), log.String(), string(text)} {
		if strings.Contains(got, "hunter2") || strings.Contains(got, "68756e74657232") {
			t.Errorf("printed: %s", got)
		}
	}
	var back flow.Secret
	if err := json.Unmarshal(text, &back); err != nil || !back.Equal(s) {
		t.Errorf("Unmarshal = %v, %v", back, err)
	}
	if _, err := back.Reveal(); !errors.Is(err, flow.ErrNoContent) {
		t.Errorf("Reveal = %v", err)
	}
	back.Fill(s)
	if c, err := back.Reveal(); err != nil || string(c) != "hunter2" {
		t.Errorf("Reveal = %q, %v", c, err)
	}
}
