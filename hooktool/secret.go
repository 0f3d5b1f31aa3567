package hooktool

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// How often Juju runs secret-rotate for a secret.
const (
	RotateNever     = "never"
	RotateHourly    = "hourly"
	RotateDaily     = "daily"
	RotateWeekly    = "weekly"
	RotateMonthly   = "monthly"
	RotateQuarterly = "quarterly"
	RotateYearly    = "yearly"
)

// Who owns a secret, and so may change it and sees it in SecretIDs.
const (
	OwnerApplication = "application" // its leader
	OwnerUnit        = "unit"
)

// A Secret is what to make of a secret. Logged or printed, it does not show
// its content.
type Secret struct {
	// Content is what the secret keeps. A key has at least three lower case
	// letters and digits, a letter first, with single hyphens between them. A
	// value may hold any bytes, but not be empty.
	Content map[string]string
	// Label is the owner's own name for the secret.
	Label       string
	Description string
	// Owner is one of the Owner constants; empty is OwnerApplication.
	Owner string
	// Rotate is one of the Rotate constants; empty is RotateNever.
	Rotate string
	// Expire is when Juju runs secret-expired; the zero time is never.
	Expire time.Time
}

// String shows no content.
func (s Secret) String() string {
	return fmt.Sprintf("secret with label %q and %d keys", s.Label, len(s.Content))
}

// GoString shows no content.
func (s Secret) GoString() string { return s.String() }

// LogValue shows no content.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SecretAdd makes a secret. It exists when the hook has ended well; its URI is
// good at once. Only the leader can make one for the application.
//
// The content goes to the agent over the socket, or in files that only this
// user can read.
func (c *Client) SecretAdd(ctx context.Context, s Secret) (SecretURI, error) {
	const tool = "secret-add"
	if len(s.Content) == 0 {
		return SecretURI{}, invalid(tool, "the secret has no content")
	}
	content, err := secretContent(tool, s.Content)
	if err != nil {
		return SecretURI{}, err
	}
	args := secretFlags(s)
	if s.Owner != "" {
		args = append(args, "--owner", s.Owner)
	}
	out, err := c.output(ctx, tool, append(append(args, "--"), content...)...)
	if err != nil {
		return SecretURI{}, fmt.Errorf("cannot add a secret: %w", redact(err, s.Content))
	}
	uri, err := ParseSecretURI(strings.TrimSpace(string(out)))
	if err != nil {
		return SecretURI{}, fmt.Errorf("cannot add a secret: %w",
			&Error{Tool: tool, Message: fmt.Sprintf("cannot understand its output of %d bytes", len(out))})
	}
	return uri, nil
}

// SecretSet changes a secret, in what s sets: Content replaces the whole
// content in a new revision; Owner must be empty. It takes effect when the
// hook ends well, and Juju finds only then that this unit may not (the hook
// fails).
func (c *Client) SecretSet(ctx context.Context, uri SecretURI, s Secret) error {
	const tool = "secret-set"
	if err := uri.check(tool); err != nil {
		return err
	}
	if s.Owner != "" {
		return invalid(tool, "the owner of a secret cannot change")
	}
	content, err := secretContent(tool, s.Content)
	if err != nil {
		return err
	}
	args := append(secretFlags(s), "--", uri.local())
	if err := c.run(ctx, tool, append(args, content...)...); err != nil {
		return fmt.Errorf("cannot change %s: %w", uri, redact(err, s.Content))
	}
	return nil
}

func secretFlags(s Secret) []string {
	var args []string
	for _, f := range [...][2]string{{"--label", s.Label}, {"--description", s.Description}, {"--rotate", s.Rotate}} {
		if f[1] != "" {
			args = append(args, f[0], f[1])
		}
	}
	if !s.Expire.IsZero() {
		args = append(args, "--expire", s.Expire.UTC().Format(time.RFC3339))
	}
	return args
}

// secretContent returns the content as arguments. Base64 keeps every byte, and
// Juju takes the value of a plain KEY=VALUE apart when it ends with "=".
func secretContent(tool string, content map[string]string) ([]string, error) {
	args := make([]string, 0, len(content))
	for _, key := range slices.Sorted(maps.Keys(content)) {
		if !secretKey(key) {
			return nil, invalid(tool, "secret key %q must have at least three lower case letters and digits, a letter first, with single hyphens between them", key)
		}
		value := content[key]
		if value == "" {
			return nil, invalid(tool, "secret key %q has an empty value", key)
		}
		args = append(args, key+"#base64="+base64.StdEncoding.EncodeToString([]byte(value)))
	}
	return args, nil
}

func secretKey(key string) bool {
	if key == "" || key[0] < 'a' || key[0] > 'z' || key[len(key)-1] == '-' || strings.Contains(key, "--") {
		return false
	}
	for _, r := range key {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return len(key)-strings.Count(key, "-") >= 3
}

// redact takes a secret's values out of what a tool said. Texts of Juju quote
// keys and not values; this is for those nobody has seen yet.
func redact(err error, content map[string]string) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	clean := *e
	for _, value := range content {
		// Shorter ones would take words apart and give themselves away by it.
		for _, v := range [...]string{value, base64.StdEncoding.EncodeToString([]byte(value))} {
			if len(v) > 3 {
				clean.Message = strings.ReplaceAll(clean.Message, v, "[secret]")
			}
		}
	}
	return &clean
}

// A SecretQuery says which secret, and which revision of it, to read.
type SecretQuery struct {
	// URI is the secret. It may be zero when Label is set.
	URI SecretURI
	// Label is this unit's own name for the secret, or its owner's. With a URI
	// it sets the name from now on.
	Label string
	// Refresh reads the newest revision and tracks it from now on.
	Refresh bool
	// Peek reads the newest revision, this once.
	Peek bool
}

func (q SecretQuery) args(tool string) ([]string, error) {
	if q.URI == (SecretURI{}) && q.Label == "" {
		return nil, invalid(tool, "neither the URI nor the label of a secret is given")
	}
	var args []string
	if q.Label != "" {
		args = append(args, "--label", q.Label)
	}
	if q.Refresh {
		args = append(args, "--refresh")
	}
	if q.Peek {
		args = append(args, "--peek")
	}
	if q.URI != (SecretURI{}) {
		if err := q.URI.check(tool); err != nil {
			return nil, err
		}
		args = append(args, "--", q.URI.String())
	}
	return args, nil
}

func (q SecretQuery) String() string {
	if q.URI != (SecretURI{}) {
		return q.URI.String()
	}
	return fmt.Sprintf("the secret with label %q", q.Label)
}

// SecretGet returns the content of a secret: of the revision that this unit
// tracks, unless asked otherwise. The first read starts to track the newest
// one; that, a refresh and a label stay when the hook fails.
//
// Juju prints text: of a value that is not UTF-8 it loses bytes, so such
// values are asked for once more, encoded, when the query has a URI.
func (c *Client) SecretGet(ctx context.Context, q SecretQuery) (map[string]string, error) {
	const tool = "secret-get"
	if q.Refresh && q.Peek {
		return nil, invalid(tool, "a secret is either refreshed or peeked at, not both")
	}
	args, err := q.args(tool)
	if err != nil {
		return nil, err
	}
	content, err := readMap[string](ctx, c, tool, args...)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", q, err)
	}
	for key, value := range content {
		if q.URI == (SecretURI{}) || !strings.ContainsRune(value, utf8.RuneError) {
			continue
		}
		var encoded string
		err := c.read(ctx, &encoded, tool, append(args[:len(args):len(args)], key+"#base64")...)
		if err == nil {
			content[key], err = decodeBase64(key, strings.TrimSpace(encoded))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", q, err)
		}
	}
	return content, nil
}

// A SecretInfo is what an owner sees of a secret besides its content.
type SecretInfo struct {
	ID          string    `json:"-"`
	Revision    int       `json:"revision"`
	Label       string    `json:"label"`
	Owner       string    `json:"owner"`
	Description string    `json:"description"`
	Rotate      string    `json:"rotation"`
	Expire      time.Time `json:"expiry"`
	// NextRotate is when Juju runs secret-rotate next.
	NextRotate time.Time `json:"rotates"`
	// Access are the grants, without those that this hook has made.
	Access []SecretAccess `json:"access"`
}

// A SecretAccess is a grant. Target and Scope are Juju's tags, such as
// "unit-db-0" or "application-db", and "relation-app.db#db.server".
type SecretAccess struct {
	Target string `json:"target"`
	Scope  string `json:"scope"`
	Role   string `json:"role"`
}

// SecretInfo returns what there is to know of a secret of this unit or, for
// the leader, of the application, by its URI or, without one, its label. What
// this hook has changed in its content and grants does not show yet.
func (c *Client) SecretInfo(ctx context.Context, q SecretQuery) (SecretInfo, error) {
	const tool = "secret-info-get"
	if q.URI != (SecretURI{}) {
		q.Label = "" // Juju takes one of them
	}
	q.Refresh, q.Peek = false, false
	args, err := q.args(tool)
	if err != nil {
		return SecretInfo{}, err
	}
	m, err := readMap[SecretInfo](ctx, c, tool, args...)
	if err == nil && len(m) != 1 {
		err = &Error{Tool: tool, Message: fmt.Sprintf("it told of %d secrets", len(m))}
	}
	if err != nil {
		return SecretInfo{}, fmt.Errorf("cannot look %s up: %w", q, err)
	}
	var info SecretInfo
	for id, i := range m {
		info, info.ID = i, id
	}
	return info, nil
}

// SecretIDs returns the secrets of this unit and, for the leader, of the
// application, sorted by id. Those that this hook removes from are left out.
func (c *Client) SecretIDs(ctx context.Context) ([]SecretURI, error) {
	var ids []string
	if err := c.read(ctx, &ids, "secret-ids"); err != nil {
		return nil, fmt.Errorf("cannot list secrets: %w", err)
	}
	slices.Sort(ids)
	uris := make([]SecretURI, len(ids))
	for i, id := range ids {
		var err error
		if uris[i], err = ParseSecretURI(id); err != nil {
			return nil, fmt.Errorf("cannot list secrets: secret-ids: %w", err)
		}
	}
	return uris, nil
}

// SecretGrant lets the remote application of a relation read a secret, or one
// of its units only when unit is not empty. It takes effect when the hook ends
// well, and ends with the relation.
func (c *Client) SecretGrant(ctx context.Context, uri SecretURI, relationID, unit string) error {
	const tool = "secret-grant"
	if err := checkRelation(tool, relationID); err != nil {
		return err
	}
	return c.share(ctx, tool, "grant", uri, SecretGrantee{Relation: relationID, Unit: unit})
}

// A SecretGrantee says whom to take a secret from: Relation, with or without
// Unit, or Unit alone, or Application alone.
type SecretGrantee struct {
	Relation    string
	Application string
	Unit        string
}

// SecretRevoke takes back grants of a secret. It takes effect when the hook
// ends well, and Juju finds only then that this unit may not (the hook fails).
func (c *Client) SecretRevoke(ctx context.Context, uri SecretURI, from SecretGrantee) error {
	return c.share(ctx, "secret-revoke", "revoke", uri, from)
}

func (c *Client) share(ctx context.Context, tool, what string, uri SecretURI, with SecretGrantee) error {
	if err := uri.check(tool); err != nil {
		return err
	}
	var args []string
	for _, f := range [...][2]string{{"-r", with.Relation}, {"--app", with.Application}, {"--unit", with.Unit}} {
		if f[1] != "" {
			args = append(args, f[0], f[1])
		}
	}
	if err := c.run(ctx, tool, append(args, "--", uri.local())...); err != nil {
		return fmt.Errorf("cannot %s %s: %w", what, uri, err)
	}
	return nil
}

// SecretRemove removes one revision of a secret, or with revision 0 all of it.
// It takes effect when the hook ends well, and Juju finds only then that this
// unit may not (the hook fails).
func (c *Client) SecretRemove(ctx context.Context, uri SecretURI, revision int) error {
	const tool = "secret-remove"
	if err := uri.check(tool); err != nil {
		return err
	}
	if revision < 0 {
		return invalid(tool, "revision %d is negative", revision)
	}
	var args []string
	if revision > 0 {
		args = []string{"--revision", strconv.Itoa(revision)}
	}
	if err := c.run(ctx, tool, append(args, "--", uri.local())...); err != nil {
		return fmt.Errorf("cannot remove %s: %w", uri, err)
	}
	return nil
}
