package jujusim_test

import (
	"slices"
	"testing"

	"github.com/charmed-go/charms/internal/jujustory"
	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/jujusim/rules"
	"github.com/google/go-cmp/cmp"
)

// A reboot is told to every unit of the machine by its hook start, once what the
// reboot interrupted has ended.
func TestReboot(t *testing.T) {
	t.Parallel()
	const solo = "name: solo\nsummary: s\ndescription: d\n"
	for name, c := range map[string]struct {
		steps [][]string
		want  []string
	}{
		"at the end":           {[][]string{{"tool", "juju-reboot"}}, []string{"update-status", "start"}},
		"now":                  {[][]string{{"tool", "juju-reboot", "--now"}}, []string{"update-status killed", "update-status", "start"}},
		"of a hook that fails": {[][]string{{"tool", "juju-reboot"}, {"exit", "1"}}, []string{"update-status failed", "update-status"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := false
			r := &jujustory.Recorder{Steps: func(unit string, d *jujustory.Dispatch) [][]string {
				if unit != "a/0" || d.At != "update-status" || asked {
					return nil
				}
				asked = true
				return c.steps
			}}
			m := newModel(t, jujusim.Options{Retries: 1})
			charm := r.Charm("a", jujusim.Charm{Files: files(solo)})
			must(t, m.Deploy("a", charm, jujusim.DeployOptions{To: []string{"0"}}))
			must(t, m.Deploy("b", charm, jujusim.DeployOptions{To: []string{"0"}}))
			must(t, m.Deploy("c", charm, jujusim.DeployOptions{}))
			must(t, m.Settle(t.Context()))
			before := map[string]int{"a/0": len(ran(m, "a/0")), "b/0": len(ran(m, "b/0")), "c/0": len(ran(m, "c/0"))}
			must(t, m.UpdateStatus("a/0"))
			must(t, m.Settle(t.Context()))
			if diff := cmp.Diff(c.want, ran(m, "a/0")[before["a/0"]:]); diff != "" {
				t.Error(diff)
			}
			rebooted := slices.Contains(c.want, "start")
			if got := ran(m, "b/0")[before["b/0"]:]; slices.Equal(got, []string{"start"}) != rebooted {
				t.Errorf("b/0, on the same machine, ran %v", got)
			}
			if got := ran(m, "c/0")[before["c/0"]:]; len(got) > 0 {
				t.Errorf("c/0, on another machine, ran %v", got)
			}
			for _, v := range rules.Check(r.Story(m).Sequences()...) {
				t.Error(v)
			}
		})
	}
}

// The operator's reboot takes what runs with it.
func TestRebootByTheOperator(t *testing.T) {
	t.Parallel()
	m := newModel(t, jujusim.Options{Retries: 1})
	must(t, m.Deploy("a", charm("name: solo\nsummary: s\ndescription: d\n", idle), jujusim.DeployOptions{}))
	must(t, m.Settle(t.Context()))
	before := len(ran(m, "a/0"))
	must(t, m.UpdateStatus())
	var err error
	m.At(jujusim.Point{At: "update-status"}, func() { err = m.Reboot("0") })
	must(t, m.Settle(t.Context()))
	must(t, err)
	if diff := cmp.Diff([]string{"update-status killed", "update-status", "start"}, ran(m, "a/0")[before:]); diff != "" {
		t.Error(diff)
	}
	if err := m.Reboot("7"); err == nil || err.Error() != "cannot reboot machine 7: there is no such machine" {
		t.Errorf("got %v", err)
	}
}
