package prometheusmanual

import (
	"context"
	"fmt"
	"maps"

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

// Jobs returns all jobs, as they were sent.
func (r *Requirer) Jobs() []RemoteJob {
	var jobs []RemoteJob
	for request := range r.Requests().Values() {
		jobs = append(jobs, remoteJob(request))
	}
	return jobs
}

// Apply makes the jobs of all relations the jobs of the manager's server and
// answers each. See [Manager.Apply]: the error says that it is not known what
// the server does, and then nothing is answered.
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

	requests := r.Requests()
	var jobs []RemoteJob
	for request := range requests.Values() {
		jobs = append(jobs, remoteJob(request))
	}
	outcomes, err := manager.Apply(ctx, jobs)
	if err != nil {
		return nil, fmt.Errorf("cannot apply the scrape jobs of endpoint %q: %w", r.Name(), err)
	}
	for i, outcome := range outcomes {
		request := requests.At(i)
		response := Response{Success: outcome.Err == nil}
		log := h.Log().With("relation", outcome.Job.Relation, "unit", outcome.Job.Unit)
		if outcome.Err != nil {
			response.Reason = outcome.Err.Error()
		}
		before, answered := request.Response()
		if answered && before == response {
			continue
		}
		if outcome.Err != nil {
			log.Warn("scrape job is refused", "reason", response.Reason)
		}
		for _, note := range outcome.Notes {
			log.Info("scrape job is changed", "job", outcome.Name, "change", note)
		}
		if err := r.Respond(ctx, request, response); err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

func remoteJob(request *reactive.Request[Request, Response]) RemoteJob {
	job := RemoteJob{
		Request:     request.Fields(),
		Relation:    request.Relation().ID(),
		Application: request.Unit().Application(),
		Unit:        request.Unit().Name(),
	}
	job.ID = request.ID()
	if response, ok := request.Response(); ok {
		job.Response = &response
	}
	return job
}
