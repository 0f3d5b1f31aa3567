package docs_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the README leaves out of its charm.
const (
	readmeBegin = `package main

import (
	"context"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

`
	readmeEnd = `
type wiki struct {
	installed flags.Flag
	db        *reactive.Endpoint
}

func (w *wiki) install(_ context.Context, h *reactive.Hook) error {
	h.Set(w.installed)
	return nil
}

func (w *wiki) configure(context.Context, *reactive.Hook) error { return nil }
`
	readmeFiles = `name: wiki
summary: A wiki.
description: A wiki that needs a database.
requires: {db: {interface: mysql}}
config: {options: {title: {type: string, default: Notes}}}
`
	readmeTest = `package main

import (
	"testing"

	"github.com/charmed-go/charms/jujusim"
	"github.com/charmed-go/charms/reactive"
)

func TestConfigChanged(t *testing.T) {
	juju, err := jujusim.New(jujusim.Options{Dir: "MODEL"})
	if err != nil {
		t.Fatal(err)
	}
	defer juju.Close()
	if err := juju.Deploy("wiki", jujusim.Charm{Path: ".", Run: reactive.Program(New)}, jujusim.DeployOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := juju.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := juju.Configure("wiki", map[string]any{"title": "News"}); err != nil {
		t.Fatal(err)
	}
	if err := juju.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}
`
)

// TestReadme holds that the README's charm compiles, and that it explains itself
// as the README says.
func TestReadme(t *testing.T) {
	t.Parallel()
	const readme = "../README.md"
	list := blocks(t, readme)
	i := slices.IndexFunc(list, func(b block) bool { return slices.Equal(b.info, []string{"go"}) })
	if i < 0 {
		t.Fatal("the README has no charm")
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`(?m)^    \$ juju exec --unit wiki/0 '(\./dispatch explain .*)'\n((?:    .*\n)+)`).FindStringSubmatch(string(text))
	if shown == nil {
		t.Fatal("the README does not show the charm explaining itself")
	}
	says := regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`).ReplaceAllString(strings.ReplaceAll(shown[2], "    ", ""), "…")

	dir, err := os.MkdirTemp(".", "page-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	model := t.TempDir()
	for name, text := range map[string]string{
		"main.go": readmeBegin + list[i].text + readmeEnd, "charmcraft.yaml": readmeFiles, "main_test.go": strings.ReplaceAll(readmeTest, "MODEL", model),
	} {
		write(t, readme, dir+"/"+name, text, false)
	}
	console(t, readme, dir, "$ go vet . && go test . && go build -o dispatch .\n...\n", false)
	console(t, readme, dir, "$ JUJU_CHARM_DIR="+model+"/wiki-0/charm "+shown[1]+"\n"+says+"...\n", false)
}
