package hooktool

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// A GoalState is what the model will look like once Juju has done all that was
// asked of it so far.
type GoalState struct {
	// Units are the units of this application, by name.
	Units map[string]GoalStatus `json:"units"`
	// Relations holds, by endpoint, the remote applications and their units.
	Relations map[string]map[string]GoalStatus `json:"relations"`
}

// A GoalStatus is the status of a unit or a relation, and since when it has it.
type GoalStatus struct {
	Status string
	// Since is in whole seconds; zero when Juju does not know.
	Since time.Time
}

// UnmarshalJSON reads what goal-state prints.
func (g *GoalStatus) UnmarshalJSON(data []byte) error {
	var raw struct{ Status, Since string }
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*g = GoalStatus{Status: raw.Status}
	if raw.Since == "" {
		return nil
	}
	var err error
	if g.Since, err = time.Parse("2006-01-02 15:04:05Z07:00", raw.Since); err != nil {
		g.Since, err = time.Parse(time.RFC3339, raw.Since)
	}
	return err
}

// GoalState returns the goal state of the model, as far as it concerns this unit.
func (c *Client) GoalState(ctx context.Context) (GoalState, error) {
	var g GoalState
	if err := c.read(ctx, &g, "goal-state"); err != nil {
		return GoalState{}, fmt.Errorf("cannot read the goal state: %w", err)
	}
	return g, nil
}

// StorageAdd asks for more instances of a storage of the charm. It takes
// effect when the hook ends well; each comes with its storage-attached hook.
func (c *Client) StorageAdd(ctx context.Context, name string, count int) error {
	if count < 1 {
		return invalid("storage-add", "count %d of storage %q is not positive", count, name)
	}
	if err := c.run(ctx, "storage-add", "--", name+"="+strconv.Itoa(count)); err != nil {
		return fmt.Errorf("cannot add storage %q: %w", name, err)
	}
	return nil
}

// StorageList returns the ids ("data/0") of this unit's attached instances of
// a storage, or with an empty name of all.
func (c *Client) StorageList(ctx context.Context, name string) ([]string, error) {
	var args []string
	if name != "" {
		args = []string{"--", name}
	}
	var ids []string
	if err := c.read(ctx, &ids, "storage-list", args...); err != nil {
		return nil, fmt.Errorf("cannot list storage: %w", err)
	}
	return ids, nil
}

// A Storage is an attached storage instance.
type Storage struct {
	// Kind is "filesystem" or "block".
	Kind string `json:"kind"`
	// Location is the mount point, or the path of the device.
	Location string `json:"location"`
}

// StorageGet returns an attached storage instance by its id.
func (c *Client) StorageGet(ctx context.Context, id string) (Storage, error) {
	if id == "" {
		return Storage{}, invalid("storage-get", "the storage id is empty")
	}
	var s Storage
	if err := c.read(ctx, &s, "storage-get", "-s", id); err != nil {
		return Storage{}, fmt.Errorf("cannot read storage %q: %w", id, err)
	}
	return s, nil
}

// ResourceGet returns the path of a resource's file, which Juju downloads
// first when this machine does not have its latest revision.
func (c *Client) ResourceGet(ctx context.Context, name string) (string, error) {
	out, err := c.output(ctx, "resource-get", "--", name)
	if err == nil && len(bytes.TrimSpace(out)) == 0 {
		err = &Error{Tool: "resource-get", Message: "it printed no path"}
	}
	if err != nil {
		return "", fmt.Errorf("cannot get resource %q: %w", name, err)
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// A CloudSpec is how to reach the cloud that the model is in. Logged or
// printed, it does not show the credential.
type CloudSpec struct {
	Type             string          `json:"type"`
	Name             string          `json:"name"`
	Region           string          `json:"region"`
	Endpoint         string          `json:"endpoint"`
	IdentityEndpoint string          `json:"identity-endpoint"`
	StorageEndpoint  string          `json:"storage-endpoint"`
	Credential       CloudCredential `json:"credential"`
	CACertificates   []string        `json:"cacertificates"`
	SkipTLSVerify    bool            `json:"skip-tls-verify"`
}

// A CloudCredential is the credential of a CloudSpec. Logged or printed, it
// shows only its type.
type CloudCredential struct {
	AuthType   string            `json:"auth-type"`
	Attributes map[string]string `json:"attrs"`
}

// String shows the type only.
func (c CloudCredential) String() string { return c.AuthType + " credential" }

// GoString shows the type only.
func (c CloudCredential) GoString() string { return c.String() }

// LogValue shows the type only.
func (c CloudCredential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// CredentialGet returns the cloud of the model, with the credential. The
// application must be trusted (juju trust), else it is an error.
func (c *Client) CredentialGet(ctx context.Context) (CloudSpec, error) {
	var spec CloudSpec
	if err := c.read(ctx, &spec, "credential-get"); err != nil {
		return CloudSpec{}, fmt.Errorf("cannot get the cloud's credential: %w", err)
	}
	return spec, nil
}

// Reboot asks for a reboot of the machine when the hook has ended well. With
// now, Juju ends the hook on the spot, killing this process, and runs it again
// after the reboot; nothing that the hook did so far is kept but what took
// effect at once.
func (c *Client) Reboot(ctx context.Context, now bool) error {
	var args []string
	if now {
		args = []string{"--now"}
	}
	if err := c.run(ctx, "juju-reboot", args...); err != nil {
		return fmt.Errorf("cannot ask for a reboot: %w", err)
	}
	return nil
}
