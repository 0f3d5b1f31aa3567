package sqlitefile

import (
	"log/slog"
	"path/filepath"

	"github.com/charmed-go/charms/hooktool"
	"github.com/charmed-go/charms/unitdata"
)

// Upgrade opens the store of a charm that replaces a Python charm for good: the
// file of the Python charm is taken into Juju's charm state once, see [Import].
// It is made for the charm's method Store:
//
//	charm.Store(sqlitefile.Upgrade)
func Upgrade(tools *hooktool.Client, p hooktool.Process) (unitdata.Store, error) {
	i := Import(unitdata.NewJujuState(tools), processOptions(tools, p))
	i.tools = tools
	return i, nil
}

// Keep opens the store of a charm that keeps the file of the Python charm, so
// that the operator can go back to that one, see [Store]. It is made for the
// charm's method Store:
//
//	charm.Store(sqlitefile.Keep)
func Keep(tools *hooktool.Client, p hooktool.Process) (unitdata.Store, error) {
	return NewStore(tools, processOptions(tools, p)), nil
}

// processOptions returns where the file of a process's charm is.
func processOptions(tools *hooktool.Client, p hooktool.Process) Options {
	path := Path(p.Getenv)
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.Dir, path)
	}
	return Options{Path: path, CharmDir: p.Dir, Log: slog.New(hooktool.NewLogHandler(tools, nil))}
}
