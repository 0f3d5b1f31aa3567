// Package sqlitefile reads and keeps the .unit-state.db in which Python charms
// store their unit data, so that juju refresh from a Python charm to a Go charm
// loses nothing: flags, departed units, what was seen of remote data, what ran
// only once, and the charm's own keys.
//
// There are two ways. [Upgrade] takes the file over once, into Juju's charm
// state, and puts it away under another name. [Keep] goes on with the file, so
// that the operator can go back to the Python charm as well. A charm chooses
// with one line:
//
//	func New() *reactive.Charm {
//		charm := reactive.New("web")
//		charm.Store(sqlitefile.Upgrade)
//		return charm
//	}
//
// Below them are [Import], for any other store, and [NewStore]; and [Read] for
// programs that only look.
//
// Either way a hook that fails, is killed at any point, or is not kept by Juju
// leaves nothing behind: the next one starts from where it started.
//
// # The file
//
// It is an SQLite database with the tables kv (key, data as JSON), kv_revisions
// and hooks of charmhelpers' unitdata, and in charms that use the ops framework
// also snapshot and notice. Journal mode (delete), synchronous (full) and the
// file's mode (0600) are those that charmhelpers uses. The state that ops
// objects keep is read as entries whose keys begin with [SnapshotPrefix]; it is
// never written back to the table snapshot, and deferred events are left there.
// [NewStore] adds the tables go_hook and go_undo, which Python charms pass
// over. A charm that kept its data in Juju's charm state before it used
// [NewStore] loses nothing: that is carried over into the file.
//
// Beside the file, .juju-persistent-config says which options the Python charm
// saw last. It is read, so that they do not count as changed.
//
// A file that is damaged, locked, something else, or of a later format is an
// [Error] of the kind [ErrDamaged], [ErrLocked], [ErrForeign] or [ErrFuture],
// and is left as it is. So is an empty file to be taken over: a charm that begins
// anew on a unit where another one was at work must be somebody's decision.
//
// Only charms that import this package contain SQLite, which is four megabytes.
package sqlitefile
