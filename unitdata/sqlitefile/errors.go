package sqlitefile

import (
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The kinds of an Error, for errors.Is. Whatever the kind, the file is left as
// it was.
var (
	// ErrDamaged: the file is a database whose content is broken or cut off.
	ErrDamaged = errors.New("damaged")
	// ErrLocked: another process kept the file locked for too long.
	ErrLocked = errors.New("locked by another process")
	// ErrForeign: the file is something else than a charm's unit state.
	ErrForeign = errors.New("not the unit state of a charm")
	// ErrFuture: the file was written by a newer version of SQLite, of Python
	// charms' libraries or of this package, and is not understood.
	ErrFuture = errors.New("of a newer format")
)

// An Error says what is wrong with a file of unit state.
type Error struct {
	// Path is the file's path.
	Path string
	// Kind is one of this package's kinds, or nil if it is none of them, such
	// as a missing permission.
	Kind error
	// Err is the cause.
	Err error
}

// Error names the file, the kind and the cause; never what the file holds.
func (e *Error) Error() string {
	s := "unit state " + e.Path + ": "
	if e.Kind != nil {
		s += e.Kind.Error() + ": "
	}
	return s + e.Err.Error()
}

// Unwrap returns the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Kind == nil {
		return []error{e.Err}
	}
	return []error{e.Kind, e.Err}
}

// fileError wraps what SQLite or the system says about a file.
func fileError(path string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &Error{Path: path, Err: err}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			e.Kind = ErrLocked
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			e.Kind = ErrDamaged
		}
	}
	return e
}
