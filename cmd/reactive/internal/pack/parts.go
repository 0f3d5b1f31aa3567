package pack

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/charmed-go/charms/cmd/reactive/internal/archive"
)

func clean(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// addParts runs the parts for one platform.
func (p *project) addParts(ctx context.Context, files archive.Files, pl platform, b *builder) error {
	for _, x := range p.parts {
		got := make(archive.Files)
		var err error
		switch x.plugin {
		case "go":
			err = b.buildPart(ctx, got, p, x, pl)
		case "dump":
			err = dump(got, filepath.Join(p.dir, x.source), b.outDir)
		}
		if err != nil {
			return fmt.Errorf("part %q: %w", x.name, err)
		}
		got = organize(got, x.organize)
		for _, f := range x.filters {
			got = filter(got, f)
		}
		for name, f := range got {
			if other, ok := files[name]; ok && (string(other.Data) != string(f.Data) || other.Executable != f.Executable) {
				return fmt.Errorf("part %q: brings another %s than a part before it", x.name, name)
			}
			files[name] = f
		}
	}
	return nil
}

// dump takes in a directory as it is, following symbolic links as charmcraft
// does, but neither version control nor the archives that packing makes.
func dump(files archive.Files, dir, outDir string) error {
	return filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".charm") {
			return nil
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a directory", name)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(rel)] = archive.File{Data: data, Executable: info.Mode().Perm()&0o111 != 0}
		return nil
	})
}

// organize moves files, as the key of that name does: a file, or a directory
// with all that is in it, to a new name, or into a directory if the new name
// ends with a slash.
func organize(files archive.Files, moves [][2]string) archive.Files {
	for _, m := range moves {
		moved := make(archive.Files)
		for name, f := range files {
			moved[destination(name, m[0], m[1])] = f
		}
		files = moved
	}
	return files
}

func destination(name, from, to string) string {
	into := strings.HasSuffix(to, "/")
	if name == from || match(from, name) {
		if into || (name != from && strings.ContainsAny(from, "*?[")) {
			return clean(path.Join(to, path.Base(name)))
		}
		return clean(to)
	}
	if rest, ok := strings.CutPrefix(name, from+"/"); ok {
		return clean(path.Join(to, rest))
	}
	return name
}

func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// filter keeps what a stage or prime list lets through: entries with a
// hyphen before them take away; if there are only such entries, all else stays.
func filter(files archive.Files, list []string) archive.Files {
	var in, out []string
	for _, e := range list {
		if rest, ok := strings.CutPrefix(e, "-"); ok {
			out = append(out, clean(rest))
		} else {
			in = append(in, clean(e))
		}
	}
	under := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(e string) bool {
			if e == "" || e == "*" || name == e || strings.HasPrefix(name, e+"/") || match(e, name) {
				return true
			}
			// A pattern that names a directory means all that is in it.
			for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
				if match(e, dir) {
					return true
				}
			}
			return false
		})
	}
	kept := make(archive.Files)
	for name, f := range files {
		if (len(in) == 0 || under(in, name)) && !under(out, name) {
			kept[name] = f
		}
	}
	return kept
}
