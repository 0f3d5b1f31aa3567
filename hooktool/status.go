package hooktool

import (
	"context"
	"fmt"
)

// The statuses a charm can set, and those it may read besides.
const (
	StatusActive      = "active"
	StatusBlocked     = "blocked"
	StatusMaintenance = "maintenance"
	StatusWaiting     = "waiting"

	StatusUnknown    = "unknown"
	StatusError      = "error"
	StatusTerminated = "terminated"
)

// A Status is the workload status of a unit or an application.
type Status struct {
	// Status is one of the Status constants.
	Status  string `json:"status"`
	Message string `json:"message"`
	// Data is what Juju adds, such as the hook that failed.
	Data map[string]any `json:"status-data"`
}

// An ApplicationStatus is the status of an application and of its units.
type ApplicationStatus struct {
	Application Status
	Units       map[string]Status
}

// Status returns the status of this unit. When it was read before in a hook,
// Juju gives the same answer again, even after SetStatus.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	if err := c.read(ctx, &s, "status-get", "--include-data"); err != nil {
		return Status{}, fmt.Errorf("cannot read the unit's status: %w", err)
	}
	return s, nil
}

// SetStatus sets the status of this unit, to one of the first four Status
// constants. It takes effect at once, and stays when the hook fails.
func (c *Client) SetStatus(ctx context.Context, status, message string) error {
	if err := c.run(ctx, "status-set", "--", status, message); err != nil {
		return fmt.Errorf("cannot set the unit's status: %w", err)
	}
	return nil
}

// ApplicationStatus returns the status of the application and its units. Only
// the leader may.
func (c *Client) ApplicationStatus(ctx context.Context) (ApplicationStatus, error) {
	var reply struct {
		Application struct {
			Status
			Units map[string]Status `json:"units"`
		} `json:"application-status"`
	}
	if err := c.read(ctx, &reply, "status-get", "--application", "--include-data"); err != nil {
		return ApplicationStatus{}, fmt.Errorf("cannot read the application's status: %w", err)
	}
	return ApplicationStatus{Application: reply.Application.Status, Units: reply.Application.Units}, nil
}

// SetApplicationStatus is SetStatus for the application. Only the leader may.
func (c *Client) SetApplicationStatus(ctx context.Context, status, message string) error {
	if err := c.run(ctx, "status-set", "--application", "--", status, message); err != nil {
		return fmt.Errorf("cannot set the application's status: %w", err)
	}
	return nil
}

// SetApplicationVersion sets the version of the workload that juju status
// shows. It takes effect at once, and stays when the hook fails.
func (c *Client) SetApplicationVersion(ctx context.Context, version string) error {
	if err := c.run(ctx, "application-version-set", "--", version); err != nil {
		return fmt.Errorf("cannot set the application's version: %w", err)
	}
	return nil
}
