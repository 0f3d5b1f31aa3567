package reactive

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Records are kept in the charm directory, in a file that begins anew when it
// is full; the one before is kept beside it.
const (
	recordDir     = ".reactive"
	recordFile    = "records.jsonl"
	oldRecordFile = "records.old.jsonl"
	maxRecordFile = 1 << 20
)

// appendRecord adds a record to those in the charm directory.
func appendRecord(dir string, record *Record) error {
	if dir == "" {
		return nil
	}
	line, err := json.Marshal(record)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, recordDir, recordFile)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.Write(append(line, '\n'))
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && info.Size() > maxRecordFile {
		err = os.Rename(path, filepath.Join(dir, recordDir, oldRecordFile))
	}
	return err
}

// ReadRecords returns the records of the last dispatches of the unit whose
// charm directory is dir, the oldest first. A line that was not written to its
// end is left out.
func ReadRecords(dir string) ([]Record, error) {
	var records []Record
	for _, name := range []string{oldRecordFile, recordFile} {
		data, err := os.ReadFile(filepath.Join(dir, recordDir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the records of the last hooks: %w", err)
		}
		scanner := bufio.NewScanner(bytes.NewReader(data))
		scanner.Buffer(nil, len(data)+1)
		for scanner.Scan() {
			var r Record
			if json.Unmarshal(scanner.Bytes(), &r) == nil {
				records = append(records, r)
			}
		}
	}
	return records, nil
}

// Summary says in one line what happened.
func (r *Record) Summary() string {
	handlers, changes := 0, 0
	for _, s := range r.Steps {
		if s.IsChange() {
			changes++
		} else {
			handlers++
		}
	}
	text := fmt.Sprintf("%s: %s and %s in %s, %s", r.Title(), plural(handlers, "handler"), plural(changes, "flag change"),
		r.Duration.Round(10*time.Microsecond), plural(int(r.Calls), "hook tool"))
	switch {
	case r.Error != "":
		text += "; failed, nothing was kept: " + printable(r.Error)
	case r.Status != "":
		text += "; " + printable(r.Status)
	}
	return text
}

// Title names the event: the hook, and in a relation hook the relation and who
// is on its other side.
func (r *Record) Title() string {
	if r.Relation == "" {
		return r.Hook
	}
	other := r.RemoteUnit
	if other == "" {
		other = r.RemoteApp
	}
	if other == "" {
		return fmt.Sprintf("%s (%s)", r.Hook, r.Relation)
	}
	return fmt.Sprintf("%s (%s with %s)", r.Hook, r.Relation, other)
}

// printable returns a text that others may have made so that a terminal can show
// it: quoted, if there is anything in it that is not.
func printable(text string) string {
	if strings.ContainsFunc(text, func(c rune) bool { return !strconv.IsPrint(c) }) {
		return strconv.Quote(text)
	}
	return text
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
