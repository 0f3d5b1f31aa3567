package prometheusmanual

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// Request is one scrape job as it travels over the relation: the JSON value of
// the key request_ID in the unit databag of the provider.
//
// On the wire all six fields are written, null where a string is empty.
// Fields that are unknown are ignored when it is read: some charms put keys
// beside job_data that never had an effect.
//
// A Request holds a private key and, in the job's data, often a bearer token.
// It prints itself without either.
type Request struct {
	// ID is request_id: a UUID, or whatever the sender chose.
	ID string

	// JobName is the name that the sender gave the job. The name that the
	// Prometheus server sees has the ID at its end; see [Request.Name].
	JobName string

	// JobData is the job in the language of Prometheus's scrape_config: a
	// map[string]any if the sender keeps to the interface. Numbers are
	// json.Number or float64; anything else that JSON knows can come in.
	JobData any

	// CACert, ClientCert and ClientKey are PEM texts, empty if not sent.
	CACert     string
	ClientCert string
	ClientKey  string
}

// Response answers a request: the JSON value of the key response_ID in the
// unit databag of the requirer.
type Response struct {
	// Success says that the Prometheus server has taken the job.
	Success bool

	// Reason says why it has not.
	Reason string
}

// Name returns the job's name in the Prometheus server: the job name, a
// hyphen and the request's ID, which keeps jobs of the same name apart.
func (r Request) Name() string { return r.JobName + "-" + r.ID }

// String returns the request's name, and nothing of its data.
func (r Request) String() string { return fmt.Sprintf("scrape job %q", r.Name()) }

// GoString is String, so that %#v shows no secret either.
func (r Request) GoString() string { return r.String() }

// LogValue is the request in a log: its name and ID.
func (r Request) LogValue() slog.Value {
	return slog.GroupValue(slog.String("job", r.JobName), slog.String("request", r.ID))
}

// MarshalJSON returns the request as an object of its six fields.
func (r Request) MarshalJSON() ([]byte, error) {
	return encode(map[string]any{
		"request_id":  r.ID,
		"job_name":    r.JobName,
		"job_data":    r.JobData,
		"ca_cert":     textOrNull(r.CACert),
		"client_cert": textOrNull(r.ClientCert),
		"client_key":  textOrNull(r.ClientKey),
	})
}

// UnmarshalJSON reads a request. A missing field is as null. The error names
// the field that is not of its type, never its value.
func (r *Request) UnmarshalJSON(data []byte) error {
	fields, err := decodeObject(data)
	if err != nil {
		return err
	}
	read := Request{JobData: fields["job_data"]}
	for _, text := range []struct {
		name string
		to   *string
	}{
		{"request_id", &read.ID},
		{"job_name", &read.JobName},
		{"ca_cert", &read.CACert},
		{"client_cert", &read.ClientCert},
		{"client_key", &read.ClientKey},
	} {
		if err := readText(fields, text.name, text.to); err != nil {
			return err
		}
	}
	*r = read
	return nil
}

// MarshalJSON returns the response as an object of success and reason, which
// is null if empty.
func (r Response) MarshalJSON() ([]byte, error) {
	return encode(map[string]any{"success": r.Success, "reason": textOrNull(r.Reason)})
}

// UnmarshalJSON reads a response. A missing field is as null, and a success
// that is null is none.
func (r *Response) UnmarshalJSON(data []byte) error {
	fields, err := decodeObject(data)
	if err != nil {
		return err
	}
	var read Response
	if err := readText(fields, "reason", &read.Reason); err != nil {
		return err
	}
	switch success := fields["success"].(type) {
	case nil:
	case bool:
		read.Success = success
	default:
		return errors.New("success is neither true nor false")
	}
	*r = read
	return nil
}

func encode(v any) ([]byte, error) {
	text, err := canonicaljson.Encode(v)
	return []byte(text), err
}

func decodeObject(data []byte) (map[string]any, error) {
	v, err := canonicaljson.Decode(string(data))
	if err != nil {
		return nil, err
	}
	fields, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("it is not a JSON object")
	}
	return fields, nil
}

func readText(fields map[string]any, name string, to *string) error {
	switch text := fields[name].(type) {
	case nil:
		return nil
	case string:
		*to = text
		return nil
	case json.Number:
		// Some charms count their requests and never quote the number.
		if name == "request_id" {
			*to = text.String()
			return nil
		}
	}
	return fmt.Errorf("%s is not a string", name)
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// printable returns text for a message: quoted, and no longer than a name has
// reason to be.
func printable(text string) string {
	const longest = 80
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return fmt.Sprintf("%q", text)
}
