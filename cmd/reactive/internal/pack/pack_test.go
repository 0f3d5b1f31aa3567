package pack_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	jujucharm "github.com/juju/charm/v12"
	"gopkg.in/yaml.v3"

	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
	"github.com/charmed-go/charms/cmd/reactive/internal/pack"
)

const goMod = "module example.com/web\n\ngo 1.26\n"

const program = `package main

func main() { println("hello") }
`

const charmcraft = `
type: charm
name: web
title: Web server
summary: A web server
description: &d |
  A web server: it serves.
base: ubuntu@24.04
platforms:
  amd64:
  big:
    build-on: amd64
    build-for: s390x
links:
  contact: me@example.com
  documentation: https://example.com/docs
  source: [https://example.com/src]
x-shared: &shared {interface: http}
provides:
  website: *shared
  admin:
    <<: *shared
    optional: true
requires:
  juju-db: {interface: pgsql, limit: 1} # refused unless renamed
config:
  options:
    port: {type: int, default: 8080}
    motd: {type: string, default: "yes"}
actions:
  backup:
    description: *d
    params: {to: {type: string}}
parts:
  charm:
    plugin: go
    source: .
    build-snaps: [go]
    build-environment: [CGO_ENABLED: "0"]
    organize: {bin/web: dispatch}
    prime: [dispatch]
  files:
    plugin: dump
    source: files
    organize: {"*.conf": templates/}
    prime: [-secret.txt]
`

// write makes a directory of the files in pairs of name and text.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func web(t *testing.T, yaml string) string {
	t.Helper()
	return write(t, map[string]string{
		"charmcraft.yaml":        yaml,
		"go.mod":                 goMod,
		"main.go":                program,
		"cmd/helper/main.go":     program,
		"files/web.conf":         "listen 80",
		"files/secret.txt":       "x",
		"files/run.sh":           "#!/bin/sh\n",
		"files/old.charm":        "x",
		"files/sub/LICENSE":      "free",
		"files/.git/config":      "x",
		"unrelated/but/here.txt": "x",
	})
}

func entries(t *testing.T, path string) map[string]*zip.File {
	t.Helper()
	zr, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { zr.Close() })
	m := make(map[string]*zip.File)
	for _, f := range zr.File {
		m[f.Name] = f
	}
	return m
}

func content(t *testing.T, f *zip.File) string {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPack(t *testing.T) {
	t.Parallel()
	yamlText := strings.ReplaceAll(charmcraft, "juju-db", "db")
	dir, out := web(t, yamlText), t.TempDir()
	var steps []pack.Step
	results, err := pack.Pack(t.Context(), pack.Options{
		Dir: dir, OutDir: out, Version: "1.2.3",
		Report: func(e pack.Event) {
			if e.Step != pack.Compiling {
				steps = append(steps, e.Step)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []pack.Step{pack.Building, pack.Building, pack.Building, pack.Building, pack.Packed, pack.Packed}; !slices.Equal(steps, want) {
		t.Errorf("steps are %v, want %v", steps, want)
	}
	if len(results) != 2 || results[0].Path != filepath.Join(out, "web_amd64.charm") || results[1].Path != filepath.Join(out, "web_big.charm") {
		t.Fatalf("results are %+v", results)
	}

	files := entries(t, results[1].Path)
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"actions.yaml", "config.yaml", "dispatch", "manifest.yaml", "metadata.yaml", "run.sh", "sub/LICENSE", "templates/web.conf", "version"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if m := files["dispatch"].Mode().Perm(); m != 0o755 {
		t.Errorf("dispatch has mode %o", m)
	}
	if m := files["run.sh"].Mode().Perm(); m != 0o755 {
		t.Errorf("run.sh has mode %o", m)
	}
	// An ELF file for s390x (machine 22, big-endian).
	if b := content(t, files["dispatch"]); !strings.HasPrefix(b, "\x7fELF") || b[18] != 0 || b[19] != 22 {
		t.Errorf("dispatch is not a program for s390x: % x", b[:20])
	}
	if got := content(t, files["version"]); got != "1.2.3\n" {
		t.Errorf("version is %q", got)
	}
	var metadata map[string]any
	if err := yaml.Unmarshal([]byte(content(t, files["metadata.yaml"])), &metadata); err != nil {
		t.Fatal(err)
	}
	wantMeta := map[string]any{
		"name": "web", "display-name": "Web server", "summary": "A web server", "description": "A web server: it serves.\n",
		"maintainers": []any{"me@example.com"}, "docs": "https://example.com/docs", "source": []any{"https://example.com/src"},
		"provides": map[string]any{"website": map[string]any{"interface": "http"}, "admin": map[string]any{"interface": "http", "optional": true}},
		"requires": map[string]any{"db": map[string]any{"interface": "pgsql", "limit": 1}},
	}
	if diff := cmp.Diff(wantMeta, metadata); diff != "" {
		t.Errorf("metadata.yaml (-want +got):\n%s", diff)
	}

	c, err := jujucharm.ReadCharmArchive(results[1].Path)
	if err != nil {
		t.Fatalf("Juju's reader: %v", err)
	}
	if err := jujucharm.CheckMeta(c); err != nil {
		t.Fatalf("Juju's reader: %v", err)
	}
	if b := c.Manifest().Bases; len(b) != 1 || b[0].String() != "ubuntu@24.04/stable on s390x" {
		t.Errorf("Juju reads the bases %v", b)
	}
	if v := c.Config().Options["motd"].Default; v != "yes" {
		t.Errorf("Juju reads motd's default as %#v", v)
	}
	if _, ok := c.Actions().ActionSpecs["backup"]; !ok || c.Version() != "1.2.3" {
		t.Errorf("Juju reads actions %v and version %q", c.Actions(), c.Version())
	}
}

func TestUnpackedDispatchRuns(t *testing.T) {
	t.Parallel()
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("packs for linux/amd64")
	}
	results, err := pack.Pack(t.Context(), pack.Options{
		Dir: web(t, strings.ReplaceAll(charmcraft, "juju-db", "db")), OutDir: t.TempDir(), Platforms: []string{"amd64"},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := archive.Unpack(results[0].Path, dir); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(dir, "dispatch")).CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("dispatch says %q, %v", out, err)
	}
}

func TestSameSourcesSameBytes(t *testing.T) {
	t.Parallel()
	var archives [][]byte
	for i := range 2 {
		dir := web(t, strings.ReplaceAll(charmcraft, "juju-db", "db"))
		if i == 1 {
			// As another person would have them: of another time, and only for her.
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				info, statErr := d.Info()
				if err = errors.Join(err, statErr); err != nil {
					return err
				}
				return errors.Join(os.Chmod(path, info.Mode().Perm()&^0o077), os.Chtimes(path, time.Unix(1e9, 0), time.Unix(1e9, 0)))
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		results, err := pack.Pack(t.Context(), pack.Options{Dir: dir, OutDir: t.TempDir(), Platforms: []string{"amd64"}})
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(results[0].Path)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, data)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the same sources in two directories make different archives")
	}
}

func TestRefusedBeforeBuilding(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	_, err := pack.Pack(t.Context(), pack.Options{Dir: web(t, charmcraft), OutDir: out, GoTool: "/no/such/go"})
	var refused *pack.RefusedError
	if !errors.As(err, &refused) || len(refused.Violations) != 1 || refused.Violations[0].Rule != archive.EndpointReserved {
		t.Fatalf("got %v, want the reserved endpoint refused", err)
	}
	if !strings.Contains(err.Error(), archive.EndpointReserved.Sentence) || !strings.Contains(err.Error(), "juju-db") {
		t.Errorf("error does not say what and why: %v", err)
	}
	if list, _ := os.ReadDir(out); len(list) != 0 {
		t.Errorf("something was written: %v", list)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	const small = "type: charm\nname: web\nsummary: s\ndescription: d\nbase: ubuntu@24.04\n"
	const goPart = "parts: {charm: {plugin: go, organize: {bin/web: dispatch}}}\n"
	tests := []struct{ name, yaml, want string }{
		{"no type", "name: web\nsummary: s\ndescription: d\n", `its type is "", and must be "charm"`},
		{"no parts", small + "platforms: {amd64: }\n", "parts: is missing; a charm written in Go has"},
		{"plugin", small + "platforms: {amd64: }\nparts: {charm: {plugin: python}}\n", `parts.charm.plugin: is "python"; reactive pack knows`},
		{"script", small + "platforms: {amd64: }\nparts: {charm: {plugin: go, override-build: make}}\n", "parts.charm.override-build: is not something reactive pack can do"},
		{"remote source", small + "platforms: {amd64: }\nparts: {charm: {plugin: go, source: ../x}}\n", `"../x" is not inside`},
		{"cgo", small + "platforms: {amd64: }\nparts: {charm: {plugin: go, build-environment: [CGO_ENABLED: 1]}}\n", "CGO_ENABLED=1 needs a C compiler"},
		{"no platforms", small + goPart, "platforms: is missing"},
		{"architecture", small + "platforms: {vax: }\n" + goPart, `platforms.vax: "vax" is not an architecture`},
		{"all", small + "platforms: {x: {build-on: [amd64], build-for: [all]}}\n" + goPart, `not for "all"`},
		{"two targets", small + "platforms: {x: {build-for: [amd64, arm64]}}\n" + goPart, "build-for has 2 entries"},
		{"two bases", small + "platforms: {\"ubuntu@22.04:amd64\": }\n" + goPart, "names a base although the charm has one base for all"},
		{"no base", strings.ReplaceAll(small, "base: ubuntu@24.04\n", "") + "platforms: {amd64: }\n" + goPart, "has no base"},
		{"no dispatch", small + "platforms: {amd64: }\nparts: {charm: {plugin: go}}\n", "give the part organize: {bin/helper: dispatch}"},
		{"state file", small + "platforms: {amd64: }\nparts: {charm: {plugin: go, organize: {bin/web: dispatch}}, f: {plugin: dump, source: state}}\n", "no-state-files: .unit-state.db"},
		{"private key", small + "platforms: {amd64: }\nparts: {charm: {plugin: go, organize: {bin/web: dispatch}}, f: {plugin: dump, source: keys}}\n", "no-secrets: tls.key holds a private key"},
		{"unknown platform", small + "platforms: {arm64: }\n" + goPart, `no platform "amd64"; it has arm64`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := web(t, tt.yaml)
			for name, text := range map[string]string{
				"state/.unit-state.db": "SQLite",
				"keys/tls.key":         "-----BEGIN PRIVATE KEY-----\nMHcCAQEEIA==\n-----END PRIVATE KEY-----\n",
			} {
				if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := pack.Pack(t.Context(), pack.Options{Dir: dir, OutDir: t.TempDir(), Platforms: []string{"amd64"}})
			// The platform is only asked for where the charm has one at all.
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestCompilerErrorsAreShown(t *testing.T) {
	t.Parallel()
	dir := web(t, strings.ReplaceAll(charmcraft, "juju-db", "db"))
	if err := os.WriteFile(dir+"/main.go", []byte("package main\n\nfunc main() { undefined() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := pack.Pack(t.Context(), pack.Options{Dir: dir, OutDir: t.TempDir(), Platforms: []string{"amd64"}})
	if err == nil || !strings.Contains(err.Error(), "main.go:3:15: undefined: undefined") {
		t.Errorf("got %v", err)
	}
}

func TestPlatformsAndOlderBases(t *testing.T) {
	t.Parallel()
	const parts = "parts: {charm: {plugin: go, organize: {bin/web: dispatch}, prime: [dispatch]}}\n"
	tests := []struct{ name, yaml, file, base string }{
		{"base in the name", "platforms: {\"ubuntu@22.04:amd64\": }\n", "web_ubuntu@22.04-amd64.charm", "ubuntu@22.04/stable on amd64"},
		{"base in build-for", "platforms: {small: {build-on: [\"ubuntu@22.04:amd64\"], build-for: [\"ubuntu@22.04:amd64\"]}}\n", "web_small.charm", "ubuntu@22.04/stable on amd64"},
		{"older", "bases: [{name: ubuntu, channel: '22.04', architectures: [amd64]}]\n", "web_ubuntu-22.04-amd64.charm", "ubuntu@22.04/stable on amd64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := web(t, "type: charm\nname: web\nsummary: s\ndescription: d\n"+tt.yaml+parts)
			results, err := pack.Pack(t.Context(), pack.Options{Dir: dir, OutDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			if got := filepath.Base(results[0].Path); got != tt.file {
				t.Errorf("file is %s, want %s", got, tt.file)
			}
			c, err := jujucharm.ReadCharmArchive(results[0].Path)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Manifest().Bases[0].String(); got != tt.base {
				t.Errorf("base is %s, want %s", got, tt.base)
			}
		})
	}
}

func TestOlderLayoutFilesAreCopied(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"charmcraft.yaml": "type: charm\nbase: ubuntu@24.04\nplatforms: {amd64: }\nparts: {charm: {plugin: go, organize: {bin/web: dispatch}}}\n",
		"metadata.yaml":   "# mine\nname: web\nsummary: s\ndescription: d\n",
		"config.yaml":     "# mine\noptions: {a: {type: int}}\n",
		"go.mod":          goMod,
		"main.go":         program,
	})
	results, err := pack.Pack(t.Context(), pack.Options{Dir: dir, OutDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	files := entries(t, results[0].Path)
	for _, name := range []string{"metadata.yaml", "config.yaml"} {
		if !strings.HasPrefix(content(t, files[name]), "# mine\n") {
			t.Errorf("%s is not the source's own", name)
		}
	}
}
