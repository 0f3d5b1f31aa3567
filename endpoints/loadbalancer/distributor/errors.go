package distributor

import (
	"fmt"
	"strings"
)

// Unsupported says that a driver, or any driver, cannot do what a field asks
// for. Several are joined with [errors.Join]; [UnsupportedFields] takes them
// apart again.
type Unsupported struct {
	// Field is the name of the field in the loadbalancer interface's request:
	// protocol, port_mapping, algorithm, sticky, health_checks, backends,
	// tls_termination, tls_cert, tls_key, ingress_address or id.
	Field string
	// Reason says what is wrong, or what could be asked for instead.
	Reason string
}

func (e *Unsupported) Error() string { return fmt.Sprintf("unsupported %s: %s", e.Field, e.Reason) }

// UnsupportedFields returns the reasons of all [*Unsupported] in err by field,
// or nil if there are none. It is what a provider answers as error fields.
func UnsupportedFields(err error) map[string]string {
	all := map[string][]string{}
	var walk func(error)
	walk = func(err error) {
		if e, ok := err.(*Unsupported); ok {
			all[e.Field] = append(all[e.Field], e.Reason)
			return
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		}
	}
	walk(err)
	if len(all) == 0 {
		return nil
	}
	fields := make(map[string]string, len(all))
	for field, reasons := range all {
		fields[field] = strings.Join(reasons, "; ")
	}
	return fields
}

// NotFoundError says that a driver does not know an id.
type NotFoundError struct {
	// Kind is "distributor" or "amphora".
	Kind string
	ID   string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("no %s %.120q", e.Kind, e.ID) }
