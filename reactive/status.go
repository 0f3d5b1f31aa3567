package reactive

import (
	"context"
	"errors"
	"fmt"

	"github.com/charmed-go/charms/hooktool"
)

// A Status is what a unit or an application says of itself in juju status.
type Status struct {
	// State is one of active, waiting, blocked and maintenance.
	State string
	// Message says more, in one line.
	Message string
}

// Active is the status of a unit that does its work.
func Active(message string) Status { return Status{hooktool.StatusActive, message} }

// Maintenance is the status of a unit that is busy with something that ends by
// itself.
func Maintenance(message string) Status { return Status{hooktool.StatusMaintenance, message} }

// A statusError is what a handler returns to end the hook with a status.
type statusError struct{ status Status }

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: %s", e.status.State, e.status.Message)
}

// Blocked returned from a handler sets the unit's status to blocked: somebody
// has to do what message says. The hook ends well; no further handler runs.
func Blocked(message string) error {
	return &statusError{Status{hooktool.StatusBlocked, message}}
}

// Waiting returned from a handler sets the unit's status to waiting: something
// else has to happen first, as message says. The hook ends well; no further
// handler runs.
func Waiting(message string) error {
	return &statusError{Status{hooktool.StatusWaiting, message}}
}

// BlockedStatus is the status for [Hook.SetStatus] that [Blocked] sets.
func BlockedStatus(message string) Status { return Status{hooktool.StatusBlocked, message} }

// WaitingStatus is the status for [Hook.SetStatus] that [Waiting] sets.
func WaitingStatus(message string) Status { return Status{hooktool.StatusWaiting, message} }

// SetStatus reports the unit's status. One report wins: what a handler returned
// by [Blocked] or [Waiting], else what the charm's [Charm.StatusFunc] says,
// else the last report of the hook. It is written at the end of the hook, once,
// and only if it is not the unit's status already.
//
// A status of another kind than a charm can set is a mistake in the program, and
// panics.
func (h *Hook) SetStatus(s Status) {
	s.check()
	h.run.status = &s
}

func (s Status) settable() bool {
	switch s.State {
	case hooktool.StatusActive, hooktool.StatusMaintenance, hooktool.StatusBlocked, hooktool.StatusWaiting:
		return true
	}
	return false
}

func (s Status) check() {
	if !s.settable() {
		panic(fmt.Sprintf("reactive: %q is no status that a charm can set", s.State))
	}
}

// Progress shows the status maintenance at once, for work that takes long. Juju
// keeps it even if the hook fails.
func (h *Hook) Progress(ctx context.Context, message string) error {
	h.run.progress = true
	if h.run.status == nil {
		was, err := h.run.tools.Status(ctx)
		if err != nil {
			return err
		}
		// What was shown before comes back at the end of the hook, unless
		// somebody reports something else. A unit that never said anything is
		// left as one that is no longer busy.
		h.run.status = &Status{was.Status, was.Message}
		if !h.run.status.settable() {
			h.run.status = &Status{State: hooktool.StatusMaintenance}
		}
	}
	return h.run.tools.SetStatus(ctx, hooktool.StatusMaintenance, message)
}

// SetApplicationStatus reports the application's status, written like that of
// the unit.
func (l *Leader) SetApplicationStatus(s Status) {
	s.check()
	l.run.appStatus = &s
}

// finalStatus settles which status wins.
func (r *run) finalStatus(ctx context.Context) error {
	if r.verdict != nil {
		r.status = r.verdict
		return nil
	}
	if r.charm.status == nil {
		return nil
	}
	var s Status
	err := call(ctx, func(ctx context.Context, h *Hook) (err error) {
		if s, err = r.charm.status(ctx, h); err == nil && s != (Status{}) {
			s.check()
		}
		return err
	}, &Hook{r})
	var verdict *statusError
	switch {
	case errors.As(err, &verdict):
		r.status = &verdict.status
	case err != nil:
		return fmt.Errorf("cannot decide the unit's status: %w", err)
	case s != (Status{}):
		r.status = &s
	}
	return nil
}

// writeStatus writes the statuses that differ from what Juju has.
func (r *run) writeStatus(ctx context.Context) error {
	if r.status != nil {
		was, err := r.tools.Status(ctx)
		if err != nil {
			return err
		}
		if r.progress || was.Status != r.status.State || was.Message != r.status.Message {
			if err := r.tools.SetStatus(ctx, r.status.State, r.status.Message); err != nil {
				return err
			}
		}
	}
	if r.appStatus != nil {
		was, err := r.tools.ApplicationStatus(ctx)
		if err != nil {
			return err
		}
		if was.Application.Status != r.appStatus.State || was.Application.Message != r.appStatus.Message {
			return r.tools.SetApplicationStatus(ctx, r.appStatus.State, r.appStatus.Message)
		}
	}
	return nil
}
