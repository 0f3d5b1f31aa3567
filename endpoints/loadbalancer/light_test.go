package loadbalancer_test

import (
	"os/exec"
	"strings"
	"testing"
)

// TestStaysLight holds that asking for a load balancer does not cost what making
// one does, nor what the simulated Juju does.
func TestStaysLight(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{".", "./loadbalancertest/lb-provider", "./loadbalancertest/lb-consumer"} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		deps := strings.Fields(string(out))
		if len(deps) < 50 {
			t.Fatalf("%s depends on %d packages only", pkg, len(deps))
		}
		for _, dep := range deps {
			if first, _, _ := strings.Cut(dep, "/"); !strings.Contains(first, ".") {
				continue // the standard library
			}
			allowed := strings.HasPrefix(dep, "gopkg.in/yaml.v3") || strings.HasPrefix(dep, "github.com/google/uuid") ||
				strings.HasPrefix(dep, "github.com/charmed-go/charms/") && !strings.Contains(dep, "/distributor") && !strings.Contains(dep, "/jujusim") ||
				strings.HasPrefix(dep, "golang.org/x/sy") || strings.HasPrefix(dep, "github.com/google/renameio/")
			if !allowed {
				t.Errorf("%s depends on %s", pkg, dep)
			}
		}
	}
}
