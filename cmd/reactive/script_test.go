package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/charmed-go/charms/jujusim/agent"
)

func TestMain(m *testing.M) {
	programs := map[string]func(){
		"reactive": func() { os.Exit(run(context.Background(), os.Args[1:], streams{os.Stdout, os.Stderr})) },
	}
	// The tool is its own hook tools, and so is the test that stands for it.
	for _, name := range agent.ToolNames("") {
		programs[name] = func() {
			code, _ := runAsHookTool(os.Args)
			os.Exit(code)
		}
	}
	testscript.Main(m, programs)
}

func TestScripts(t *testing.T) {
	t.Parallel()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// The Go tool's caches are the user's: scripts build real charms.
			// A new charm's modules are this one's, but the Go tool may want more
			// of their go.mod files than it needed here.
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY"} {
				v, err := goEnv(name)
				if err != nil {
					return err
				}
				env.Setenv(name, v)
			}
			env.Setenv("GOFLAGS", "-mod=mod")
			env.Setenv("REPO", repo)
			return nil
		},
	})
}
