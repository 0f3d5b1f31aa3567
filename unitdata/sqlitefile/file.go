package sqlitefile

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// FileName is the file's name in the charm directory.
const FileName = ".unit-state.db"

// Path returns where a Python charm with this environment keeps its unit
// state: $UNIT_STATE_DB, or .unit-state.db in $CHARM_DIR (which Juju also calls
// $JUJU_CHARM_DIR).
func Path(getenv func(string) string) string {
	if path := getenv("UNIT_STATE_DB"); path != "" {
		return path
	}
	dir := getenv("CHARM_DIR")
	if dir == "" {
		dir = getenv("JUJU_CHARM_DIR")
	}
	return filepath.Join(dir, FileName)
}

// Options say where the file is and how it is used.
type Options struct {
	// Path is the file's path, usually what [Path] returns. It is required.
	Path string
	// CharmDir is the charm's directory, where the Python charm noted in
	// .juju-persistent-config which options it saw last. That is taken over so
	// that they do not count as changed. Empty: it is not looked for.
	CharmDir string
	// Log gets a message for each thing worth telling: what was taken over and
	// what was left, a hook undone. Messages hold keys but no values. Nil: they
	// are dropped.
	Log *slog.Logger
	// Wait is how long to wait for another process that has locked the file.
	// Zero: ten seconds. Negative: not at all.
	Wait time.Duration
}

func (o Options) log(ctx context.Context, format string, args ...any) {
	if o.Log != nil {
		o.Log.InfoContext(ctx, fmt.Sprintf(format, args...))
	}
}

func (o Options) wait() time.Duration {
	switch {
	case o.Wait < 0:
		return 0
	case o.Wait == 0:
		return 10 * time.Second
	}
	return o.Wait
}

// The tables as charmhelpers creates them. Their text is kept in the file, and
// is the same down to the white space.
var tables = []struct{ name, create string }{
	{"kv", `CREATE TABLE kv (
               key text,
               data text,
               primary key (key)
               )`},
	{"kv_revisions", `CREATE TABLE kv_revisions (
               key text,
               revision integer,
               data text,
               primary key (key, revision)
               )`},
	{"hooks", `CREATE TABLE hooks (
               version integer primary key autoincrement,
               hook text,
               date text
               )`},
}

// file is an open file of unit state whose form was checked.
type file struct {
	path   string
	db     *sql.DB
	tables map[string]bool
	// raw is the file itself, for its header. Closing it would end the locks
	// that SQLite holds for this process, so that is done last.
	raw *os.File
}

// openFile opens an existing file. A hot journal, which a killed writer left,
// is rolled back by that.
func openFile(ctx context.Context, o Options) (*file, error) {
	dsn, err := dataSource(o)
	if err != nil {
		return nil, fileError(o.Path, err)
	}
	if err := checkType(o.Path); err != nil {
		return nil, err
	}
	raw, err := os.Open(o.Path)
	if err != nil {
		return nil, fileError(o.Path, err)
	}
	f := &file{path: o.Path, raw: raw}
	if err := f.checkHeader(); err != nil {
		return nil, errors.Join(fileError(o.Path, err), raw.Close())
	}
	f.db, err = sql.Open("sqlite", dsn)
	if err != nil {
		return nil, errors.Join(fileError(o.Path, err), raw.Close())
	}
	f.db.SetMaxOpenConns(1)
	if err := f.checkForm(ctx); err != nil {
		return nil, errors.Join(fileError(o.Path, err), f.Close())
	}
	return f, nil
}

// createFile opens a file, and makes it if there is none, all as charmhelpers
// does.
func createFile(ctx context.Context, o Options) (*file, error) {
	if err := checkType(o.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	h, err := os.OpenFile(o.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fileError(o.Path, err)
	}
	info, err := h.Stat()
	if err == nil && info.Mode().Perm() != 0o600 {
		err = h.Chmod(0o600)
	}
	if err := errors.Join(err, h.Close()); err != nil {
		return nil, fileError(o.Path, err)
	}
	f, err := openFile(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := f.complete(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func dataSource(o Options) (string, error) {
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return "", err
	}
	query := url.Values{
		"mode":    {"rw"},
		"_txlock": {"immediate"},
		"_pragma": {
			"busy_timeout(" + strconv.FormatInt(o.wait().Milliseconds(), 10) + ")",
			// What Python uses: other journals stay beside the file or in it.
			"journal_mode(delete)",
			"synchronous(full)",
		},
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode(), nil
}

const magic = "SQLite format 3\x00"

// checkHeader looks at the file itself first, because SQLite calls everything
// that it does not understand "not a database". An empty file is an empty
// database: charmhelpers was killed right after making it.
func (f *file) checkHeader() error {
	header := make([]byte, 100)
	n, err := f.raw.ReadAt(header, 0)
	header = header[:n]
	switch {
	case err != nil && err != io.EOF:
		return err
	case n == 0:
		return nil
	case !bytes.HasPrefix(header, []byte(magic)) && !strings.HasPrefix(magic, string(header)):
		return &Error{f.path, ErrForeign, errors.New("it is no SQLite database")}
	case n < 100:
		return &Error{f.path, ErrDamaged, fmt.Errorf("it ends after %d bytes", n)}
	}
	if version := header[19]; version > 2 {
		return &Error{f.path, ErrFuture, fmt.Errorf("SQLite's file format is %d", version)}
	}
	if format := binary.BigEndian.Uint32(header[44:]); format > 4 {
		return &Error{f.path, ErrFuture, fmt.Errorf("SQLite's schema format is %d", format)}
	}
	return nil
}

// checkType refuses what is no regular file; opening a pipe would block.
func checkType(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fileError(path, err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return &Error{path, ErrForeign, errors.New("it is a directory")}
	case !mode.IsRegular():
		return &Error{path, ErrForeign, fmt.Errorf("it is a special file (%s)", mode.Type())}
	}
	return nil
}

// checkForm checks that the tables are those of a charm.
func (f *file) checkForm(ctx context.Context) error {
	rows, err := f.db.QueryContext(ctx, "SELECT name FROM sqlite_master WHERE type = 'table'")
	if err != nil {
		return err
	}
	defer rows.Close()
	f.tables = make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		f.tables[name] = true
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := f.checkSize(ctx); err != nil {
		return err
	}
	// charmhelpers makes the table kv before its others.
	if len(f.tables) > 0 && !f.tables["kv"] && !f.tables["snapshot"] {
		return &Error{f.path, ErrForeign, errors.New("it has neither a table kv nor a table snapshot")}
	}
	if err := f.checkColumns(ctx, "kv", "key", "data"); err != nil {
		return err
	}
	if err := f.checkColumns(ctx, "snapshot", "handle", "data"); err != nil {
		return err
	}
	return f.checkHookTables(ctx)
}

// checkSize checks that the file is as long as it says, once SQLite has rolled
// back what was unfinished: what is cut off from its last page SQLite takes for
// zeros. Neither charmhelpers nor ops gives a file a version of its own.
func (f *file) checkSize(ctx context.Context) error {
	var pages, size, version int64
	const query = "SELECT page_count, page_size, user_version FROM pragma_page_count, pragma_page_size, pragma_user_version"
	if err := f.db.QueryRowContext(ctx, query).Scan(&pages, &size, &version); err != nil {
		return err
	}
	info, err := f.raw.Stat()
	if err != nil {
		return err
	}
	switch {
	case info.Size() < pages*size:
		return &Error{f.path, ErrDamaged, fmt.Errorf("it ends after %d bytes of %d", info.Size(), pages*size)}
	case version != 0:
		return &Error{f.path, ErrFuture, fmt.Errorf("its version is %d", version)}
	}
	return nil
}

// checkColumns checks that a table has two columns, of which the first is its
// primary key. A table with more is that of a later version of its owner.
func (f *file) checkColumns(ctx context.Context, table, key, data string) error {
	if !f.tables[table] {
		return nil
	}
	rows, err := f.db.QueryContext(ctx, "SELECT name, pk FROM pragma_table_info(?)", table)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns := make(map[string]int)
	for rows.Next() {
		var name string
		var pk int
		if err := rows.Scan(&name, &pk); err != nil {
			return err
		}
		columns[name] = pk
	}
	if err := rows.Err(); err != nil {
		return err
	}
	_, hasData := columns[data]
	switch {
	case columns[key] != 1 || !hasData:
		return &Error{f.path, ErrForeign, fmt.Errorf("its table %s has not the columns %s (primary key) and %s", table, key, data)}
	case len(columns) > 2:
		return &Error{f.path, ErrFuture, fmt.Errorf("its table %s has %d columns, not 2", table, len(columns))}
	}
	return nil
}

// checkIntegrity reads the whole file and finds all that is broken in it.
func (f *file) checkIntegrity(ctx context.Context) error {
	var result string
	if err := f.db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&result); err != nil {
		return fileError(f.path, err)
	}
	if result != "ok" {
		return &Error{f.path, ErrDamaged, errors.New(result)}
	}
	return nil
}

// complete makes the tables that are missing.
func (f *file) complete(ctx context.Context) error {
	missing := false
	for _, table := range tables {
		missing = missing || !f.tables[table.name]
	}
	if !missing {
		return nil
	}
	return f.write(ctx, func(tx *sql.Tx) error {
		for _, table := range tables {
			if f.tables[table.name] {
				continue
			}
			if _, err := tx.ExecContext(ctx, table.create); err != nil {
				return err
			}
			f.tables[table.name] = true
		}
		return nil
	})
}

// write runs do in a transaction that holds the only right to write from its
// beginning.
func (f *file) write(ctx context.Context, do func(tx *sql.Tx) error) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return fileError(f.path, err)
	}
	if err := do(tx); err != nil {
		return fileError(f.path, errors.Join(err, tx.Rollback()))
	}
	return fileError(f.path, tx.Commit())
}

// changes returns the file's change counter, which SQLite raises by one in
// every transaction that writes (section 1.3.7 of its file format). It is
// exact while this process has a transaction or nobody else writes.
func (f *file) changes() (uint32, error) {
	var counter [4]byte
	if _, err := f.raw.ReadAt(counter[:], 24); err != nil && err != io.EOF {
		return 0, fileError(f.path, err)
	}
	return binary.BigEndian.Uint32(counter[:]), nil
}

// Close closes the file.
func (f *file) Close() error {
	return errors.Join(f.db.Close(), f.raw.Close())
}
