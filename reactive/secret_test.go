package reactive_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/model"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/reactivetest"
)

// A secret is made, granted, read, changed, read again, and its old revision
// removed; nothing of its content is logged or told to a tool in the open.
func TestSecretStory(t *testing.T) {
	t.Parallel()
	for _, version := range jujuVersions {
		m := newModel(t, jujusim.Options{Version: version})
		must(t, m.Deploy("vault", vault, jujusim.DeployOptions{Units: 2, Config: map[string]any{"password": "hush-hush"}}))
		must(t, m.Deploy("client", client, jujusim.DeployOptions{}))
		_, err := m.Relate("vault:access", "client:vault")
		must(t, err)
		must(t, m.Settle(t.Context()))
		if got := unitData(t, m, "client/0")["client.password"]; got != "hush-hush" {
			t.Errorf("%s: the client knows the password %v", version, got)
		}
		must(t, m.Configure("vault", map[string]any{"password": "psst-psst"}))
		must(t, m.Settle(t.Context()))
		if got := unitData(t, m, "client/0")["client.password"]; got != "psst-psst" {
			t.Errorf("%s: after it changed the client knows the password %v", version, got)
		}
		m.View(func(data *model.Model) {
			for _, s := range data.Secrets {
				if got := fmt.Sprintf("%v %s %s %q %d", slices.Sorted(maps.Keys(s.Revisions)), s.Label, s.Rotate, s.Description, len(s.Grants)); got != `[2] password daily "to get in" 1` {
					t.Errorf("%s: the secret is %s", version, got)
				}
			}
			if len(data.Secrets) != 1 {
				t.Errorf("%s: there are %d secrets", version, len(data.Secrets))
			}
		})
		for _, d := range m.History() {
			for _, line := range d.Log {
				if strings.Contains(line.Message, "hush-hush") || strings.Contains(line.Message, "psst-psst") {
					t.Errorf("%s: %s of %s logs %q", version, d.At, d.Unit, line.Message)
				}
			}
		}
		writesNothing(t, m)
	}
}

func TestSecretFlags(t *testing.T) {
	t.Parallel()
	secret := reactivetest.Secret{
		Owner: hooktool.OwnerApplication, Label: "password", Rotate: hooktool.RotateDaily, Expire: time.Now().Add(time.Hour),
		Revisions: map[int]map[string]string{1: {"password": "a"}, 2: {"password": "b"}},
	}
	for _, version := range jujuVersions {
		s := reactivetest.State{JujuVersion: version, Leader: true, Secrets: []reactivetest.Secret{secret}, Config: map[string]any{"password": "b"}}
		r := reactivetest.Run(t, vaultUnderTest, s, reactivetest.SecretRotate(secret))
		after, _ := r.State.Secret("password")
		if !r.Ran("rotate") || after.Revisions[3]["password"] != "b-rotated" || after.Tracked != 3 {
			t.Errorf("%s: secret-rotate ran %q and leaves %+v", version, r.Handlers(), after)
		}
		for _, f := range []string{"secret.rotate", "secret.rotate.password"} {
			if f := flags.New(f); !r.WasSet(f) || r.IsSet(f) {
				t.Errorf("%s: %s was set %v, and is %v", version, f, r.WasSet(f), r.IsSet(f))
			}
		}
		for _, e := range []reactivetest.Event{reactivetest.SecretExpired(secret, 1), reactivetest.SecretRemove(secret, 1)} {
			r := reactivetest.Run(t, vaultUnderTest, s, e)
			after, _ := r.State.Secret("password")
			if got := slices.Sorted(maps.Keys(after.Revisions)); !slices.Equal(got, []int{2}) {
				t.Errorf("%s: after %s the revisions are %v", version, e, got)
			}
		}
		// The same content once more is no new revision.
		r = reactivetest.Run(t, vaultUnderTest, s, reactivetest.ConfigChanged())
		if after, _ := r.State.Secret("password"); len(after.Revisions) != 2 {
			t.Errorf("%s: the same password again makes revisions %v", version, slices.Sorted(maps.Keys(after.Revisions)))
		}
	}
}

// Everything that can be done with an own secret, in one hook each.
func TestOwnSecrets(t *testing.T) {
	t.Parallel()
	type hookFunc = func(ctx context.Context, l *reactive.Leader, access *reactive.Endpoint) error
	run := func(t *testing.T, s reactivetest.State, do hookFunc) (*reactivetest.Result, error) {
		t.Helper()
		charm := reactivetest.Charm{Twice: false, Files: files(vaultMetadata), New: func() *reactive.Charm {
			c := reactive.New("vault")
			access := c.Endpoint("access", charmfile.Provider, "vault")
			c.HandleLeader("do", flags.Unless(flags.New("never")), func(ctx context.Context, l *reactive.Leader) error { return do(ctx, l, access) })
			return c
		}}
		r, err := charm.Run(t.Context(), s, reactivetest.UpdateStatus())
		must(t, err)
		return r, r.Err
	}
	state := func(version string) reactivetest.State {
		return reactivetest.State{
			JujuVersion: version, Leader: true,
			Relations: []reactivetest.Relation{{Endpoint: "access", ID: 1, Units: map[string]map[string]string{"client/0": nil}}},
			Secrets: []reactivetest.Secret{
				{Owner: hooktool.OwnerApplication, Label: "app", Revisions: map[int]map[string]string{1: {"key": "v"}}, Grants: []reactivetest.Grant{{To: "client", Relation: 1}}},
				{Owner: hooktool.OwnerUnit, Label: "unit", Revisions: map[int]map[string]string{1: {"key": "v"}}},
			},
		}
	}
	writes := func(r *reactivetest.Result) []string {
		var list []string
		for _, c := range r.Calls {
			if strings.HasPrefix(c.Tool, "secret-") && c.Writes() {
				list = append(list, c.Tool)
			}
		}
		return list
	}
	for _, version := range jujuVersions {
		for _, test := range []struct {
			name   string
			do     hookFunc
			writes string
		}{
			{"grant again", func(ctx context.Context, l *reactive.Leader, access *reactive.Endpoint) error {
				s, err := l.Secret(ctx, "app")
				if err != nil {
					return err
				}
				return s.Grant(ctx, access.Relations().At(0))
			}, "[]"},
			{"grant a unit, and revoke the application", func(ctx context.Context, l *reactive.Leader, access *reactive.Endpoint) error {
				s, err := l.Secret(ctx, "app")
				if err != nil {
					return err
				}
				rel := access.Relations().At(0)
				s.GrantUnit(rel, rel.Units().At(0))
				return s.Revoke(ctx, rel)
			}, "[secret-grant secret-revoke]"},
			{"change of mind", func(ctx context.Context, l *reactive.Leader, access *reactive.Endpoint) error {
				s, err := l.UnitSecret(ctx, "unit")
				if err != nil {
					return err
				}
				rel := access.Relations().At(0)
				s.GrantUnit(rel, rel.Units().At(0))
				s.RevokeUnit(rel, rel.Units().At(0))
				return nil
			}, "[]"},
			{"made and removed", func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				s, err := l.SetUnitSecret(ctx, hooktool.Secret{Label: "new", Content: map[string]string{"key": "v"}})
				if err != nil {
					return err
				}
				s.Remove()
				return nil
			}, "[secret-add secret-remove]"},
			{"new, with a grant", func(ctx context.Context, l *reactive.Leader, access *reactive.Endpoint) error {
				s, err := l.SetUnitSecret(ctx, hooktool.Secret{Label: "new", Content: map[string]string{"key": "v"}})
				if err != nil {
					return err
				}
				if s.URI().ID == "" || s.Label() != "new" || s.Info().Rotate != hooktool.RotateNever {
					return fmt.Errorf("the new secret is %+v", s.Info())
				}
				return s.Grant(ctx, access.Relations().At(0))
			}, "[secret-add secret-grant]"},
			{"new, then changed", func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				for _, v := range []string{"v", "w"} {
					if _, err := l.SetSecret(ctx, hooktool.Secret{Label: "new", Content: map[string]string{"key": v}}); err != nil {
						return err
					}
				}
				return nil
			}, "[secret-add secret-set]"},
			{"new description", func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				_, err := l.SetSecret(ctx, hooktool.Secret{Label: "app", Description: "what it is for", Rotate: hooktool.RotateHourly})
				return err
			}, "[secret-set]"},
			{"remove", func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				s, err := l.Secret(ctx, "app")
				if err != nil {
					return err
				}
				s.Remove()
				if again, err := l.Secret(ctx, "app"); again != nil || err != nil {
					return fmt.Errorf("the removed secret is %v, %v", again, err)
				}
				return nil
			}, "[secret-remove]"},
			{"none", func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				if s, err := l.Secret(ctx, "nope"); s != nil || err != nil {
					return fmt.Errorf("there is %v, %v", s, err)
				}
				return nil
			}, "[]"},
		} {
			r, err := run(t, state(version), test.do)
			if err != nil || fmt.Sprint(writes(r)) != test.writes {
				t.Errorf("%s: %s writes %v, want %s; error %v", version, test.name, writes(r), test.writes, err)
			}
		}
		for name, do := range map[string]hookFunc{
			`the secret with label "unit" is owned by the unit, not the application`: func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				_, err := l.Secret(ctx, "unit")
				return err
			},
			"a secret without a label cannot be told from others": func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				_, err := l.SetSecret(ctx, hooktool.Secret{Content: map[string]string{"key": "v"}})
				return err
			},
			`cannot make a secret with label "app" in the hook that removes the one that has it`: func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				s, err := l.Secret(ctx, "app")
				if err != nil {
					return err
				}
				s.Remove()
				_, err = l.SetSecret(ctx, hooktool.Secret{Label: "app", Content: map[string]string{"key": "v"}})
				return err
			},
			`the secret with label "app" has no revision 0`: func(ctx context.Context, l *reactive.Leader, _ *reactive.Endpoint) error {
				s, err := l.Secret(ctx, "app")
				if err != nil {
					return err
				}
				return s.RemoveRevision(0)
			},
		} {
			if _, err := run(t, state(version), do); err == nil || !strings.HasSuffix(err.Error(), name) {
				t.Errorf("%s: the error is %v, want %s", version, err, name)
			}
		}
	}
}
