package bundle_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/charmed-go/charms/cmd/reactive/internal/bundle"
)

func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{"bundle.yaml": text, "motd": "hello"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "bundle.yaml")
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := write(t, `
name: shop
default-base: ubuntu@24.04
applications:
  web:
    charm: ./web_amd64.charm
    num_units: 3
    constraints: mem=4G
    options: {port: 8080, motd: include-file://motd, b64: include-base64://motd}
    resources: {site: ./site.tgz, image: 3}
    to: [0, new, lxd:1]
  pg:
    charm: /srv/pg
    trust: true
    to: web/0
machines: {0: {}}
relations:
- [web:db, pg:db]
- [web, [pg:admin, "pg:logs"]]
`)
	got, err := bundle.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	want := &bundle.Bundle{
		Name: "shop",
		Applications: []bundle.Application{
			{Name: "web", Charm: dir + "/web_amd64.charm", Units: 3, To: []string{"0", "new", "lxd:1"},
				Config:    map[string]any{"port": 8080, "motd": "hello", "b64": "aGVsbG8="},
				Resources: map[string]string{"site": dir + "/site.tgz", "image": "3"}},
			{Name: "pg", Charm: "/srv/pg", Trust: true, To: []string{"web/0"}, Config: map[string]any{}, Resources: map[string]string{}},
		},
		Relations: [][2]string{{"web:db", "pg:db"}, {"web", "pg:admin"}, {"web", "pg:logs"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"nothing", "name: x\n", "applications: are missing"},
		{"charmhub", "applications:\n  web:\n    charm: ch:web\n", `line 2: applications.web.charm: "ch:web" is on Charmhub`},
		{"no charm", "applications: {web: {num_units: 1}}\n", "applications.web.charm: is missing"},
		{"units", "applications: {web: {charm: ./w, num_units: -1}}\n", "num_units: is -1"},
		{"kind", "bundle: cloud\napplications: {web: {charm: ./w}}\n", `"cloud" is no kind of bundle`},
		{"relation", "applications: {web: {charm: ./w}}\nrelations: [[web]]\n", "an entry is a pair"},
		{"include", "applications: {web: {charm: ./w, options: {a: include-file://nope}}}\n", "options.a: open"},
		{"misspelt", "aplications: {web: {charm: ./w}}\n", `there is no key "aplications" (did you mean "applications"?)`},
		{"misspelt in an application", "applications:\n  web: {charm: ./w, option: {port: 1}}\n", `line 2: applications.web: there is no key "option" (did you mean "options"?)`},
		{"type", "applications:\n  web: {charm: ./w, num_units: two}\n", "line 2: applications.web: cannot unmarshal !!str `two` into int"},
		{"offers", "saas: {x: {}}\napplications: {web: {charm: ./w}}\n", "saas: a simulated model has no offers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := bundle.Load(write(t, tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("applications: {web: {charm: ./w, to: 0}}\nrelations: [[a, [b, c]]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "b.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Load(path)
		if err == nil && len(b.Applications) == 0 {
			t.Error("a bundle without applications")
		}
	})
}
