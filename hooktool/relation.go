package hooktool

import (
	"context"
	"fmt"
)

// RelationIDs returns the ids ("db:1") of the relations of an endpoint, empty
// for an endpoint that Juju does not know. On a real Juju 4 the relation of a
// relation-broken hook is still among them.
func (c *Client) RelationIDs(ctx context.Context, endpoint string) ([]string, error) {
	if endpoint == "" {
		return nil, invalid("relation-ids", "the endpoint is empty")
	}
	var ids []string
	if err := c.read(ctx, &ids, "relation-ids", "--", endpoint); err != nil {
		return nil, fmt.Errorf("cannot list the relations of endpoint %q: %w", endpoint, err)
	}
	return ids, nil
}

// RelationList returns the remote units of a relation whose relation-joined
// hook this unit has run, and that have not departed since.
func (c *Client) RelationList(ctx context.Context, id string) ([]string, error) {
	if err := checkRelation("relation-list", id); err != nil {
		return nil, err
	}
	var units []string
	if err := c.read(ctx, &units, "relation-list", "-r", id); err != nil {
		return nil, fmt.Errorf("cannot list the units of relation %q: %w", id, err)
	}
	return units, nil
}

// RelationApplication returns the name of the application at the other end of
// a relation; for a peer relation it is the unit's own.
func (c *Client) RelationApplication(ctx context.Context, id string) (string, error) {
	if err := checkRelation("relation-list", id); err != nil {
		return "", err
	}
	var app string
	if err := c.read(ctx, &app, "relation-list", "-r", id, "--app"); err != nil {
		return "", fmt.Errorf("cannot find the remote application of relation %q: %w", id, err)
	}
	return app, nil
}

// RelationGet returns the databag of a unit, remote or own, in a relation. The
// bag of a unit that is not in the relation is ErrPermission on Juju 3 and
// ErrNotFound on Juju 4. Juju writes a unit's own bag back at the end of a
// hook that has read it, so do that only when needed.
func (c *Client) RelationGet(ctx context.Context, id, unit string) (map[string]string, error) {
	return c.relationGet(ctx, id, unit, "-r", id, "--", "-", unit)
}

// RelationGetApp returns the databag of an application in a relation. Its own
// application's is for the leader; a unit that does not lead gets it in peer
// relations, and else ErrPermission from Juju 3.
func (c *Client) RelationGetApp(ctx context.Context, id, app string) (map[string]string, error) {
	return c.relationGet(ctx, id, app, "-r", id, "--app", "--", "-", app)
}

func (c *Client) relationGet(ctx context.Context, id, owner string, args ...string) (map[string]string, error) {
	if err := checkRelation("relation-get", id); err != nil {
		return nil, err
	}
	if owner == "" {
		// Juju would take whatever the hook is about.
		return nil, invalid("relation-get", "the unit or application is empty")
	}
	m, err := readMap[string](ctx, c, "relation-get", args...)
	if err != nil {
		return nil, fmt.Errorf("cannot read the data of %s in relation %q: %w", owner, id, err)
	}
	return m, nil
}

// RelationSet changes this unit's databag in a relation; an empty value
// deletes its key, and keys that are not named stay. Values are kept exactly,
// of any size; one that is not UTF-8 is ErrInvalid and its key named. It takes
// effect when the hook ends well, and for this hook's reads at once. An empty
// map is no call.
func (c *Client) RelationSet(ctx context.Context, id string, data map[string]string) error {
	return c.relationSet(ctx, id, "unit", data, "-r", id, "--file", "-")
}

// RelationSetApp is RelationSet for the databag of this unit's application,
// which only the leader may write.
func (c *Client) RelationSetApp(ctx context.Context, id string, data map[string]string) error {
	return c.relationSet(ctx, id, "application", data, "-r", id, "--app", "--file", "-")
}

func (c *Client) relationSet(ctx context.Context, id, bag string, data map[string]string, args ...string) error {
	if err := checkRelation("relation-set", id); err != nil {
		return err
	}
	if len(data) == 0 {
		return nil
	}
	stdin, err := encodeMap("relation-set", data)
	if err == nil {
		_, err = c.outputOf(ctx, Call{Tool: "relation-set", Args: args, Stdin: stdin})
	}
	if err != nil {
		return fmt.Errorf("cannot write %s data in relation %q: %w", bag, id, err)
	}
	return nil
}

// RelationModelUUID returns the UUID of the model of the remote application:
// another than the unit's own in a cross-model relation. Juju 2.9 has no such
// tool (ErrUnknownTool).
func (c *Client) RelationModelUUID(ctx context.Context, id string) (string, error) {
	if err := checkRelation("relation-model-get", id); err != nil {
		return "", err
	}
	var model struct {
		UUID string `json:"uuid"`
	}
	if err := c.read(ctx, &model, "relation-model-get", "-r", id); err != nil {
		return "", fmt.Errorf("cannot find the model of relation %q: %w", id, err)
	}
	return model.UUID, nil
}

// checkRelation refuses the empty id, for which Juju would take the hook's own
// relation.
func checkRelation(tool, id string) error {
	if id == "" {
		return invalid(tool, "the relation id is empty")
	}
	return nil
}
