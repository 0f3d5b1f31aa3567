package charmlint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A program is the charm's own packages, parsed and type-checked.
type program struct {
	fset     *token.FileSet
	dir      string
	packages []*sourcePackage
}

type sourcePackage struct {
	files []*ast.File
	info  *types.Info
	types *types.Package
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	ImportMap               map[string]string
	Module                  *struct{ Main bool }
	Error                   *struct{ Err string }
	DepOnly                 bool
}

// load reads the packages in dir and below it, and those of the same module
// that they use.
func load(ctx context.Context, goTool, dir string) (*program, error) {
	cmd := exec.CommandContext(ctx, goTool, "list", "-e", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,ImportMap,Module,Error,DepOnly", "./...")
	cmd.Dir = dir
	// What is not built for this machine is not looked at.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the packages in %s: %w\n%s", dir, err, strings.TrimSpace(stderr.String()))
	}
	p := &program{fset: token.NewFileSet(), dir: dir}
	exports := make(map[string]string)
	source := make(map[string]*types.Package)
	fallback := importer.ForCompiler(p.fset, "gc", func(path string) (io.ReadCloser, error) {
		if file := exports[path]; file != "" {
			return os.Open(file)
		}
		return nil, fmt.Errorf("there is no export data of %s", path)
	})
	decoder := json.NewDecoder(bytes.NewReader(out))
	// Dependencies come first.
	for {
		var l listed
		if err := decoder.Decode(&l); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("cannot list the packages in %s: %w", dir, err)
		}
		if l.Error != nil && !l.DepOnly {
			return nil, fmt.Errorf("cannot read package %s: %s", l.ImportPath, l.Error.Err)
		}
		exports[l.ImportPath] = l.Export
		if !mine(l, dir) {
			continue
		}
		pkg, err := p.check(l, imports{l.ImportMap, source, fallback})
		if err != nil {
			return nil, err
		}
		source[l.ImportPath] = pkg.types
		p.packages = append(p.packages, pkg)
	}
	return p, nil
}

// mine says whether a package is the charm's own: it is in the charm's
// directory, or the charm's programs use it and it is of the same module. The
// framework's packages are not, but for its example charms.
func mine(l listed, dir string) bool {
	if l.Module == nil || !l.Module.Main {
		return false
	}
	if !strings.HasPrefix(l.ImportPath, framework+"/") || strings.HasPrefix(l.ImportPath, framework+"/examples/") {
		return true
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return false
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	rel, err := filepath.Rel(abs, l.Dir)
	return err == nil && filepath.IsLocal(rel)
}

type imports struct {
	paths    map[string]string
	source   map[string]*types.Package
	fallback types.Importer
}

func (i imports) Import(path string) (*types.Package, error) {
	if mapped, ok := i.paths[path]; ok {
		path = mapped
	}
	if pkg, ok := i.source[path]; ok {
		return pkg, nil
	}
	return i.fallback.Import(path)
}

func (p *program) check(l listed, importer types.Importer) (*sourcePackage, error) {
	pkg := &sourcePackage{info: &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object), Uses: make(map[*ast.Ident]types.Object),
		Selections: make(map[*ast.SelectorExpr]*types.Selection), Instances: make(map[*ast.Ident]types.Instance),
	}}
	for _, name := range l.GoFiles {
		f, err := parser.ParseFile(p.fset, filepath.Join(l.Dir, name), nil, parser.SkipObjectResolution|parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("cannot read package %s: %w", l.ImportPath, err)
		}
		pkg.files = append(pkg.files, f)
	}
	config := types.Config{Importer: importer}
	checked, err := config.Check(l.ImportPath, p.fset, pkg.files, pkg.info)
	if err != nil {
		return nil, fmt.Errorf("cannot read package %s: %w", l.ImportPath, err)
	}
	pkg.types = checked
	return pkg, nil
}

// place is a position as a finding shows it: relative to the charm.
func (p *program) place(pos token.Pos) string {
	position := p.fset.Position(pos)
	if abs, err := filepath.Abs(p.dir); err == nil {
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			abs = real
		}
		if rel, err := filepath.Rel(abs, position.Filename); err == nil {
			position.Filename = rel
		}
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(position.Filename), position.Line)
}
