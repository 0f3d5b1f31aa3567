package prometheusmanual

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/charmed-go/charms/internal/canonicaljson"
)

// CertFiles names the files in which a Prometheus server finds what a request
// carries as PEM text. A name that is empty stands for no such file.
type CertFiles struct {
	// CA has the authority's certificate; Cert and Key have the client's
	// certificate and its private key.
	CA   string
	Cert string
	Key  string
}

// ToJSON returns the canonical JSON text of the job's data as to_json of the
// Python interface does: named by [Request.Name], with the names of the files
// set in its tls_config, if it has one, and replaced in the tls_config of its
// service discovery sections, where they are. The client certificate and its
// key are only set together.
//
// Where the Python looks for a field client_file that Prometheus does not
// have, cert_file and key_file are each replaced if there.
//
// The error says which part of job_data is not of the expected type.
func (r Request) ToJSON(files CertFiles) (string, error) {
	job, err := r.named()
	if err != nil {
		return "", err
	}
	if err := setCertFiles(job, files); err != nil {
		return "", err
	}
	return canonicaljson.Encode(job)
}

// ScrapeConfig returns the job as the server gets it. It does what
// [Request.ToJSON] does and what that leaves undone: it replaces the file
// names in oauth2.tls_config too, and gives a job that uses https without a
// tls_config one with the files.
//
// The result shares nothing with the request.
func (r Request) ScrapeConfig(files CertFiles) (map[string]any, error) {
	job, err := r.named()
	if err != nil {
		return nil, err
	}
	_, hasTLS := job["tls_config"]
	if !hasTLS && job["scheme"] == "https" && files != (CertFiles{}) {
		job["tls_config"] = map[string]any{}
	}
	if err := setCertFiles(job, files); err != nil {
		return nil, err
	}
	if err := replaceInSection(job["oauth2"], "oauth2", files); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(job)) {
		sections, ok := job[key].([]any)
		if !ok || !strings.HasSuffix(key, discoverySuffix) {
			continue
		}
		for i, section := range sections {
			fields, ok := section.(map[string]any)
			if !ok {
				continue
			}
			path := fmt.Sprintf("%s[%d].oauth2", key, i)
			if err := replaceInSection(fields["oauth2"], path, files); err != nil {
				return nil, err
			}
		}
	}
	return job, nil
}

// discoverySuffix ends the key of every list of service discovery sections
// but static_configs, which has nothing to rewrite.
const discoverySuffix = "_sd_configs"

// named returns a copy of the job's data with the job's name in the server.
func (r Request) named() (map[string]any, error) {
	text, err := canonicaljson.Encode(r.JobData)
	if err != nil {
		return nil, fmt.Errorf("job_data is not JSON: %w", err)
	}
	data, err := canonicaljson.Decode(text)
	if err != nil {
		return nil, fmt.Errorf("job_data is not JSON: %w", err)
	}
	job, ok := data.(map[string]any)
	if !ok {
		return nil, errors.New("job_data is not an object")
	}
	job["job_name"] = r.Name()
	return job, nil
}

func setCertFiles(job map[string]any, files CertFiles) error {
	if files.Cert == "" || files.Key == "" {
		files.Cert, files.Key = "", ""
	}
	if files == (CertFiles{}) {
		return nil
	}
	if tls, ok := job["tls_config"]; ok {
		fields, ok := tls.(map[string]any)
		if !ok {
			return errors.New("tls_config is not an object")
		}
		for name, file := range files.fields() {
			fields[name] = file
		}
	}
	for _, key := range slices.Sorted(maps.Keys(job)) {
		if !strings.HasSuffix(key, discoverySuffix) {
			continue
		}
		sections, ok := job[key].([]any)
		if !ok {
			return fmt.Errorf("%s is not a list", key)
		}
		for i, section := range sections {
			path := fmt.Sprintf("%s[%d]", key, i)
			if _, ok := section.(map[string]any); !ok {
				return fmt.Errorf("%s is not an object", path)
			}
			if err := replaceInSection(section, path, files); err != nil {
				return err
			}
		}
	}
	return nil
}

// replaceInSection replaces the file names in section's tls_config that are
// there. A section that is no object has none.
func replaceInSection(section any, path string, files CertFiles) error {
	fields, ok := section.(map[string]any)
	if !ok {
		return nil
	}
	value, ok := fields["tls_config"]
	if !ok {
		return nil
	}
	tls, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%s.tls_config is not an object", path)
	}
	for name, file := range files.fields() {
		if _, ok := tls[name]; ok {
			tls[name] = file
		}
	}
	return nil
}

// fields returns the file names by the tls_config field they belong in. The
// client's certificate and key are there together or not at all.
func (f CertFiles) fields() map[string]string {
	fields := make(map[string]string, 3)
	if f.CA != "" {
		fields["ca_file"] = f.CA
	}
	if f.Cert != "" && f.Key != "" {
		fields["cert_file"] = f.Cert
		fields["key_file"] = f.Key
	}
	return fields
}
