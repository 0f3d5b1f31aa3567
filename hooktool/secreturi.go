package hooktool

import (
	"fmt"
	"strings"
)

// A SecretURI names a secret of this or another model.
type SecretURI struct {
	// ID is the secret's id, 20 lower case letters and digits.
	ID string
	// Model is the UUID of the model that has the secret; empty is this one.
	Model string
}

// ParseSecretURI reads all the forms in which Juju gives out a secret's URI:
// "secret://MODEL/ID", "secret:ID" and a bare ID. Others than ids are refused,
// so that text from a databag cannot become an option of a hook tool.
func ParseSecretURI(s string) (SecretURI, error) {
	u := SecretURI{ID: s}
	if rest, ok := strings.CutPrefix(s, "secret://"); ok {
		u.Model, u.ID, ok = strings.Cut(rest, "/")
		if !ok || u.Model == "" {
			return SecretURI{}, fmt.Errorf("secret URI %q: %w", s, ErrInvalid)
		}
	} else if rest, ok := strings.CutPrefix(s, "secret:"); ok {
		u.ID = rest
	}
	if !u.valid() {
		return SecretURI{}, fmt.Errorf("secret URI %q: %w", s, ErrInvalid)
	}
	return u, nil
}

// String returns the URI as one passes it on to other applications:
// "secret://MODEL/ID", or "secret:ID" without a model.
func (u SecretURI) String() string {
	if u.Model != "" {
		return "secret://" + u.Model + "/" + u.ID
	}
	return "secret:" + u.ID
}

// MarshalText returns u.String().
func (u SecretURI) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText is ParseSecretURI.
func (u *SecretURI) UnmarshalText(text []byte) (err error) {
	*u, err = ParseSecretURI(string(text))
	return err
}

func (u SecretURI) valid() bool {
	if len(u.ID) != 20 {
		return false
	}
	for _, r := range u.ID {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			return false
		}
	}
	for _, r := range u.Model {
		if (r < 'a' || r > 'f') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}

// local is the form for tools that only know secrets of this model.
func (u SecretURI) local() string { return "secret:" + u.ID }

func (u SecretURI) check(tool string) error {
	if !u.valid() {
		return invalid(tool, "secret URI %q is not one", u.String())
	}
	return nil
}
