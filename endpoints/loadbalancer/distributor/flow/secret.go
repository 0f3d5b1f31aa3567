package flow

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/durable"
)

// A Secret holds content, such as a private key, that is never printed, logged
// or encoded: its text and its JSON are a reference only. A run keeps the
// content of its secrets in files of mode 0600 beside its journal until it is
// forgotten, so that it can be resumed. The reference is the SHA-256 of the
// content, so a Secret is for keys and tokens, not for passwords that can be
// guessed.
//
// The zero Secret is no secret. A type that holds some is a [SecretHolder].
type Secret struct {
	ref     string
	content []byte
}

// A SecretHolder is implemented by pointers to values that hold secrets. Runs
// ask it for them, to keep them on the way into the journal and to fill them in
// on the way out.
type SecretHolder interface {
	Secrets() []*Secret
}

// ErrNoContent is the error of a Secret that came out of JSON and of which only
// the reference is known.
var ErrNoContent = errors.New("content of the secret is not at hand")

// NewSecret returns a Secret with a copy of content; without content it is the
// zero Secret.
func NewSecret(content []byte) Secret {
	if len(content) == 0 {
		return Secret{}
	}
	sum := sha256.Sum256(content)
	return Secret{ref: "sha256-" + hex.EncodeToString(sum[:]), content: bytes.Clone(content)}
}

// IsZero reports whether there is no secret at all.
func (s Secret) IsZero() bool { return s.ref == "" }

// Ref returns the reference, which is the same for the same content.
func (s Secret) Ref() string { return s.ref }

// Reveal returns a copy of the content. The zero Secret has none; a Secret of
// which only the reference is known gives [ErrNoContent].
func (s Secret) Reveal() ([]byte, error) {
	if s.ref != "" && s.content == nil {
		return nil, fmt.Errorf("cannot reveal %s: %w", s.ref, ErrNoContent)
	}
	return bytes.Clone(s.content), nil
}

// Equal reports whether both are the same secret; go-cmp uses it too.
func (s Secret) Equal(t Secret) bool { return s.ref == t.ref }

// String returns a placeholder.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "[secret]"
}

// Format writes the placeholder for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue gives slog the placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

type secretJSON struct {
	Ref string `json:"secret"`
}

// MarshalJSON encodes the reference: {"secret": "sha256-…"}, or null.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s.IsZero() {
		return []byte("null"), nil
	}
	return json.Marshal(secretJSON{s.ref})
}

var validRef = regexp.MustCompile(`^sha256-[0-9a-f]{64}$`)

// UnmarshalJSON decodes what MarshalJSON wrote; the content is not part of it.
func (s *Secret) UnmarshalJSON(data []byte) error {
	*s = Secret{}
	if string(data) == "null" {
		return nil
	}
	var j secretJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("cannot decode a secret's reference: %w", err)
	}
	if !validRef.MatchString(j.Ref) {
		return fmt.Errorf("cannot decode a secret's reference: malformed")
	}
	s.ref = j.Ref
	return nil
}

// Fill gives s the content that t has, if both are the same secret.
func (s *Secret) Fill(t Secret) {
	if s.ref != "" && s.ref == t.ref && s.content == nil {
		s.content = t.content
	}
}

// vault keeps the content of a run's secrets, in memory and, with a directory,
// in files named after the references.
type vault struct {
	dir string
	mem map[string][]byte
}

func newVault(dir string) vault { return vault{dir: dir, mem: map[string][]byte{}} }

func (v vault) take(s Secret) error {
	if s.IsZero() {
		return nil
	}
	content, err := s.Reveal()
	if err != nil {
		return err
	}
	if _, ok := v.mem[s.ref]; ok {
		return nil
	}
	v.mem[s.ref] = content
	if v.dir == "" {
		return nil
	}
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(v.dir)); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(v.dir, s.ref), content)
}

func (v vault) fill(s *Secret) {
	if s.IsZero() || s.content != nil {
		return
	}
	if content, ok := v.mem[s.ref]; ok {
		s.content = content
		return
	}
	if v.dir == "" {
		return
	}
	content, err := os.ReadFile(filepath.Join(v.dir, s.ref))
	if err != nil || NewSecret(content).ref != s.ref {
		return
	}
	v.mem[s.ref] = content
	s.content = content
}

// load reads all kept secrets, so that mask knows them.
func (v vault) load() {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		s := Secret{ref: e.Name()}
		if validRef.MatchString(s.ref) {
			v.fill(&s)
		}
	}
}

// mask removes the secrets that v knows from text.
func (v vault) mask(text string) string {
	for _, content := range v.mem {
		if s := strings.TrimSpace(string(content)); s != "" {
			text = strings.ReplaceAll(text, s, "[secret]")
		}
	}
	return text
}

func (v vault) remove() error {
	if v.dir == "" {
		return nil
	}
	if err := os.RemoveAll(v.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
