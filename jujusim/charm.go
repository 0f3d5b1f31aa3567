package jujusim

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"

	"github.com/charmed-go/charms/charmfile"
	"github.com/charmed-go/charms/hooktool"
)

// A Charm is what can be deployed: the files of a charm, and how its code runs.
type Charm struct {
	// Path is the charm's directory, or the .charm file it is packed in.
	Path string
	// Files holds the charm's files, when there is no Path. Both hold at least
	// a charmcraft.yaml or metadata.yaml at their top.
	Files fs.FS
	// Run runs the charm's code in this process, once for each hook, action and
	// juju-exec, and returns the exit code. It keeps to the Process that it is
	// given: its environment, directory and streams. It ends soon after ctx
	// ends, which is how it is killed.
	//
	// Without Run the charm is run as Juju runs it: the executable dispatch in
	// the charm's directory, or hooks/NAME and actions/NAME without one.
	Run func(ctx context.Context, p hooktool.Process) int
}

// A revision is one revision of a charm as an application runs it.
type revision struct {
	number int
	meta   *charmfile.Charm
	files  fs.FS
	run    func(ctx context.Context, p hooktool.Process) int
	close  func() error
	// staged is the directory in which files are kept, so that units can share
	// large programs. Units may come for it at the same time.
	staging sync.Mutex
	staged  string
}

// large is the size from which units share a program instead of copying it.
const large = 1 << 20

// stage unpacks a charm with programs of its own once for all units.
func (r *revision) stage(dir string) error {
	r.staging.Lock()
	defer r.staging.Unlock()
	if r.run != nil || r.staged != "" {
		return nil
	}
	staged, err := os.MkdirTemp(dir, "charm")
	if err != nil {
		return fmt.Errorf("cannot unpack the charm: %w", err)
	}
	if _, err := r.unpack(staged); err != nil {
		return err
	}
	r.files, r.staged = os.DirFS(staged), staged
	return nil
}

// loadCharm reads a charm for a model that keeps its files in dir.
func loadCharm(c Charm, dir string) (*revision, error) {
	r := &revision{files: c.Files, run: c.Run, close: func() error { return nil }}
	switch {
	case c.Path != "" && c.Files != nil:
		return nil, errors.New("cannot read the charm: it has a path and files")
	case c.Path == "" && c.Files == nil:
		return nil, errors.New("cannot read the charm: it has neither path nor files")
	case c.Path != "":
		info, err := os.Stat(c.Path)
		if err != nil {
			return nil, fmt.Errorf("cannot read the charm: %w", err)
		}
		if info.IsDir() {
			if charmDir, err := filepath.Abs(c.Path); err != nil {
				return nil, fmt.Errorf("cannot read the charm: %w", err)
			} else if below, err := filepath.Rel(charmDir, dir); err == nil && filepath.IsLocal(below) {
				return nil, fmt.Errorf("the model's directory %s is in that of the charm, which would contain itself: give Options.Dir another place", dir)
			}
			r.files = os.DirFS(c.Path)
			break
		}
		archive, err := zip.OpenReader(c.Path)
		if err != nil {
			return nil, fmt.Errorf("cannot read the charm %s: %w", c.Path, err)
		}
		r.files, r.close = archive, archive.Close
	}
	meta, err := charmfile.LoadFS(r.files)
	if err != nil {
		r.close()
		return nil, fmt.Errorf("cannot read the charm: %w", err)
	}
	r.meta = meta
	return r, nil
}

// unpack copies the charm's files into dir and returns their names. Files that
// are there are replaced.
func (r *revision) unpack(dir string) ([]string, error) {
	var names []string
	err := fs.WalkDir(r.files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		if entry.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		names = append(names, name)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return r.unpackLink(name, to)
		}
		if r.staged != "" && info.Size() >= large && info.Mode()&0o111 != 0 && r.share(name, to) == nil {
			return nil
		}
		return r.unpackFile(name, to, info.Mode().Perm())
	})
	if err != nil {
		return nil, fmt.Errorf("cannot unpack the charm: %w", err)
	}
	return names, nil
}

// share makes a file another name of the staged one.
func (r *revision) share(name, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Link(filepath.Join(r.staged, filepath.FromSlash(name)), to)
}

func (r *revision) unpackLink(name, to string) error {
	var target string
	if links, ok := r.files.(fs.ReadLinkFS); ok {
		t, err := links.ReadLink(name)
		if err != nil {
			return err
		}
		target = t
	} else {
		// An archive keeps the target as the content.
		data, err := fs.ReadFile(r.files, name)
		if err != nil {
			return err
		}
		target = string(data)
	}
	if path.IsAbs(target) || !fs.ValidPath(path.Join(path.Dir(name), target)) {
		return fmt.Errorf("the link %s leads out of the charm, to %s", name, target)
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Symlink(target, to)
}

func (r *revision) unpackFile(name, to string, mode fs.FileMode) error {
	from, err := r.files.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	// Removing first replaces a program that still runs, and links.
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode|0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, from); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// upgrade turns the charm directory of an older revision into this one's: what
// only the older one had goes, what the charm itself made stays.
func (r *revision) upgrade(dir string, old []string) ([]string, error) {
	names, err := r.unpack(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range old {
		if !slices.Contains(names, name) {
			if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("cannot remove a file of the old charm: %w", err)
			}
		}
	}
	return names, nil
}

// program is the file in the charm directory that Juju would run, or "" if the
// charm has none for it.
func program(dir, dispatchPath string) string {
	for _, name := range []string{"dispatch", dispatchPath} {
		if name == "" {
			continue
		}
		file := filepath.Join(dir, filepath.FromSlash(name))
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file
		}
	}
	return ""
}
