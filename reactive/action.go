package reactive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// HandleAction registers the work of an action of the charm's metadata. The
// action's parameters are decoded into P and its results encoded from R, both
// as [encoding/json] does: structs with json tags, or maps. Results nested in
// others get keys joined by dots; Juju wants keys of lower-case letters, digits
// and hyphens.
//
// An error makes the action fail with its text, and nothing that the action
// changed is kept but the results that came with the error. (If it made a secret,
// the process fails too, and Juju says "exit status 1" instead of the text.) After
// the action's own work the rounds of flag handlers run as in a hook, so an action
// may just set a flag.
//
// It panics, naming both places, if the charm handles the action already.
func HandleAction[P, R any](c *Charm, action string, do func(ctx context.Context, h *Hook, params P) (R, error)) {
	site := callSite(1)
	if was, ok := c.actions[action]; ok {
		panic(fmt.Sprintf("reactive: action %q handled at %s is handled at %s", action, place(site), place(was)))
	}
	c.actions[action] = site
	c.register(Handler{
		Name: "action " + action,
		On:   []Condition{{kind: onAction, patterns: []string{action}}},
		Do: func(ctx context.Context, h *Hook) error {
			params, err := decodeParams[P](ctx, h, action)
			if err != nil {
				return err
			}
			results, err := do(ctx, h, params)
			h.run.acted = true
			flat, flatErr := flatten(results)
			if flatErr != nil {
				return errors.Join(err, fmt.Errorf("cannot encode the action's results: %w", flatErr))
			}
			if setErr := h.run.tools.SetActionResults(ctx, flat); setErr != nil {
				return errors.Join(err, setErr)
			}
			return err
		},
	}, site)
}

func decodeParams[P any](ctx context.Context, h *Hook, action string) (P, error) {
	var params P
	raw, err := h.run.tools.ActionParams(ctx)
	if err != nil {
		return params, err
	}
	file, err := h.run.charmFile()
	if err != nil {
		return params, err
	}
	if declared, ok := file.Action(action); ok {
		if raw, err = declared.Validate(raw); err != nil {
			return params, err
		}
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return params, fmt.Errorf("cannot read the action's parameters: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&params); err != nil {
		return params, fmt.Errorf("cannot read the action's parameters: %w", err)
	}
	return params, nil
}

// flatten makes results of strings by keys, as action-set takes them.
func flatten(results any) (map[string]string, error) {
	text, err := canonicaljson.Encode(results)
	if err != nil {
		return nil, err
	}
	v, err := canonicaljson.Decode(text)
	if err != nil {
		return nil, err
	}
	flat := make(map[string]string)
	switch v := v.(type) {
	case nil:
	case map[string]any:
		err = flattenInto(flat, "", v)
	default:
		err = flattenInto(flat, "", map[string]any{"result": v})
	}
	return flat, err
}

func flattenInto(flat map[string]string, prefix string, results map[string]any) error {
	for key, v := range results {
		if key == "" || strings.ContainsAny(key, ".=") {
			return fmt.Errorf("the key %q is empty or has a dot or an equals sign", key)
		}
		switch v := v.(type) {
		case nil:
		case map[string]any:
			if err := flattenInto(flat, prefix+key+".", v); err != nil {
				return err
			}
		case string:
			flat[prefix+key] = v
		default:
			text, err := canonicaljson.Encode(v)
			if err != nil {
				return err
			}
			flat[prefix+key] = text
		}
	}
	return nil
}

// ActionLog shows a message of progress to whoever waits for the running
// action, at once.
func (h *Hook) ActionLog(ctx context.Context, message string) error {
	return h.run.tools.ActionLog(ctx, message)
}

// act runs the charm for an action. An action that fails is no failed process:
// Juju would replace the message by the exit status.
func (r *run) act(ctx context.Context) error {
	if _, ok := r.charm.actions[r.event.Action]; !ok {
		return r.tools.FailAction(ctx, fmt.Sprintf("the charm does not handle the action %q", r.event.Action))
	}
	err := r.dispatch(ctx)
	switch {
	case err == nil && r.verdict != nil && !r.acted:
		return r.tools.FailAction(ctx, r.verdict.Message)
	case err == nil || r.writing || ctx.Err() != nil:
		return err
	}
	if slices.ContainsFunc(r.juju.secrets, func(s *OwnSecret) bool { return s.isNew }) {
		// Juju was told of a secret already. Only a process that fails takes it
		// back.
		return err
	}
	r.record.failed = err
	message := err.Error()
	var failed *HandlerError
	if errors.As(err, &failed) {
		message = failed.Err.Error()
		if failed.Handler != "action "+r.event.Action {
			message = fmt.Sprintf("handler %q: %s", failed.Handler, message)
		}
	}
	return r.tools.FailAction(ctx, message)
}

// Actions returns the names of the actions that the charm handles, sorted.
func (c *Charm) Actions() []string {
	var list []string
	for name := range c.actions {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}
