package archive

import (
	"archive/zip"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A File is one entry of an archive.
type File struct {
	Data []byte
	// Executable makes its mode 0755 instead of 0644. Juju makes nothing
	// executable by itself but what is under hooks/.
	Executable bool
}

// Files are the entries of an archive by their slash-separated names.
type Files map[string]File

// epoch is the oldest time a zip file can hold: every entry has it, so that
// the same files make the same archive.
func epoch() time.Time { return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) }

// Write writes files as a zip, byte for byte the same for the same files.
func Write(w io.Writer, files Files) error {
	zw := zip.NewWriter(w)
	zw.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, flate.BestCompression)
	})
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !fs.ValidPath(name) {
			return fmt.Errorf("cannot pack %q: not a path inside the charm", name)
		}
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: epoch()}
		h.SetMode(0o644)
		if files[name].Executable {
			h.SetMode(0o755)
		}
		e, err := zw.CreateHeader(h)
		if err != nil {
			return fmt.Errorf("cannot pack %s: %w", name, err)
		}
		if _, err := e.Write(files[name].Data); err != nil {
			return fmt.Errorf("cannot pack %s: %w", name, err)
		}
	}
	return zw.Close()
}

// maxUnpacked bounds what an archive may unpack to.
const maxUnpacked = 4 << 30

// Unpack writes the files of the archive called path into dir, which it
// creates, with the modes they have in the archive, as a unit agent does. An
// archive that names a place outside dir, or unpacks to more than 4 GiB, is
// refused before anything is written.
func Unpack(path, dir string) error {
	zr, err := zip.OpenReader(path)
	if err != nil {
		return fmt.Errorf("cannot open charm archive %s: %w", path, err)
	}
	defer zr.Close()
	var total uint64
	for _, f := range zr.File {
		name := strings.TrimSuffix(f.Name, "/")
		if !fs.ValidPath(name) || !filepath.IsLocal(filepath.FromSlash(name)) {
			return fmt.Errorf("cannot unpack %s: entry %q is outside the charm", path, f.Name)
		}
		if m := f.Mode(); !m.IsRegular() && !m.IsDir() && m&fs.ModeSymlink == 0 {
			return fmt.Errorf("cannot unpack %s: entry %q is neither a file, a directory nor a symbolic link", path, f.Name)
		}
		if total += f.UncompressedSize64; total > maxUnpacked {
			return fmt.Errorf("cannot unpack %s: its files are larger than %d bytes", path, int64(maxUnpacked))
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot unpack %s: %w", path, err)
	}
	// A root cannot be left through symbolic links either.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("cannot unpack %s: %w", path, err)
	}
	defer root.Close()
	for _, f := range zr.File {
		if err := unpackEntry(root, f); err != nil {
			return fmt.Errorf("cannot unpack %s: entry %s: %w", path, f.Name, err)
		}
	}
	return nil
}

func unpackEntry(root *os.Root, f *zip.File) (err error) {
	name := filepath.FromSlash(strings.TrimSuffix(f.Name, "/"))
	if f.Mode().IsDir() {
		return root.MkdirAll(name, 0o755)
	}
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if f.Mode()&fs.ModeSymlink != 0 {
		target, err := io.ReadAll(io.LimitReader(r, 4096))
		if err != nil {
			return err
		}
		return root.Symlink(string(target), name)
	}
	w, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, f.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	// The size in the directory of a zip file is only a claim.
	n, err := io.Copy(w, io.LimitReader(r, int64(f.UncompressedSize64)+1))
	if err == nil && uint64(n) > f.UncompressedSize64 {
		err = errors.New("is larger than the archive says")
	}
	if err != nil {
		return err
	}
	return w.Chmod(f.Mode().Perm())
}
