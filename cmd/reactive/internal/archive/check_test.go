package archive_test

import (
	"archive/zip"
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	jujucharm "github.com/juju/charm/v12"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
)

const (
	head     = "name: web\nsummary: s\ndescription: d\n"
	manifest = "bases: [{name: ubuntu, channel: '24.04', architectures: [amd64]}]\n"
)

// good returns a charm that breaks no rule, with some files replaced.
func good(replaced map[string]string) archive.Files {
	files := archive.Files{
		"metadata.yaml": {Data: []byte(head)},
		"manifest.yaml": {Data: []byte(manifest)},
		"dispatch":      {Data: []byte("#!/bin/sh\n"), Executable: true},
	}
	for name, text := range replaced {
		files[name] = archive.File{Data: []byte(text)}
	}
	return files
}

func meta(text string) archive.Files   { return good(map[string]string{"metadata.yaml": head + text}) }
func config(text string) archive.Files { return good(map[string]string{"config.yaml": text}) }
func actions(text string) archive.Files {
	return good(map[string]string{"actions.yaml": text})
}

func drop(name string) archive.Files {
	files := good(nil)
	delete(files, name)
	return files
}

func write(t *testing.T, files archive.Files) *zip.Reader {
	t.Helper()
	var buf bytes.Buffer
	if err := archive.Write(&buf, files); err != nil {
		t.Fatal(err)
	}
	return open(t, buf.Bytes())
}

func open(t *testing.T, data []byte) *zip.Reader {
	t.Helper()
	zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return zr
}

const privateKey = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----\n"

// jujuReads returns what Juju 3.6's own reader says of an archive.
func jujuReads(t *testing.T, files archive.Files) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "web.charm")
	var buf bytes.Buffer
	if err := archive.Write(&buf, files); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := jujucharm.ReadCharmArchive(path)
	if err != nil {
		return err
	}
	if err := jujucharm.CheckMeta(c); err != nil {
		return err
	}
	if p := c.LXDProfile(); p != nil {
		return p.ValidateConfigDevices()
	}
	return nil
}

func TestEveryRuleRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rule  archive.Rule
		files archive.Files
		// ours says that Juju's reader takes the charm: the deploying client,
		// Juju 4 or the unit agent refuse it, or it is a rule of our own.
		ours bool
	}{
		{rule: archive.MetadataPresent, files: drop("metadata.yaml")},
		{rule: archive.ManifestPresent, files: drop("manifest.yaml"), ours: true},
		{rule: archive.ManifestPresent, files: good(map[string]string{"manifest.yaml": "bases: []\n"}), ours: true},
		{rule: archive.BaseOS, files: good(map[string]string{"manifest.yaml": "bases: [{name: ubunto, channel: '24.04'}]\n"})},
		{rule: archive.BaseChannel, files: good(map[string]string{"manifest.yaml": "bases: [{name: ubuntu}]\n"})},
		{rule: archive.BaseChannel, files: good(map[string]string{"manifest.yaml": "bases: [{name: ubuntu, channel: 24.04/fresh}]\n"})},
		{rule: archive.BaseArchitecture, files: good(map[string]string{"manifest.yaml": "bases: [{name: ubuntu, channel: '24.04', architectures: [vax]}]\n"})},
		{rule: archive.DispatchPresent, files: drop("dispatch"), ours: true},
		{rule: archive.DispatchExecutable, files: good(map[string]string{"dispatch": "#!/bin/sh\n"}), ours: true},
		{rule: archive.NoStateFiles, files: good(map[string]string{".unit-state.db": "SQLite"}), ours: true},
		{rule: archive.NoStateFiles, files: good(map[string]string{".unit-state.db-wal": ""}), ours: true},
		{rule: archive.NoSecrets, files: good(map[string]string{"conf/tls.pem": "# ours\n" + privateKey}), ours: true},
		{rule: archive.NoSecrets, files: good(map[string]string{"sub/.netrc": "machine a password b"}), ours: true},
		{rule: archive.NoSecrets, files: good(map[string]string{".git/config": "[core]"}), ours: true},
		{rule: archive.Revision, files: good(map[string]string{"revision": "one"})},
		{rule: archive.LXDProfile, files: good(map[string]string{"lxd-profile.yaml": "devices: {d: {type: disk}}\n"})},
		{rule: archive.LXDProfile, files: good(map[string]string{"lxd-profile.yaml": "config: {limits.cpu: '1'}\n"})},
		{rule: archive.Readable, files: good(map[string]string{"metadata.yaml": "name: [\n"})},
		{rule: archive.Required, files: good(map[string]string{"metadata.yaml": "name: web\nsummary: s\n"})},
		{rule: archive.Required, files: good(map[string]string{"metadata.yaml": "name: web\nsummary: s\ndescription:\n"})},
		{rule: archive.Name, files: good(map[string]string{"metadata.yaml": "name: Web_1\nsummary: s\ndescription: d\n"}), ours: true},
		{rule: archive.FormatOneKeys, files: meta("series: [jammy]\n"), ours: true},
		{rule: archive.FormatOneKeys, files: meta("min-juju-version: 3.6.0\n")},
		{rule: archive.EndpointName, files: meta("requires: {Db: {interface: x}}\n"), ours: true},
		{rule: archive.EndpointReserved, files: meta("requires: {juju-info: {interface: x}}\n")},
		{rule: archive.EndpointReserved, files: meta("subordinate: true\nrequires: {juju: {interface: x}, host: {interface: juju-info, scope: container}}\n")},
		{rule: archive.EndpointDuplicate, files: meta("requires: {db: x}\nprovides: {db: x}\n")},
		{rule: archive.EndpointInterface, files: meta("provides: {db: {interface: juju-info}}\n")},
		{rule: archive.EndpointInterface, files: meta("provides: {db: {limit: 1}}\n")},
		{rule: archive.EndpointScope, files: meta("provides: {db: {interface: x, scope: unit}}\n")},
		{rule: archive.SubordinateContainer, files: meta("subordinate: true\nrequires: {host: {interface: juju-info}}\n")},
		{rule: archive.ExtraBindings, files: meta("extra-bindings: {}\n")},
		{rule: archive.ExtraBindings, files: meta("provides: {db: x}\nextra-bindings: {db: }\n")},
		{rule: archive.ExtraBindings, files: meta("extra-bindings: {db: space}\n")},
		{rule: archive.StorageType, files: meta("storage: {data: {type: tape}}\n")},
		{rule: archive.StorageType, files: meta("storage: {data: {}}\n")},
		{rule: archive.StorageType, files: meta("storage: {data: {type: block, location: /srv}}\n")},
		{rule: archive.StorageCount, files: meta("storage: {data: {type: block, multiple: {range: lots}}}\n")},
		{rule: archive.StorageCount, files: meta("storage: {data: {type: block, multiple: {range: 0-0}}}\n")},
		{rule: archive.StorageSize, files: meta("storage: {data: {type: block, minimum-size: 1K}}\n")},
		{rule: archive.DeviceCount, files: meta("devices: {gpu: {type: gpu, countmin: 2, countmax: 1}}\n")},
		{rule: archive.DeviceCount, files: meta("devices: {gpu: {countmin: 2}}\n")},
		{rule: archive.ResourceType, files: meta("resources: {r: {type: docker}}\n")},
		{rule: archive.ResourceFilename, files: meta("resources: {r: {type: file}}\n")},
		{rule: archive.ResourceFilename, files: meta("resources: {r: {type: file, filename: a/b}}\n")},
		{rule: archive.ContainerResource, files: meta("containers: {c: {resource: r}}\n")},
		{rule: archive.ContainerResource, files: meta("resources: {r: {type: file, filename: f}}\ncontainers: {c: {resource: r}}\n")},
		{rule: archive.ContainerMount, files: meta("containers: {c: {mounts: [{storage: s, location: /s}]}}\n")},
		{rule: archive.ContainerMount, files: meta("storage: {s: {type: filesystem}}\ncontainers: {c: {mounts: [{storage: s}]}}\n")},
		{rule: archive.ContainerUser, files: meta("containers: {c: {uid: 1000}}\n")},
		{rule: archive.CharmUser, files: meta("charm-user: ubuntu\n")},
		{rule: archive.Assumes, files: meta("assumes: [none-of: [a]]\n")},
		{rule: archive.Assumes, files: meta("assumes: [juju > 3]\n")},
		{rule: archive.Terms, files: meta("terms: [me/too/much/1]\n")},
		{rule: archive.ConfigOptions, files: config("{}\n")},
		{rule: archive.ConfigOptions, files: config("")},
		{rule: archive.OptionType, files: config("options: {p: {type: number}}\n")},
		{rule: archive.OptionDefault, files: config("options: {p: {type: int, default: many}}\n")},
		{rule: archive.ActionName, files: actions("Back_up: {}\n")},
		{rule: archive.ActionReserved, files: actions("juju-backup: {}\n")},
		{rule: archive.ActionSchema, files: actions("backup: {params: {p: {$ref: x}}}\n")},
		{rule: archive.ActionSchema, files: actions("backup: {params: {p: {type: int}}}\n")},
	}
	tested := make(map[string]bool)
	for _, tt := range tests {
		tested[tt.rule.ID] = true
		t.Run(tt.rule.ID, func(t *testing.T) {
			t.Parallel()
			found := archive.Check(write(t, tt.files))
			if !slices.ContainsFunc(found, func(v archive.Violation) bool { return v.Rule == tt.rule }) {
				t.Errorf("Check finds %v, want rule %s", found, tt.rule.ID)
			}
			if len(found) != 1 {
				t.Errorf("Check finds %d violations, want only the one: %v", len(found), found)
			}
			if err := jujuReads(t, tt.files); (err == nil) != tt.ours {
				t.Errorf("Juju's reader says %v; ours is %v", err, tt.ours)
			}
		})
	}
	tested[archive.InsideCharm.ID] = true // has its own test below
	ids := make(map[string]bool)
	for _, r := range archive.Rules() {
		if !tested[r.ID] {
			t.Errorf("rule %s has no case that is refused", r.ID)
		}
		if ids[r.ID] || !strings.HasSuffix(r.Sentence, ".") {
			t.Errorf("rule %s appears twice or has no sentence", r.ID)
		}
		ids[r.ID] = true
	}
}

func TestSymlinks(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{"dispatch": true, "../x": false, "/etc/passwd": false, "a/../../x": false} {
		var buf bytes.Buffer
		zw := zip.NewWriter(&buf)
		for name, f := range good(nil) {
			h := &zip.FileHeader{Name: name}
			h.SetMode(0o644)
			if f.Executable {
				h.SetMode(0o755)
			}
			w, _ := zw.CreateHeader(h)
			w.Write(f.Data)
		}
		h := &zip.FileHeader{Name: "link"}
		h.SetMode(os.ModeSymlink | 0o777)
		w, _ := zw.CreateHeader(h)
		w.Write([]byte(target))
		zw.Close()
		found := archive.Check(open(t, buf.Bytes()))
		if ok := len(found) == 0; ok != want {
			t.Errorf("link to %s: Check finds %v", target, found)
		}
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/a.charm", buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := archive.Unpack(dir+"/a.charm", dir+"/out"); err != nil {
			t.Fatalf("link to %s: %v", target, err)
		}
		if found := archive.Check(os.DirFS(dir + "/out")); (len(found) == 0) != want {
			t.Errorf("unpacked, link to %s: Check finds %v", target, found)
		}
	}
}

func TestGoodCharmsPass(t *testing.T) {
	t.Parallel()
	good := map[string]archive.Files{
		"minimal": good(nil),
		"a certificate, and words about keys": good(map[string]string{
			"ca.pem":    strings.ReplaceAll(privateKey, "EC PRIVATE KEY", "CERTIFICATE"),
			"README.md": "A key begins with -----BEGIN PRIVATE KEY----- and is kept in .netrc.\n", "net.env": "A=1\n",
		}),
		"hooks": func() archive.Files {
			f := drop("dispatch")
			f["hooks/install"] = archive.File{Executable: true}
			return f
		}(),
		"subordinate":     meta("subordinate: true\nrequires: {juju-info: {interface: juju-info, scope: container}}\n"),
		"endpoints":       meta("provides: {web: http, db_admin: {interface: pg, limit: 2, optional: true}}\npeers: {cluster: {interface: x}}\n"),
		"storage":         meta("storage: {data: {type: filesystem, location: /srv, minimum-size: 1.5GiB, multiple: {range: 1+}}, disk: {type: block, multiple: {range: 0-2}}}\n"),
		"kubernetes":      meta("assumes: [juju >= 3.6, {any-of: [k8s-api, foo]}]\ncharm-user: non-root\nresources: {img: {type: oci-image}}\nstorage: {s: {type: filesystem}}\ncontainers: {c: {resource: img, uid: 10000, mounts: [{storage: s, location: /s}]}}\n"),
		"file resource":   meta("resources: {r: {filename: f.tgz}}\n"),
		"terms":           meta("terms: [canonical/licence/3, plain]\n"),
		"extra bindings":  meta("extra-bindings: {admin: }\n"),
		"empty summary":   func() archive.Files { return goodMeta("name: web\nsummary: ''\ndescription: ''\n") }(),
		"unknown keys":    meta("docs: https://example.com\ndisplay-name: Web\n"),
		"config":          config("options: {a: {type: int, default: 1}, b: {}, c: {type: float, default: 1}, d: {type: boolean, default: yes}, e: {type: secret, default: ''}, f: {type: string, default: ''}}\n"),
		"no options":      config("options:\n"),
		"action":          actions("back-up: {description: x, params: {p: {type: [string, integer]}}, required: [p], additionalProperties: false, parallel: true, execution-group: g}\n"),
		"several bases":   goodManifest("bases: [{name: ubuntu, channel: 22.04/stable}, {name: ubuntu, channel: '24.04', architectures: [arm64, ppc64el]}]\n"),
		"charmcraft keys": goodManifest("charmcraft-version: 3.4.0\ncharmcraft-started-at: now\nbases: [{name: ubuntu, channel: '24.04'}]\nanalysis: {attributes: []}\n"),
		"lxd profile":     goodFile("lxd-profile.yaml", "config: {security.nesting: 'true'}\ndevices: {k: {type: unix-char}}\n"),
	}
	for name, files := range good {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := jujuReads(t, files); err != nil {
				t.Errorf("Juju's reader refuses it: %v", err)
			}
			if found := archive.Check(write(t, files)); len(found) > 0 {
				t.Errorf("Check finds %v", found)
			}
		})
	}
}

func goodFile(name, text string) archive.Files { return good(map[string]string{name: text}) }
func goodMeta(text string) archive.Files       { return goodFile("metadata.yaml", text) }
func goodManifest(text string) archive.Files   { return goodFile("manifest.yaml", text) }

func TestSourceKeysDoNotHideMistakes(t *testing.T) {
	t.Parallel()
	files := meta("requires: {db: {limit: 1}}\n")
	files["charmcraft.yaml"] = archive.File{Data: []byte("type: charm\nname: other\n")}
	if found := archive.Check(write(t, files)); len(found) != 1 || found[0].Rule != archive.EndpointInterface {
		t.Errorf("Check finds %v", found)
	}
}

func TestWriteIsReproducibleAndUnpackKeepsModes(t *testing.T) {
	t.Parallel()
	files := good(map[string]string{"templates/web.conf": "x", "a/b/c": "y"})
	var one, two bytes.Buffer
	if err := archive.Write(&one, files); err != nil {
		t.Fatal(err)
	}
	if err := archive.Write(&two, maps.Clone(files)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("the same files make different archives")
	}
	names := []string{}
	for _, f := range open(t, one.Bytes()).File {
		names = append(names, f.Name)
	}
	if !slices.IsSorted(names) {
		t.Errorf("entries are not sorted: %v", names)
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "web.charm")
	if err := os.WriteFile(path, one.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := archive.Unpack(path, filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	for name, f := range files {
		info, err := os.Stat(filepath.Join(dir, "out", name))
		if err != nil {
			t.Fatal(err)
		}
		if exec := info.Mode().Perm()&0o111 == 0o111; exec != f.Executable {
			t.Errorf("%s is unpacked with mode %v", name, info.Mode())
		}
	}
	if c, err := charmfile.Load(filepath.Join(dir, "out")); err != nil || c.Name != "web" {
		t.Errorf("unpacked charm is %v, %v", c, err)
	}
}

func TestUnpackStaysInside(t *testing.T) {
	t.Parallel()
	tests := map[string][][2]string{
		"parent":   {{"../evil", "x"}},
		"absolute": {{"/evil", "x"}},
		"via link": {{"link", "->.."}, {"link/evil", "x"}},
	}
	for name, entries := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var buf bytes.Buffer
			zw := zip.NewWriter(&buf)
			for _, e := range entries {
				h := &zip.FileHeader{Name: e[0]}
				h.SetMode(0o644)
				if target, ok := strings.CutPrefix(e[1], "->"); ok {
					h.SetMode(os.ModeSymlink | 0o777)
					e[1] = target
				}
				w, err := zw.CreateHeader(h)
				if err != nil {
					t.Fatal(err)
				}
				w.Write([]byte(e[1]))
			}
			zw.Close()
			dir := t.TempDir()
			if err := os.WriteFile(dir+"/a.charm", buf.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := archive.Unpack(dir+"/a.charm", dir+"/out"); err == nil {
				t.Error("Unpack takes it")
			}
			if _, err := os.Stat(dir + "/evil"); err == nil {
				t.Error("Unpack wrote outside its directory")
			}
		})
	}
	if err := archive.Write(new(bytes.Buffer), archive.Files{"../x": {}}); err == nil {
		t.Error("Write takes ../x")
	}
}

func FuzzCheckAndUnpack(f *testing.F) {
	var buf bytes.Buffer
	if err := archive.Write(&buf, good(map[string]string{"config.yaml": "options: {a: {type: int}}\n", "lxd-profile.yaml": "{}\n"})); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		archive.Check(zr)
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/a.charm", data, 0o644); err != nil {
			t.Fatal(err)
		}
		_ = archive.Unpack(dir+"/a.charm", dir+"/in/out")
		if list, _ := os.ReadDir(dir); len(list) > 2 {
			t.Errorf("something was written outside: %v", list)
		}
	})
}
