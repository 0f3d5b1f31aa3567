package agent

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/charmed-go/charms/jujusim/model"
)

// A StorageRequest is what storage-add asked for: more instances of a storage.
type StorageRequest struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

func (a *Agent) storageList() *tool {
	t := &tool{usage: "[<storage-name>]", purpose: "List storage attached to the unit."}
	out := t.smartOutput()
	var name string
	t.init = func(args []string) error {
		if len(args) > 0 {
			name, args = args[0], args[1:]
		}
		return noMore(args)
	}
	t.run = func(c *call) error {
		ids := []string{}
		for id := range a.unit().Storage {
			if storageName(id) == name || name == "" {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return out.write(c, ids)
	}
	return t
}

func storageName(id string) string { return id[:max(strings.LastIndex(id, "/"), 0)] }

func (a *Agent) storageGet() *tool {
	t := &tool{usage: "[<key>]", purpose: "Print information for the storage instance with the specified ID."}
	out := t.smartOutput()
	id := a.x.Storage
	t.flags.add("s", &flag{usage: "specify a storage instance by id", set: func(value string) error {
		if i := strings.LastIndex(value, "/"); i < 0 || !isNumber(value[i+1:]) {
			return fmt.Errorf("invalid storage ID %q", value)
		}
		if a.unit().Storage[value] == nil {
			return errors.New("storage not found")
		}
		id = value
		return nil
	}})
	var key string
	t.init = func(args []string) error {
		if id == "" {
			return errors.New("no storage instance specified")
		}
		if len(args) > 0 {
			key, args = args[0], args[1:]
		}
		return noMore(args)
	}
	t.run = func(c *call) error {
		s := a.unit().Storage[id]
		if s == nil {
			return fmt.Errorf("storage %q not found", id)
		}
		values := map[string]string{"kind": s.Kind, "location": s.Location}
		if key == "" {
			return out.write(c, values)
		}
		value, ok := values[key]
		if !ok {
			return fmt.Errorf("invalid storage attribute %q", key)
		}
		return out.write(c, value)
	}
	return t
}

func isNumber(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0
}

func (a *Agent) storageAdd() *tool {
	t := &tool{usage: "<charm storage name>[=count] ...", purpose: "Add storage instances."}
	var requests []StorageRequest
	t.init = func(args []string) error {
		if len(args) == 0 {
			return errors.New("storage add requires a storage directive")
		}
		named := make(map[string]bool)
		for _, arg := range args {
			name, directive, given := strings.Cut(arg, "=")
			if name == "" || strings.Contains(directive, "=") {
				return fmt.Errorf("expected \"name=directive\" or \"name\", got %q", arg)
			}
			if named[name] {
				return fmt.Errorf("storage %q specified more than once", name)
			}
			named[name] = true
			r := StorageRequest{Name: name, Count: 1}
			if given {
				var err error
				if r.Count, err = storageCount(name, directive); err != nil {
					return err
				}
			}
			requests = append(requests, r)
		}
		return nil
	}
	t.run = func(*call) error {
		for _, r := range requests {
			if a.application().Storage[r.Name] == nil {
				var names []string
				for name := range a.application().Storage {
					names = append(names, name)
				}
				slices.Sort(names)
				return fmt.Errorf("invalid storage name: %q, expected one of: %v", r.Name, strings.Join(names, ", "))
			}
		}
		a.storage = append(a.storage, requests...)
		return nil
	}
	return t
}

// The parts of a storage directive.
var (
	storagePool   = regexp.MustCompile(`^[a-zA-Z]+[-?a-zA-Z0-9]*$`)
	storageNumber = regexp.MustCompile(`^-?[0-9]+$`)
	storageSize   = regexp.MustCompile(`^-?[0-9]+(?:\.[0-9]+)?[MGTPEZY](?:i?B)?$`)
)

// storageCount reads the directive of storage-add, which may only be a count.
func storageCount(name, directive string) (int, error) {
	fail := func(format string, args ...any) (int, error) {
		return 0, fmt.Errorf("cannot parse directive for storage %q: %s", name, fmt.Sprintf(format, args...))
	}
	count, other := 0, false
	for field := range strings.SplitSeq(directive, ",") {
		switch n, err := strconv.Atoi(field); {
		case field == "":
		case storagePool.MatchString(field), storageSize.MatchString(field):
			other = true
		case !storageNumber.MatchString(field):
			return fail("unrecognized storage directive %q not valid", field)
		case err != nil || n < 1:
			return fail("cannot parse count: count must be greater than zero, got %q", field)
		case count != 0:
			return fail("storage instance count is already set to %d, new value %d not valid", count, n)
		default:
			count = n
		}
	}
	switch {
	case other:
		return 0, fmt.Errorf("only count can be specified for %q", name)
	case count == 0:
		return fail("storage directives require at least one field to be specified")
	}
	return count, nil
}

// checkStorage refuses at the commit what is more than the charm allows.
func (a *Agent) checkStorage() error {
	asked := make(map[string]int)
	for _, r := range a.storage {
		asked[r.Name] += r.Count
	}
	for name, count := range asked {
		if life := a.unit().Life; life != "" && life != model.Alive {
			return fmt.Errorf("cannot add storage %q: unit is not found or not alive", name)
		}
		declared := a.application().Storage[name]
		if declared == nil {
			return fmt.Errorf("cannot add storage %q: charm storage %q not found", name, name)
		}
		for id := range a.unit().Storage {
			if storageName(id) == name {
				count++
			}
		}
		if declared.CountMax >= 0 && count > declared.CountMax {
			return fmt.Errorf("cannot add storage %q: at most %d instances supported, %d specified", name, declared.CountMax, count)
		}
	}
	return nil
}

func (a *Agent) resourceGet() *tool {
	t := &tool{usage: "<resource name>", purpose: "Get the path to the locally cached resource file."}
	var name string
	t.init = func(args []string) error {
		if len(args) == 0 {
			return errors.New("missing required resource name")
		}
		name = args[0]
		return noMore(args[1:])
	}
	t.run = func(c *call) error {
		r := a.application().Resources[name]
		if r == nil || r.Path == "" {
			return fmt.Errorf("could not download resource: HTTP request failed: resource %q not found", model.ApplicationOf(a.x.Unit)+"/"+name)
		}
		c.stdout.WriteString(r.Path)
		return nil
	}
	return t
}

// cloudSpec is what credential-get prints. Juju gives its fields names for JSON
// only; in YAML they are as long as their list, empty ones too.
type cloudSpec struct {
	Type              string           `json:"type"`
	Name              string           `json:"name"`
	Region            string           `json:"region,omitempty"`
	Endpoint          string           `json:"endpoint,omitempty"`
	IdentityEndpoint  string           `json:"identity-endpoint,omitempty"`
	StorageEndpoint   string           `json:"storage-endpoint,omitempty"`
	Credential        *cloudCredential `json:"credential,omitempty"`
	CACertificates    []string         `json:"cacertificates,omitempty"`
	SkipTLSVerify     bool             `json:"skip-tls-verify,omitempty"`
	IsControllerCloud bool             `json:"is-controller-cloud,omitempty"`
}

type cloudCredential struct {
	AuthType   string            `json:"auth-type"`
	Attributes map[string]string `json:"attrs,omitempty"`
	Redacted   []string          `json:"redacted,omitempty"`
}

func (a *Agent) credentialGet() *tool {
	t := &tool{purpose: "Access cloud credentials."}
	out := t.smartOutput()
	t.run = func(c *call) error {
		switch {
		case a.m.Kubernetes():
			return fmt.Errorf("cannot access cloud credentials: credential-get on a %q model not supported", "caas")
		case !a.application().Trust || a.m.Cloud == nil:
			return errors.New("cannot access cloud credentials: permission denied")
		}
		from := a.m.Cloud
		spec := cloudSpec{
			Type: from.Type, Name: from.Name, Region: from.Region, Endpoint: from.Endpoint,
			IdentityEndpoint: from.IdentityEndpoint, StorageEndpoint: from.StorageEndpoint,
			CACertificates: from.CACertificates, SkipTLSVerify: from.SkipTLSVerify,
		}
		if from.Credential.AuthType != "" {
			spec.Credential = &cloudCredential{AuthType: from.Credential.AuthType, Attributes: from.Credential.Attributes}
		}
		return out.write(c, spec)
	}
	return t
}
