package hooktool

import (
	"context"
	"fmt"
	"slices"
)

// Config returns the configuration of the application: string, bool and
// json.Number values (config-get does not tell int from float). An option with
// neither value nor default is absent.
func (c *Client) Config(ctx context.Context) (map[string]any, error) {
	m, err := readMap[any](ctx, c, "config-get")
	if err != nil {
		return nil, fmt.Errorf("cannot read the configuration: %w", err)
	}
	return m, nil
}

// IsLeader says whether this unit leads its application. True holds for at
// least 30 seconds; once false, it stays so for the rest of the hook.
func (c *Client) IsLeader(ctx context.Context) (bool, error) {
	var leader bool
	if err := c.read(ctx, &leader, "is-leader"); err != nil {
		return false, fmt.Errorf("cannot tell whether this unit is the leader: %w", err)
	}
	return leader, nil
}

// LeaderGet returns the leader settings, of Juju up to 3; Juju 4 has the peer
// relation's application data instead, and no such tool (ErrUnknownTool).
func (c *Client) LeaderGet(ctx context.Context) (map[string]string, error) {
	m, err := readMap[string](ctx, c, "leader-get")
	if err != nil {
		return nil, fmt.Errorf("cannot read the leader settings: %w", err)
	}
	return m, nil
}

// LeaderSet changes the leader settings; an empty value deletes its key. Only
// the leader may. It takes effect at once, and stays when the hook fails. Juju
// cuts white space off the ends of keys and values. See LeaderGet for Juju 4.
func (c *Client) LeaderSet(ctx context.Context, settings map[string]string) error {
	if len(settings) == 0 {
		return nil
	}
	if err := c.run(ctx, "leader-set", append([]string{"--"}, keyValues(settings)...)...); err != nil {
		return fmt.Errorf("cannot write the leader settings: %w", err)
	}
	return nil
}

// State returns the charm state of this unit: what StateSet stored.
func (c *Client) State(ctx context.Context) (map[string]string, error) {
	m, err := readMap[string](ctx, c, "state-get")
	if err != nil {
		return nil, fmt.Errorf("cannot read the charm state: %w", err)
	}
	return m, nil
}

// StateGet returns one value of the charm state, and whether there is one.
func (c *Client) StateGet(ctx context.Context, key string) (value string, ok bool, err error) {
	if key == "" || key == "-" {
		// These mean everything to state-get.
		m, err := c.State(ctx)
		value, ok = m[key]
		return value, ok, err
	}
	err = c.read(ctx, &value, "state-get", "--strict", "--", key)
	if isNotFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("cannot read the charm state %q: %w", key, err)
	}
	return value, true, nil
}

// StateSet stores values in the charm state; keys that are not named stay. It
// takes effect when the hook ends well, and for this hook's reads at once. A
// key may have 256 bytes and a value 64 KiB (ErrLimit), all together 2 MiB
// (found when the hook ends, which then fails). An empty map is no call.
func (c *Client) StateSet(ctx context.Context, state map[string]string) error {
	if len(state) == 0 {
		return nil
	}
	stdin, err := encodeMap("state-set", state)
	if err == nil {
		_, err = c.outputOf(ctx, Call{Tool: "state-set", Args: []string{"--file", "-"}, Stdin: stdin})
	}
	if err != nil {
		return fmt.Errorf("cannot store charm state: %w", err)
	}
	return nil
}

// StateDelete removes keys from the charm state, each by a call of its own; a
// key that is not there is no error.
func (c *Client) StateDelete(ctx context.Context, keys ...string) error {
	for _, key := range keys {
		if err := c.run(ctx, "state-delete", "--", key); err != nil {
			return fmt.Errorf("cannot delete the charm state %q: %w", key, err)
		}
	}
	return nil
}

// keyValues returns KEY=VALUE arguments in the order of the keys.
func keyValues(m map[string]string) []string {
	args := make([]string, 0, len(m))
	for k, v := range m {
		args = append(args, k+"="+v)
	}
	slices.Sort(args)
	return args
}
