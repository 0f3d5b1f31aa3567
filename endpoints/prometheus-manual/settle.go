package prometheusmanual

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// settle gives the server all jobs, and if it refuses them together, those
// that it takes one by one. It returns the jobs that the server runs.
func (a *application) settle(ctx context.Context, jobs []candidate) ([]candidate, error) {
	before := a.current
	err := a.try(ctx, jobs)
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		jobs, err = a.settleOneByOne(ctx, jobs)
	}
	if errors.As(err, &invalid) && before != nil && !bytes.Equal(before, a.current) {
		// Not even the jobs that it had: leave the server what it had, so
		// that it can start again.
		err = errors.Join(err, a.write(before))
		err = errors.Join(err, a.reload(ctx))
	}
	if err != nil {
		return nil, err
	}
	missing, err := a.awaitPools(ctx, jobs)
	if err != nil || len(missing) == 0 {
		return jobs, err
	}
	jobs = slices.DeleteFunc(jobs, func(c candidate) bool {
		if !slices.Contains(missing, c.Name) {
			return false
		}
		a.refuse(c.index, refuse(c.Job.JobName, "",
			"the server took the configuration but does not run the job; its log says why"))
		return true
	})
	return jobs, a.try(ctx, jobs)
}

func (a *application) settleOneByOne(ctx context.Context, jobs []candidate) ([]candidate, error) {
	var kept, added []candidate
	for _, c := range jobs {
		if a.isNew(c) {
			added = append(added, c)
		} else {
			kept = append(kept, c)
		}
	}
	if err := a.try(ctx, kept); err != nil {
		return nil, err
	}
	for _, c := range added {
		err := a.try(ctx, append(slices.Clone(kept), c))
		var invalid *InvalidError
		switch {
		case errors.As(err, &invalid):
			a.refuse(c.index, refuse(c.Job.JobName, "", "%s", invalid.Reason))
		case err != nil:
			return nil, err
		default:
			kept = append(kept, c)
		}
	}
	return kept, a.try(ctx, kept)
}

// try writes a configuration with these jobs and has the server load it.
func (a *application) try(ctx context.Context, jobs []candidate) error {
	scrapes := make([]Scrape, len(jobs))
	for i, c := range jobs {
		scrapes[i] = c.Scrape
	}
	text, err := a.base.Render(scrapes)
	if err != nil {
		return err
	}
	if bytes.Equal(text, a.current) {
		if a.refusal != nil {
			return a.refusal
		}
		return a.reloadIfMissing(ctx, jobs)
	}
	if a.Validator != nil {
		if err := a.Validator.Validate(ctx, text); err != nil {
			return err
		}
	}
	if err := a.write(text); err != nil {
		return err
	}
	return a.reload(ctx)
}

func (a *application) write(text []byte) error {
	gid, err := lookupGroup(a.Certificates.Group)
	if err == nil {
		err = writeFile(a.ConfigFile, text, gid)
	}
	if err != nil {
		return fmt.Errorf("cannot write the server's configuration: %w", err)
	}
	a.current = text
	return nil
}

func (a *application) reload(ctx context.Context) error {
	if a.Server == nil {
		return nil
	}
	a.refusal = nil
	if err := a.Server.Reload(ctx); err != nil {
		err = fmt.Errorf("cannot reload the server: %w", err)
		var invalid *InvalidError
		if errors.As(err, &invalid) {
			a.refusal = err
		}
		return err
	}
	return nil
}

// reloadIfMissing helps a server that has not read the file as it is: an
// earlier run may have stopped between writing and reloading.
func (a *application) reloadIfMissing(ctx context.Context, jobs []candidate) error {
	if a.Server == nil || len(jobs) == 0 {
		return nil
	}
	missing, err := a.missingPools(ctx, jobs)
	if err != nil || len(missing) == 0 {
		return err
	}
	return a.reload(ctx)
}

// missingPools returns the names of the jobs that the server does not run. One
// that was there before may wait for its service discovery to find something.
func (a *application) missingPools(ctx context.Context, jobs []candidate) ([]string, error) {
	pools, err := a.Server.Pools(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the server for its jobs: %w", err)
	}
	var missing, waiting []string
	for _, c := range jobs {
		switch {
		case slices.Contains(pools, c.Name):
		case a.isNew(c):
			missing = append(missing, c.Name)
		default:
			waiting = append(waiting, c.Name)
		}
	}
	waiting, err = a.notIdle(ctx, waiting)
	return append(missing, waiting...), err
}

// notIdle returns those of the jobs that have something to scrape, or that the
// server does not know.
func (a *application) notIdle(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	idle, err := a.Server.Idle(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the server for its jobs: %w", err)
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(idle, name) }), nil
}

// awaitPools waits until the server runs the jobs and returns the names of
// those that it does not after the time it has for that.
func (a *application) awaitPools(ctx context.Context, jobs []candidate) ([]string, error) {
	if a.Server == nil || len(jobs) == 0 {
		return nil, nil
	}
	timeout := cmp.Or(a.TakeTimeout, 15*time.Second)
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		missing, err := a.missingPools(ctx, jobs)
		if err != nil || len(missing) == 0 {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline.C:
			return a.notIdle(ctx, missing)
		case <-time.After(wait):
		}
	}
}
