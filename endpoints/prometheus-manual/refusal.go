package prometheusmanual

import "fmt"

// A Refusal says why one scrape job is not taken. It never holds a secret of
// the job, so it can be logged and sent back to the job's sender.
type Refusal struct {
	// Job is the job name that the sender gave.
	Job string

	// Field is where in the request the fault is, such as
	// kubernetes_sd_configs[0].tls_config.key_file, or empty if it is about
	// the job as a whole.
	Field string

	// Reason says what is wrong with it.
	Reason string
}

// Error names the job, the field and the reason.
func (r *Refusal) Error() string {
	if r.Field == "" {
		return fmt.Sprintf("cannot take scrape job %s: %s", printable(r.Job), r.Reason)
	}
	return fmt.Sprintf("cannot take scrape job %s: %s %s", printable(r.Job), r.Field, r.Reason)
}

// refuse returns a *Refusal as an error.
func refuse(job, field, format string, args ...any) error {
	return &Refusal{Job: job, Field: field, Reason: fmt.Sprintf(format, args...)}
}
