package prometheusmanual_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestStaysLight holds that registering a job does not cost what Prometheus
// does.
func TestStaysLight(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{".", "./promserver", "./promtool"} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		if len(deps) < 50 {
			t.Fatalf("%s depends on %d packages only", pkg, len(deps))
		}
		for _, dep := range deps {
			for _, heavy := range []string{"github.com/prometheus/", "google.golang.org/", "modernc.org/", "k8s.io/"} {
				if strings.HasPrefix(dep, heavy) {
					t.Errorf("%s depends on %s", pkg, dep)
				}
			}
		}
	}
}
