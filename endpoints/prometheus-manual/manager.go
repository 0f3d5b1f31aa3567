package prometheusmanual

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/charmed-go/charms/internal/canonicaljson"
	"gopkg.in/yaml.v3"
)

// Manager keeps the configuration of one Prometheus server in step with the
// scrape jobs of other applications. It has no state of its own beside the
// server's files, so a new one continues where another stopped, and doing the
// same twice writes nothing the second time.
type Manager struct {
	// Base is the prometheus.yml that the jobs are added to.
	Base []byte

	// ConfigFile is where the server reads its configuration.
	ConfigFile string

	// Certificates is where the certificates of the jobs are kept. Its Group
	// can read ConfigFile too, which holds tokens.
	Certificates CertDir

	// Policy is what jobs may ask for.
	Policy Policy

	// Validator judges jobs before the server sees them. Without one only the
	// policy and the server do.
	Validator Validator

	// Server is told of changes. Without one files are written and nothing
	// is known of what a server makes of them.
	Server Server

	// TakeTimeout is how long the server may need to run a job after it has
	// taken the configuration; by default 15 seconds. A server looks for new
	// jobs every 5 seconds, and some do not run a job before it has a target:
	// that is waited for as long, but not again.
	TakeTimeout time.Duration
}

// Outcome is what became of a job.
type Outcome struct {
	// Job is the job as it came, as far as it can be read.
	Job RemoteJob

	// Name is the job's name in the server, empty if it is not there.
	Name string

	// Err says why the job is not taken: a *[Refusal], or nil.
	Err error

	// Notes say what the policy changed in the job.
	Notes []string
}

// Apply makes jobs, and no others, the jobs of the server. When it returns
// without an error, every job is either running in the server, as far as its
// service discovery has found something to scrape, or refused, and there is an
// outcome for each, in the order of jobs. A job that is refused changes nothing
// for the others.
//
// An error says that it is not known what the server does, for example
// because it does not answer; call Apply again later. If the server refuses
// the configuration as a whole, it keeps the one it had.
func (m *Manager) Apply(ctx context.Context, jobs []RemoteJob) ([]Outcome, error) {
	base, err := ParseBase(m.Base)
	if err != nil {
		return nil, err
	}
	a := application{Manager: m, base: base}
	if err := a.readCurrent(); err != nil {
		return nil, err
	}
	accepted := a.accept(jobs)
	a.nameApart(accepted)

	accepted, err = a.validate(ctx, accepted)
	if err != nil {
		return nil, err
	}
	if _, err := m.Certificates.Write(a.files(accepted)); err != nil {
		return nil, err
	}
	accepted, err = a.settle(ctx, accepted)
	if err != nil {
		return nil, err
	}
	if _, err := m.Certificates.Prune(a.files(accepted)); err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(jobs))
	for i, job := range jobs {
		outcomes[i] = Outcome{Job: job, Err: a.refused[i]}
	}
	for _, c := range accepted {
		outcomes[c.index].Name = c.Name
		outcomes[c.index].Notes = c.Notes
	}
	return outcomes, nil
}

// application is one call of Apply.
type application struct {
	*Manager
	base    *Base
	refused map[int]error

	// current is what is in the configuration file; running are the jobs in
	// it, as canonical text by name.
	current []byte
	running map[string]string

	// refusal is why the server refuses what is in the file now, if it does.
	refusal error
}

// candidate is an accepted job and its place among those given.
type candidate struct {
	Scrape
	index int
}

func (a *application) refuse(index int, err error) {
	if a.refused == nil {
		a.refused = make(map[int]error)
	}
	a.refused[index] = err
}

func (a *application) readCurrent() error {
	text, err := os.ReadFile(a.ConfigFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read the server's configuration: %w", err)
	}
	a.current = text
	a.running = make(map[string]string)
	var content struct {
		ScrapeConfigs []map[string]any `yaml:"scrape_configs"`
	}
	// What is there may be somebody else's, or broken; then no job is known.
	if yaml.Unmarshal(text, &content) != nil {
		return nil
	}
	for _, job := range content.ScrapeConfigs {
		if canonical, err := canonicaljson.Encode(job); err == nil {
			a.running[fmt.Sprint(job["job_name"])] = canonical
		}
	}
	return nil
}

// accept applies the policy and chooses among requests for the same job.
func (a *application) accept(jobs []RemoteJob) []candidate {
	order := make([]int, len(jobs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return compareJobs(jobs[i], jobs[j]) })

	type key struct{ relation, application, name string }
	winners := make(map[key]RemoteJob)
	perRelation := make(map[string]int)
	limit := cmp.Or(a.Policy.MaxJobs, DefaultMaxJobs)
	var accepted []candidate
	for _, i := range order {
		job := jobs[i]
		k := key{job.Relation, job.Application, job.JobName}
		if winner, ok := winners[k]; ok {
			a.refuse(i, refuse(job.JobName, "", "%s %s of unit %s, which has the same job name",
				superseded, printable(winner.ID), winner.Unit))
			continue
		}
		scrape, err := a.Policy.Accept(job, a.base.Global(), a.Certificates.Path)
		if err == nil && perRelation[job.Relation] == limit {
			err = refuse(job.JobName, "", "relation %s has more than %d jobs", job.Relation, limit)
		}
		if err != nil {
			a.refuse(i, err)
			continue
		}
		winners[k] = job
		perRelation[job.Relation]++
		accepted = append(accepted, candidate{Scrape: scrape, index: i})
	}
	slices.SortFunc(accepted, func(x, y candidate) int { return cmp.Compare(x.index, y.index) })
	return accepted
}

// superseded begins the reason with which a request is refused for the sake
// of a newer one.
const superseded = "it is superseded by request"

// compareJobs orders requests for the same job: first those that are new or
// were refused and may have been mended since, then the one that was taken,
// last those that were superseded. Beyond that only the order of names counts.
func compareJobs(x, y RemoteJob) int {
	rank := func(j RemoteJob) int {
		switch {
		case j.Response == nil:
			return 0
		case j.Response.Success:
			return 1
		case strings.Contains(j.Response.Reason, superseded):
			return 2
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(rank(x), rank(y)),
		compareNumbered(x.Relation, y.Relation, ":"),
		compareNumbered(x.Unit, y.Unit, "/"),
		cmp.Compare(x.ID, y.ID),
	)
}

// compareNumbered compares names such as web/2 and web/10 by their number.
func compareNumbered(x, y, separator string) int {
	xName, xNumber, _ := strings.Cut(x, separator)
	yName, yNumber, _ := strings.Cut(y, separator)
	return cmp.Or(
		cmp.Compare(xName, yName),
		cmp.Compare(len(xNumber), len(yNumber)),
		cmp.Compare(xNumber, yNumber),
	)
}

// nameApart gives a job whose name is taken another one. IDs are only unique
// within a unit, and two jobs of one name would break the configuration.
func (a *application) nameApart(accepted []candidate) {
	taken := make(map[string]bool)
	for _, name := range a.base.Jobs() {
		taken[name] = true
	}
	order := slices.Clone(accepted)
	for i := range order {
		order[i].index = i
	}
	slices.SortFunc(order, func(x, y candidate) int {
		return cmp.Or(compareNumbered(x.Job.Relation, y.Job.Relation, ":"),
			compareNumbered(x.Job.Unit, y.Job.Unit, "/"), cmp.Compare(x.Job.ID, y.Job.ID),
			cmp.Compare(x.Job.JobName, y.Job.JobName))
	})
	for _, c := range order {
		job := &accepted[c.index]
		for n := 0; taken[job.Name]; n++ {
			job.Name = job.Job.Name() + "-" + digest(fmt.Sprint(job.Job.Relation, " ", job.Job.Unit, " ", n))[:8]
		}
		job.Config["job_name"] = job.Name
		taken[job.Name] = true
	}
}

func (a *application) files(accepted []candidate) []File {
	var files []File
	for _, c := range accepted {
		files = append(files, c.Files...)
	}
	return files
}

// isNew reports whether the job is not in the configuration as it is.
func (a *application) isNew(c candidate) bool {
	canonical, err := canonicaljson.Encode(c.Config)
	return err != nil || a.running[c.Name] != canonical
}

// validate judges each job that is new by itself.
func (a *application) validate(ctx context.Context, accepted []candidate) ([]candidate, error) {
	var valid []candidate
	for _, c := range accepted {
		err := a.validateAlone(ctx, c)
		var invalid *InvalidError
		switch {
		case errors.As(err, &invalid):
			a.refuse(c.index, refuse(c.Job.JobName, "", "%s", invalid.Reason))
		case err != nil && a.canValidate(ctx):
			// The validator cannot cope with this job.
			a.refuse(c.index, refuse(c.Job.JobName, "", "cannot be validated: %v", err))
		case err != nil:
			return nil, fmt.Errorf("cannot validate %v: %w", c.Job.Request, err)
		default:
			valid = append(valid, c)
		}
	}
	return valid, nil
}

func (a *application) validateAlone(ctx context.Context, c candidate) error {
	if a.Validator == nil || !a.isNew(c) {
		return nil
	}
	text, err := a.base.RenderAlone(c.Scrape)
	if err != nil {
		return &InvalidError{Reason: err.Error()}
	}
	return a.Validator.Validate(ctx, text)
}

// canValidate reports whether the validator judges a configuration without jobs.
func (a *application) canValidate(ctx context.Context) bool {
	text, err := a.base.Render(nil)
	if err == nil {
		err = a.Validator.Validate(ctx, text)
	}
	return err == nil
}
