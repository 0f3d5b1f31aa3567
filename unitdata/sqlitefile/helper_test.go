package sqlitefile_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/unitdata/sqlitefile"
)

// agent is a unit agent that knows charm state only: what a hook stores is
// kept when the hook ends well, and dropped otherwise.
type agent struct {
	mu        sync.Mutex
	Committed map[string]string
	Pending   map[string]string
	calls     []string
}

func newAgent() *agent { return &agent{Committed: map[string]string{}, Pending: map[string]string{}} }

func (a *agent) tools() *hooktool.Client { return hooktool.New(a) }

func (a *agent) commit() { a.Committed, a.Pending = maps.Clone(a.Pending), maps.Clone(a.Pending) }

func (a *agent) discard() { a.Pending = maps.Clone(a.Committed) }

func (a *agent) Close() error { return nil }

func (a *agent) Call(_ context.Context, call hooktool.Call) (hooktool.Result, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, call.Tool)
	key := call.Args[len(call.Args)-1]
	switch call.Tool {
	case "state-get":
		if strings.HasPrefix(key, "-") {
			out, err := json.Marshal(a.Pending)
			return hooktool.Result{Stdout: out}, err
		}
		value, ok := a.Pending[key]
		if !ok {
			return hooktool.Result{Code: 1, Stderr: fmt.Appendf(nil, "ERROR %q not found\n", key)}, nil
		}
		out, err := json.Marshal(value)
		return hooktool.Result{Stdout: out}, err
	case "state-set":
		return hooktool.Result{}, json.Unmarshal(call.Stdin, &a.Pending)
	case "state-delete":
		delete(a.Pending, key)
		return hooktool.Result{}, nil
	}
	return hooktool.Result{}, fmt.Errorf("no tool %s", call.Tool)
}

// sample returns the options for a copy of a file that a Python charm left,
// and where its log goes.
func sample(t *testing.T, name string) (sqlitefile.Options, *lines) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	// A directory with characters that mean something in a URI.
	dir := filepath.Join(t.TempDir(), "a b?c#d%41")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, sqlitefile.FileName)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return options(path)
}

func options(path string) (sqlitefile.Options, *lines) {
	l := &lines{}
	return sqlitefile.Options{Path: path, Log: slog.New(l)}, l
}

// lines collects log messages.
type lines struct{ list []string }

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.list = append(l.list, r.Message)
	return nil
}

func (l *lines) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *lines) WithGroup(string) slog.Handler      { return l }

func (l *lines) String() string { return strings.Join(l.list, "\n") }

// execSQL changes a file as another program.
func execSQL(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", uri(path))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// kv returns what the table kv holds, sorted.
func kv(t *testing.T, path string) map[string]string {
	t.Helper()
	db, err := sql.Open("sqlite", uri(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT key, data FROM kv")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := map[string]string{}
	for rows.Next() {
		var key, data string
		if err := rows.Scan(&key, &data); err != nil {
			t.Fatal(err)
		}
		m[key] = data
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

func texts(m map[string]json.RawMessage) map[string]string {
	s := map[string]string{}
	for k, v := range m {
		s[k] = string(v)
	}
	return s
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// schema returns the statements that made the tables of a file.
func schema(t *testing.T, path string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", uri(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		list = append(list, text)
	}
	var mode string
	if err := errors.Join(rows.Err(), rows.Close(), db.QueryRow("PRAGMA journal_mode").Scan(&mode)); err != nil {
		t.Fatal(err)
	}
	return append(list, "journal mode "+mode)
}

// uri writes a path as SQLite's URI.
func uri(path string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}
