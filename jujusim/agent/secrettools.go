package agent

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/jujusim/model"
)

func (a *Agent) secretAdd() *tool {
	t := &tool{usage: "[key[#base64|#file]=value...]", purpose: "Add a new secret."}
	owner, file, read := a.upsertFlags(t)
	var u upsert
	t.init = func(args []string) (err error) {
		if len(args) == 0 && *file == "" {
			return errors.New("missing secret value or filename")
		}
		u, err = read(args)
		return err
	}
	t.run = func(c *call) error {
		s := a.loadSecrets()
		create := &secretCreate{upsert: u, owner: a.x.Unit}
		if *owner == "application" {
			if !a.leader() {
				return errNotLeader
			}
			create.owner = model.ApplicationOf(a.x.Unit)
		}
		id := newSecretID(a.rand)
		for a.m.Secrets[id] != nil || s.creates[id] != nil {
			id = newSecretID(a.rand)
		}
		if err := s.create(id, create); err != nil {
			return err
		}
		fmt.Fprintf(&c.stdout, "secret://%s/%s\n", a.modelUUID(a.application()), id)
		return nil
	}
	return t
}

func (a *Agent) secretSet() *tool {
	t := &tool{usage: "<ID> [key[#base64|#file]=value...]", purpose: "Update an existing secret."}
	_, _, read := a.upsertFlags(t)
	var id string
	var u upsert
	t.init = func(args []string) (err error) {
		if id, args, err = secretArgument(args); err != nil {
			return err
		}
		u, err = read(args)
		return err
	}
	t.run = func(*call) error {
		if err := a.mayManage(id); err != nil {
			return err
		}
		a.secrets.update(id, u)
		return nil
	}
	return t
}

// secretArgument takes the secret off the arguments.
func secretArgument(args []string) (id string, rest []string, err error) {
	if len(args) == 0 {
		return "", nil, errors.New("missing secret URI")
	}
	id, err = parseSecretURI(args[0])
	return id, args[1:], err
}

func (a *Agent) secretRemove() *tool {
	t := &tool{usage: "<ID>", purpose: "Remove an existing secret."}
	var revision int
	t.flags.intVar(&revision, "revision", "remove the specified revision")
	var id string
	t.init = func(args []string) (err error) {
		if id, args, err = secretArgument(args); err != nil {
			return err
		}
		return noMore(args)
	}
	t.run = func(*call) error {
		if err := a.mayManage(id); err != nil {
			return err
		}
		a.secrets.remove(id, revision)
		return nil
	}
	return t
}

func (a *Agent) secretGetTool() *tool {
	t := &tool{usage: "<ID> [key[#base64]]", purpose: "Get the content of a secret."}
	out := t.output("yaml", "json")
	var label string
	var peek, refresh bool
	t.flags.stringVar(&label, "label", "a label used to identify the secret in hooks")
	t.flags.boolVar(&peek, "peek", "get the latest revision just this time")
	t.flags.boolVar(&refresh, "refresh", "get the latest revision and also get this same revision for subsequent calls")
	var id, key string
	t.init = func(args []string) (err error) {
		if len(args) == 0 && label == "" {
			return errors.New("require either a secret URI or label")
		}
		if peek && refresh {
			return errors.New("specify one of --peek or --refresh but not both")
		}
		if len(args) > 0 {
			if id, args, err = secretArgument(args); err != nil {
				return err
			}
		}
		if len(args) > 0 {
			key, args = args[0], args[1:]
		}
		return noMore(args)
	}
	t.run = func(c *call) error {
		content, err := a.secretGet(id, label, refresh, peek)
		if err != nil {
			return err
		}
		if key == "" {
			return out.write(c, content)
		}
		name, encoded := strings.CutSuffix(key, "#base64")
		value, ok := content[name]
		switch {
		case !ok:
			return fmt.Errorf("secret key value %q not found", key)
		case encoded:
			value = base64.StdEncoding.EncodeToString([]byte(value))
		}
		return out.write(c, value)
	}
	return t
}

func (a *Agent) secretIDs() *tool {
	t := &tool{purpose: "Print secret ids."}
	out := t.smartOutput()
	t.run = func(c *call) error {
		return out.write(c, slices.Sorted(maps.Keys(a.managed())))
	}
	return t
}

// secretInfo is what secret-info-get prints of a secret.
type secretInfo struct {
	Revision    int            `yaml:"revision" json:"revision"`
	Label       string         `yaml:"label" json:"label"`
	Owner       string         `yaml:"owner" json:"owner"`
	Description string         `yaml:"description,omitempty" json:"description,omitempty"`
	Rotation    string         `yaml:"rotation,omitempty" json:"rotation,omitempty"`
	Expiry      *time.Time     `yaml:"expiry,omitempty" json:"expiry,omitempty"`
	Rotates     *time.Time     `yaml:"rotates,omitempty" json:"rotates,omitempty"`
	Access      []secretAccess `yaml:"access,omitempty" json:"access,omitempty"`
}

type secretAccess struct {
	Target string `yaml:"target" json:"target"`
	Scope  string `yaml:"scope" json:"scope"`
	Role   string `yaml:"role" json:"role"`
}

func (a *Agent) secretInfoGet() *tool {
	t := &tool{usage: "<ID>", purpose: "Get a secret's metadata info."}
	out := t.output("yaml", "json")
	var label, id string
	t.flags.stringVar(&label, "label", "a label used to identify the secret")
	t.init = func(args []string) (err error) {
		if len(args) > 0 {
			if id, args, err = secretArgument(args); err != nil {
				return err
			}
		}
		switch {
		case id == "" && label == "":
			return errors.New("require either a secret URI or label")
		case id != "" && label != "":
			return errors.New("specify either a secret URI or label but not both")
		}
		return noMore(args)
	}
	t.run = func(c *call) error {
		all := a.managed()
		if id != "" {
			if s := all[id]; s != nil {
				return out.write(c, map[string]secretInfo{id: a.secretInfo(s)})
			}
			return fmt.Errorf("secret %q not found", id)
		}
		for _, other := range slices.Sorted(maps.Keys(all)) {
			if s := all[other]; s.Label == label {
				return out.write(c, map[string]secretInfo{other: a.secretInfo(s)})
			}
		}
		return fmt.Errorf("secret %q not found", label)
	}
	return t
}

func (a *Agent) secretInfo(s *model.Secret) secretInfo {
	info := secretInfo{Revision: s.Latest, Label: s.Label, Owner: "application", Description: s.Description, Rotation: s.Rotate}
	if strings.Contains(s.Owner, "/") {
		info.Owner = "unit"
	}
	if at, err := time.Parse(time.RFC3339, s.Expire); err == nil {
		info.Expiry = &at
	}
	// What was made in this execution has no revisions yet, and no time.
	if next := s.NextRotate; s.Revisions != nil && s.Rotate != "never" {
		if next.IsZero() {
			next = a.nextRotate(s)
		}
		info.Rotates = &next
	}
	for _, g := range s.Grants {
		access := secretAccess{Target: tag(g.To), Role: "view"}
		if r := a.m.Relation(g.Relation); r != nil {
			key := a.relationKey(&relation{Relation: r})
			access.Scope = "relation-" + strings.NewReplacer(":", ".", " ", "#").Replace(key)
		}
		info.Access = append(info.Access, access)
	}
	return info
}

func (a *Agent) secretGrant() *tool {
	t := &tool{usage: "<ID>", purpose: "Grant access to a secret."}
	chosen := a.relationFlag(t)
	var unit, id string
	t.flags.stringVar(&unit, "unit", "the unit to grant access")
	var r *relation
	var app string
	t.init = func(args []string) (err error) {
		if id, args, err = secretArgument(args); err != nil {
			return err
		}
		if r, err = chosen(); err != nil {
			return err
		}
		remote, _ := r.Remote(a.x.Unit)
		app = r.Seen(a.x.Unit, remote.Application)
		if unit != "" {
			if !unitName.MatchString(unit) {
				return fmt.Errorf("unit %q not valid", unit)
			}
			if model.ApplicationOf(unit) != app {
				return fmt.Errorf("cannot specify unit %q in relation to application %q", unit, app)
			}
		}
		return noMore(args)
	}
	t.run = func(*call) error {
		secret := a.managed()[id]
		if secret == nil {
			return fmt.Errorf("secret %q not found", id)
		}
		if secret.Owner != a.x.Unit && !a.leader() {
			return errNotLeader
		}
		subject := r.Actual(a.x.Unit, app)
		if unit != "" {
			subject = r.Actual(a.x.Unit, unit)
		}
		for _, g := range secret.Grants {
			if g.Relation != r.ID {
				continue
			}
			if g.To == subject || !strings.Contains(g.To, "/") {
				return nil
			}
			if unit == "" {
				return errors.New("any unit level grants need to be revoked before granting access to the corresponding application")
			}
		}
		a.secrets.grant(id, r.ID, subject)
		return nil
	}
	return t
}

func (a *Agent) secretRevoke() *tool {
	t := &tool{usage: "<ID>", purpose: "Revoke access to a secret."}
	chosen := a.relationFlag(t)
	var app, unit, id string
	t.flags.stringVar(&app, "app,application", "the application to revoke access")
	t.flags.stringVar(&unit, "unit", "the unit to revoke access")
	t.init = func(args []string) (err error) {
		if id, args, err = secretArgument(args); err != nil {
			return err
		}
		switch {
		case app != "" && !applicationName.MatchString(app):
			return fmt.Errorf("application %q not valid", app)
		case unit != "" && !unitName.MatchString(unit):
			return fmt.Errorf("unit %q not valid", unit)
		case app != "" && unit != "":
			return errors.New("specify only one of application or unit")
		}
		if r, err := chosen(); err == nil {
			if app != "" {
				return errors.New("do not specify both relation and app")
			}
			remote, _ := r.Remote(a.x.Unit)
			app = remote.Application
		}
		if app == "" && unit == "" {
			return errors.New("missing relation or application or unit")
		}
		return noMore(args)
	}
	t.run = func(*call) error {
		if err := a.mayManage(id); err != nil {
			return err
		}
		subject := app
		if unit != "" {
			subject = unit
		}
		a.secrets.revoke(id, a.actual(subject))
		return nil
	}
	return t
}
