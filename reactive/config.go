package reactive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// DecodeConfig returns the charm's configuration as a T, a struct whose fields
// have the options' names as json tags:
//
//	type settings struct {
//		Port  int    `json:"port"`
//		Title string `json:"title"`
//	}
//
// An option without value leaves its field zero, or nil if it is a pointer. If
// T has a method Validate, its error is the error. An error names the option;
// returned from a handler as it is it fails the hook, so most charms rather
// return [Blocked] with its text: the configuration is the operator's to mend.
func DecodeConfig[T any](ctx context.Context, h *Hook) (T, error) {
	var config T
	raw, err := h.run.configuration(ctx)
	if err != nil {
		return config, err
	}
	text, err := canonicaljson.Encode(raw)
	if err != nil {
		return config, fmt.Errorf("cannot read the configuration: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return config, fmt.Errorf("option %q is a %s, which does not fit %s", wrong.Field, wrong.Value, wrong.Type)
		}
		return config, fmt.Errorf("cannot read the configuration: %w", err)
	}
	if v, ok := any(&config).(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return config, err
		}
	}
	return config, nil
}
