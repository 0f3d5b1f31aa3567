package loadbalancer

import (
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong with a message.
type Problem struct {
	// Path leads to it: the name of the field, and below it positions in lists
	// from 0, keys of mappings with "key" or "value", and fields of health
	// checks. It is "_schema" for what is about the whole message.
	Path []string
	// Message is what is wrong, in the words of the Python library. It quotes
	// protocols, names of errors and names of fields only.
	Message string
}

// A ValidationError lists all that is wrong with a request, a response or a
// health check.
type ValidationError struct {
	// Message is "request", "response" or "health check".
	Message  string
	Problems []Problem
}

// Error says what is wrong with which field.
func (e *ValidationError) Error() string {
	var texts []string
	for _, p := range e.Problems {
		texts = append(texts, strings.Join(p.Path, ".")+": "+strings.TrimSuffix(p.Message, "."))
	}
	return fmt.Sprintf("the %s is not valid: %s", e.Message, strings.Join(texts, "; "))
}

// fields returns the problems by the field of the request that they are in,
// for an answer that says so. What is in none of them is left out.
func (e *ValidationError) fields() map[Field]string {
	fields := make(map[Field]string)
	for _, p := range e.Problems {
		field, rest := Field(p.Path[0]), strings.Join(p.Path[1:], ".")
		if !slices.Contains(requestFields(), field) {
			continue
		}
		text := strings.TrimSuffix(p.Message, ".")
		if rest != "" {
			text = rest + ": " + text
		}
		if fields[field] != "" {
			text = fields[field] + "; " + text
		}
		fields[field] = text
	}
	return fields
}

// The messages of the Python library's validation.
const (
	isNull       = "Field may not be null."
	isMissing    = "Missing data for required field."
	isUnknown    = "Unknown field."
	notString    = "Not a valid string."
	notInteger   = "Not a valid integer."
	notBoolean   = "Not a valid boolean."
	notList      = "Not a valid list."
	notMapping   = "Not a valid mapping type."
	notObject    = "Invalid input type."
	noAddress    = "address required on success"
	noReason     = "error_message or error_fields required on failure"
	notEnumName  = "Enum name must be string"
	notEnumValue = "Invalid enum value "
	notMember    = "Invalid enum member "
)

const schema = "_schema"

// problems collects what is wrong with a message.
type problems []Problem

func (p *problems) add(message string, path ...string) { *p = append(*p, Problem{path, message}) }

func (p problems) err(message string) error {
	if len(p) == 0 {
		return nil
	}
	slices.SortFunc(p, func(a, b Problem) int { return slices.Compare(a.Path, b.Path) })
	return &ValidationError{Message: message, Problems: p}
}

// quoted returns the beginning of what somebody else wrote, for a message.
func quoted(text string) string {
	const most = 64
	text = strings.ToValidUTF8(text, "\uFFFD")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}
