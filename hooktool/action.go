package hooktool

import (
	"context"
	"fmt"
)

// ActionParams returns the parameters of the running action; numbers are
// json.Number. Outside an action it is ErrNotAction, as are the other methods
// about actions.
func (c *Client) ActionParams(ctx context.Context) (map[string]any, error) {
	m, err := readMap[any](ctx, c, "action-get")
	if err != nil {
		return nil, fmt.Errorf("cannot read the action's parameters: %w", err)
	}
	return m, nil
}

// SetActionResults adds to the results of the running action. A dot in a key
// makes a nested map; each part of a key is lower case letters, digits and
// hyphens. They are kept however the action ends. Anybody who may run the
// action sees them, and over executed tools so does every user of the machine.
func (c *Client) SetActionResults(ctx context.Context, results map[string]string) error {
	if len(results) == 0 {
		return nil
	}
	if err := c.run(ctx, "action-set", append([]string{"--"}, keyValues(results)...)...); err != nil {
		return fmt.Errorf("cannot set the action's results: %w", err)
	}
	return nil
}

// FailAction makes the running action fail with a message. Its other effects
// are kept, unless the process fails too.
func (c *Client) FailAction(ctx context.Context, message string) error {
	args := []string{"--", message}
	if message == "" {
		args = nil // Juju has a message for this, and takes no empty one
	}
	if err := c.run(ctx, "action-fail", args...); err != nil {
		return fmt.Errorf("cannot fail the action: %w", err)
	}
	return nil
}

// ActionLog shows a message of progress to whoever waits for the running action.
func (c *Client) ActionLog(ctx context.Context, message string) error {
	if err := c.run(ctx, "action-log", "--", message); err != nil {
		return fmt.Errorf("cannot log for the action: %w", err)
	}
	return nil
}
