package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/durable"
	"github.com/charmed-go/charms/endpoints/loadbalancer/distributor/internal/probe"
)

// A State is where a run or one of its tasks is. A run starts as
// [StateRunning]; a task that has not started has the empty state.
type State string

const (
	// StateRunning: the run goes forward; the task executes, or a kill found it
	// executing.
	StateRunning State = "RUNNING"
	// StateSuccess: all of the run, or the task, is done.
	StateSuccess State = "SUCCESS"
	// StateFailure: the task has failed for good. Only tasks have it; the run
	// is then reverted.
	StateFailure State = "FAILURE"
	// StateRetrying: a try of the task has failed, and another one follows. It
	// is in events only.
	StateRetrying State = "RETRYING"
	// StateReverting: the run goes back; the task is being reverted.
	StateReverting State = "REVERTING"
	// StateReverted: nothing is left of the run, or of the task.
	StateReverted State = "REVERTED"
	// StateRevertFailure: the task's Revert has failed, so the run is stuck on
	// its way back until it is resumed.
	StateRevertFailure State = "REVERT_FAILURE"
	// StateSuspended is the state of a run that stopped between two tasks
	// because its context ended; it never stands in a journal.
	StateSuspended State = "SUSPENDED"
)

// header is the first line of a journal, record each further one.
type header struct {
	Journal int                        `json:"journal"`
	Flow    string                     `json:"flow"`
	Version int                        `json:"version"`
	Run     string                     `json:"run"`
	Inputs  map[string]json.RawMessage `json:"inputs"`
	Started time.Time                  `json:"started"`
}

type record struct {
	Task    string                     `json:"task,omitempty"`
	State   State                      `json:"state"`
	Results map[string]json.RawMessage `json:"results,omitempty"`
	Error   string                     `json:"error,omitempty"`
	// By is the task that made a run turn back.
	By string `json:"by,omitempty"`
}

const journalVersion = 1

// maxJournal bounds what is read back; a flow's journal is a few kilobytes.
const maxJournal = 64 << 20

// journal is the durable record of one run. Without a file it keeps nothing.
type journal struct {
	file    *os.File
	path    string
	header  *header
	records []record
}

var validRun = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$`)

func journalPath(dir, run string) string { return filepath.Join(dir, run+".jsonl") }
func secretsPath(dir, run string) string { return filepath.Join(dir, run+".secrets") }

// openJournal opens and locks the journal of run and cuts a torn record off its
// end. A journal without a whole header is one of a run that has not started.
func openJournal(dir, run string, create bool) (*journal, error) {
	j, err := lockJournal(dir, run, create)
	if err != nil || j.file == nil {
		return j, err
	}
	if err := j.read(); err != nil {
		j.close()
		return nil, err
	}
	return j, nil
}

// lockJournal opens and locks the journal of run and does not look into it.
func lockJournal(dir, run string, create bool) (*journal, error) {
	if !validRun.MatchString(run) {
		return nil, fmt.Errorf("%q is not the name of a run", run)
	}
	if dir == "" {
		return &journal{}, nil
	}
	path := journalPath(dir, run)
	mode := os.O_RDWR
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		mode |= os.O_CREATE
	}
	for range 100 {
		f, err := os.OpenFile(path, mode, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNoRun
		}
		if err != nil {
			return nil, err
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, ErrLocked
			}
			return nil, err
		}
		// Between opening and locking the file may have been forgotten.
		held, err1 := f.Stat()
		now, err2 := os.Stat(path)
		if err1 != nil || err2 != nil || !os.SameFile(held, now) {
			f.Close()
			continue
		}
		return &journal{file: f, path: path}, nil
	}
	return nil, ErrLocked
}

// read takes in a journal that is locked and cuts off what is torn.
func (j *journal) read() error {
	size, good, err := j.parse(j.file)
	if err != nil {
		return err
	}
	if good < size {
		if err := j.file.Truncate(good); err != nil {
			return err
		}
	}
	_, err = j.file.Seek(good, io.SeekStart)
	return err
}

// parse takes in what r has. Good is how much of it is whole records.
func (j *journal) parse(r io.Reader) (size, good int64, err error) {
	data, err := io.ReadAll(io.LimitReader(r, maxJournal+1))
	if err != nil {
		return 0, 0, err
	}
	corrupt := func(line int, err error) (int64, int64, error) {
		return 0, 0, &CorruptError{Path: j.path, Line: line, Err: err}
	}
	if len(data) > maxJournal {
		return corrupt(1, errors.New("too long"))
	}
	rest := data
	for line := 1; ; line++ {
		text, after, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			break
		}
		if line == 1 {
			h := &header{}
			if err = json.Unmarshal(text, h); err == nil {
				if h.Journal != journalVersion {
					return corrupt(line, fmt.Errorf("journal format %d is not %d", h.Journal, journalVersion))
				}
				j.header = h
			}
		} else {
			var r record
			if err = json.Unmarshal(text, &r); err == nil && r.State == "" {
				err = errors.New("record without a state")
			}
			if err == nil {
				j.records = append(j.records, r)
			}
		}
		if err != nil {
			// A power cut can leave the last record's length without its
			// content.
			if len(after) == 0 {
				break
			}
			return corrupt(line, err)
		}
		rest = after
	}
	return int64(len(data)), int64(len(data) - len(rest)), nil
}

func (j *journal) begin(ctx context.Context, h *header) error {
	if j.file != nil {
		if err := j.file.Truncate(0); err != nil {
			return err
		}
		if _, err := j.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	if err := j.write(ctx, h); err != nil {
		return err
	}
	j.header = h
	if j.file == nil {
		return nil
	}
	return durable.SyncDir(filepath.Dir(j.path))
}

func (j *journal) append(ctx context.Context, r record) error {
	if err := j.write(ctx, r); err != nil {
		return err
	}
	j.records = append(j.records, r)
	return nil
}

// write adds a line and does not return before it is on the disk.
func (j *journal) write(ctx context.Context, v any) error {
	if j.file == nil {
		return nil
	}
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	probe.Hit(ctx, "journal: before write")
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	probe.Hit(ctx, "journal: written")
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("cannot write journal: %w", err)
	}
	probe.Hit(ctx, "journal: synced")
	return nil
}

func (j *journal) close() {
	if j.file != nil {
		// Said, not left to Close: a program that is just being started elsewhere
		// in this process holds a copy of the file for a moment.
		_ = syscall.Flock(int(j.file.Fd()), syscall.LOCK_UN)
		j.file.Close()
	}
}

// end returns the last state that the run as a whole was put into, the reason
// for turning back and the task that was it.
func (j *journal) end() (state State, cause, by string) {
	state = StateRunning
	for _, r := range j.records {
		if r.Task == "" {
			state = r.State
			if r.State == StateReverting {
				cause, by = r.Error, r.By
			}
		}
	}
	return state, cause, by
}

// tasks returns the last record of each task.
func (j *journal) tasks() map[string]record {
	last := map[string]record{}
	for _, r := range j.records {
		if r.Task == "" {
			continue
		}
		if r.Results == nil {
			r.Results = last[r.Task].Results
		}
		if r.State == StateRunning || r.State == StateFailure {
			r.Results = nil
		}
		last[r.Task] = r
	}
	return last
}

// A Run describes a journal found in a directory.
type Run struct {
	// Name is the name that the run was started with, Flow that of its flow.
	Name, Flow string
	Version    int
	// State is StateRunning or StateReverting for a run that is not over,
	// and otherwise how it ended.
	State   State
	Started time.Time
	// Err is why nothing but the name is known: the journal cannot be read, as
	// with a [*CorruptError]. Nobody can go on with such a run;
	// [Runner.Forget] removes it.
	Err error
}

// Over reports whether there is nothing left to do for the run.
func (r Run) Over() bool { return r.State == StateSuccess || r.State == StateReverted }

// Runs returns the runs that have a journal in the runner's directory, sorted
// by name; those that are not [Run.Over] wait for [Runner.Resume]. It only
// looks: a run that is being worked on is as it was at that moment.
func (r *Runner) Runs() ([]Run, error) {
	if r.Dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(r.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list runs: %w", err)
	}
	var runs []Run
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".jsonl")
		if !ok || !validRun.MatchString(name) {
			continue
		}
		if run, ok := r.look(name); ok {
			runs = append(runs, run)
		}
	}
	slices.SortFunc(runs, func(a, b Run) int { return strings.Compare(a.Name, b.Name) })
	return runs, nil
}

// look reads what is known of a run. There is none if it has not begun, or has
// been forgotten meanwhile.
func (r *Runner) look(name string) (Run, bool) {
	j := &journal{path: journalPath(r.Dir, name)}
	f, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Run{}, false
	}
	if err == nil {
		defer f.Close()
		_, _, err = j.parse(f)
	}
	if err != nil {
		return Run{Name: name, Err: fmt.Errorf("cannot read run %q: %w", name, err)}, true
	}
	if j.header == nil {
		return Run{}, false
	}
	state, _, _ := j.end()
	return Run{Name: name, Flow: j.header.Flow, Version: j.header.Version, State: state, Started: j.header.Started}, true
}

// Forget removes the journal of a run and what is kept with it. It is called
// when the outcome of the run has been acted on; until then [Runner.Run] gives
// the same outcome again. Forgetting a run that does not exist is no error, and
// one whose journal cannot be read can be forgotten too: what it has done stays.
func (r *Runner) Forget(run string) error {
	if r.Dir == "" {
		return nil
	}
	j, err := lockJournal(r.Dir, run, false)
	if errors.Is(err, ErrNoRun) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot forget run %q: %w", run, err)
	}
	defer j.close()
	if err := newVault(secretsPath(r.Dir, run)).remove(); err != nil {
		return fmt.Errorf("cannot forget run %q: %w", run, err)
	}
	if err := os.Remove(j.path); err != nil {
		return fmt.Errorf("cannot forget run %q: %w", run, err)
	}
	return durable.SyncDir(r.Dir)
}
