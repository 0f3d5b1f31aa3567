package prometheusmanual

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
)

// Requirer is the end of the relation that has a Prometheus server: it
// receives jobs, has the server take them, and answers
// (PrometheusManualRequires in the Python interface).
//
// Beside the flags of every endpoint it keeps endpoint.NAME.has_jobs and
// endpoint.NAME.new_jobs, and endpoint.NAME.has_requests and
// endpoint.NAME.new_requests, which do not ask for joined units.
type Requirer struct {
	*reactive.Responder[Request, Response]
}

// NewRequirer makes the requirer of a charm's endpoint of that name, which the
// charm's metadata has among requires with interface prometheus-manual.
func NewRequirer(charm *reactive.Charm, endpoint string) *Requirer {
	ep := charm.Endpoint(endpoint, charmfile.Requirer, Interface)
	r := &Requirer{reactive.NewResponder[Request, Response](ep)}
	ep.ManageFlags(func(_ context.Context, h *reactive.Hook) error {
		h.Toggle(r.HasJobs(), r.IsJoined() && r.Requests().Len() > 0)
		h.Toggle(r.NewJobs(), r.IsJoined() && len(r.Unanswered()) > 0)
		return nil
	})
	return r
}

// HasJobs returns the flag endpoint.NAME.has_jobs: there are units and jobs.
func (r *Requirer) HasJobs() flags.Flag { return r.Flag("has_jobs") }

// NewJobs returns the flag endpoint.NAME.new_jobs: there are units and jobs
// without an answer. A job that its sender changes or takes back sets no flag
// but endpoint.NAME.changed.
func (r *Requirer) NewJobs() flags.Flag { return r.Flag("new_jobs") }

// Jobs returns the jobs of all joined units, as they were sent. What cannot be
// read as a request is left out; see [reactive.Responder.Malformed].
//
// Two units can send requests of the same ID, by accident or to get at
// another's. Unlike Requests, which keeps one request of an ID as the
// reference does, this keeps them all.
func (r *Requirer) Jobs(ctx context.Context) ([]RemoteJob, error) {
	jobs, _, err := r.received(ctx)
	return jobs, err
}

// received returns the jobs, and apart from them what cannot be read as one,
// refused.
func (r *Requirer) received(ctx context.Context) (jobs []RemoteJob, malformed []Outcome, err error) {
	if err := r.Fetch(ctx); err != nil {
		return nil, nil, fmt.Errorf("cannot read the scrape jobs of endpoint %q: %w", r.Name(), err)
	}
	for relation := range r.Relations().Values() {
		for unit := range relation.Units().Values() {
			bag, err := unit.Received(ctx)
			if err != nil {
				return nil, nil, fmt.Errorf("cannot read the scrape jobs of %s: %w", unit.Name(), err)
			}
			for _, key := range bag.Keys() {
				id, ok := strings.CutPrefix(key, "request_")
				if !ok || id == "" {
					continue
				}
				job := RemoteJob{Relation: relation.ID(), Application: unit.Application(), Unit: unit.Name()}
				err := job.UnmarshalJSON([]byte(bag.Raw(key)))
				if err == nil && job.ID != "" && job.ID != id {
					err = errors.New("request_id is not that of its key")
				}
				job.ID = id
				// Only where there are jobs, since the first time it costs a call.
				own, bagErr := relation.ToPublish(ctx)
				if bagErr != nil {
					return nil, nil, fmt.Errorf("cannot read the answers to %s: %w", unit.Name(), bagErr)
				}
				var response Response
				if ok, err := own.Get(responsePrefix+id, &response); ok && err == nil {
					job.Response = &response
				}
				if err != nil {
					// What there is to call it by is its ID.
					malformed = append(malformed, Outcome{Job: job, Err: refuse(cmp.Or(job.JobName, id), "", "%v", err)})
					continue
				}
				jobs = append(jobs, job)
			}
		}
	}
	return jobs, malformed, nil
}

// responsePrefix begins the key of an answer; the request's ID follows.
const responsePrefix = "response_"

// Apply makes the jobs of all relations the jobs of the manager's server and
// answers each. See [Manager.Apply]: the error says that it is not known what
// the server does, and then nothing is answered. What cannot be read as a
// request is refused, too, and answers to requests that are gone are taken back:
// a job that is registered again later must not look taken.
//
// Call it in every hook in which the server is there. Jobs come, change and go
// in hooks of this endpoint, but a server may have been restored or replaced
// in any other; where nothing has changed, nothing is written.
//
// Series get the labels juju_model and juju_model_uuid of the hook's model,
// unless the manager's policy has others.
func (r *Requirer) Apply(ctx context.Context, h *reactive.Hook, m *Manager) ([]Outcome, error) {
	manager := *m
	name, id := h.Model()
	labels := make(map[string]string)
	for label, value := range map[string]string{"juju_model": name, "juju_model_uuid": id} {
		if value != "" {
			labels[label] = value
		}
	}
	maps.Copy(labels, m.Policy.Labels)
	manager.Policy.Labels = labels

	jobs, malformed, err := r.received(ctx)
	if err != nil {
		return nil, err
	}
	outcomes, err := manager.Apply(ctx, jobs)
	if err != nil {
		return nil, fmt.Errorf("cannot apply the scrape jobs of endpoint %q: %w", r.Name(), err)
	}
	outcomes = append(outcomes, malformed...)
	if err := r.answer(ctx, h, outcomes); err != nil {
		return nil, err
	}
	return outcomes, r.forget(ctx, outcomes)
}

// forget takes back the answers to requests that are gone.
func (r *Requirer) forget(ctx context.Context, outcomes []Outcome) error {
	for relation := range r.Relations().Values() {
		bag, err := relation.ToPublish(ctx)
		if err != nil {
			return fmt.Errorf("cannot read the answers in relation %s: %w", relation.ID(), err)
		}
		for _, key := range bag.Keys() {
			id, ok := strings.CutPrefix(key, responsePrefix)
			if !ok || slices.ContainsFunc(outcomes, func(o Outcome) bool {
				return o.Job.Relation == relation.ID() && o.Job.ID == id
			}) {
				continue
			}
			if _, err := bag.Delete(key); err != nil {
				return fmt.Errorf("cannot take back the answer to request %q: %w", id, err)
			}
		}
	}
	return nil
}

// answer answers each request whose answer is not that already.
func (r *Requirer) answer(ctx context.Context, h *reactive.Hook, outcomes []Outcome) error {
	type request struct{ relation, id string }
	taken := make(map[request]bool)
	for _, outcome := range outcomes {
		if outcome.Err == nil {
			taken[request{outcome.Job.Relation, outcome.Job.ID}] = true
		}
	}
	for _, outcome := range outcomes {
		job := outcome.Job
		response := Response{Success: outcome.Err == nil}
		if outcome.Err != nil {
			if taken[request{job.Relation, job.ID}] {
				// Another unit of the application has sent the same request,
				// and both read the same answer.
				continue
			}
			response.Reason = outcome.Err.Error()
		}
		if job.Response != nil && *job.Response == response {
			continue
		}
		log := h.Log().With("relation", job.Relation, "unit", job.Unit)
		if outcome.Err != nil {
			log.Warn("scrape job is refused", "reason", response.Reason)
		}
		for _, note := range outcome.Notes {
			log.Info("scrape job is changed", "job", outcome.Name, "change", note)
		}
		if err := r.respond(ctx, job, response); err != nil {
			return fmt.Errorf("cannot answer %v of %s: %w", job.Request, job.Unit, err)
		}
	}
	return nil
}

func (r *Requirer) respond(ctx context.Context, job RemoteJob, response Response) error {
	known, ok := r.Requests().Get(job.ID)
	if ok && known.Relation().ID() == job.Relation {
		return r.Respond(ctx, known, response)
	}
	relation, ok := r.Relations().Get(job.Relation)
	if !ok {
		return fmt.Errorf("relation %s is gone", job.Relation)
	}
	bag, err := relation.ToPublish(ctx)
	if err != nil {
		return err
	}
	return bag.Set(responsePrefix+job.ID, response)
}
