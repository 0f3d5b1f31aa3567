package reactive_test

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/jujusim/agent"
	"github.com/charmed-go/charms/reactive"
)

// The table of docs/reference/juju-versions.md says of each hook tool what the
// agents of both versions say, and names methods that exist.
func TestJujuVersions(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/reference/juju-versions.md")
	must(t, err)
	if problems := checkVersions(string(page)); len(problems) > 0 {
		t.Error(strings.Join(problems, "\n"))
	}
	// And the check can fail.
	for old, changed := range map[string]string{
		"| `leader-get` | yes | – |":   "| `leader-get` | yes | yes |",
		"| `unit-get` | yes | yes |":   "| `unit-got` | yes | yes |",
		"| `UnitGet` |":                "| `UnitGot` |",
		"| `state-set` | yes | yes |":  "| `state-set` | – | yes |",
		"`Relation.CrossesModels` |\n": "`Relation.Crosses` |\n",
	} {
		if len(checkVersions(strings.Replace(string(page), old, changed, 1))) == 0 {
			t.Errorf("nobody sees %q instead of %q", changed, old)
		}
	}
}

var (
	toolRow = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (yes|–) \\| (yes|–) \\|[^|]*\\|([^|]*)\\|([^|]*)\\|$")
	quoted  = regexp.MustCompile("`([A-Za-z.]+)`")
	dotted  = regexp.MustCompile("`([A-Z][A-Za-z]*)\\.([A-Z][A-Za-z]*)`")
)

func checkVersions(page string) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	found := map[string][]string{}
	client := reflect.TypeFor[*hooktool.Client]()
	for _, row := range toolRow.FindAllStringSubmatch(page, -1) {
		for i, version := range jujuVersions {
			if row[2+i] == "yes" {
				found[version] = append(found[version], row[1])
			}
		}
		for _, method := range quoted.FindAllStringSubmatch(row[4], -1) {
			if _, ok := client.MethodByName(method[1]); !ok {
				say("%s: hooktool.Client has no method %s", row[1], method[1])
			}
		}
		for _, name := range dotted.FindAllStringSubmatch(row[5], -1) {
			typ, ok := reactiveTypes[name[1]]
			if !ok {
				say("%s: the type %s is not known", row[1], name[1])
			} else if _, ok := typ.MethodByName(name[2]); !ok {
				say("%s: %s has no method %s", row[1], name[1], name[2])
			}
		}
	}
	for _, version := range jujuVersions {
		slices.Sort(found[version])
		if want := agent.ToolNames(version); !slices.Equal(found[version], want) {
			say("Juju %s: the page has\n%q, the agent\n%q", version, found[version], want)
		}
	}
	return problems
}

// reactiveTypes are the types whose methods the page names.
var reactiveTypes = map[string]reflect.Type{
	"Charm":     reflect.TypeFor[*reactive.Charm](),
	"Hook":      reflect.TypeFor[*reactive.Hook](),
	"Leader":    reflect.TypeFor[*reactive.Leader](),
	"Endpoint":  reflect.TypeFor[*reactive.Endpoint](),
	"Relation":  reflect.TypeFor[*reactive.Relation](),
	"Unit":      reflect.TypeFor[*reactive.Unit](),
	"OwnSecret": reflect.TypeFor[*reactive.OwnSecret](),
	"Storage":   reflect.TypeFor[*reactive.Storage](),
	"Resource":  reflect.TypeFor[*reactive.Resource](),
}
