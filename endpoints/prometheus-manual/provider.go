package prometheusmanual

import (
	"context"
	"errors"
	"fmt"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/flags"
	"github.com/charmed-go/charms/reactive"
	"github.com/google/uuid"
)

// Interface is the name of the relation interface.
const Interface = "prometheus-manual"

// Provider is the end of the relation that has something to scrape: it
// registers jobs and learns what became of them (PrometheusManualProvides in
// the Python interface).
//
// Beside the flags of every endpoint it keeps endpoint.NAME.available,
// endpoint.NAME.has_responses and endpoint.NAME.all_responses.
type Provider struct {
	*reactive.Requester[Request, Response]
	leaderOnly bool
}

// NewProvider makes the provider of a charm's endpoint of that name, which the
// charm's metadata has among provides with interface prometheus-manual.
func NewProvider(charm *reactive.Charm, endpoint string) *Provider {
	ep := charm.Endpoint(endpoint, charmfile.Provider, Interface)
	p := &Provider{Requester: reactive.NewRequester[Request, Response](ep)}
	ep.OnLoad(p.withdrawIfNotLeader)
	ep.ManageFlags(func(_ context.Context, h *reactive.Hook) error {
		h.Toggle(p.Available(), p.IsJoined() && p.Requests().Len() > 0)
		return nil
	})
	return p
}

// LeaderOnly says that the leader alone registers jobs, for the application as
// a whole: a unit that loses leadership withdraws its own at the beginning of
// its next hook. Without that the server gets the same job from the old and
// from the new leader.
func (p *Provider) LeaderOnly() { p.leaderOnly = true }

// Available returns the flag endpoint.NAME.available: this unit has registered
// jobs and there is a unit of the other side.
func (p *Provider) Available() flags.Flag { return p.Flag("available") }

// Job is a scrape job to register.
type Job struct {
	// Name tells the job from others of this application. If each unit
	// registers a job of its own, put the unit into the name: of several
	// requests of an application that have the same name, one counts.
	Name string

	// Data is the job in the language of Prometheus's scrape_config. Whatever
	// file names are in its tls_config, the server replaces by those of its
	// own files with the certificates below. The values are as encoding/json
	// takes them.
	Data map[string]any

	// CA, ClientCert and ClientKey are PEM texts: the authority that signed
	// the certificates of the targets, and what the server proves itself to
	// them with. Empty ones are not sent.
	CA         string
	ClientCert string
	ClientKey  string

	// Relation is where to register the job; nil is everywhere.
	Relation *reactive.Relation

	// Stable makes the job's request ID, and so the job's name in the server,
	// the same whichever unit of the application registers it. Otherwise each
	// new request has an ID of its own.
	Stable bool
}

// RegisterJob registers a job in its relation, or in all relations there are.
// A job of the same name that this unit has registered there is updated. It
// returns an error if the job cannot be one whatever the server: without a
// name or data.
func (p *Provider) RegisterJob(ctx context.Context, job Job) error {
	switch {
	case job.Name == "":
		return errors.New("cannot register scrape job: it has no name")
	case job.Data == nil:
		return fmt.Errorf("cannot register scrape job %q: it has no data", job.Name)
	}
	for _, rel := range p.relations(job.Relation) {
		if err := p.register(ctx, rel, job); err != nil {
			return fmt.Errorf("cannot register scrape job %q in relation %s: %w", job.Name, rel.ID(), err)
		}
	}
	return nil
}

func (p *Provider) register(ctx context.Context, rel *reactive.Relation, job Job) error {
	set := func(r *Request) {
		r.JobName, r.JobData = job.Name, job.Data
		r.CACert, r.ClientCert, r.ClientKey = job.CA, job.ClientCert, job.ClientKey
	}
	if request := p.Find(rel, named(job.Name)); request != nil {
		return p.Update(ctx, request, set)
	}
	var fields Request
	set(&fields)
	var err error
	if job.Stable {
		_, err = p.CreateWithID(ctx, rel, p.stableID(rel, job.Name), fields)
	} else {
		_, err = p.Create(ctx, rel, fields)
	}
	return err
}

// stableID makes a UUID of what every unit of the application knows, since
// some servers expect a UUID at the end of a job's name.
func (p *Provider) stableID(rel *reactive.Relation, name string) string {
	own := fmt.Sprintf("%s %s %s", p.Charm().Name(), rel.ID(), name)
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(own)).String()
}

// WithdrawJob takes back the jobs of that name that this unit has registered,
// in one relation, or everywhere if rel is nil. The server drops them. A name
// that is not registered is no error.
func (p *Provider) WithdrawJob(ctx context.Context, rel *reactive.Relation, name string) error {
	for _, request := range p.FindAll(rel, named(name)) {
		if err := p.Withdraw(ctx, request); err != nil {
			return fmt.Errorf("cannot withdraw scrape job %q: %w", name, err)
		}
	}
	return nil
}

// Registered is a job that this unit has registered in one relation.
type Registered struct {
	// Name is the job's name, ID its request's, and Relation the relation's
	// ID, such as metrics:3.
	Name     string
	ID       string
	Relation string

	// Response is what the server's charm answered, nil if nothing yet. Not
	// every charm answers.
	Response *Response
}

// Jobs returns the jobs that this unit has registered.
func (p *Provider) Jobs() []Registered {
	var jobs []Registered
	for request := range p.Requests().Values() {
		job := Registered{Name: request.Fields().JobName, ID: request.ID(), Relation: request.Relation().ID()}
		if response, ok := request.Response(); ok {
			job.Response = &response
		}
		jobs = append(jobs, job)
	}
	return jobs
}

func (p *Provider) withdrawIfNotLeader(ctx context.Context, h *reactive.Hook) error {
	if !p.leaderOnly || p.Requests().Len() == 0 {
		return nil
	}
	leader, err := h.Leader(ctx)
	if err != nil || leader != nil {
		return err
	}
	for request := range p.Requests().Values() {
		if err := p.Withdraw(ctx, request); err != nil {
			return fmt.Errorf("cannot withdraw %v: %w", request.Fields(), err)
		}
	}
	return nil
}

func (p *Provider) relations(one *reactive.Relation) []*reactive.Relation {
	if one != nil {
		return []*reactive.Relation{one}
	}
	var all []*reactive.Relation
	for rel := range p.Relations().Values() {
		all = append(all, rel)
	}
	return all
}

func named(name string) func(Request) bool {
	return func(r Request) bool { return r.JobName == name }
}
