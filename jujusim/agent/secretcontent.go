package agent

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v2"
)

// Juju's limits of a secret's content, in bytes.
const maxSecretSize = 1 << 20

var (
	secretID  = regexp.MustCompile(`^(?:secret:)?(?://)?(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/)?([0-9a-z]{20})$`)
	secretKey = regexp.MustCompile(`^[a-z](?:-?[a-z0-9]){2,}$`)
)

// The policies of secret-add --rotate, and how long after a change each calls
// for the next.
var rotatePolicies = map[string]func(time.Time) time.Time{
	"never":     func(time.Time) time.Time { return time.Time{} },
	"hourly":    func(t time.Time) time.Time { return t.Add(time.Hour) },
	"daily":     func(t time.Time) time.Time { return t.AddDate(0, 0, 1) },
	"weekly":    func(t time.Time) time.Time { return t.AddDate(0, 0, 7) },
	"monthly":   func(t time.Time) time.Time { return t.AddDate(0, 1, 0) },
	"quarterly": func(t time.Time) time.Time { return t.AddDate(0, 3, 0) },
	"yearly":    func(t time.Time) time.Time { return t.AddDate(1, 0, 0) },
}

// parseSecretURI returns the id in "secret:ID", "secret://MODEL/ID" or "ID".
func parseSecretURI(s string) (string, error) {
	if m := secretID.FindStringSubmatch(s); m != nil {
		return m[1], nil
	}
	return "", fmt.Errorf("secret URI %q not valid", s)
}

// newSecretID makes an id like those of Juju: 20 digits of base 32.
func newSecretID(random *rand.Rand) string {
	const digits = "0123456789abcdefghijklmnopqrstuv"
	id := make([]byte, 20)
	for i := range id {
		id[i] = digits[random.IntN(len(digits))]
	}
	return string(id)
}

// upsert is what secret-add and secret-set say of a secret; nil fields are not
// mentioned.
type upsert struct {
	label, description, rotate *string
	// expire is in RFC 3339.
	expire  *string
	content map[string]string
}

func (u *upsert) merge(v upsert) {
	if v.label != nil {
		u.label = v.label
	}
	if v.description != nil {
		u.description = v.description
	}
	if v.rotate != nil {
		u.rotate = v.rotate
	}
	if v.expire != nil {
		u.expire = v.expire
	}
	if len(v.content) > 0 {
		u.content = v.content
	}
}

// upsertFlags declares the options of secret-add and secret-set. What it
// returns reads the arguments that follow.
func (a *Agent) upsertFlags(t *tool) (owner *string, file *string, read func(args []string) (upsert, error)) {
	var label, description, rotate, expire string
	owner, file = new("application"), new("")
	t.flags.stringVar(&expire, "expire", "either a duration or time when the secret should expire")
	t.flags.stringVar(&rotate, "rotate", "the secret rotation policy")
	t.flags.stringVar(&description, "description", "the secret description")
	t.flags.stringVar(&label, "label", "a label used to identify the secret in hooks")
	t.flags.stringVar(file, "file", "a YAML file containing secret key values")
	t.flags.stringVar(owner, "owner", "the owner of the secret, either the application or unit")
	read = func(args []string) (u upsert, err error) {
		if expire != "" {
			at, err := a.expireTime(expire)
			if err != nil {
				return u, err
			}
			u.expire = &at
		}
		if rotate != "" {
			if rotatePolicies[rotate] == nil {
				return u, fmt.Errorf("rotate policy %q not valid", rotate)
			}
			u.rotate = &rotate
		}
		if *owner != "application" && *owner != "unit" {
			return u, fmt.Errorf("secret owner %q not valid", *owner)
		}
		for _, text := range []struct {
			value string
			to    **string
		}{{label, &u.label}, {description, &u.description}} {
			if text.value != "" {
				*text.to = new(text.value)
			}
		}
		u.content, err = secretContent(args, *file)
		return u, err
	}
	return owner, file, read
}

// expireTime reads --expire, a time or how long from now.
func (a *Agent) expireTime(spec string) (string, error) {
	at, err := time.Parse(time.RFC3339, spec)
	if err != nil {
		after, err := time.ParseDuration(spec)
		if err != nil {
			return "", fmt.Errorf("expire time or duration %q not valid", spec)
		}
		if after <= 0 {
			return "", fmt.Errorf("negative expire duration %q not valid", spec)
		}
		at = a.x.Now().Add(after)
	}
	return at.UTC().Format(time.RFC3339), nil
}

// secretContent reads key=value, key#base64=value and key#file=path from the
// arguments and, with the lower word, from a YAML file.
func secretContent(args []string, file string) (map[string]string, error) {
	content := make(map[string]string)
	if err := secretArguments(args, content); err != nil {
		return nil, err
	}
	if file == "" {
		return content, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var pairs map[string]string
	if err := yaml.Unmarshal(data, &pairs); err != nil {
		return nil, err
	}
	var fileArgs []string
	for key, value := range pairs {
		fileArgs = append(fileArgs, key+"="+value)
	}
	slices.Sort(fileArgs)
	return content, secretArguments(fileArgs, content)
}

func secretArguments(args []string, content map[string]string) error {
	for _, arg := range args {
		key, _, ok := strings.Cut(strings.TrimRight(arg, "="), "=")
		if !ok || key == "" {
			return fmt.Errorf("key value %q not valid", arg)
		}
		value := arg[len(key)+1:]
		if name, ok := strings.CutSuffix(key, "#file"); ok {
			data, err := os.ReadFile(value)
			if err != nil {
				return fmt.Errorf("reading content for secret key %q: %w", name, err)
			}
			key, value = name, string(data)
		}
		if name, ok := strings.CutSuffix(key, "#base64"); ok {
			data, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return fmt.Errorf("key value %q not valid", arg)
			}
			key, value = name, string(data)
		}
		if !secretKey.MatchString(key) {
			return fmt.Errorf("key %q not valid", key)
		}
		content[key] = value
	}
	size := 0
	for key, value := range content {
		if size += len(value); len(value) > maxSecretSize {
			return fmt.Errorf("secret content for key %q too large: %d bytes", key, len(value))
		}
	}
	if size > maxSecretSize {
		return fmt.Errorf("secret content too large: %d bytes", size)
	}
	return nil
}
