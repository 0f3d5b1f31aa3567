package archive

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/charmed-go/charms/charmfile"
)

// Check says which rules the charm at the root of fsys breaks. An opened
// archive is such an fs.FS, and so is the directory of an unpacked charm. The
// order is that of the rules' reading, the same for the same charm.
func Check(fsys fs.FS) []Violation {
	s := &subject{fsys: fsys}
	s.checkFiles()
	s.checkLXDProfile()
	if _, err := fs.Stat(fsys, charmfile.MetadataFile); err != nil {
		s.add(MetadataPresent, "%s is not in the archive", charmfile.MetadataFile)
		return s.found
	}
	// Of a source tree that was packed with its charmcraft.yaml Juju reads
	// only the files it knows.
	charm, err := charmfile.LoadFS(without{fsys, charmfile.CharmcraftFile})
	if err != nil {
		s.addErrors(err)
		return s.found
	}
	s.charm = charm
	s.checkBases()
	s.checkMetadata()
	s.checkEndpoints()
	s.checkStorage()
	s.checkContainers()
	s.checkActions()
	return s.found
}

// without is a file system that hides one file.
type without struct {
	fs.FS
	name string
}

func (w without) Open(name string) (fs.File, error) {
	if name == w.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return w.FS.Open(name)
}

type subject struct {
	fsys  fs.FS
	charm *charmfile.Charm
	found []Violation
}

func (s *subject) add(r Rule, format string, args ...any) {
	s.found = append(s.found, Violation{r, fmt.Sprintf(format, args...)})
}

// keyRules say which rule a mistake at a place of a file breaks.
var keyRules = []struct {
	key  *regexp.Regexp
	rule Rule
}{
	{regexp.MustCompile(`^(name|summary|description)$`), Required},
	{regexp.MustCompile(`^(provides|requires|peers)\.[^.]+\.scope$`), EndpointScope},
	{regexp.MustCompile(`^(provides|requires|peers)\.[^.]+(\.interface)?$`), EndpointInterface},
	{regexp.MustCompile(`^extra-bindings\b`), ExtraBindings},
	{regexp.MustCompile(`^storage\.[^.]+\.multiple`), StorageCount},
	{regexp.MustCompile(`^storage\.[^.]+\.type$`), StorageType},
	{regexp.MustCompile(`^devices\.`), DeviceCount},
	{regexp.MustCompile(`^resources\.[^.]+\.type$`), ResourceType},
	{regexp.MustCompile(`^charm-user$`), CharmUser},
	{regexp.MustCompile(`^assumes\b`), Assumes},
	{regexp.MustCompile(`^(config\.)?options\.[^.]+\.type$`), OptionType},
	{regexp.MustCompile(`^(config\.)?options\.[^.]+\.default$`), OptionDefault},
	{regexp.MustCompile(`^(config|options)?$`), ConfigOptions},
	{regexp.MustCompile(`(^|\.)params\.`), ActionSchema},
}

func (s *subject) addErrors(err error) {
	errs := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		errs = joined.Unwrap()
	}
	for _, err := range errs {
		rule := Readable
		var e *charmfile.Error
		if errors.As(err, &e) {
			for _, k := range keyRules {
				if k.rule == ConfigOptions && e.File != charmfile.ConfigFile {
					continue
				}
				if k.key.MatchString(e.Key) && !strings.HasPrefix(e.Reason, "is not YAML") {
					rule = k.rule
					break
				}
			}
		}
		s.add(rule, "%v", err)
	}
}

// stateFile says whether a file is something a unit writes at run time.
func stateFile(name string) bool {
	base := path.Base(name)
	return strings.HasPrefix(base, ".unit-state.db") || base == ".reactive" || base == ".juju-persistent-config" ||
		strings.HasPrefix(name, ".reactive/")
}

// credentialFiles are files in which tools keep what lets one in somewhere.
var credentialFiles = []string{".env", ".netrc", ".git-credentials", ".pypirc", ".docker/config.json", ".aws/credentials", ".kube/config"}

// maxKeyFile is the size above which no file is looked into for a private key.
const maxKeyFile = 1 << 20

// checkSecret looks whether a file is what nobody else should see.
func (s *subject) checkSecret(name string, info fs.FileInfo) {
	for _, f := range credentialFiles {
		if name == f || strings.HasSuffix(name, "/"+f) {
			s.add(NoSecrets, "%s holds credentials", name)
			return
		}
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return
	}
	data, err := fs.ReadFile(s.fsys, name)
	if err != nil {
		return // what reads it says so
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			s.add(NoSecrets, "%s holds a private key", name)
			return
		}
	}
}

func (s *subject) checkFiles() {
	hooks := false
	err := fs.WalkDir(s.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			s.add(NoSecrets, "%s is a version control directory", name)
			return fs.SkipDir
		}
		if stateFile(name) && !d.IsDir() {
			s.add(NoStateFiles, "%s is a unit's own state", name)
		}
		if strings.HasPrefix(name, "hooks/") && !d.IsDir() {
			hooks = true
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			s.checkLink(name)
		} else {
			s.checkSecret(name, info)
		}
		return nil
	})
	if err != nil {
		s.add(Readable, "%v", err)
	}
	info, err := fs.Stat(s.fsys, "dispatch")
	switch {
	case err != nil && hooks:
	case err != nil || info.IsDir():
		s.add(DispatchPresent, "there is no file dispatch")
	case info.Mode().Perm() != 0o755:
		s.add(DispatchExecutable, "dispatch has mode %04o", info.Mode().Perm())
	}
	if data, err := fs.ReadFile(s.fsys, "revision"); err == nil {
		if _, err := strconv.Atoi(strings.TrimSpace(string(data))); err != nil {
			s.add(Revision, "revision holds %q", data)
		}
	}
}

func (s *subject) checkLink(name string) {
	target := ""
	if l, ok := s.fsys.(fs.ReadLinkFS); ok {
		target, _ = l.ReadLink(name)
	} else if f, err := s.fsys.Open(name); err == nil {
		// In a zip file the target is the content of the entry.
		data, _ := io.ReadAll(io.LimitReader(f, 4096))
		f.Close()
		target = string(data)
	}
	if target == "" || path.IsAbs(target) || !fs.ValidPath(path.Join(path.Dir(name), target)) {
		s.add(InsideCharm, "%s leads to %q", name, target)
	}
}

func (s *subject) checkLXDProfile() {
	data, err := fs.ReadFile(s.fsys, "lxd-profile.yaml")
	if err != nil {
		return
	}
	var profile struct {
		Config  map[string]string
		Devices map[string]map[string]string
	}
	if err := yaml.Unmarshal(data, &profile); err != nil {
		s.add(LXDProfile, "lxd-profile.yaml: %v", err)
		return
	}
	for _, name := range slices.Sorted(maps.Keys(profile.Devices)) {
		if t, ok := profile.Devices[name]["type"]; ok && !slices.Contains([]string{"unix-char", "unix-block", "gpu", "usb"}, t) {
			s.add(LXDProfile, "device %q is of type %q", name, t)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(profile.Config)) {
		for _, prefix := range []string{"boot", "limits", "migration"} {
			if strings.HasPrefix(key, prefix) {
				s.add(LXDProfile, "config has %q", key)
			}
		}
	}
}

func (s *subject) checkBases() {
	if len(s.charm.Bases) == 0 {
		s.add(ManifestPresent, "the charm has no base")
	}
	for i, b := range s.charm.Bases {
		if !slices.Contains([]string{"ubuntu", "centos", "windows", "osx", "opensuse", "genericlinux"}, b.Name) {
			s.add(BaseOS, "base %d is of %q", i+1, b.Name)
		}
		if !validChannel(b.Channel) {
			s.add(BaseChannel, "base %d has channel %q", i+1, b.Channel)
		}
		for _, a := range b.Architectures {
			if _, ok := GOARCH(a); !ok {
				s.add(BaseArchitecture, "base %d has architecture %q", i+1, a)
			}
		}
	}
}

func validChannel(c string) bool {
	risk := func(s string) bool { return slices.Contains([]string{"stable", "candidate", "beta", "edge"}, s) }
	p := strings.Split(c, "/")
	switch len(p) {
	case 1:
		return p[0] != ""
	case 2:
		if risk(p[0]) {
			return p[1] != ""
		}
		return p[0] != "" && risk(p[1])
	case 3:
		return p[0] != "" && risk(p[1]) && p[2] != ""
	}
	return false
}

var (
	validName     = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*$`)
	validEndpoint = regexp.MustCompile(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)
	validAction   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	validSize     = regexp.MustCompile(`^[0-9.]*[0-9][0-9.]*([MGTPEZY](i?B)?)?$`)
	validTerm     = regexp.MustCompile(`^([a-z]+:)?([A-Za-z0-9][A-Za-z0-9@.+-]*/)?[a-z](-?[a-z0-9]+)+(/[1-9][0-9]*)?$`)
	validFeature  = regexp.MustCompile(`^[a-z][a-z0-9-]*[a-z0-9](\s*(>=|<)\s*[0-9]+(\.[0-9]+)*([.-][a-z]+[0-9.]*)?)?$`)
)

func (s *subject) checkMetadata() {
	c := s.charm
	if !validName.MatchString(c.Name) {
		s.add(Name, "the charm is called %q", c.Name)
	}
	raw := s.rawMetadata()
	for _, key := range []string{"series", "deployment", "min-juju-version"} {
		if _, ok := raw[key]; ok {
			s.add(FormatOneKeys, "metadata.yaml has %s", key)
		}
	}
	if terms, ok := raw["terms"].([]any); ok {
		for _, t := range terms {
			if text, ok := t.(string); !ok || !validTerm.MatchString(text) {
				s.add(Terms, "term %v", t)
			}
		}
	}
	if _, ok := raw["extra-bindings"]; ok && len(c.ExtraBindings) == 0 {
		s.add(ExtraBindings, "extra-bindings is empty")
	}
	for _, b := range c.ExtraBindings {
		if _, ok := c.Endpoint(b); ok {
			s.add(ExtraBindings, "%q is an endpoint", b)
		}
	}
	s.checkAssumes(c.Assumes)
}

func (s *subject) rawMetadata() map[string]any {
	var raw map[string]any
	if data, err := fs.ReadFile(s.fsys, charmfile.MetadataFile); err == nil {
		// A mistake in it has been found by the reader before.
		_ = yaml.Unmarshal(data, &raw)
	}
	return raw
}

func (s *subject) checkAssumes(list []charmfile.Assumption) {
	for _, a := range list {
		if a.Feature != "" && !validFeature.MatchString(a.Feature) {
			s.add(Assumes, "%q is not a feature", a.Feature)
		}
		s.checkAssumes(a.AnyOf)
		s.checkAssumes(a.AllOf)
	}
}

// reserved says whether a name belongs to Juju; its own charms may use it.
func (s *subject) reserved(name string) bool {
	return !strings.HasPrefix(s.charm.Name, "juju-") && (name == "juju" || strings.HasPrefix(name, "juju-"))
}

func (s *subject) checkEndpoints() {
	seen := make(map[string]charmfile.Role)
	container := false
	for _, e := range s.charm.Endpoints {
		principal := e.Role == charmfile.Requirer && e.Scope == charmfile.ContainerScope
		container = container || principal
		if !validEndpoint.MatchString(e.Name) {
			s.add(EndpointName, "endpoint %q", e.Name)
		}
		if s.reserved(e.Name) && !(s.charm.Subordinate && principal) {
			s.add(EndpointReserved, "endpoint %q", e.Name)
		}
		if e.Role != charmfile.Requirer && s.reserved(e.Interface) {
			s.add(EndpointInterface, "endpoint %q has interface %q", e.Name, e.Interface)
		}
		if role, ok := seen[e.Name]; ok {
			s.add(EndpointDuplicate, "endpoint %q is in %s and %s", e.Name, role, e.Role)
		}
		seen[e.Name] = e.Role
	}
	if s.charm.Subordinate && !container {
		s.add(SubordinateContainer, "the charm is subordinate and requires nothing with scope container")
	}
}

func (s *subject) checkStorage() {
	for _, x := range s.charm.Storage {
		if x.Location != "" && x.Type != "filesystem" {
			s.add(StorageType, "storage %q is of type %s and has a location", x.Name, x.Type)
		}
		if x.Max == 0 {
			s.add(StorageCount, "storage %q has at most none", x.Name)
		}
		if x.MinimumSize != "" && !validSize.MatchString(x.MinimumSize) {
			s.add(StorageSize, "storage %q has minimum-size %q", x.Name, x.MinimumSize)
		}
	}
	for _, d := range s.charm.Devices {
		if d.Max > 0 && d.Min > d.Max {
			s.add(DeviceCount, "device %q has at least %d and at most %d", d.Name, d.Min, d.Max)
		}
	}
	for _, r := range s.charm.Resources {
		if r.Type == "file" && (r.Filename == "" || strings.Contains(r.Filename, "/")) {
			s.add(ResourceFilename, "resource %q has filename %q", r.Name, r.Filename)
		}
	}
}

func (s *subject) checkContainers() {
	for _, x := range s.charm.Containers {
		if x.Resource != "" {
			if r, ok := s.charm.Resource(x.Resource); !ok {
				s.add(ContainerResource, "container %q has resource %q, which the charm does not declare", x.Name, x.Resource)
			} else if r.Type != "oci-image" {
				s.add(ContainerResource, "container %q has resource %q, which is of type %s", x.Name, x.Resource, r.Type)
			}
		}
		for _, m := range x.Mounts {
			if _, ok := s.charm.StorageNamed(m.Storage); !ok || m.Location == "" {
				s.add(ContainerMount, "container %q mounts storage %q at %q", x.Name, m.Storage, m.Location)
			}
		}
		for _, id := range []*int{x.UID, x.GID} {
			if id != nil && *id >= 1000 && *id < 10000 {
				s.add(ContainerUser, "container %q has the id %d", x.Name, *id)
			}
		}
	}
}

func (s *subject) checkActions() {
	for _, a := range s.charm.Actions {
		if !validAction.MatchString(a.Name) {
			s.add(ActionName, "action %q", a.Name)
		}
		if s.reserved(a.Name) {
			s.add(ActionReserved, "action %q", a.Name)
		}
	}
}
