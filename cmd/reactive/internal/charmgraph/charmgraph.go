// Package charmgraph asks compiled charms for their handlers and flags.
//
//	g, ok, err := charmgraph.Of(ctx, "web/dispatch", "web")
//	if ok {
//		fmt.Println(len(g.Handlers), "handlers")
//	}
package charmgraph

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/charmed-go/charms/internal/picture"
)

// framework is the module of which every charm made with package reactive is,
// or which it uses.
const framework = "github.com/charmed-go/charms"

// patience is how long a charm may take to answer.
const patience = 10 * time.Second

// Of asks a program for its handlers and flags, as the charm of the directory
// dir. It is false if the program is no charm made with package reactive: no
// other is run, as it may not expect arguments. The error is the first line of
// what a charm says that cannot be put together.
func Of(ctx context.Context, program, dir string) (g picture.Graph, ok bool, err error) {
	if !usesFramework(program) {
		return g, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "graph", "--json")
	cmd.Dir, cmd.Env = dir, []string{"JUJU_CHARM_DIR=" + dir, "PATH=" + os.Getenv("PATH")}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if line, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n"); line != "" {
			return g, true, fmt.Errorf("the charm cannot be put together: %s", line)
		}
		return g, true, fmt.Errorf("the charm cannot be put together: %w", err)
	}
	// A program of the framework's module need not be a charm.
	if json.Unmarshal(out, &g) != nil || g.Charm == "" {
		return picture.Graph{}, false, nil
	}
	return g, true, nil
}

func usesFramework(program string) bool {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return false
	}
	for _, dep := range info.Deps {
		if dep.Path == framework {
			return true
		}
	}
	return info.Main.Path == framework
}
