package charmmetrics_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing/fstest"

	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
	"github.com/charmed-go/charms/reactive/charmmetrics"
)

// The node exporter reads the unit's file from the collector's directory.
func ExampleRegister() {
	dir, err := os.MkdirTemp("", "collector")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	newCharm := func() *reactive.Charm {
		charm := reactive.New("web")
		charmmetrics.Register(charm, charmmetrics.Options{Dir: dir})
		charm.HandleHook("configure the server", "config-changed", func(context.Context, *reactive.Hook) error { return nil })
		return charm
	}

	m, err := jujusim.New(jujusim.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	err = m.Deploy("web", jujusim.Charm{
		Files: fstest.MapFS{"charmcraft.yaml": {Data: []byte("name: web\nsummary: s\ndescription: d\n")}},
		Run:   reactive.Program(newCharm),
	}, jujusim.DeployOptions{})
	if err == nil {
		err = m.Settle(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	files, _ := filepath.Glob(dir + "/*.prom")
	text, err := os.ReadFile(files[0])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(filepath.Base(files[0]))
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "juju_charm_handler_runs_total") {
			fmt.Print(line)
		}
	}
	// Output:
	// juju_web-0.prom
	// juju_charm_handler_runs_total{handler="configure the server",juju_model="test",juju_model_uuid="f253335d-0bad-400d-8000-c888c1f59dd9",juju_application="web",juju_unit="web/0",juju_charm="web"} 1
}
